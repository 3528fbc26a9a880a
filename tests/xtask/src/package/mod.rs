//! `cargo xtask package`: every package as a shop gets it, into `target/packages`; then each is installed
//! into an empty environment, and one payment is made from there.
//!
//! A language adds one line to [`LANGUAGES`] and a file with its two functions.

mod python;
mod shipping;

use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::{
    bindings, build,
    child::Children,
    failure::Failure,
    parts::Figures,
    sizes::{at_most, bytes_in},
};

/// One language.
struct Language {
    name: &'static str,
    /// Makes its packages in the folder.
    build: fn(&Children<'_>, &Path) -> Result<Built, Failure>,
    /// Installs the first of them into an empty environment, and pays from there.
    pay: fn(&Children<'_>, &Built) -> Result<(), Failure>,
}

const LANGUAGES: &[Language] = &[python::LANGUAGE];

/// What a language has made.
struct Built {
    /// The packages; the first is the one for this machine.
    files: Vec<PathBuf>,
    /// What it has to say in the last line, by name, and the most that it may be.
    figures: Vec<Figure>,
}

/// A number with its goal.
struct Figure {
    name: &'static str,
    is: u64,
    at_most: u64,
}

/// The names of the last line, in order. One that no language of this build gives is `none`.
const LINE: &[&str] = &["wasm_brotli", "lib_stripped", "wheel", "crates"];

/// The command. Says what it made and whether it works; the goals are the part's.
pub(crate) fn command(children: &Children<'_>) -> Result<(), Failure> {
    let figures = make(children)?;
    println!("{}", line(&figures));
    Ok(())
}

/// The part of the longer run: the same, made twice with the same bytes, and held to the goals.
pub(crate) fn run(children: &Children<'_>) -> Result<Figures, Failure> {
    let figures = make(children)?;
    shipping::is_made_again(children, &packages(children))?;
    println!("{}", line(&figures));
    let told = vec![line(&figures)];
    for figure in figures {
        at_most(figure.at_most, figure.name, figure.is)?;
    }
    Ok(told)
}

fn make(children: &Children<'_>) -> Result<Vec<Figure>, Failure> {
    // The test bed, on which the payments are made.
    build::programs(children)?;
    let folder = packages(children);
    bindings::remove(&folder)?;
    fs::create_dir_all(&folder).map_err(|source| Failure::Path {
        action: "make",
        path: folder.clone(),
        source,
    })?;
    let mut figures = shipping::library(children)?;
    for language in LANGUAGES {
        let built = (language.build)(children, &folder)?;
        for file in &built.files {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            println!("{}: {name}: {} bytes", language.name, bytes_in(file)?);
        }
        (language.pay)(children, &built)?;
        println!("{}: installed alone, and paid", language.name);
        figures.extend(built.figures);
    }
    Ok(figures)
}

fn packages(children: &Children<'_>) -> PathBuf {
    children.workspace.target.join("packages")
}

fn line(figures: &[Figure]) -> String {
    let told = LINE.iter().map(|name| {
        let found = figures.iter().find(|figure| figure.name == *name);
        found.map_or_else(|| format!("{name}=none"), |figure| format!("{name}={}", figure.is))
    });
    told.collect::<Vec<_>>().join(" ")
}

/// Where cargo keeps what it downloads.
fn cargo_home() -> PathBuf {
    let home = || env::home_dir().unwrap_or_default().join(".cargo");
    env::var_os("CARGO_HOME").map_or_else(home, PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_has_its_order_and_says_what_is_missing() {
        let figure = |name, is| Figure { name, is, at_most: 0 };
        let figures = [figure("crates", 114), figure("lib_stripped", 2_500_000)];
        assert_eq!(line(&figures), "wasm_brotli=none lib_stripped=2500000 wheel=none crates=114");
    }
}
