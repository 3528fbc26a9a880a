//! Python: a wheel for this machine, and one for old systems.

use std::path::{Path, PathBuf};
use std::{env, fs};

use super::shipping::{self, Place};
use super::{Built, Figure, Language, Output};
use crate::bindings::{self, pays_at_a_bed, python::PACKAGE, scenarios};
use crate::{
    child::Children,
    failure::Failure,
    sizes::bytes_in,
    venv::{self, Environment},
};

pub(super) const LANGUAGE: Language =
    Language { name: "python", page: "bindings/uniffi/python/README.md", build, pay };

/// What makes wheels.
const ENVIRONMENT: Environment = Environment {
    name: "python-build",
    requirements: "bindings/uniffi/python/requirements-build.txt",
};

const WHEEL_MAX_BYTES: u64 = 1_500_000;

/// Said to maturin, which does not see what short relocations need: pip would install a wheel that it calls
/// older where the library cannot be loaded.
const LIKE_HERE: &[&str] = &["--compatibility", "manylinux_2_36"];

/// glibc 2.17 of 2014, which every system still in use has, by the linker of zig.
const OLD: &[&str] = &["--zig", "--compatibility", "manylinux2014"];

fn build(children: &Children<'_>, out: &Output) -> Result<Built, Failure> {
    ENVIRONMENT.install(children)?;
    let mut files = Vec::new();
    for (words, place) in [(LIKE_HERE, Place::LikeHere), (OLD, Place::Old)] {
        let folder = out.packages.join("wheel");
        wheel(children, &out.target, &folder, words, place)?;
        files.push(moved(&folder, &out.packages)?);
    }
    let wheel = Figure { name: "wheel", is: bytes_in(&files[0])?, at_most: WHEEL_MAX_BYTES };
    Ok(Built { files, figures: vec![wheel] })
}

fn wheel(
    children: &Children<'_>,
    target: &Path,
    folder: &Path,
    words: &[&str],
    place: Place,
) -> Result<(), Failure> {
    let environment = ENVIRONMENT.folder(children)?;
    let mut maturin = children.command(environment.join("bin/maturin"));
    maturin.args(["build", "--compression-level", "9", "--out"]).arg(folder).args(words);
    // It looks for zig by the first interpreter there.
    let mut path = environment.join("bin").into_os_string();
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());
    maturin.env("PATH", path);
    maturin.current_dir(children.workspace.root.join(PACKAGE));
    children.run(shipping::shipped(children, &mut maturin, target, place)?)
}

/// The one wheel in the folder, put where the others are.
fn moved(folder: &Path, out: &Path) -> Result<PathBuf, Failure> {
    let failed = |source| Failure::Path { action: "move", path: folder.to_owned(), source };
    let entries = fs::read_dir(folder).map_err(failed)?;
    let wheels: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    let [wheel] = &wheels[..] else {
        return Err(Failure::Check(format!("not one wheel, but {wheels:?}")));
    };
    let to = out.join(wheel.file_name().unwrap_or_default());
    fs::rename(wheel, &to).map_err(failed)?;
    bindings::remove(folder)?;
    Ok(to)
}

/// The page lets pip choose the wheel; here is each of them, in an environment that holds nothing else.
fn pay(children: &Children<'_>, built: &Built, shop: &Path) -> Result<(), Failure> {
    for wheel in &built.files {
        venv::make(children, shop)?;
        let python = shop.join("bin/python");
        let mut install = children.command(&python);
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        children.run(install.args(["--no-index", "--no-deps"]).arg(wheel))?;
        for file in installed(children, shop)? {
            shipping::tells_no_path(children, &file)?;
        }
        let mut pays = children.command(&python);
        pays.arg(children.workspace.root.join(PACKAGE).join("examples/pay.py")).current_dir(shop);
        pays_at_a_bed(children, &mut pays)?;
        scenarios::play_python(children, &python)?;
    }
    Ok(())
}

/// Every file of the package, as it lies in the environment.
fn installed(children: &Children<'_>, shop: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut find = children.command("find");
    find.arg(shop.join("lib")).args(["-path", "*/pos_connect*", "-type", "f"]);
    // pip's own note of where the wheel lay.
    let told =
        children.read(find.args(["-not", "-name", "direct_url.json", "-not", "-name", "*.pyc"]))?;
    let told = String::from_utf8_lossy(&told);
    let files: Vec<_> = told.lines().map(PathBuf::from).collect();
    if files.len() < 5 {
        return Err(Failure::Check(format!("the package's files are only {files:?}")));
    }
    Ok(files)
}
