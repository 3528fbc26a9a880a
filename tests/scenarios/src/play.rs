//! Plays scenarios to a runner.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pos_connect::protocol::key::PublicKey;
use pos_connect::protocol::succession::Fingerprint;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::HarnessError;
use crate::bed::Bed;
use crate::compare::{differences, short};
use crate::expand::Names;
use crate::flow::{Call, Ordered, Scenario, ServerClock, Step};
use crate::page;
use crate::profile::Profile;
use crate::runner::Runner;

/// How long an answer may take where the data says nothing.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// How often is asked again where the data waits for something.
const PAUSE: Duration = Duration::from_millis(200);

/// What became of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All was as expected.
    Passed,
    /// The language rightly cannot, for this reason.
    NotHere(String),
    /// Something was otherwise: the step, what was asked, and each difference.
    Failed(String),
}

/// Plays scenarios on beds that it starts when they are needed.
#[derive(Debug)]
pub struct Stage {
    testbed: PathBuf,
    beds: HashMap<ServerClock, Bed>,
}

impl Stage {
    /// With this `pos-testbed`.
    pub fn new(testbed: PathBuf) -> Self {
        Self { testbed, beds: HashMap::new() }
    }

    /// Starts the bed by this clock before it is needed.
    ///
    /// # Errors
    /// [`HarnessError`] when it does not come up.
    pub async fn set(&mut self, clock: ServerClock) -> Result<(), HarnessError> {
        self.bed(clock).await.map(drop)
    }

    /// Plays one scenario.
    ///
    /// # Errors
    /// [`HarnessError`] when a bed does not come up.
    pub async fn play(
        &mut self,
        scenario: &Scenario,
        runner: &mut dyn Runner,
        profile: &Profile,
    ) -> Result<Outcome, HarnessError> {
        if let Some(why) = profile.lacks(&scenario.needs) {
            return Ok(Outcome::NotHere(why.into()));
        }
        let bed = self.bed(scenario.server_clock).await?;
        let folder = TempDir::new()
            .map_err(|cause| HarnessError::program("the system's temporary folder", cause))?;
        let names = names(bed, scenario, profile, folder.path()).await?;
        let mut played = Played { bed, clock: scenario.server_clock, runner, profile, names };
        let outcome = match played.all(scenario).await {
            Ok(()) => Outcome::Passed,
            Err(why) => {
                if scenario.stops_the_server() {
                    // It may have ended half way.
                    bed.control("POST /server/restart", &Value::Null).await?;
                }
                Outcome::Failed(why)
            }
        };
        bed.control("DELETE /forge", &Value::Null).await?;
        bed.control("DELETE /faults", &Value::Null).await?;
        Ok(outcome)
    }

    async fn bed(&mut self, clock: ServerClock) -> Result<&Bed, HarnessError> {
        use std::collections::hash_map::Entry;

        match self.beds.entry(clock) {
            Entry::Occupied(running) => Ok(running.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(Bed::start(&self.testbed, clock).await?)),
        }
    }
}

/// What a scenario's names stand for from the beginning.
async fn names(
    bed: &Bed,
    scenario: &Scenario,
    profile: &Profile,
    folder: &Path,
) -> Result<Names, HarnessError> {
    let mut names = Names::default();
    let server = &bed.told["server"];
    let url = if profile.plain_http { "url" } else { "tls_url" };
    let mut config = json!({ "server_url": server[url], "authority": server["authority"] });
    if !profile.plain_http {
        config["ca_pem"] = server["ca_pem"].clone();
    }
    names.set("server", config);
    names.set("bed", bed.told.clone());
    names.set("folder", json!(folder.join("store")));
    let key: Option<PublicKey> = server["answer_key"].as_str().and_then(|key| key.parse().ok());
    let five_minutes_ms = 300_000;
    let now_ms = scenario.server_clock.now_ms();
    let (least, most) =
        (now_ms.saturating_sub(five_minutes_ms), now_ms.saturating_add(five_minutes_ms));
    names.set("about_now_ms", json!([least, most]));
    let sets = server_sets(&bed.told);
    names.set("sets", Value::Object(sets));
    names.set("answer_key_pin", json!(key.map(|key| Fingerprint::of(&key))));
    if scenario.shop {
        let mut shop = bed.control("POST /shops", &Value::Null).await?;
        let contracts = shop["poses"][0]["contracts"].as_array().cloned().unwrap_or_default();
        let by_institution = contracts.into_iter().map(|contract| {
            (contract["institution"].as_str().unwrap_or_default().to_owned(), contract)
        });
        shop["contracts"] = Value::Object(by_institution.collect());
        shop["pos_id"] = shop["poses"][0]["pos_id"].clone();
        shop["password"] = json!("a password of my own choice");
        names.set("shop", shop);
    }
    Ok(names)
}

/// The signed sets of seal keys, as the texts that the surface takes, by institution.
fn server_sets(told: &Value) -> Map<String, Value> {
    let places = told["institutions"].as_array().into_iter().flatten();
    let set = |place: &Value| {
        let id = place["id"].as_str().unwrap_or_default().to_owned();
        (id, json!(place["seal_keys"].to_string()))
    };
    places.map(set).collect()
}

struct Played<'a> {
    bed: &'a Bed,
    clock: ServerClock,
    runner: &'a mut dyn Runner,
    profile: &'a Profile,
    names: Names,
}

#[derive(Serialize)]
struct Request<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    on: Option<&'a str>,
    call: &'a str,
    arguments: Ordered,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep: Option<&'a str>,
}

impl Played<'_> {
    async fn all(&mut self, scenario: &Scenario) -> Result<(), String> {
        self.steps(&scenario.first, "first, ").await?;
        if scenario.for_each.is_empty() {
            return self.steps(&scenario.steps, "").await;
        }
        for row in &scenario.for_each {
            let row = Value::Object(row.clone());
            self.names.set("row", row.clone());
            self.steps(&scenario.steps, &format!("with {}, ", short(&row))).await?;
        }
        Ok(())
    }

    async fn steps(&mut self, steps: &[Step], prefix: &str) -> Result<(), String> {
        for (place, step) in steps.iter().enumerate() {
            let number = place.saturating_add(1);
            self.step(step).await.map_err(|why| format!("{prefix}step {number}: {why}"))?;
        }
        Ok(())
    }

    async fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Registered { line, config } => {
                for call in self.names.registration(line, config)? {
                    self.call(&call).await?;
                }
                Ok(())
            }
            Step::Order(sealed) => {
                let mut sealed = sealed.clone();
                let texts = [
                    &mut sealed.instrument,
                    &mut sealed.at,
                    &mut sealed.operation,
                    &mut sealed.order_id,
                ];
                for text in texts {
                    let filled = self.names.fill(&json!(*text))?;
                    *text = filled.as_str().ok_or("must be a text")?.to_owned();
                }
                let (call, mut order) = self.names.sealing(&sealed)?;
                order["fields"]["envelope"] = if sealed.by_page {
                    json!(page::seal(&call.arguments, self.clock)?)
                } else {
                    self.call(&call).await?
                };
                self.names.set(&sealed.name, order);
                Ok(())
            }
            Step::Control { call, body, expect, capture } => {
                let body = self.names.fill(body)?;
                let answer = self.bed.control(call, &body).await;
                let answer = answer.map_err(|cause| format!("{call}: {cause}"))?;
                if let Some(expect) = expect {
                    told(call, differences(&self.names.fill(expect)?, &answer))?;
                }
                if let Some(name) = capture {
                    self.names.set(name, answer);
                }
                Ok(())
            }
            Step::Drop(name) => {
                let request = json!({ "drop": name }).to_string();
                let answer = self.runner.ask(&request, ANSWER_LIMIT).await?;
                told(&request, differences(&json!({ "value": null }), &answer))
            }
            Step::Call(call) => self.call(call).await.map(drop),
        }
    }

    /// Makes a call, until it comes out as expected where the data says so, and gives what came.
    async fn call(&mut self, call: &Call) -> Result<Value, String> {
        let mut arguments = Vec::new();
        for (name, value) in &call.arguments.0 {
            arguments.push((name.clone(), self.names.fill(value)?));
        }
        let request = Request {
            on: call.on.as_deref(),
            call: &call.call,
            arguments: Ordered(arguments),
            keep: call.keep.as_deref(),
        };
        let request = serde_json::to_string(&request).map_err(|cause| cause.to_string())?;
        let expect = match (&call.expect, &call.keep) {
            (Some(expect), _) => self.names.fill(expect)?,
            (None, keep) => json!({ "kept": keep }),
        };
        let within = call.within_s.map_or(ANSWER_LIMIT, Duration::from_secs);
        let began = Instant::now();
        loop {
            let answer = self.runner.ask(&request, within).await?;
            let lines = self.unmet(&expect, &answer);
            let left = call.until_s.is_some_and(|s| began.elapsed() < Duration::from_secs(s));
            if !lines.is_empty() && left {
                sleep(PAUSE).await;
                continue;
            }
            told(&shown(&request), lines)?;
            let came = answer.get("value").or_else(|| answer.get("error"));
            let came = came.cloned().unwrap_or_default();
            if let Some(name) = &call.capture {
                self.names.set(name, came.clone());
            }
            return Ok(came);
        }
    }

    /// How an answer differs from what the data expects of it.
    fn unmet(&self, expect: &Value, answer: &Value) -> Vec<String> {
        let Some(kind) = expect.get("refused").and_then(Value::as_str) else {
            return whole(expect, answer);
        };
        // The language's own typed error, or the surface's that names the field.
        if let Some(class) = answer.get("refused").and_then(Value::as_str) {
            let known = self.profile.refuses.get(kind);
            if known.is_some_and(|known| known.iter().any(|known| known == class)) {
                return Vec::new();
            }
            return vec![format!("{class} is not how {} refuses {kind}", self.profile.name)];
        }
        if let Some(wanted) = expect.get("or") {
            return whole(wanted, answer);
        }
        let mut wanted = json!({ "error": { "kind": "fix_the_request", "code": "invalid_field" } });
        if let Some(field) = expect.get("field") {
            wanted["error"]["field"] = field.clone();
        }
        whole(&wanted, answer)
    }
}

/// The differences of an answer; one of another kind is shown as it is.
fn whole(expect: &Value, answer: &Value) -> Vec<String> {
    let kinds = expect.as_object().into_iter().flatten();
    if kinds.clone().any(|(kind, _)| answer.get(kind).is_none()) {
        return vec![format!("must be {}, but is {}", short(expect), short(answer))];
    }
    differences(expect, answer)
}

fn told(asked: &str, lines: Vec<String>) -> Result<(), String> {
    if lines.is_empty() { Ok(()) } else { Err(format!("{asked}\n    {}", lines.join("\n    "))) }
}

/// A request in one line of a bearable length.
fn shown(request: &str) -> String {
    serde_json::from_str::<Value>(request).map_or_else(|_| request.to_owned(), |json| short(&json))
}
