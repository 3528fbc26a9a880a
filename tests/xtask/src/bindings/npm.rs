//! JavaScript: WebAssembly, and the npm package around it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{copy, examples, make, read, remove, write};
use crate::{build, child::Children, failure::Failure, parts::Figures, setup};

const SOURCE: &str = "bindings/wasm/npm";

/// Each a file of its own, and a call of cargo of its own, because their features differ: the default
/// module leaves to the host what the others do themselves.
const MODULES: [Module; 3] = [
    Module { krate: "pos-connect-wasm", figure: "wasm module:", most_brotli: 195_000 },
    Module { krate: "pos-connect-wasm-seal", figure: "wasm seal:", most_brotli: 80_000 },
    Module { krate: "pos-connect-wasm-fallback", figure: "wasm fallback:", most_brotli: 60_000 },
];

struct Module {
    krate: &'static str,
    figure: &'static str,
    /// What its WebAssembly and JavaScript may come to, compressed: where it stands today and a
    /// little more (`docs/adr/0276-what-the-npm-package-weighs.md` names the goals).
    most_brotli: u64,
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

/// The part: the package is put together, packed, installed into an empty folder, and tested from there
/// in Node and in Chromium, types included.
pub(crate) fn run(children: &Children<'_>) -> Result<Figures, Failure> {
    let app = app(children)?;
    let tools = install(children)?;
    let tsc = tools.join("node_modules/.bin/tsc");
    children.run(children.command(tsc).args(["--project"]).arg(app.join("tests/types")))?;
    for file in ["node.test.js", "browser.test.js"] {
        let mut test = children.command("node");
        test.arg(app.join("tests/run.js")).arg(app.join("tests").join(file));
        test.env("POS_TESTBED", children.workspace.program("pos-testbed"));
        children.run(&mut test)?;
    }
    let mut sizes = children.command("node");
    let package = tools.join("pos-connect");
    let printed = children.read(sizes.arg(app.join("tests/sizes.js")).arg(package))?;
    let figures = figures(&String::from_utf8_lossy(&printed))?;
    // The last, because the shop brings its own `package.json`.
    examples::NODE.play(children, &app)?;
    Ok(figures)
}

/// An empty project into which the packed package is installed, with the tests beside it.
pub(crate) fn app(children: &Children<'_>) -> Result<PathBuf, Failure> {
    build::everything(children)?;
    let tools = install(children)?;
    let package = assemble(children, &tools)?;
    let app = tools.join("app");
    remove(&app)?;
    make(&app)?;
    children
        .run(npm(children, &package).args(["pack", "--silent", "--pack-destination"]).arg(&app))?;
    write(&app.join("package.json"), br#"{"private":true,"type":"module"}"#)?;
    let mut installing = npm(children, &app);
    children.run(installing.args(["install", "--offline", "./pos-connect-0.1.0.tgz"]))?;
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

/// Builds the modules, and puts the package together around them.
fn assemble(children: &Children<'_>, tools: &Path) -> Result<PathBuf, Failure> {
    setup::wasm_target(children)?;
    let package = tools.join("pos-connect");
    remove(&package)?;
    let source = children.workspace.root.join(SOURCE);
    copy(&source.join("src"), &package)?;
    for name in ["package.json", "README.md"] {
        write(&package.join(name), &read(&source.join(name))?)?;
    }
    for module in MODULES {
        let profile = ["--locked", "--profile", "wasm", "--target", setup::WASM];
        // What only browsers compile is seen by no other part.
        let mut lint = children.cargo(&["clippy"]);
        lint.args(profile).args(["-p", module.krate, "-p", "pos-protocol"]);
        if module.krate != "pos-connect-wasm-fallback" {
            lint.args(["-p", "pos-connect", "-p", "pos-connect-api"]);
        }
        children.run(lint.args(["--", "-D", "warnings"]))?;
        children.run(children.cargo(&["build"]).args(profile).args(["-p", module.krate]))?;
        exported(children, tools, module.krate, &package.join("wasm"))?;
    }
    Ok(package)
}

fn exported(children: &Children<'_>, tools: &Path, krate: &str, out: &Path) -> Result<(), Failure> {
    let name = krate.replace('-', "_");
    let built = children.workspace.target.join(setup::WASM).join("wasm").join(&name);
    let generator = children.workspace.program("pos-bindgen");
    let mut generate = children.command(&generator);
    children.run(generate.arg("wasm").arg(built.with_extension("wasm")).arg(out))?;
    let module = out.join(format!("{name}_bg.wasm"));
    let mut shrink = children.command(tools.join("node_modules/.bin/wasm-opt"));
    shrink.args(["-Oz", "--strip-debug", "--strip-producers", "--strip-target-features"]);
    children.run(shrink.args(FEATURES).arg(&module).arg("-o").arg(&module))
}

/// The lines of `sizes.js`, each within what it may be.
fn figures(printed: &str) -> Result<Figures, Failure> {
    let mut figures = Figures::new();
    for module in MODULES {
        let line = printed.lines().find(|line| line.starts_with(module.figure));
        let brotli = line.and_then(|line| line.split_once("brotli=")?.1.parse::<u64>().ok());
        match (line, brotli) {
            (Some(line), Some(brotli)) if brotli <= module.most_brotli => {
                figures.push(line.to_owned());
            }
            _ => {
                let (figure, most) = (module.figure, module.most_brotli);
                return Err(Failure::Check(format!(
                    "`{}`: {figure} may be {most} bytes by brotli",
                    line.unwrap_or_default()
                )));
            }
        }
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_has_grown_or_is_not_there_has_failed() {
        let line = |name: &str, brotli: u64| format!("wasm {name}: raw=1 gzip=1 brotli={brotli}\n");
        let all = |first: u64| line("module", first) + &line("seal", 1) + &line("fallback", 1);
        assert_eq!(figures(&all(195_000)).expect("it is small enough").len(), 3);
        assert!(figures(&all(195_001)).is_err());
        assert!(figures(&line("module", 1)).is_err());
        assert!(figures(&all(1).replace("brotli=1", "brotli=")).is_err());
    }
}
