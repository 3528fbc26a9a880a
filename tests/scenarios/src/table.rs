//! The table of `docs/BINDINGS.md`: one row a scenario, one column a runner.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::HarnessError;
use crate::flow::Scenario;
use crate::play::Outcome;
use crate::profile::Profile;

const BEGIN: &str = "<!-- scenarios: written by a run, see below -->\n";
const END: &str = "<!-- end of scenarios -->\n";

/// What one runner did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Results {
    /// The runner.
    pub runner: String,
    /// By scenario: none where it passed, else why it is not there.
    pub scenarios: BTreeMap<String, Option<String>>,
}

impl Results {
    /// One line: how many passed, and why the others are not here.
    pub fn summary(&self) -> String {
        let mut reasons: Vec<&str> =
            self.scenarios.values().flatten().map(String::as_str).collect();
        let not_here = reasons.len();
        let passed = self.scenarios.len().saturating_sub(not_here);
        reasons.sort_unstable();
        reasons.dedup();
        let why =
            if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join(" ")) };
        format!("{}: {passed} scenarios passed, {not_here} not here{why}", self.runner)
    }

    /// Whether any scenario passed.
    pub fn has_passed(&self) -> bool {
        self.scenarios.values().any(Option::is_none)
    }

    /// Adds what became of a scenario; one that failed has no place in a table.
    pub fn add(&mut self, scenario: &Scenario, outcome: &Outcome) {
        let why = match outcome {
            Outcome::Passed => None,
            Outcome::NotHere(why) => Some(why.clone()),
            Outcome::Failed(_) => return,
        };
        self.scenarios.insert(scenario.name.clone(), why);
    }
}

/// The table in Markdown, with the reasons below it.
pub fn table(scenarios: &[Scenario], profiles: &[Profile], results: &[Results]) -> String {
    let columns: Vec<_> = profiles
        .iter()
        .filter_map(|profile| {
            let found = results.iter().find(|one| one.runner == profile.name)?;
            Some((profile, found))
        })
        .collect();
    let mut reasons: Vec<&str> = Vec::new();
    let mut lines = vec!["| scenario |".to_owned(), "|---|".to_owned()];
    for (profile, _) in &columns {
        lines[0].push_str(&format!(" {} |", profile.title));
        lines[1].push_str("---|");
    }
    for scenario in scenarios {
        let mut line = format!("| {} |", scenario.name);
        for (_, found) in &columns {
            let cell = match found.scenarios.get(&scenario.name) {
                None => "not run".to_owned(),
                Some(None) => "yes".to_owned(),
                Some(Some(why)) => {
                    let known = reasons.iter().position(|known| known == why);
                    let place = known.unwrap_or_else(|| {
                        reasons.push(why);
                        reasons.len().saturating_sub(1)
                    });
                    format!("not here ({})", place.saturating_add(1))
                }
            };
            line.push_str(&format!(" {cell} |"));
        }
        lines.push(line);
    }
    if !reasons.is_empty() {
        lines.push(String::new());
    }
    for (place, why) in reasons.iter().enumerate() {
        lines.push(format!("{}. {why}", place.saturating_add(1)));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// Puts the table into the page, or compares it with the one that is there.
///
/// # Errors
/// [`HarnessError::Data`]: the page has no place for it, or another table.
pub fn put(page: &Path, table: &str, write: bool) -> Result<(), HarnessError> {
    let wrong = |cause: &str| HarnessError::data(page.display())(&cause);
    let text = fs::read_to_string(page).map_err(|cause| wrong(&cause.to_string()))?;
    let place = text
        .split_once(BEGIN)
        .and_then(|(before, rest)| rest.split_once(END).map(|(old, after)| (before, old, after)));
    let (before, old, after) = place.ok_or_else(|| wrong("has no place for the table"))?;
    if old == table {
        return Ok(());
    }
    if !write {
        return Err(wrong("the table is not what the run gave; `cargo xtask scenarios --write`"));
    }
    let text = format!("{before}{BEGIN}{table}{END}{after}");
    fs::write(page, text).map_err(|cause| wrong(&cause.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_for_each_scenario_and_a_column_for_each_runner_that_ran() {
        let scenario = |name: &str| -> Scenario {
            serde_json::from_value(json!({ "name": name, "about": "", "steps": [] })).unwrap()
        };
        let profile = |name: &str| -> Profile {
            serde_json::from_value(json!({ "name": name, "title": name.to_uppercase() })).unwrap()
        };
        let ran = |runner: &str, outcomes: &[Outcome]| {
            let mut results = Results { runner: runner.into(), ..Results::default() };
            for (name, outcome) in ["pay", "throw"].iter().zip(outcomes) {
                results.add(&scenario(name), outcome);
            }
            results
        };
        let not_here = || Outcome::NotHere("No callbacks.".into());
        let one = ran("e", &[Outcome::Passed, not_here()]);
        assert_eq!(one.summary(), "e: 1 scenarios passed, 1 not here: No callbacks.");
        assert!(one.has_passed() && !ran("f", &[not_here()]).has_passed());
        let made = table(
            &[scenario("pay"), scenario("throw")],
            &[profile("a"), profile("b"), profile("c"), profile("d")],
            &[
                ran("d", &[Outcome::Failed("x".into()), not_here()]),
                ran("a", &[Outcome::Passed, Outcome::Passed]),
                ran("c", &[Outcome::Passed, not_here()]),
            ],
        );
        assert_eq!(
            made,
            "| scenario | A | C | D |\n|---|---|---|---|\n| pay | yes | yes | not run |\n\
             | throw | yes | not here (1) | not here (1) |\n\n1. No callbacks.\n"
        );
    }
}
