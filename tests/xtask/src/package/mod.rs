//! `cargo xtask package`: every package as a shop gets it, into `target/packages`; then each is installed
//! into an empty environment, as its page says, and one payment is made from there.
//!
//! A language adds one line to [`LANGUAGES`], a file with its two functions, and the commands in its page.

mod archive;
mod c;
mod npm;
mod php;
mod python;
mod readme;
pub(crate) mod shipping;

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{
    bindings, build,
    child::Children,
    failure::Failure,
    parts::Figures,
    sizes::{at_most, bytes_in},
};

/// One language.
struct Language {
    /// The commands of its page install into the folder `target/shop-` with this name.
    name: &'static str,
    /// Its page, whose commands lead to a first payment.
    page: &'static str,
    /// Makes its packages.
    build: fn(&Children<'_>, &Output) -> Result<Built, Failure>,
    /// Pays in the other ways that there are, after the page's commands: from the folder into which they
    /// have installed the package, or from another package.
    pay: fn(&Children<'_>, &Built, shop: &Path) -> Result<(), Failure>,
}

/// Where a build writes.
struct Output {
    /// The packages.
    packages: PathBuf,
    /// Everything else: what cargo compiles, and what is put together to be packed. A second build has
    /// another, so that it is one.
    target: PathBuf,
}

const LANGUAGES: &[Language] = &[python::LANGUAGE, php::LANGUAGE, npm::LANGUAGE, c::LANGUAGE];

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

/// The most that a page's commands may take to a first payment, the test bed running.
const FIRST_PAYMENT_MAX: Duration = Duration::from_secs(60);

/// The command. Says what it made and whether it works; the goals are the part's.
pub(crate) fn command(children: &Children<'_>) -> Result<(), Failure> {
    let (figures, _) = make(children)?;
    println!("{}", line(&figures));
    Ok(())
}

/// The part of the longer run: the same, made twice with the same bytes, and held to the goals.
pub(crate) fn run(children: &Children<'_>) -> Result<Figures, Failure> {
    let (figures, first_payments) = make(children)?;
    shipping::is_made_again(children, &output(children).packages)?;
    println!("{}", line(&figures));
    are_soon_enough(&first_payments)?;
    let told = vec![first_payment_line(&first_payments), line(&figures)];
    let missed =
        figures.iter().filter_map(|figure| at_most(figure.at_most, figure.name, figure.is).err());
    let missed: Vec<_> = missed.map(|failure| failure.to_string()).collect();
    if missed.is_empty() { Ok(told) } else { Err(Failure::Check(missed.join("\n  "))) }
}

/// By the language's name.
type FirstPayments = Vec<(&'static str, Duration)>;

fn make(children: &Children<'_>) -> Result<(Vec<Figure>, FirstPayments), Failure> {
    // The test bed, on which the payments are made, and the generators.
    build::everything(children)?;
    let output = output(children);
    bindings::remove(&output.packages)?;
    bindings::make(&output.packages)?;
    let mut figures = shipping::figures(children, &output.target)?;
    let mut first_payments = Vec::new();
    for language in LANGUAGES {
        let built = (language.build)(children, &output)?;
        for file in &built.files {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            println!("{}: {name}: {} bytes", language.name, bytes_in(file)?);
        }
        let shop = output.target.join(format!("shop-{}", language.name));
        bindings::remove(&shop)?;
        first_payments.push((language.name, readme::first_payment(children, language.page)?));
        (language.pay)(children, &built, &shop)?;
        println!("{}: installed alone, and paid", language.name);
        figures.extend(built.figures);
    }
    println!("{}", first_payment_line(&first_payments));
    Ok((figures, first_payments))
}

fn output(children: &Children<'_>) -> Output {
    let target = children.workspace.target.clone();
    Output { packages: target.join("packages"), target }
}

fn first_payment_line(first_payments: &FirstPayments) -> String {
    let told =
        first_payments.iter().map(|(name, taken)| format!(" {name}={:.1}s", taken.as_secs_f64()));
    format!("first_payment{}", told.collect::<String>())
}

fn are_soon_enough(first_payments: &FirstPayments) -> Result<(), Failure> {
    if first_payments.iter().all(|(_, taken)| *taken <= FIRST_PAYMENT_MAX) {
        return Ok(());
    }
    let (line, most) = (first_payment_line(first_payments), FIRST_PAYMENT_MAX.as_secs());
    Err(Failure::Check(format!("`{line}`: the goal is at most {most} s each")))
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

    #[test]
    fn a_first_payment_that_took_too_long_has_failed() {
        let taken = |millis| {
            vec![("python", Duration::from_secs(2)), ("php", Duration::from_millis(millis))]
        };
        assert_eq!(first_payment_line(&taken(1_240)), "first_payment python=2.0s php=1.2s");
        assert!(are_soon_enough(&taken(60_000)).is_ok());
        assert!(are_soon_enough(&taken(60_001)).is_err());
    }
}
