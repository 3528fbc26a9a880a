//! Installs what the other parts need, where it may: Debian packages as root, components of rustup,
//! a Python environment of its own, cargo-deny. Elsewhere it says exactly what to install.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{bindings, child::Children, deny, failure::Failure, judges, parts::Figures};

/// The target that the connection module is compiled for beside the machine's own.
pub(crate) const WASM: &str = "wasm32-unknown-unknown";

/// A program that must run, and the Debian packages it comes from.
struct Tool {
    probe: &'static [&'static str],
    packages: &'static [&'static str],
}

/// Fails in an older one, whose WebCrypto has no Ed25519.
const NODE_20: &str = "process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)";

#[rustfmt::skip]
const TOOLS: &[Tool] = &[
    Tool { probe: &["cc", "--version"],                      packages: &["gcc", "libc6-dev"] },
    Tool { probe: &["test", "-f", "/usr/include/cjson/cJSON.h"], packages: &["libcjson-dev"] },
    Tool { probe: &["pkg-config", "--version"],              packages: &["pkg-config"] },
    Tool { probe: &["valgrind", "--version"],                packages: &["valgrind"] },
    Tool { probe: &["faketime", "--version"],                packages: &["faketime"] },
    Tool { probe: &["gzip", "--version"],                    packages: &["gzip"] },
    Tool { probe: &["chromium", "--version"],                packages: &["chromium"] },
    Tool { probe: &["git", "--version"],                     packages: &["git"] },
    Tool { probe: &["node", "--input-type=module", "--eval", NODE_20], packages: &["nodejs"] },
    Tool { probe: &["npm", "--version"],                     packages: &["npm"] },
    Tool { probe: &["python3", "-c", "import venv, ensurepip"], packages: &["python3", "python3-venv"] },
    Tool { probe: &["aiosmtpd", "--version"],                packages: &["python3-aiosmtpd"] },
    Tool { probe: &["strip", "--version"],                   packages: &["binutils"] },
    Tool { probe: &["php", "-r", PHP_PROBE],                 packages: &["php8.2-cli"] },
    Tool { probe: &["php", "-r", SQLITE_PROBE],              packages: &["php8.2-sqlite3"] },
    Tool { probe: &["make", "--version"],                    packages: &["make"] },
    Tool { probe: &["phpize", "--version"],                  packages: &["php8.2-dev"] },
    Tool { probe: &["composer", "--version"],                packages: &["composer"] },
    Tool { probe: &["phpunit", "--version"],                 packages: &["phpunit"] },
    Tool { probe: &["php", "-r", PHPDOC_PROBE],              packages: &["php-phpstan-phpdoc-parser"] },
    Tool { probe: &["php-fpm8.2", "--version"],              packages: &["php8.2-fpm"] },
    Tool { probe: &["nginx", "-v"],                          packages: &["nginx-light"] },
    Tool { probe: &["sh", "-c", POSTGRES_PROBE],             packages: &["postgresql"] },
];

/// Debian keeps the programs of each version apart from `PATH`, where the tests look too.
const POSTGRES_PROBE: &str = "ls /usr/lib/postgresql/*/bin/initdb || command -v initdb";

/// The extensions that the tests in PHP use, as Debian's `php` has them.
const PHP_PROBE: &str = "exit(PHP_VERSION_ID >= 80200 && extension_loaded('FFI') && extension_loaded('pcntl') ? 0 : 1);";

/// Where the example shop in PHP keeps its orders.
const SQLITE_PROBE: &str = "exit(extension_loaded('pdo_sqlite') ? 0 : 1);";

/// A reader of PHP's comments that is not ours.
const PHPDOC_PROBE: &str =
    "exit((@include 'PHPStan/PhpDocParser/autoload.php') === false ? 1 : 0);";

/// The part: installs what is missing and downloads all crates, so that what follows works offline.
pub(crate) fn run(children: &Children<'_>) -> Result<Figures, Failure> {
    debian_packages(children)?;
    rustup_pieces(children)?;
    // The one step of every later cargo call that needs the network.
    children.run(&mut children.cargo(&["fetch", "--locked"]))?;
    judges::ENVIRONMENT.install(children)?;
    bindings::python::prepare(children)?;
    bindings::npm::install(children)?;
    deny::DENY.install(children)?;
    Ok(Vec::new())
}

/// Adds the target of [`WASM`] to the toolchain, unless it is there.
pub(crate) fn wasm_target(children: &Children<'_>) -> Result<(), Failure> {
    if sysroot(children)?.join("lib/rustlib").join(WASM).is_dir() {
        return Ok(());
    }
    rustup(children, &["target", "add", WASM])
}

fn debian_packages(children: &Children<'_>) -> Result<(), Failure> {
    let probe = |tool: &&Tool| {
        let mut words = tool.probe.iter();
        let mut command = children.command(words.next().expect("a probe names its program"));
        !children.succeeds(command.args(words))
    };
    let missing: Vec<_> = TOOLS.iter().filter(probe).flat_map(|tool| tool.packages).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.iter().map(|name| **name).collect::<Vec<_>>().join(" ");
    if !(Path::new("/etc/debian_version").exists() && is_root(children)) {
        return Err(Failure::Missing {
            install: format!(
                "apt-get install {names} (Debian as root; elsewhere what equals them)"
            ),
            what: names,
        });
    }
    children.run(children.command("apt-get").args(["update", "-q"]))?;
    let mut install = children.command("apt-get");
    install.args(["install", "-q", "-y", "--no-install-recommends"]).args(missing);
    children.run(install.env("DEBIAN_FRONTEND", "noninteractive"))
}

fn is_root(children: &Children<'_>) -> bool {
    children.read(children.command("id").arg("-u")).is_ok_and(|id| id.trim_ascii() == b"0")
}

fn rustup_pieces(children: &Children<'_>) -> Result<(), Failure> {
    for (subcommand, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if !children.succeeds(&mut children.cargo(&[subcommand, "--version"])) {
            rustup(children, &["component", "add", component])?;
        }
    }
    wasm_target(children)?;
    standard_library(children)
}

/// Adds the source of the standard library to the toolchain, unless it is there: what is shipped is
/// compiled with it.
pub(crate) fn standard_library(children: &Children<'_>) -> Result<(), Failure> {
    if sysroot(children)?.join("lib/rustlib/src/rust/library/std").is_dir() {
        return Ok(());
    }
    rustup(children, &["component", "add", "rust-src"])
}

/// Where the toolchain is.
pub(crate) fn sysroot(children: &Children<'_>) -> Result<PathBuf, Failure> {
    let sysroot = children.read(children.command("rustc").args(["--print", "sysroot"]))?;
    Ok(PathBuf::from(String::from_utf8_lossy(&sysroot).trim()))
}

fn rustup(children: &Children<'_>, arguments: &[&str]) -> Result<(), Failure> {
    let mut command = children.command("rustup");
    if children.succeeds(Command::new("rustup").arg("--version")) {
        return children.run(command.args(arguments));
    }
    Err(Failure::Missing {
        what: arguments.last().copied().unwrap_or_default().to_owned(),
        install: format!("rustup {} (see https://rustup.rs)", arguments.join(" ")),
    })
}
