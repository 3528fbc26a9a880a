//! The languages: each package is put together from what was built, and runs its own tests against
//! the test bed.

use std::fs;
use std::path::Path;

use crate::{build, child::Children, failure::Failure, parts::Figures};

const PACKAGE: &str = "bindings/uniffi/python";

/// The part: the Python package with its tests, blocking, on asyncio and in forked children. They start
/// the test bed and know no more of it than its one line.
pub(crate) fn python(children: &Children<'_>) -> Result<Figures, Failure> {
    build::everything(children)?;
    let source = children.workspace.root.join(PACKAGE);
    let made = children.workspace.scratch("package-python")?;
    let native = made.join("pos_connect/_native");
    remove(&made)?;
    copy(&source.join("pos_connect"), &made.join("pos_connect"))?;
    let library = children.workspace.program("libpos_connect_native.so");
    let generator = children.workspace.program("pos-bindgen");
    let mut generate = children.command(&generator);
    children.run(generate.arg("python").arg(&library).arg(&native))?;
    write(&native.join("__init__.py"), b"")?;
    write(&native.join("libpos_connect_native.so"), &read(&library)?)?;
    let mut tests = children.command("python3");
    tests.args(["-B", "-m", "unittest", "discover", "--start-directory"]).arg(source.join("tests"));
    tests.env("PYTHONPATH", &made);
    tests.env("POS_TESTBED", children.workspace.program("pos-testbed"));
    children.run(&mut tests)?;
    Ok(Vec::new())
}

/// One flat folder.
fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    make(to)?;
    let entries = fs::read_dir(from).map_err(failed("read", from))?;
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()) {
        let name = path.file_name().unwrap_or_default();
        write(&to.join(name), &read(&path)?)?;
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), Failure> {
    if path.exists() { fs::remove_dir_all(path).map_err(failed("remove", path)) } else { Ok(()) }
}

fn make(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(failed("make", path))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(failed("read", path))
}

fn write(path: &Path, octets: &[u8]) -> Result<(), Failure> {
    fs::write(path, octets).map_err(failed("write", path))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
    let path = path.to_owned();
    move |source| Failure::Path { action, path, source }
}
