//! The languages: each package is put together from what was built, and runs its own tests against
//! the test bed.

pub(crate) mod c;
pub(crate) mod examples;
pub(crate) mod npm;
pub(crate) mod php;
pub(crate) mod python;
pub(crate) mod scenarios;
pub(crate) mod speed;

use std::fs;
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::{child::Children, failure::Failure};

/// Runs a shop that pays once, with a test bed of its own: the line in which that bed tells of itself lies in
/// `bed.json` in the target folder, and comes on the shop's standard input. How long the shop took.
pub(crate) fn pays_at_a_bed(
    children: &Children<'_>,
    shop: &mut Command,
) -> Result<Duration, Failure> {
    let bed = children.start(&mut children.command(children.workspace.program("pos-testbed")))?;
    let told = children.workspace.target.join("bed.json");
    write(&told, bed.told().as_bytes())?;
    let started = Instant::now();
    children.run(shop.stdin(File::open(&told).map_err(failed("open", &told))?))?;
    Ok(started.elapsed())
}

/// One flat folder.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    make(to)?;
    let entries = fs::read_dir(from).map_err(failed("read", from))?;
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()) {
        let name = path.file_name().unwrap_or_default();
        write(&to.join(name), &read(&path)?)?;
    }
    Ok(())
}

pub(crate) fn remove(path: &Path) -> Result<(), Failure> {
    if path.exists() { fs::remove_dir_all(path).map_err(failed("remove", path)) } else { Ok(()) }
}

pub(crate) fn make(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(failed("make", path))
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(failed("read", path))
}

pub(crate) fn write(path: &Path, octets: &[u8]) -> Result<(), Failure> {
    fs::write(path, octets).map_err(failed("write", path))
}

pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
    let path = path.to_owned();
    move |source| Failure::Path { action, path, source }
}
