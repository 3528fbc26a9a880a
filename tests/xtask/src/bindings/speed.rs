//! What the bindings cost, beside the module itself and held to their goals (`docs/BINDINGS.md`).

use std::process::Command;

use super::{npm, php, python};
use crate::{build, child::Children, failure::Failure, parts::Figures};

/// A language by its installed package.
struct Language {
    name: &'static str,
    /// Microseconds of a call that does nothing but cross.
    trivial_us: f64,
    /// Starts this script of its tests.
    shop: fn(&Children<'_>, script: &str) -> Command,
    bench: &'static str,
    /// A pool of workers where the language has one: Python's and, over FFI, php-fpm's are loaded before they fork; over
    /// the extension each of php-fpm's opens the library by itself.
    pool: Option<&'static str>,
}

#[rustfmt::skip]
const LANGUAGES: &[Language] = &[
    Language { name: "python",        trivial_us: 20.0, shop: python_shop,                      bench: "bench_shop.py", pool: Some("bench_pool.py") },
    Language { name: "php-ffi",       trivial_us: 10.0, shop: |all, at| php::script(all, "ffi", at),       bench: "bench.php", pool: Some("bench_pool.php") },
    Language { name: "php-extension", trivial_us: 10.0, shop: |all, at| php::script(all, "extension", at), bench: "bench.php", pool: Some("bench_pool.php") },
    Language { name: "node",          trivial_us: 10.0, shop: node_shop,                        bench: "bench.mjs", pool: None },
];

/// Of a payment's time, what the binding may add.
const COST_MOST: f64 = 0.05;

/// Of Rust's payments in a second, what a language comes to at least.
const RATE_LEAST: f64 = 0.8;

/// The part: figures of every language, and pools that pay ten thousand times.
pub(crate) fn run(children: &Children<'_>) -> Result<Figures, Failure> {
    build::everything(children)?;
    python::install(children)?;
    php::install(children)?;
    npm::app(children)?;
    let mut figures = Figures::new();
    let mut missed = Vec::new();
    for language in LANGUAGES {
        let line = measured(children, "language", language, language.bench)?;
        missed.extend(short_of_goals(language, &line));
        figures.push(line);
    }
    for language in LANGUAGES {
        if let Some(script) = language.pool {
            figures.push(measured(children, "pool", language, script)?);
        }
    }
    if missed.is_empty() { Ok(figures) } else { Err(Failure::Check(missed.join("\n  "))) }
}

/// The last line of a benchmark.
fn measured(
    children: &Children<'_>,
    what: &str,
    language: &Language,
    script: &str,
) -> Result<String, Failure> {
    let shop = (language.shop)(children, script);
    let mut bench = children.command(children.workspace.program("pos-bench"));
    bench.args([what, language.name, "--"]).arg(shop.get_program()).args(shop.get_args());
    for (name, value) in shop.get_envs() {
        if let Some(value) = value {
            bench.env(name, value);
        }
    }
    let printed = children.read(&mut bench)?;
    let printed = String::from_utf8_lossy(&printed);
    print!("{printed}");
    Ok(printed.lines().last().unwrap_or_default().to_owned())
}

/// What a line misses; a line that does not say it misses all.
fn short_of_goals(language: &Language, line: &str) -> Vec<String> {
    let figure = |wanted: &str| {
        let mut pairs = line.split_ascii_whitespace().filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| *name == wanted)?.1.parse::<f64>().ok()
    };
    let at_most =
        |name: &str, goal: f64| (name.to_owned(), figure(name).is_some_and(|is| is <= goal));
    let goals = [
        at_most("trivial_us", language.trivial_us),
        at_most("payment_cost", COST_MOST),
        ("rate".to_owned(), figure("rate").is_some_and(|rate| rate >= RATE_LEAST)),
    ];
    let missed = goals.into_iter().filter(|(_, is_met)| !is_met);
    missed.map(|(name, _)| format!("{name} misses its goal: `{line}`")).collect()
}

fn python_shop(children: &Children<'_>, script: &str) -> Command {
    let mut command = children.command("python3");
    command.arg("-B").arg(children.workspace.root.join(python::PACKAGE).join("tests").join(script));
    command.env("PYTHONPATH", children.workspace.target.join("xtask/package-python"));
    command
}

fn node_shop(children: &Children<'_>, script: &str) -> Command {
    let mut command = children.command("node");
    command.arg(children.workspace.target.join("xtask/npm/app/tests").join(script));
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_that_is_missed_is_named() {
        let line = |trivial, cost, rate| {
            format!(
                "language=python trivial_us={trivial} payment_cost={cost} rate={rate} ledger=equal"
            )
        };
        let missed = |line: &str| short_of_goals(&LANGUAGES[0], line).len();
        assert_eq!(missed(&line("20.00", "0.0500", "0.800")), 0);
        assert_eq!(missed(&line("20.01", "0.0501", "0.799")), 3);
        assert_eq!(missed(&line("nan", "-0.4", "1.2")), 1);
        assert_eq!(missed(""), 3);
    }
}
