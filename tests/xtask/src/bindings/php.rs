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
    let shop = install(children)?;
    for bridge in ["ffi", "extension"] {
        children.run(&mut shop.tests(children, bridge, "bridges"))?;
    }
    children.run(&mut shop.tests(children, "ffi", "once"))?;
    examples::PHP.play(children, &shop.project)?;
    let speeds = ["ffi", "extension"].into_iter().map(|bridge| shop.speed(children, bridge));
    speeds.collect()
}

/// Installs the package into an empty project and builds the extension, as a shop would.
pub(crate) fn install(children: &Children<'_>) -> Result<Shop, Failure> {
    build::everything(children)?;
    package(children)?;
    Ok(Shop { project: installed(children)?, extension: extension(children)? })
}

/// A project that has the package, and the extension that its PHP may load.
pub(crate) struct Shop {
    project: PathBuf,
    extension: PathBuf,
}

impl Shop {
    fn tests(&self, children: &Children<'_>, bridge: &str, folder: &str) -> Command {
        let tests = children.workspace.root.join(SOURCE).join("tests");
        let mut php = self.php(children, bridge);
        php.args([
            "-d",
            "zend.exception_ignore_args=0",
            "/usr/bin/phpunit",
            "--do-not-cache-result",
        ]);
        php.args(["--fail-on-warning", "--fail-on-risky", "--bootstrap"]).arg(self.autoload());
        php.arg(tests.join(folder));
        php
    }

    /// One line with what a call costs.
    fn speed(&self, children: &Children<'_>, bridge: &str) -> Result<String, Failure> {
        let script = children.workspace.root.join(SOURCE).join("tests/speed.php");
        let printed = children.read(self.php(children, bridge).arg(script))?;
        let line = String::from_utf8_lossy(&printed).trim().to_owned();
        if line.starts_with(&format!("php {bridge}: ")) && !line.contains('\n') {
            return Ok(line);
        }
        Err(Failure::Check(format!("the cost of a call was not shown: `{line}`")))
    }

    fn php(&self, children: &Children<'_>, bridge: &str) -> Command {
        let mut php = children.command("php");
        if bridge == "extension" {
            php.args(extension_flags(children.workspace));
        }
        php.env("POS_BRIDGE", bridge)
            .env("POS_AUTOLOAD", self.autoload())
            .env("POS_EXTENSION", &self.extension)
            .env("POS_TESTBED", children.workspace.program("pos-testbed"));
        php
    }

    fn autoload(&self) -> PathBuf {
        self.project.join("vendor/autoload.php")
    }
}

/// What makes a PHP that was installed here use the extension.
pub(crate) fn extension_flags(at: &Workspace) -> [OsString; 4] {
    let made = at.target.join("xtask");
    let library = made.join("project-php/vendor/pos-connect/pos-connect").join(library_path());
    let setting = |name: &str, path: PathBuf| format!("{name}={}", path.display()).into();
    [
        "-d".into(),
        setting("extension", made.join("extension-php/modules/pos_connect_bridge.so")),
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
fn extension(children: &Children<'_>) -> Result<PathBuf, Failure> {
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
    Ok(built.join("modules/pos_connect_bridge.so"))
}
