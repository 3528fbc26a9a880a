//! Python.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, iter};

use super::{copy, examples, read, remove, write};
use crate::{build, child::Children, failure::Failure, parts::Figures, venv::Environment};

pub(crate) const PACKAGE: &str = "bindings/uniffi/python";

/// What the tests run with beside the package: type checkers, and a web server for the example shop.
pub(crate) const ENVIRONMENT: Environment = Environment {
    name: "python-package",
    requirements: "bindings/uniffi/python/tests/requirements.txt",
};

const LIBRARY: &str = "libpos_connect_native.so";

/// What `__init__.py` and `__init__.pyi` are made by.
const STUBS: &str = "python-stubs";

/// The part: the Python package with its tests, blocking, on asyncio, in forked children and under
/// gunicorn; its types by two checkers; and a shopper at the shop in Flask. The tests start the test bed
/// and know no more of it than its one line.
pub(crate) fn run(children: &Children<'_>) -> Result<Figures, Failure> {
    let made = install(children)?;
    prepare(children)?;
    are_as_committed(children, &children.workspace.program(LIBRARY))?;
    let mut tests = children.command(ENVIRONMENT.python(children)?);
    tests.args(["-B", "-m", "unittest", "discover", "--start-directory"]);
    tests.arg(children.workspace.root.join(PACKAGE).join("tests"));
    tests.env("PYTHONPATH", &made);
    tests.env("POS_TESTBED", children.workspace.program("pos-testbed"));
    children.run(offline_pyright(children, &mut tests)?)?;
    let project = children.workspace.scratch("example-flask/shop")?;
    shop(children, &made, examples::FLASK.shopper(children, &project)?)?;
    shop(children, &made, examples::FLASK.browser(children, &project)?)?;
    Ok(Vec::new())
}

/// Lets somebody come to the shop in Flask, which has the environment's Python and the package there.
fn shop(children: &Children<'_>, made: &Path, mut comes: Command) -> Result<(), Failure> {
    let inherited = env::var_os("PATH").unwrap_or_default();
    let environment = ENVIRONMENT.folder(children)?.join("bin");
    let path = env::join_paths(iter::once(environment).chain(env::split_paths(&inherited)));
    comes.env("PATH", path.map_err(|wrong| Failure::Check(wrong.to_string()))?);
    children.run(comes.env("PYTHONPATH", made))
}

/// Puts the package together from what was built, and gives the folder to import it from.
pub(crate) fn install(children: &Children<'_>) -> Result<PathBuf, Failure> {
    build::everything(children)?;
    let made = children.workspace.scratch("package-python")?;
    let package = made.join("pos_connect");
    let native = package.join("_native");
    remove(&made)?;
    copy(&children.workspace.root.join(PACKAGE).join("pos_connect"), &package)?;
    let library = children.workspace.program(LIBRARY);
    generate(children, "python", &library, &native)?;
    write(&native.join("__init__.py"), b"")?;
    write(&native.join(LIBRARY), &read(&library)?)?;
    Ok(made)
}

/// Makes the tests' environment. Pyright's package fetches the program itself at its first start.
pub(crate) fn prepare(children: &Children<'_>) -> Result<(), Failure> {
    ENVIRONMENT.install(children)?;
    let mut fetch = children.command(ENVIRONMENT.python(children)?);
    fetch.args(["-m", "pyright", "--version"]);
    children.run(offline_pyright(children, &mut fetch)?)
}

/// Keeps the program in the environment, and asks nobody for a newer one.
fn offline_pyright<'c>(
    children: &Children<'_>,
    command: &'c mut Command,
) -> Result<&'c mut Command, Failure> {
    let cache = ENVIRONMENT.folder(children)?.join("pyright");
    let command = command.env("PYRIGHT_PYTHON_CACHE_DIR", cache);
    Ok(command.env("PYRIGHT_PYTHON_IGNORE_WARNINGS", "1"))
}

fn generate(
    children: &Children<'_>,
    what: &str,
    library: &Path,
    out: &Path,
) -> Result<(), Failure> {
    let mut generate = children.command(children.workspace.program("pos-bindgen"));
    children.run(generate.arg(what).arg(library).arg(out))
}

/// The files in the repository are what the library's surface gives.
fn are_as_committed(children: &Children<'_>, library: &Path) -> Result<(), Failure> {
    let again = children.workspace.scratch("package-python-again")?;
    generate(children, STUBS, library, &again)?;
    for name in ["__init__.py", "__init__.pyi"] {
        let committed = children.workspace.root.join(PACKAGE).join("pos_connect").join(name);
        if read(&again.join(name))? != read(&committed)? {
            return Err(Failure::Check(format!(
                "{PACKAGE}/pos_connect/{name} is not what the surface gives\n  \
                 to make it again: {} {STUBS} {} {PACKAGE}/pos_connect",
                children.workspace.program("pos-bindgen").display(),
                library.display()
            )));
        }
    }
    Ok(())
}
