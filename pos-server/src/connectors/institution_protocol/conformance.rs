//! Does an endpoint keep the rules of the institution protocol (`docs/INSTITUTION.md`)?
//!
//! Run against an institution's test system before it goes live: it moves test money. What it needs
//! to know of it are test instruments, each under a name: `approve` for one that pays, and for every
//! decline reason that the institution says it can tell apart one of the reason's own name.

mod calls;
mod movements;
mod operations;
mod probe;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use pos_protocol::id::{ContractNumber, InstitutionId};
use pos_protocol::key::PublicKey;
use pos_protocol::seal::Instrument;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::connectors::record::RecordError;
use crate::connectors::registry::CallKey;
use crate::env::{Clock, Entropy};
use probe::Probe;

/// What is checked, and with what.
#[derive(Clone, Debug)]
pub struct Target {
    /// Scheme, host and port, as for `institution add`.
    pub url: String,
    /// The certificates that its TLS certificate must lead to, in PEM.
    pub ca_pem: Option<String>,
    /// The key that it signs its answers with.
    pub verify_key: PublicKey,
    /// The root key that it signs its seal key sets with.
    pub seal_root: PublicKey,
    /// A contract number that it knows.
    pub contract_number: ContractNumber,
    /// Test instruments by name.
    pub instruments: Vec<NamedInstrument>,
}

/// A test instrument of the institution.
#[derive(Clone, Debug)]
pub struct NamedInstrument {
    /// `approve`, or the word of a decline reason. Others are left alone.
    pub name: String,
    /// Of which institution, where a list holds those of several.
    pub institution: Option<InstitutionId>,
    /// What is sealed.
    pub instrument: Instrument,
}

/// A list of test instruments cannot be read. The text names no instrument.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {at} of the test instruments: {problem}")]
pub struct InvalidInstruments {
    /// Which entry, from 1; 0 for the list itself.
    pub at: usize,
    /// What is wrong with it.
    pub problem: String,
}

/// Reads a list of test instruments: a JSON array of objects with `name`, `instrument` (the JSON of
/// `docs/PROTOCOL.md`) and perhaps `institution`; other members are ignored.
///
/// # Errors
/// [`InvalidInstruments`] names the entry.
pub fn read_instruments(json: &[u8]) -> Result<Vec<NamedInstrument>, InvalidInstruments> {
    let invalid = |at, problem: &str| InvalidInstruments { at, problem: problem.to_owned() };
    let list: Vec<Value> =
        serde_json::from_slice(json).map_err(|_| invalid(0, "must be a JSON array"))?;
    let read = |(entry, at): (&Value, usize)| {
        let name = entry["name"].as_str().ok_or_else(|| invalid(at, "has no `name`"))?;
        let institution = match entry["institution"].as_str().map(str::parse) {
            None => None,
            Some(Ok(id)) => Some(id),
            Some(Err(_)) => return Err(invalid(at, "`institution` is no institution id")),
        };
        let instrument = Instrument::from_json(entry["instrument"].to_string().as_bytes())
            .map_err(|error| invalid(at, &error.to_string()))?;
        Ok(NamedInstrument { name: name.to_owned(), institution, instrument })
    };
    list.iter().zip(1..).map(read).collect()
}

/// What the check found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Who answered, by its own word.
    pub institution: Option<InstitutionId>,
    /// Every check, in the order in which it ran.
    pub checks: Vec<Check>,
}

/// One rule that was checked.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// The rule, as a sentence.
    pub rule: &'static str,
    /// Where `docs/INSTITUTION.md` says it.
    pub section: &'static str,
    /// Whether it is kept.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// Whether a rule is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", content = "why", rename_all = "snake_case")]
pub enum Verdict {
    /// It is.
    Kept,
    /// It is not: what was expected and what came.
    Broken(String),
    /// The institution says that it does not offer what the rule is about.
    NotOffered(String),
    /// It could not be checked: what is missing for it.
    NotChecked(String),
}

/// What the check of an endpoint comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// Every rule about what it offers was checked, and is kept.
    Kept,
    /// Some rule is broken.
    Broken,
    /// None is known to be broken, but not all could be checked.
    Incomplete,
}

impl Report {
    /// What the check comes to.
    pub fn conclusion(&self) -> Conclusion {
        let any = |wanted: fn(&Verdict) -> bool| self.checks.iter().any(|one| wanted(&one.verdict));
        if self.institution.is_none() || any(|verdict| matches!(verdict, Verdict::Broken(_))) {
            Conclusion::Broken
        } else if any(|verdict| matches!(verdict, Verdict::NotChecked(_))) {
            Conclusion::Incomplete
        } else {
            Conclusion::Kept
        }
    }
}

impl fmt::Display for Report {
    /// A line for every rule.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Check { rule, section, verdict } in &self.checks {
            match verdict {
                Verdict::Kept => writeln!(f, "kept         {rule} ({section})")?,
                Verdict::Broken(why) => writeln!(f, "BROKEN       {rule} ({section}): {why}")?,
                Verdict::NotOffered(why) => writeln!(f, "not offered  {rule} ({section}): {why}")?,
                Verdict::NotChecked(why) => writeln!(f, "NOT CHECKED  {rule} ({section}): {why}")?,
            }
        }
        Ok(())
    }
}

/// How long one answer is waited for: the longest processing limit, and what the driver adds to it.
const PATIENCE: Duration = Duration::from_secs(61);

/// Checks an endpoint.
///
/// # Errors
/// [`RecordError`]: the target itself cannot be used. What the endpoint does wrong is in the report.
pub async fn run(
    target: &Target,
    call_key: &CallKey,
    clock: Arc<dyn Clock>,
    entropy: &dyn Entropy,
) -> Result<Report, RecordError> {
    let mut probe = Probe::new(target, call_key, clock, entropy)?;
    let mut report = Report { institution: None, checks: Vec::new() };
    let met = probe.meet().await;
    report.institution = met.is_ok().then(|| probe.id().clone());
    let go_on = met.is_ok();
    report.note("says who it is and what it can do, signed", "4.1", met.map_err(Stop::Broken));
    if !go_on {
        return Ok(report); // Whoever it is, nothing else it says can be judged.
    }
    let keys = probe.fetch_keys().await;
    report.note("serves seal keys that its root key signed", "6", keys.map_err(Stop::Broken));
    for rule in calls::RULES.iter().chain(operations::RULES).chain(movements::RULES) {
        let found = (rule.check)(&probe).await;
        report.note(rule.rule, rule.section, found);
    }
    Ok(report)
}

impl Report {
    fn note(&mut self, rule: &'static str, section: &'static str, found: Found) {
        let verdict = match found {
            Ok(()) => Verdict::Kept,
            Err(Stop::Broken(why)) => Verdict::Broken(why),
            Err(Stop::NotOffered(why)) => Verdict::NotOffered(why),
            Err(Stop::Missing(why)) => Verdict::NotChecked(why),
        };
        self.checks.push(Check { rule, section, verdict });
    }
}

/// One rule and how it is checked.
struct Rule {
    rule: &'static str,
    section: &'static str,
    check: for<'a> fn(&'a Probe<'_>) -> Pin<Box<dyn Future<Output = Found> + Send + 'a>>,
}

type Found = Result<(), Stop>;

/// Why a check ended before its end.
enum Stop {
    /// The rule is broken.
    Broken(String),
    /// The institution does not offer what the rule is about.
    NotOffered(String),
    /// Something that the check needs is not there.
    Missing(String),
}

impl From<String> for Stop {
    fn from(why: String) -> Self {
        Self::Broken(why)
    }
}

/// `expected` and what came in its place, as the reason why a rule is broken.
fn not(expected: &str, found: &dyn fmt::Debug) -> Stop {
    Stop::Broken(format!("expected {expected}, got {found:?}"))
}
