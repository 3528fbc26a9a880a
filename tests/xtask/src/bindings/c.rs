//! C: the header, and the library in both its forms.

use std::path::{Path, PathBuf};

use super::{make, pays_at_a_bed, read, remove, write};
use crate::{build, child::Children, failure::Failure, parts::Figures, workspace::Workspace};

pub(crate) const SOURCE: &str = "bindings/c";
const HEADER: &str = "include/pos_connect.h";

/// What our C is held to.
const STRICT: &[&str] =
    &["-std=c11", "-D_GNU_SOURCE", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-pedantic"];

/// How a program is linked.
#[derive(Clone, Copy)]
enum Form {
    /// With the shared library.
    Shared,
    /// With the archive.
    Static,
}

/// The part: the header is what its source says; the edge holds, also under valgrind; and the
/// example pays, also where an answer is lost.
pub(crate) fn run(children: &Children<'_>) -> Result<Figures, Failure> {
    let package = install(children)?;
    // It brings a library of its own.
    let doubt = compiled(children, &package, "tests/doubt", Form::Static)?;
    children.run(&mut children.command(doubt))?;
    for form in [Form::Shared, Form::Static] {
        let edge = compiled(children, &package, "tests/edge", form)?;
        children.run(children.command(&edge).current_dir(&package))?;
        if matches!(form, Form::Shared) {
            let mut checked = children.command("valgrind");
            checked.args(["--quiet", "--error-exitcode=9", "--leak-check=full"]);
            checked.args(["--show-leak-kinds=definite", "--errors-for-leak-kinds=definite"]);
            children.run(checked.arg(&edge).current_dir(&package))?;
        }
        let pay = compiled(children, &package, "examples/pay", form)?;
        pays_at_a_bed(children, &mut children.command(pay))?;
    }
    Ok(Vec::new())
}

/// Puts the package together: header, shared library, archive; and compiles the runner against it.
pub(crate) fn install(children: &Children<'_>) -> Result<PathBuf, Failure> {
    build::everything(children)?;
    let source = children.workspace.root.join(SOURCE);
    let package = package(children.workspace);
    remove(&package)?;
    make(&package.join("include"))?;
    make(&package.join("lib"))?;
    let header = package.join(HEADER);
    let mut generate = children.command(children.workspace.program("pos-bindgen"));
    children.run(generate.arg("c").arg(&source).arg(&header))?;
    let committed = source.join(HEADER);
    if read(&header)? != read(&committed)? {
        return Err(Failure::Check(format!(
            "{SOURCE}/{HEADER} is not what its source says\n  to make it again: cp {} {}",
            header.display(),
            committed.display()
        )));
    }
    for library in ["libpos_connect_c.so", "libpos_connect_c.a"] {
        write(&package.join("lib").join(library), &read(&children.workspace.program(library))?)?;
    }
    compiled(children, &package, "tests/runner", Form::Shared)?;
    Ok(package)
}

/// The runner of the shared scenarios.
pub(crate) fn runner(workspace: &Workspace) -> PathBuf {
    package(workspace).join("runner-shared")
}

/// The same for a package in another folder, linked in each form.
pub(crate) fn runners(children: &Children<'_>, package: &Path) -> Result<Vec<PathBuf>, Failure> {
    let forms = [Form::Shared, Form::Static].into_iter();
    forms.map(|form| compiled(children, package, "tests/runner", form)).collect()
}

fn package(workspace: &Workspace) -> PathBuf {
    workspace.target.join("xtask/package-c")
}

fn compiled(
    children: &Children<'_>,
    package: &Path,
    name: &str,
    form: Form,
) -> Result<PathBuf, Failure> {
    let source = children.workspace.root.join(SOURCE).join(name).with_extension("c");
    let stem = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let (suffix, library) = match form {
        Form::Shared => ("shared", "libpos_connect_c.so"),
        Form::Static => ("static", "libpos_connect_c.a"),
    };
    let program = package.join(format!("{stem}-{suffix}"));
    let lib = package.join("lib");
    let mut compile = children.command("cc");
    compile.args(STRICT).arg("-I").arg(package.join("include")).arg(&source);
    compile.arg("-o").arg(&program).arg(lib.join(library));
    compile.arg(format!("-Wl,-rpath,{}", lib.display())).args(["-lcjson", "-lm", "-pthread"]);
    children.run(&mut compile)?;
    Ok(program)
}
