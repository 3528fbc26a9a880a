//! Runners that lie: whatever they say, the data must find them out.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as expected")]

use std::path::PathBuf;
use std::time::Duration;

use pos_scenarios::flow::{self, Scenario, ServerClock, Step};
use pos_scenarios::play::{Outcome, Stage};
use pos_scenarios::profile::Profile;
use pos_scenarios::runner::{Asked, Runner};
use pos_scenarios::rust::RustShop;
use serde_json::{Value, json};

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Those on the usual bed: first the ones that wait for nothing, then the ones that wait for an outcome,
/// or for a time-out because the line was broken.
fn by_waiting() -> (Vec<Scenario>, Vec<Scenario>) {
    let waits = |step: &Step| match step {
        Step::Call(call) => call.until_s.is_some(),
        Step::Control { call, .. } => call.contains("forge") || call.contains("server"),
        _ => false,
    };
    let mut all = flow::read(&data("flows")).unwrap();
    all.retain(|one| one.server_clock == ServerClock::Right);
    all.into_iter().partition(|one| !one.steps.iter().any(waits))
}

fn scenarios() -> Vec<Scenario> {
    let (all, _) = by_waiting();
    assert!(all.len() > 30, "{} are left", all.len());
    all
}

fn stage() -> Stage {
    Stage::new(pos_tests::process::program("pos-testbed").unwrap())
}

/// A profile that can everything, so that "not here" is no way out.
fn profile() -> Profile {
    let rust = Profile::find(&data("runners.json"), "rust").unwrap();
    Profile { cannot: Default::default(), ..rust }
}

/// Keeps whatever it is told to keep, and gives this to everything else.
struct Mute(Value);

impl Runner for Mute {
    fn ask<'a>(&'a mut self, request: &'a str, _: Duration) -> Asked<'a> {
        let request: Value = serde_json::from_str(request).unwrap();
        let answer = match request.get("keep") {
            Some(name) => json!({ "kept": name }),
            None => self.0.clone(),
        };
        Box::pin(async { Ok(answer) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_the_same_to_everything_passes_nothing() {
    let mut stage = stage();
    for answer in [
        json!({ "value": null }),
        json!({ "value": {} }),
        json!({ "value": { "state": "done" } }),
        json!({ "error": { "kind": "fix_the_request", "code": "invalid_field" } }),
        json!({ "refused": "InvalidId" }),
        json!({ "not_here": "nothing is" }),
    ] {
        for scenario in scenarios() {
            let outcome = stage.play(&scenario, &mut Mute(answer.clone()), &profile()).await;
            let outcome = outcome.unwrap();
            assert!(matches!(outcome, Outcome::Failed(_)), "{}: {answer}", scenario.name);
        }
    }
}

/// One kind of lie.
#[derive(Clone, Copy, Debug)]
enum Lie {
    /// An error came back as a value.
    AllIsWell,
    /// A value came back as an error.
    AllIsLost,
    /// Another kind of error.
    Kind,
    /// Another code.
    Code,
    /// Another state of a payment or operation.
    State,
    /// One unit more than was done, captured or refunded.
    Amount,
    /// An argument that cannot be was taken.
    Taken,
}

/// The shop in Rust, which tells one kind of lie wherever it can.
struct Liar {
    shop: RustShop,
    lie: Lie,
    has_lied: bool,
}

impl Liar {
    fn bend(&mut self, mut answer: Value) -> Value {
        let before = answer.clone();
        match self.lie {
            Lie::AllIsWell if answer.get("error").is_some() => answer = json!({ "value": null }),
            Lie::AllIsLost if answer.get("value").is_some_and(|value| !value.is_null()) => {
                answer = json!({ "error": { "kind": "wait", "code": "overloaded" } });
            }
            Lie::Kind => replace(&mut answer, &["kind"], &|_| json!("invented")),
            Lie::Code if answer.get("error").is_some() => {
                replace(&mut answer, &["code"], &|_| json!("invented"));
            }
            Lie::State => replace(&mut answer, &["state"], &|_| json!("reversing")),
            Lie::Amount => {
                let names = ["amount", "done_amount", "captured", "refunded"];
                replace(&mut answer, &names, &|value| match value.as_u64() {
                    Some(amount) => json!(amount.saturating_add(1)),
                    None => value.clone(),
                });
            }
            Lie::Taken if answer.get("refused").is_some() => answer = json!({ "value": null }),
            _ => {}
        }
        self.has_lied |= answer != before;
        answer
    }
}

fn replace(value: &mut Value, names: &[&str], other: &dyn Fn(&Value) -> Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if names.contains(&name.as_str()) && !member.is_object() {
                    *member = other(member);
                } else {
                    replace(member, names, other);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| replace(value, names, other)),
        _ => {}
    }
}

impl Runner for Liar {
    fn ask<'a>(&'a mut self, request: &'a str, _: Duration) -> Asked<'a> {
        Box::pin(async move {
            let answer = self.shop.answer(request).await;
            Ok(self.bend(answer))
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_another_kind_of_answer_is_found_out() {
    let lies = [Lie::AllIsWell, Lie::AllIsLost, Lie::Taken, Lie::Kind];
    found_out(stage(), &lies, &scenarios(), 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_bends_one_member_is_found_out() {
    found_out(stage(), &[Lie::Code, Lie::State, Lie::Amount], &scenarios(), 4).await;
}

/// Nobody tries to refuse an argument there. All lies at once, because most of the time is waited.
#[tokio::test(flavor = "multi_thread")]
async fn who_lies_where_is_waited_for_the_truth_is_found_out() {
    let (_, waiting) = by_waiting();
    assert!(waiting.len() >= 5, "{} are left", waiting.len());
    // Each on a bed of its own; one after the other, so that none takes another's ports.
    let mut stages = Vec::new();
    for _ in 0..6 {
        let mut stage = stage();
        stage.set(ServerClock::Right).await.unwrap();
        stages.push(stage);
    }
    let mut one = |lie| {
        let (stage, waiting) = (stages.pop().unwrap(), &waiting);
        async move { found_out(stage, &[lie], waiting, 1).await }
    };
    tokio::join!(
        one(Lie::AllIsWell),
        one(Lie::AllIsLost),
        one(Lie::Kind),
        one(Lie::Code),
        one(Lie::State),
        one(Lie::Amount),
    );
}

/// Wherever one kind of lie is told, the scenario fails; and it can be told at least so often.
async fn found_out(mut stage: Stage, lies: &[Lie], scenarios: &[Scenario], least: u32) {
    let honest = Profile::find(&data("runners.json"), "rust").unwrap();
    let mut believed = Vec::new();
    for lie in lies {
        let mut told = 0;
        for scenario in scenarios {
            let mut liar = Liar { shop: RustShop::default(), lie: *lie, has_lied: false };
            let outcome = stage.play(scenario, &mut liar, &honest).await.unwrap();
            if liar.has_lied {
                told = u32::saturating_add(told, 1);
                if outcome == Outcome::Passed {
                    believed.push(format!("{lie:?}: {}", scenario.name));
                }
            }
        }
        assert!(told >= least, "{lie:?} was told {told} times only");
    }
    assert!(believed.is_empty(), "{believed:#?}");
}

/// A runner that dies, and one that falls silent, fail their scenario and no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_and_silence_are_failures() {
    let mut stage = stage();
    let mut scenario = scenarios().swap_remove(0);
    for step in &mut scenario.steps {
        if let Step::Call(call) = step {
            call.within_s = Some(1);
        }
    }
    for (script, why) in [
        ("read line; exit 3", "the runner stopped answering (exit status: 3)"),
        ("read line; kill -SEGV $$", "the runner stopped answering (signal: 11"),
        ("read line; echo no JSON; read line", "the answer is no JSON"),
        ("read line; read line", "no answer within 1 s"),
    ] {
        let command = ["sh", "-c", script].map(Into::into).into();
        let mut runner = pos_scenarios::runner::Program::new(command).unwrap();
        let outcome = stage.play(&scenario, &mut runner, &profile()).await.unwrap();
        let Outcome::Failed(told) = outcome else { panic!("{script}: {outcome:?}") };
        assert!(told.contains(why), "{told}");
    }
}

/// What the files themselves must hold.
mod files {
    use pos_connect::protocol::reason::DeclineReason;

    use super::*;

    #[test]
    fn every_reason_of_a_decline_is_played_at_each_institution() {
        let mut institutions = 0;
        for scenario in flow::read(&data("flows")).unwrap() {
            let reasons: Vec<_> =
                scenario.for_each.iter().filter_map(|row| row.get("reason")?.as_str()).collect();
            if !reasons.is_empty() {
                institutions += 1;
                let all: Vec<_> = DeclineReason::ALL.iter().map(|one| one.wire()).collect();
                assert_eq!(reasons, all);
            }
        }
        assert_eq!(institutions, 3);
    }

    #[test]
    fn every_error_is_expected_by_kind_and_code() {
        fn check(expect: &Value, name: &str) {
            match expect {
                Value::Object(members) => {
                    for (member, value) in members {
                        if member == "error" {
                            assert!(value["kind"].is_string(), "{name}: {value}");
                            assert!(value["code"].is_string(), "{name}: {value}");
                        }
                        check(value, name);
                    }
                }
                Value::Array(values) => values.iter().for_each(|value| check(value, name)),
                _ => {}
            }
        }
        let mut names = std::collections::HashSet::new();
        for scenario in flow::read(&data("flows")).unwrap() {
            assert!(names.insert(scenario.name.clone()), "{} twice", scenario.name);
            assert!(scenario.about.len() > 20, "{}", scenario.name);
            for step in scenario.first.iter().chain(&scenario.steps) {
                if let Step::Call(call) = step {
                    call.expect.iter().for_each(|expect| check(expect, &scenario.name));
                }
            }
        }
    }

    #[test]
    fn what_runners_cannot_is_a_need_of_a_scenario() {
        let scenarios = flow::read(&data("flows")).unwrap();
        let needs: Vec<_> = scenarios.iter().flat_map(|one| &one.needs).collect();
        for profile in Profile::all(&data("runners.json")).unwrap() {
            for (need, why) in &profile.cannot {
                assert!(needs.contains(&need), "{}: {need}", profile.name);
                assert!(why.ends_with('.'), "{}: {why}", profile.name);
            }
        }
    }
}
