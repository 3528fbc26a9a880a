//! PHP: the Composer package and the extension that it may be called over.

use std::env::consts;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{copy, examples, failed, read, remove, write};
use crate::{build, child::Children, failure::Failure, parts::Figures, workspace::Workspace};

const SOURCE: &str = "bindings/php";

/// What a shop's own project asks for: the package from the folder beside it, and nothing from
/// elsewhere.
const PROJECT: &str = r#"{
    "name": "shop/shop",
    "repositories": [
        {
            "type": "path",
            "url": "../package-php",
            "options": {"symlink": false, "versions": {"pos-connect/pos-connect": "0.1.0"}}
        },
        {"packagist.org": false}
    ],
    "require": {"pos-connect/pos-connect": "0.1.0"}
}
"#;

/// The part: the package installed by Composer into an empty project; its tests there over both
/// bridges, under php-fpm, and of what a wrong installation is told.
pub(crate) fn run(children: &Children<'_>) -> Result<Figures, Failure> {
    let project = install(children)?;
    for bridge in ["ffi", "extension"] {
        children.run(&mut tests(children, bridge, "bridges"))?;
    }
    children.run(&mut tests(children, "ffi", "once"))?;
    examples::PHP.play(children, &project)?;
    ["ffi", "extension"].into_iter().map(|bridge| speed(children, bridge)).collect()
}

/// Builds the extension and installs the package into an empty project, as a shop would; gives the
/// project.
pub(crate) fn install(children: &Children<'_>) -> Result<PathBuf, Failure> {
    build::everything(children)?;
    package(children)?;
    extension(children)?;
    installed(children)
}

fn tests(children: &Children<'_>, bridge: &str, folder: &str) -> Command {
    let mut php = php(children, bridge);
    php.args(["-d", "zend.exception_ignore_args=0", "/usr/bin/phpunit", "--do-not-cache-result"]);
    php.args(["--fail-on-warning", "--fail-on-risky", "--bootstrap"]);
    php.arg(autoload(children.workspace));
    php.arg(children.workspace.root.join(SOURCE).join("tests").join(folder));
    php
}

/// One line with what a call costs.
fn speed(children: &Children<'_>, bridge: &str) -> Result<String, Failure> {
    let printed = children.read(&mut script(children, bridge, "speed.php"))?;
    let line = String::from_utf8_lossy(&printed).trim().to_owned();
    if line.starts_with(&format!("php {bridge}: ")) && !line.contains('\n') {
        return Ok(line);
    }
    Err(Failure::Check(format!("the cost of a call was not shown: `{line}`")))
}

/// A script of the tests by the PHP that was installed here.
pub(crate) fn script(children: &Children<'_>, bridge: &str, name: &str) -> Command {
    let mut php = php(children, bridge);
    php.arg(children.workspace.root.join(SOURCE).join("tests").join(name));
    php
}

fn php(children: &Children<'_>, bridge: &str) -> Command {
    let mut php = children.command("php");
    if bridge == "extension" {
        php.args(extension_flags(children.workspace));
    }
    php.env("POS_BRIDGE", bridge)
        .env("POS_AUTOLOAD", autoload(children.workspace))
        .env("POS_EXTENSION", built_extension(children.workspace))
        .env("POS_TESTBED", children.workspace.program("pos-testbed"));
    php
}

/// What loads the package's classes, after [`install`].
pub(crate) fn autoload(at: &Workspace) -> PathBuf {
    at.target.join("xtask/project-php/vendor/autoload.php")
}

fn built_extension(at: &Workspace) -> PathBuf {
    at.target.join("xtask/extension-php/modules/pos_connect_bridge.so")
}

/// What makes a PHP that was installed here use the extension.
pub(crate) fn extension_flags(at: &Workspace) -> [OsString; 4] {
    let package = at.target.join("xtask/project-php/vendor/pos-connect/pos-connect");
    let library = package.join(library_path());
    let setting = |name: &str, path: PathBuf| format!("{name}={}", path.display()).into();
    [
        "-d".into(),
        setting("extension", built_extension(at)),
        "-d".into(),
        setting("pos_connect_bridge.library", library),
    ]
}

/// Puts the package together: what is written by hand, what is generated, and the library.
fn package(children: &Children<'_>) -> Result<(), Failure> {
    let source = children.workspace.root.join(SOURCE);
    let made = children.workspace.scratch("package-php")?;
    remove(&made)?;
    copy(&source.join("src/Native"), &made.join("src/Native"))?;
    for file in ["composer.json", "preload.php", "README.md"] {
        write(&made.join(file), &read(&source.join(file))?)?;
    }
    let library = children.workspace.program("libpos_connect_native.so");
    let mut generate = children.command(children.workspace.program("pos-bindgen"));
    children.run(generate.arg("php").arg(&library).arg(made.join("src")))?;
    let to = made.join(library_path());
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(failed("make", folder))?;
    }
    write(&to, &read(&library)?)
}

/// Where the package looks for the library of this kind of machine.
fn library_path() -> String {
    format!("lib/{}-{}/libpos_connect_native.so", consts::OS, consts::ARCH)
}

/// An empty project into which Composer has installed the package.
fn installed(children: &Children<'_>) -> Result<PathBuf, Failure> {
    let project = children.workspace.scratch("project-php")?;
    remove(&project)?;
    fs::create_dir_all(&project).map_err(failed("make", &project))?;
    write(&project.join("composer.json"), PROJECT.as_bytes())?;
    let mut composer = children.command("composer");
    composer.args(["install", "--no-interaction", "--no-progress", "--working-dir"]).arg(&project);
    // Neither the settings of whoever runs this nor the network.
    composer.env("COMPOSER_HOME", project.join("composer-home"));
    composer.env("COMPOSER_ALLOW_SUPERUSER", "1").env("COMPOSER_DISABLE_NETWORK", "1");
    children.run(&mut composer)?;
    Ok(project)
}

/// The extension as a shop builds it.
fn extension(children: &Children<'_>) -> Result<(), Failure> {
    let built = children.workspace.scratch("extension-php")?;
    remove(&built)?;
    copy(&children.workspace.root.join(SOURCE).join("ext"), &built)?;
    let configure = built.join("configure");
    let steps: [(&Path, &[&str]); 3] = [
        (Path::new("phpize"), &[]),
        (&configure, &["--quiet"]),
        (Path::new("make"), &["--silent", "CFLAGS=-O2 -Werror"]),
    ];
    for (program, arguments) in steps {
        children.run(children.command(program).args(arguments).current_dir(&built))?;
    }
    Ok(())
}
