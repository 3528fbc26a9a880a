//! JavaScript: WebAssembly, and the npm package around it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{copy, examples, make, read, remove, write};
use crate::{
    build,
    child::Children,
    failure::Failure,
    package::shipping::{self, Place},
    parts::Figures,
    setup,
    workspace::VERSION,
};

const SOURCE: &str = "bindings/wasm/npm";

/// Each a file of its own, and a call of cargo of its own, because their features differ: the default
/// module leaves to the host what the others do themselves.
#[rustfmt::skip]
pub(crate) const MODULES: [Module; 3] = [
    Module { krate: "pos-connect-wasm",          line: "wasm module:",   most_brotli: 184_000, figure: "wasm_brotli",     goal_brotli: 87_000 },
    Module { krate: "pos-connect-wasm-seal",     line: "wasm seal:",     most_brotli: 60_000,  figure: "seal_brotli",     goal_brotli: 60_000 },
    Module { krate: "pos-connect-wasm-fallback", line: "wasm fallback:", most_brotli: 60_000,  figure: "fallback_brotli", goal_brotli: 60_000 },
];

pub(crate) struct Module {
    krate: &'static str,
    /// How its line of `sizes.js` begins.
    line: &'static str,
    /// What its WebAssembly and JavaScript may come to, compressed: where it stands today and a
    /// little more.
    most_brotli: u64,
    /// What it is called where it is held to its goal.
    pub(crate) figure: &'static str,
    /// What it should come to (`docs/adr/0276-what-the-npm-package-weighs.md`).
    pub(crate) goal_brotli: u64,
}

/// What a browser downloads of a module.
pub(crate) struct Size {
    pub(crate) line: String,
    pub(crate) brotli: u64,
}

/// The features that every browser and Node have that the package names. All that there are, as
/// `--all-features` would have it, is more than Node 20 reads.
const FEATURES: [&str; 6] = [
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// How the modules are compiled.
const PROFILE: [&str; 3] = ["--locked", "--profile", "wasm"];

/// The part: the package is put together, packed, installed into an empty folder, and tested from there
/// in Node and in Chromium, types included.
pub(crate) fn run(children: &Children<'_>) -> Result<Figures, Failure> {
    lint(children)?;
    let app = app(children)?;
    let tools = install(children)?;
    let tsc = tools.join("node_modules/.bin/tsc");
    for project in ["tsconfig.json", "tsconfig.browser.json"] {
        let project = app.join("tests/types").join(project);
        children.run(children.command(&tsc).arg("--project").arg(project))?;
    }
    for file in ["node.test.js", "browser.test.js"] {
        let mut test = children.command("node");
        test.arg(app.join("tests/run.js")).arg(app.join("tests").join(file));
        test.env("POS_TESTBED", children.workspace.program("pos-testbed"));
        children.run(&mut test)?;
    }
    let figures = figures(sizes(children, &tools.join("pos-connect"))?)?;
    // The last, because the shop brings its own `package.json`.
    children.run(&mut examples::NODE.shopper(children, &app)?)?;
    children.run(&mut examples::NODE.browser(children, &app)?)?;
    // The shop in Rust needs no other part: its shopper is among the tests.
    let mut browser = examples::browser(children)?;
    children.run(browser.arg(children.workspace.program("pos-shop")).args(["try", "{port}"]))?;
    Ok(figures)
}

/// An empty project into which the packed package is installed, with the tests beside it.
pub(crate) fn app(children: &Children<'_>) -> Result<PathBuf, Failure> {
    build::everything(children)?;
    let tools = install(children)?;
    let package = tools.join("pos-connect");
    assemble(children, &tools, &children.workspace.target, &package)?;
    let app = tools.join("app");
    remove(&app)?;
    make(&app)?;
    let packed = pack(children, &package, &app)?;
    write(&app.join("package.json"), br#"{"private":true,"type":"module"}"#)?;
    let mut installing = npm(children, &app);
    children.run(installing.args(["install", "--offline"]).arg(packed))?;
    let tests = children.workspace.root.join(SOURCE).join("tests");
    copy(&tests, &app.join("tests"))?;
    copy(&tests.join("types"), &app.join("tests/types"))?;
    Ok(app)
}

/// The tools that npm has, by the versions of the lock file. Where they are.
pub(crate) fn install(children: &Children<'_>) -> Result<PathBuf, Failure> {
    let tools = children.workspace.scratch("npm")?;
    let tests = children.workspace.root.join(SOURCE).join("tests");
    let wanted = read(&tests.join("package-lock.json"))?;
    let installed = tools.join("package-lock.json");
    if installed.exists() && read(&installed)? == wanted && tools.join("node_modules").exists() {
        return Ok(tools);
    }
    for name in ["package.json", "package-lock.json"] {
        write(&tools.join(name), &read(&tests.join(name))?)?;
    }
    let mut installing = npm(children, &tools);
    children.run(installing.args(["ci", "--ignore-scripts"]))?;
    Ok(tools)
}

fn npm(children: &Children<'_>, folder: &Path) -> Command {
    let mut command = children.command("npm");
    command.arg("--prefix").arg(folder).args(["--no-audit", "--no-fund"]).current_dir(folder);
    command
}

/// What only browsers compile is seen by no other part.
fn lint(children: &Children<'_>) -> Result<(), Failure> {
    setup::wasm_target(children)?;
    for module in MODULES {
        let mut lint = children.cargo(&["clippy"]);
        lint.args(PROFILE).args(["--target", setup::WASM]).args([
            "-p",
            module.krate,
            "-p",
            "pos-protocol",
        ]);
        if module.krate != "pos-connect-wasm-fallback" {
            lint.args(["-p", "pos-connect", "-p", "pos-connect-api"]);
        }
        children.run(lint.args(["--", "-D", "warnings"]))?;
    }
    Ok(())
}

/// Builds the modules in the target folder, and puts the package together around them.
pub(crate) fn assemble(
    children: &Children<'_>,
    tools: &Path,
    target: &Path,
    package: &Path,
) -> Result<(), Failure> {
    setup::wasm_target(children)?;
    remove(package)?;
    let source = children.workspace.root.join(SOURCE);
    copy(&source.join("src"), package)?;
    for name in ["package.json", "README.md"] {
        write(&package.join(name), &read(&source.join(name))?)?;
    }
    for module in MODULES {
        let built = built(children, &module, target)?;
        exported(children, tools, &built, &package.join("wasm"))?;
    }
    Ok(())
}

/// Compiles a module, and gives it as cargo left it.
fn built(children: &Children<'_>, module: &Module, target: &Path) -> Result<PathBuf, Failure> {
    let mut build = children.cargo(&["build"]);
    build.args(PROFILE).args(["-p", module.krate]);
    children.run(shipping::shipped(children, &mut build, target, Place::WebAssembly)?)?;
    let name = module.krate.replace('-', "_");
    Ok(target.join(setup::WASM).join("wasm").join(name).with_extension("wasm"))
}

fn exported(
    children: &Children<'_>,
    tools: &Path,
    built: &Path,
    out: &Path,
) -> Result<(), Failure> {
    let generator = children.workspace.program("pos-bindgen");
    let mut generate = children.command(&generator);
    children.run(generate.arg("wasm").arg(built).arg(out))?;
    let name = built.file_stem().unwrap_or_default().to_string_lossy();
    let module = out.join(format!("{name}_bg.wasm"));
    let mut shrink = children.command(tools.join("node_modules/.bin/wasm-opt"));
    shrink.args(["-Oz", "--strip-debug", "--strip-producers", "--strip-target-features"]);
    children.run(shrink.args(FEATURES).arg(&module).arg("-o").arg(&module))
}

/// Packs the package into the folder, and gives the archive.
pub(crate) fn pack(
    children: &Children<'_>,
    package: &Path,
    out: &Path,
) -> Result<PathBuf, Failure> {
    let mut pack = npm(children, package);
    children.run(pack.args(["pack", "--silent", "--pack-destination"]).arg(out))?;
    Ok(out.join(format!("pos-connect-{VERSION}.tgz")))
}

/// What a browser downloads, in the order of [`MODULES`].
pub(crate) fn sizes(children: &Children<'_>, package: &Path) -> Result<Vec<Size>, Failure> {
    let script = children.workspace.root.join(SOURCE).join("tests/sizes.js");
    let printed = children.read(children.command("node").arg(script).arg(package))?;
    sizes_in(&String::from_utf8_lossy(&printed))
}

fn sizes_in(printed: &str) -> Result<Vec<Size>, Failure> {
    let size = |module: Module| {
        let line = printed.lines().find(|line| line.starts_with(module.line)).unwrap_or_default();
        let brotli = line.split_once("brotli=").and_then(|(_, brotli)| brotli.parse().ok());
        brotli.map(|brotli| Size { line: line.to_owned(), brotli }).ok_or_else(|| {
            Failure::Check(format!("`{}` was not measured, but `{line}`", module.line))
        })
    };
    MODULES.into_iter().map(size).collect()
}

/// The lines, each within what it may be.
fn figures(sizes: Vec<Size>) -> Result<Figures, Failure> {
    let within = |(module, size): (Module, Size)| {
        if size.brotli <= module.most_brotli {
            return Ok(size.line);
        }
        let (line, most) = (size.line, module.most_brotli);
        Err(Failure::Check(format!("`{line}`: it may be {most} bytes by brotli")))
    };
    MODULES.into_iter().zip(sizes).map(within).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_has_grown_or_is_not_there_has_failed() {
        let line = |name: &str, brotli: u64| format!("wasm {name}: raw=1 gzip=1 brotli={brotli}\n");
        let all = |first: u64| line("module", first) + &line("seal", 1) + &line("fallback", 1);
        let figures = |printed: &str| sizes_in(printed).and_then(figures);
        assert_eq!(figures(&all(184_000)).expect("it is small enough").len(), 3);
        assert!(figures(&all(184_001)).is_err());
        assert!(figures(&line("module", 1)).is_err());
        assert!(figures(&all(1).replace("brotli=1", "brotli=")).is_err());
    }
}
