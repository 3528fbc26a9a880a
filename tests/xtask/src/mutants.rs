//! cargo-mutants: the code that decides about money is broken in one place after the other, and a test
//! must notice each time. Places where nothing can be noticed are named in `.cargo/mutants.toml`, with
//! the reason.

use std::env;

use crate::{child::Children, failure::Failure, fuzz::with_tools, parts::Figures, tool::Tool};

const MUTANTS: Tool = Tool { name: "cargo-mutants", version: "27.1.0", installed_by: "mutants" };

/// What is broken, and who must notice.
struct Field {
    name: &'static str,
    package: &'static str,
    files: &'static str,
    judges: &'static [&'static str],
}

/// The protocol by its own tests; the payments core by the server's and by the simulation.
const FIELDS: [Field; 2] = [
    Field {
        name: "protocol",
        package: "pos-protocol",
        files: "pos-connect/protocol/src/**/*.rs",
        judges: &["--test-package", "pos-protocol"],
    },
    Field {
        name: "payments",
        package: "pos-server",
        files: "pos-server/src/payments/*.rs",
        judges: &["--test-package", "pos-server", "--test-package", "pos-sim"],
    },
];

/// The part. `POS_MUTANTS=0/8` takes the first of eight shares of each field, `7/8` the last: all of them take a day
/// and a night.
pub(crate) fn run(children: &Children<'_>) -> Result<Figures, Failure> {
    MUTANTS.install(children)?;
    let share = env::var("POS_MUTANTS").ok();
    FIELDS.iter().map(|field| one(children, field, share.as_deref())).collect()
}

fn one(children: &Children<'_>, field: &Field, share: Option<&str>) -> Result<String, Failure> {
    let found = children.workspace.scratch(&format!("mutants/{}", field.name))?;
    // What is missed is told on standard output, and ends with a code of its own.
    let mut command = children.command("sh");
    command.args(["-c", "\"$@\"; echo \"code=$?\"", "sh", "cargo", "mutants"]);
    command.args(["--profile", "mutants", "--package", field.package, "--file", field.files]);
    command.args(field.judges).arg("--output").arg(found);
    command.args(share.into_iter().flat_map(|share| ["--shard", share]));
    command.args(["--", "--lib", "--tests"]);
    command.env("PATH", with_tools(children)?).env_remove("CARGO_TARGET_DIR");
    let printed = String::from_utf8_lossy(&children.read(&mut command)?).into_owned();
    print!("{printed}");
    figure(field.name, share, &printed)
}

/// `protocol mutants=189 missed=0`, from the summary and the code of the exit (0: all were noticed).
fn figure(name: &str, share: Option<&str>, printed: &str) -> Result<String, Failure> {
    let summary = printed.lines().rev().find(|line| line.contains("mutants tested"));
    let tested = summary.and_then(|line| line.split_ascii_whitespace().next());
    let tested: usize = tested.and_then(|text| text.parse().ok()).unwrap_or(0);
    let share = share.map(|share| format!(" share={share}")).unwrap_or_default();
    if tested > 0 && printed.lines().any(|line| line == "code=0") {
        return Ok(format!("{name} mutants={tested} missed=0{share}"));
    }
    Err(Failure::Check(format!("the mutants of {name}: {}", summary.unwrap_or("none was tested"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutant_that_nobody_noticed_fails_the_part() {
        let all = "Found 189 mutants to test\n189 mutants tested in 31m: 170 caught, 19 unviable\ncode=0\n";
        assert_eq!(
            figure("protocol", Some("0/8"), all).expect("all are noticed"),
            "protocol mutants=189 missed=0 share=0/8"
        );
        for worse in [
            all.replace("code=0", "code=2"),
            all.replace("189 mutants tested", "0 mutants tested"),
            "code=0\n".into(),
            String::new(),
        ] {
            assert!(figure("protocol", None, &worse).is_err(), "{worse}");
        }
    }
}
