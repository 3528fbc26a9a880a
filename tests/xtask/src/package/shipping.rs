//! The native library as it is shipped: its profile, its size, and that it tells nothing of the machine
//! that built it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Figure, LANGUAGES, Output, cargo_home};
use crate::bindings::{failed, make, read, remove};
use crate::{child::Children, failure::Failure, setup, sizes::bytes_in};

/// The profile of what is shipped, in the workspace's manifest.
const PROFILE: &str = "bindings";

/// The crate of the library.
const CRATE: &str = "pos-connect-uniffi";

/// The crate of the library for C.
const C_CRATE: &str = "pos-connect-c";

/// The time that is noted in packages, in seconds since 1970: the first that every kind of archive can note, 1980. A
/// commit's would make packages differ in which nothing has changed, and cargo compiles all again that
/// depends on ring when it changes.
pub(super) const TIME: &str = "315532800";

const LIBRARY_MAX_BYTES: u64 = 2_500_000;

const CRATES_MAX: u64 = 120;

/// Where what is shipped will run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a browser, or in Node.
    WebAssembly,
    /// On systems like this one: glibc 2.36, of 2022, reads the short form of relocations.
    LikeHere,
    /// On systems of any age.
    Old,
}

impl Place {
    /// What the compiler is told. One item for each word: none has a space in it.
    fn flags(self) -> Vec<&'static str> {
        match self {
            // There a panic ends the instance without a word in any case.
            Self::WebAssembly => vec!["-Zunstable-options", "-Cpanic=immediate-abort"],
            Self::LikeHere => {
                let link = ["-Clink-arg=-Wl,-z,pack-relative-relocs", "-Clink-arg=-Wl,--icf=all"];
                [SMALL_CRYPTOGRAPHY, &link].concat()
            }
            Self::Old => SMALL_CRYPTOGRAPHY.to_vec(),
        }
    }

    /// What of the standard library is compiled, with the way in which a panic ends.
    fn library(self) -> [&'static str; 2] {
        match self {
            Self::WebAssembly => ["std", "panic_abort"],
            Self::LikeHere | Self::Old => ["std", "panic_unwind"],
        }
    }
}

/// One way of each, as their crates describe it, in place of one for every kind of processor: a shop signs
/// once for a call, and seals once for a payment.
const SMALL_CRYPTOGRAPHY: &[&str] = &[
    "--cfg=curve25519_dalek_backend=\"serial\"",
    "--cfg=chacha20_backend=\"soft\"",
    "--cfg=poly1305_backend=\"soft\"",
    "--cfg=sha2_backend=\"soft\"",
    "--cfg=sha2_backend_soft=\"compact\"",
];

/// Builds the library that packages hold, and gives where it is.
pub(super) fn library(children: &Children<'_>, target: &Path) -> Result<PathBuf, Failure> {
    let mut build = children.cargo(&["build", "--locked", "--profile", PROFILE, "-p", CRATE]);
    let folder = native(children, &mut build, target)?;
    Ok(folder.join("libpos_connect_native.so"))
}

/// Runs a command that compiles for systems like this one, and gives the folder of what it made.
fn native(children: &Children<'_>, build: &mut Command, target: &Path) -> Result<PathBuf, Failure> {
    children.run(shipped(children, build, target, Place::LikeHere)?)?;
    Ok(target.join(host(children)?).join(PROFILE))
}

/// The kind of this machine, as rustc names it. Named to cargo, so that what runs here (build scripts,
/// macros) is compiled as ever.
fn host(children: &Children<'_>) -> Result<String, Failure> {
    let told = children.read(children.command("rustc").args(["--print", "host-tuple"]))?;
    Ok(String::from_utf8_lossy(&told).trim().to_owned())
}

/// Builds the library for C in both its forms. Their kinds are named, because a crate that is built to be
/// linked with Rust as well is not optimised as a whole: a third larger, and the archive five times.
pub(super) fn c_libraries(children: &Children<'_>, target: &Path) -> Result<[PathBuf; 2], Failure> {
    let mut build = children.cargo(&["rustc", "--locked", "--profile", PROFILE, "-p", C_CRATE]);
    build.args(["--lib", "--crate-type", "cdylib,staticlib"]);
    let folder = native(children, &mut build, target)?;
    Ok(["libpos_connect_c.so", "libpos_connect_c.a"].map(|name| folder.join(name)))
}

/// What the library comes to.
pub(super) fn figures(children: &Children<'_>, target: &Path) -> Result<Vec<Figure>, Failure> {
    let library = library(children, target)?;
    tells_no_path(children, &library)?;
    // The profile has stripped it; this proves that nothing more could be.
    let stripped = children.workspace.scratch("sizes")?.join("libpos_connect_native.so");
    children.run(children.command("strip").arg("-o").arg(&stripped).arg(&library))?;
    let is = bytes_in(&stripped)?;
    println!("native library: {} bytes as built, {is} bytes stripped", bytes_in(&library)?);
    Ok(vec![
        Figure { name: "lib_stripped", is, at_most: LIBRARY_MAX_BYTES },
        Figure { name: "crates", is: crates(children)?, at_most: CRATES_MAX },
    ])
}

/// Everything that is linked into it, and nothing that only the compiler runs.
fn crates(children: &Children<'_>) -> Result<u64, Failure> {
    let words = ["tree", "--locked", "-p", CRATE, "-e", "normal,no-proc-macro", "--prefix", "none"];
    let told = children.read(children.cargo(&words).args(["--format", "{p}"]))?;
    let told = String::from_utf8_lossy(&told);
    // A name and its version; what follows says where it lies, or that it was shown before.
    let named = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let all: BTreeSet<String> = told.lines().map(named).filter(|name| !name.is_empty()).collect();
    Ok(u64::try_from(all.len()).unwrap_or(u64::MAX))
}

/// A call of cargo, or of what passes these words on to it, that compiles for shipping into this target folder.
/// The standard library is compiled with it, for size and without what prints the frames of a panic: the one that
/// comes with the compiler is made for speed. Paths are cut, so that the place of the build shows neither in
/// messages of a panic nor in the bytes.
///
/// Said in words and not by the environment, which maturin's generator of bindings would inherit: that one runs here,
/// and is compiled as ever.
pub(crate) fn shipped<'c>(
    children: &Children<'_>,
    command: &'c mut Command,
    target: &Path,
    place: Place,
) -> Result<&'c mut Command, Failure> {
    setup::standard_library(children)?;
    let kind = if place == Place::WebAssembly { setup::WASM.into() } else { host(children)? };
    let mut flags: Vec<String> = place.flags().into_iter().map(Into::into).collect();
    for (path, name) in places(children, target)? {
        flags.push(format!("--remap-path-prefix={}={name}", path.display()));
    }
    // Both kinds of list are written alike in TOML and by Rust for a programmer.
    for value in [
        format!("target.{kind}.rustflags={flags:?}"),
        format!("unstable.build-std={:?}", place.library()),
        "unstable.build-std-features=[\"optimize_for_size\"]".into(),
    ] {
        command.args(["--config", &value]);
    }
    // Either would silence what is said here.
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    // cargo takes the last two of the stable compiler under the name of its own bootstrap alone.
    command.env("RUSTC_BOOTSTRAP", "1").env("CARGO_TARGET_DIR", target);
    Ok(command.args(["--target", &kind]).env("SOURCE_DATE_EPOCH", TIME))
}

/// What would differ on another machine, with what stands there instead. Of several that fit, rustc
/// takes the last.
fn places(children: &Children<'_>, target: &Path) -> Result<Vec<(PathBuf, &'static str)>, Failure> {
    let mut places = vec![
        (children.workspace.root.clone(), "pos"),
        (target.to_owned(), "target"),
        (cargo_home(), "cargo"),
    ];
    let sources = cargo_home().join("registry/src");
    let registries = fs::read_dir(&sources).map_err(failed("read", &sources))?;
    places.extend(registries.flatten().map(|registry| (registry.path(), "crates")));
    places.push((setup::sysroot(children)?.join("lib/rustlib/src/rust"), "rust"));
    Ok(places)
}

/// Fails on a file that names a folder of this machine.
pub(super) fn tells_no_path(children: &Children<'_>, file: &Path) -> Result<(), Failure> {
    let octets = read(file)?;
    let workspace = &children.workspace;
    for place in [&workspace.root, &workspace.target, &cargo_home()] {
        let text = place.to_string_lossy();
        if octets.windows(text.len()).any(|window| window == text.as_bytes()) {
            let file = file.display();
            return Err(Failure::Check(format!("{file} holds the path {text} of this machine")));
        }
    }
    Ok(())
}

/// The same for every file in a folder and those below it.
pub(super) fn tell_no_path(children: &Children<'_>, folder: &Path) -> Result<(), Failure> {
    for entry in fs::read_dir(folder).map_err(failed("read", folder))?.flatten() {
        let path = entry.path();
        let check = if path.is_dir() { tell_no_path } else { tells_no_path };
        check(children, &path)?;
    }
    Ok(())
}

/// Every package a second time, in a target folder of its own: the same bytes.
pub(super) fn is_made_again(children: &Children<'_>, first: &Path) -> Result<(), Failure> {
    let again = children.workspace.scratch("packages-again")?;
    remove(&again)?;
    let output = Output { packages: again.join("packages"), target: again.join("target") };
    make(&output.packages)?;
    for language in LANGUAGES {
        let built = (language.build)(children, &output)?;
        for file in built.files {
            let name = file.file_name().unwrap_or_default();
            if read(&file)? != read(&first.join(name))? {
                let (name, first) = (name.display(), first.display());
                return Err(Failure::Check(format!(
                    "{name} of a second build has other bytes: compare {} and {first}/{name}",
                    file.display()
                )));
            }
        }
    }
    // Kept only where somebody has to look.
    remove(&again)
}
