//! A scenario as it stands in a file of `flows/`.

use std::fs;
use std::path::Path;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::HarnessError;

/// One flow.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What the table calls it.
    pub name: String,
    /// What it shows, for whoever reads the file.
    pub about: String,
    /// By which clock the server runs.
    #[serde(default)]
    pub server_clock: ServerClock,
    /// What a language must be able to do, or else the scenario is not there in it.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Whether a shop of its own is admitted for it, as `$shop`.
    #[serde(default = "yes")]
    pub shop: bool,
    /// What happens first, once.
    #[serde(default)]
    pub first: Vec<Step>,
    /// The steps are played once for each of these, as `$row`; once where there is none.
    #[serde(default)]
    pub for_each: Vec<Map<String, Value>>,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

impl Scenario {
    pub(crate) fn stops_the_server(&self) -> bool {
        let stops =
            |step: &Step| matches!(step, Step::Control { call, .. } if call.contains("stop"));
        self.steps.iter().any(stops)
    }
}

const fn yes() -> bool {
    true
}

/// The server's clock, beside that of the shop's machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerClock {
    /// They agree.
    #[default]
    Right,
    /// The shop's is an hour behind.
    AnHourAhead,
    /// The shop's is an hour ahead.
    AnHourBehind,
}

/// One step.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Written")]
pub enum Step {
    /// A fresh shop opens a store and a connection, and registers.
    Registered {
        /// What the connection is called from now on.
        line: String,
        /// Fields of `Config` beside those that name the server.
        config: Map<String, Value>,
    },
    /// The shopper's page seals an instrument of the bed; the order (or check) is captured.
    Order(Sealed),
    /// A call of the bed's control address.
    Control {
        /// Such as `POST /faults`.
        call: String,
        /// Its body.
        body: Value,
        /// What it must answer.
        expect: Option<Value>,
        /// The name under which the harness remembers the answer.
        capture: Option<String>,
    },
    /// The runner forgets a value.
    Drop(String),
    /// A call that the runner makes.
    Call(Call),
}

/// What a shopper's page seals.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// The name under which the order is captured.
    pub name: String,
    /// The instrument, by its name in the bed.
    pub instrument: String,
    /// The institution.
    pub at: String,
    /// `sale`, `authorise` or `check`.
    pub operation: String,
    /// The shop's order.
    pub order_id: String,
    /// In minor units.
    pub amount: u64,
    /// The currency.
    pub currency: String,
    /// Whether another page seals it, whose clock agrees with the server's; else the runner does.
    pub by_page: bool,
}

/// A call, and what must come of it.
#[derive(Clone, Debug)]
pub struct Call {
    /// The kept value whose method it is; none for constructors and free functions.
    pub on: Option<String>,
    /// Its name in the surface.
    pub call: String,
    /// By name, in the surface's order.
    pub arguments: Ordered,
    /// The name under which the runner keeps the value.
    pub keep: Option<String>,
    /// What must come of it; that it is kept, where nothing is said.
    pub expect: Option<Value>,
    /// The name under which the harness remembers the value.
    pub capture: Option<String>,
    /// Asked again until it comes out as expected, for at most so many seconds.
    pub until_s: Option<u64>,
    /// How long one answer may take.
    pub within_s: Option<u64>,
}

/// Who seals, where it is not the runner.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Sealer {
    Page,
}

/// All keys that a step may have; which are there says what it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    registered: Option<String>,
    config: Option<Map<String, Value>>,
    order: Option<String>,
    instrument: Option<String>,
    at: Option<String>,
    #[serde(rename = "for")]
    operation: Option<String>,
    order_id: Option<String>,
    amount: Option<Value>,
    currency: Option<String>,
    sealed_by: Option<Sealer>,
    control: Option<String>,
    body: Option<Value>,
    drop: Option<String>,
    on: Option<String>,
    call: Option<String>,
    arguments: Option<Ordered>,
    keep: Option<String>,
    expect: Option<Value>,
    capture: Option<String>,
    until_s: Option<u64>,
    within_s: Option<u64>,
}

impl TryFrom<Written> for Step {
    type Error = String;

    fn try_from(step: Written) -> Result<Self, String> {
        match step {
            Written { registered: Some(line), config, .. } => {
                Ok(Self::Registered { line, config: config.unwrap_or_default() })
            }
            Written {
                order: Some(name),
                instrument: Some(instrument),
                at: Some(at),
                operation: Some(operation),
                order_id: Some(order_id),
                amount: Some(amount),
                currency: Some(currency),
                sealed_by,
                ..
            } => {
                let by_page = matches!(sealed_by, Some(Sealer::Page));
                let amount = amount.as_u64().ok_or("an amount is a whole number")?;
                Ok(Self::Order(Sealed {
                    name,
                    instrument,
                    at,
                    operation,
                    order_id,
                    amount,
                    currency,
                    by_page,
                }))
            }
            Written { control: Some(call), body, expect, capture, .. } => {
                Ok(Self::Control { call, body: body.unwrap_or_default(), expect, capture })
            }
            Written { drop: Some(name), .. } => Ok(Self::Drop(name)),
            Written { call: Some(call), on, arguments, keep, expect, capture, .. } => {
                if keep.is_none() && expect.is_none() {
                    return Err(format!("{call}: say what to expect"));
                }
                let (until_s, within_s) = (step.until_s, step.within_s);
                let arguments = arguments.unwrap_or_default();
                Ok(Self::Call(Call {
                    on,
                    call,
                    arguments,
                    keep,
                    expect,
                    capture,
                    until_s,
                    within_s,
                }))
            }
            _ => Err("no step begins like this".into()),
        }
    }
}

/// A JSON object that keeps the order in which it was written: languages without named arguments
/// read it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ordered(pub Vec<(String, Value)>);

impl ServerClock {
    /// The time by the server's clock, in milliseconds since 1970.
    pub fn now_ms(self) -> u64 {
        const HOUR_MS: u64 = 3_600_000;
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        match self {
            Self::Right => now_ms,
            Self::AnHourAhead => now_ms.saturating_add(HOUR_MS),
            Self::AnHourBehind => now_ms.saturating_sub(HOUR_MS),
        }
    }
}

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Ordered;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("arguments by name")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Ordered, M::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Ordered(pairs))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

impl Serialize for Ordered {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// Every scenario of a folder, in the order of the files' names.
///
/// # Errors
/// [`HarnessError::Data`] naming the file.
pub fn read(folder: &Path) -> Result<Vec<Scenario>, HarnessError> {
    let unreadable = |path: &Path| HarnessError::data(path.display().to_string());
    let entries = fs::read_dir(folder).map_err(|cause| unreadable(folder)(&cause))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
    paths.sort();
    let mut all = Vec::new();
    for path in paths {
        let text = fs::read(&path).map_err(|cause| unreadable(&path)(&cause))?;
        let file: Vec<Scenario> =
            serde_json::from_slice(&text).map_err(|cause| unreadable(&path)(&cause))?;
        all.extend(file);
    }
    Ok(all)
}
