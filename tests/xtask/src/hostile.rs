//! What the tests send by the thousand, by the million.

use crate::{
    build::{self, EVERYTHING},
    child::Children,
    failure::Failure,
    parts::Figures,
    venv::Environment,
};

const SCHEMATHESIS: Environment = Environment {
    name: "schemathesis",
    requirements: "tests/hostile/schemathesis/requirements.txt",
};

/// Examples of each operation that schemathesis makes in each of its phases.
const EXAMPLES: &str = "200";

/// The sizes, as the tests read them.
const SIZES: [(&str, &str); 3] = [
    ("POS_HOSTILE_MUTANTS", "1000000"),
    ("POS_HOSTILE_CALLS", "20000"),
    ("POS_HOSTILE_REQUESTS", "1000000"),
];

/// What must be shown: the beginnings of the figures.
const SHOWN: [&str; 4] = [
    "mutants=1000000 accepted=0 seed=",
    "calls=20000 accepted=0 seed=",
    "malformed=1000000 panics=0 status_500=0 seed=",
    "schemathesis=",
];

/// The part: a million mutants of signed calls to the verifier and thousands to the server, a million
/// requests of no client to the server, and what schemathesis makes of the OpenAPI document.
pub(crate) fn run(children: &Children<'_>) -> Result<Figures, Failure> {
    build::everything(children)?;
    let mut printed = String::new();
    for (test, filter) in [("mutants", ""), ("e2e", "hostile::")] {
        let mut command = children.cargo(&["test", "--test", test]);
        command.args(EVERYTHING).args(["--", filter, "--nocapture", "--test-threads", "1"]);
        command.envs(SIZES);
        printed.push_str(&String::from_utf8_lossy(&children.read(&mut command)?));
    }
    printed.push_str(&schemathesis(children)?);
    figures(&printed)
}

fn schemathesis(children: &Children<'_>) -> Result<String, Failure> {
    SCHEMATHESIS.install(children)?;
    let mut command = children.command(SCHEMATHESIS.python(children)?);
    command.args(["-B", "tests/hostile/schemathesis/run.py"]);
    command.arg(children.workspace.program("pos-testbed")).arg(EXAMPLES);
    Ok(String::from_utf8_lossy(&children.read(&mut command)?).into_owned())
}

fn figures(printed: &str) -> Result<Figures, Failure> {
    // The harness writes on the same lines.
    let lines = printed.lines().filter_map(|line| line.split_once("hostile: "));
    let figures: Vec<_> = lines.map(|(_, figure)| figure.to_owned()).collect();
    let shown = |wanted: &&str| figures.iter().any(|figure| figure.starts_with(*wanted));
    match SHOWN.iter().find(|wanted| !shown(wanted)) {
        None => Ok(figures),
        Some(missing) => Err(Failure::Check(format!("`{missing}` was not shown: {figures:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_shows_less_has_failed() {
        let lines = SHOWN.map(|line| format!("test a ... hostile: {line}7\nok\n"));
        let all = figures(&lines.concat()).expect("all is shown");
        assert_eq!(all[0], "mutants=1000000 accepted=0 seed=7");
        for at in 0..4 {
            let fewer: Vec<_> =
                (0..4).filter(|other| *other != at).map(|one| &*lines[one]).collect();
            assert!(figures(&fewer.concat()).is_err(), "{at}");
        }
        let taken = lines.concat().replace("accepted=0", "accepted=1");
        assert!(figures(&taken).is_err());
    }
}
