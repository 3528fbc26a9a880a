//! Python.

use super::{copy, read, remove, write};
use crate::{build, child::Children, failure::Failure, parts::Figures};

const PACKAGE: &str = "bindings/uniffi/python";

/// The part: the Python package with its tests, blocking, on asyncio and in forked children. They start
/// the test bed and know no more of it than its one line.
pub(crate) fn run(children: &Children<'_>) -> Result<Figures, Failure> {
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
