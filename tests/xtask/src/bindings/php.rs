//! PHP: the Composer package and the extension that it may be called over.

use std::env::consts;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{copy, examples, make, read, remove, write};
use crate::{
    build,
    child::Children,
    failure::Failure,
    parts::Figures,
    workspace::{VERSION, Workspace},
};

const SOURCE: &str = "bindings/php";

/// What a shop's own project asks for: the package from the folder beside it, and nothing from
/// elsewhere.
const PROJECT: &str = r#"{
    "name": "shop/shop",
    "repositories": [
        {
            "type": "path",
            "url": "../package-php",
            "options": {"symlink": false}
        },
        {"packagist.org": false}
    ],
    "require": {"pos-connect/pos-connect": "*"}
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
    children.run(&mut examples::PHP.shopper(children, &project)?)?;
    children.run(&mut examples::PHP.browser(children, &project)?)?;
    ["ffi", "extension"].into_iter().map(|bridge| speed(children, bridge)).collect()
}

/// Builds the extension and installs the package into an empty project, as a shop would; gives the
/// project.
pub(crate) fn install(children: &Children<'_>) -> Result<PathBuf, Failure> {
    build::everything(children)?;
    let package = children.workspace.scratch("package-php")?;
    remove(&package)?;
    assemble(children, &children.workspace.program("libpos_connect_native.so"), &package)?;
    let sources = children.workspace.scratch("extension-php")?;
    remove(&sources)?;
    assemble_extension(children, &sources)?;
    extension(children, &sources)?;
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
    let extension = built_extension(&children.workspace.target.join("xtask/extension-php"));
    if bridge == "extension" {
        php.args(installed_extension_flags(children.workspace));
    }
    php.env("POS_BRIDGE", bridge)
        .env("POS_AUTOLOAD", autoload(children.workspace))
        .env("POS_EXTENSION", extension)
        .env("POS_TESTBED", children.workspace.program("pos-testbed"));
    php
}

/// What loads the package's classes, after [`install`].
pub(crate) fn autoload(at: &Workspace) -> PathBuf {
    at.target.join("xtask/project-php/vendor/autoload.php")
}

/// What makes a PHP that was installed here use the extension.
pub(crate) fn installed_extension_flags(at: &Workspace) -> [OsString; 4] {
    let scratch = at.target.join("xtask");
    let package = scratch.join("project-php/vendor/pos-connect/pos-connect");
    extension_flags(&built_extension(&scratch.join("extension-php")), &package)
}

/// What makes PHP call the library of an installed package over this extension.
pub(crate) fn extension_flags(extension: &Path, package: &Path) -> [OsString; 4] {
    let setting = |name: &str, path: &Path| format!("{name}={}", path.display()).into();
    [
        "-d".into(),
        setting("extension", extension),
        "-d".into(),
        setting("pos_connect_bridge.library", &package.join(library_path())),
    ]
}

/// Puts the package together: what is written by hand, what is generated, and the library.
pub(crate) fn assemble(
    children: &Children<'_>,
    library: &Path,
    package: &Path,
) -> Result<(), Failure> {
    let source = children.workspace.root.join(SOURCE);
    copy(&source.join("src/Native"), &package.join("src/Native"))?;
    for file in ["preload.php", "README.md"] {
        write(&package.join(file), &read(&source.join(file))?)?;
    }
    write_manifest(&source, package)?;
    let mut generate = children.command(children.workspace.program("pos-bindgen"));
    children.run(generate.arg("php").arg(library).arg(package.join("src")))?;
    let to = package.join(library_path());
    make(to.parent().unwrap_or(package))?;
    write(&to, &read(library)?)
}

/// Puts the extension's sources together.
pub(crate) fn assemble_extension(children: &Children<'_>, package: &Path) -> Result<(), Failure> {
    let source = children.workspace.root.join(SOURCE).join("ext");
    copy(&source, package)?;
    write_manifest(&source, package)
}

/// Composer takes the version from a tag where a package lies in a repository of its own; from an archive or
/// a folder it reads it here.
fn write_manifest(source: &Path, package: &Path) -> Result<(), Failure> {
    let name = "composer.json";
    let manifest = read(&source.join(name))?;
    let manifest = with_version(&String::from_utf8_lossy(&manifest), VERSION);
    write(&package.join(name), manifest.as_bytes())
}

fn with_version(manifest: &str, version: &str) -> String {
    manifest.replacen('{', &format!("{{\n    \"version\": \"{version}\","), 1)
}

/// Where the package looks for the library of this kind of machine.
fn library_path() -> String {
    format!("lib/{}-{}/libpos_connect_native.so", consts::OS, consts::ARCH)
}

/// An empty project into which Composer has installed the package.
fn installed(children: &Children<'_>) -> Result<PathBuf, Failure> {
    let project = children.workspace.scratch("project-php")?;
    remove(&project)?;
    make(&project)?;
    write(&project.join("composer.json"), PROJECT.as_bytes())?;
    let mut composer = children.command("composer");
    composer.args(["install", "--no-interaction", "--no-progress", "--working-dir"]).arg(&project);
    // Neither the settings of whoever runs this nor the network.
    composer.env("COMPOSER_HOME", project.join("composer-home"));
    composer.env("COMPOSER_ALLOW_SUPERUSER", "1").env("COMPOSER_DISABLE_NETWORK", "1");
    children.run(&mut composer)?;
    Ok(project)
}

/// Builds the extension from its sources, as a shop does, and gives it.
pub(crate) fn extension(children: &Children<'_>, sources: &Path) -> Result<PathBuf, Failure> {
    let configure = sources.join("configure");
    let steps: [(&Path, &[&str]); 3] = [
        (Path::new("phpize"), &[]),
        (&configure, &["--quiet"]),
        (Path::new("make"), &["--silent", "CFLAGS=-O2 -Werror"]),
    ];
    for (program, arguments) in steps {
        children.run(children.command(program).args(arguments).current_dir(sources))?;
    }
    Ok(built_extension(sources))
}

fn built_extension(sources: &Path) -> PathBuf {
    sources.join("modules/pos_connect_bridge.so")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_gets_its_version() {
        let manifest = "{\n    \"name\": \"a/b\",\n    \"require\": {}\n}\n";
        let wanted =
            "{\n    \"version\": \"1.2.3\",\n    \"name\": \"a/b\",\n    \"require\": {}\n}\n";
        assert_eq!(with_version(manifest, "1.2.3"), wanted);
    }
}
