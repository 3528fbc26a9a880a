//! The control address: for tests and the curious, on loopback, unsigned, JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use pos_protocol::id::{ContractNumber, InstitutionId, OperationId};
use pos_protocol::key::PublicKey;
use pos_protocol::time::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::fault::PlannedFault;
use crate::instrument::Behaviour;
use crate::ledger::{LedgerError, SettlementDay};
use crate::quirk::Quirk;
use crate::service::Institution;

type Served = Arc<BTreeMap<InstitutionId, Arc<Institution>>>;

/// The routes of the control address.
pub(crate) fn router(served: BTreeMap<InstitutionId, Arc<Institution>>) -> Router {
    Router::new()
        .route("/control/operator-key", post(add_operator_key))
        .route("/control/contracts", post(add_contract))
        .route("/control/instruments", get(instruments))
        .route("/control/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/control/quirk", put(set_quirk))
        .route("/control/ledger", get(ledger))
        .route("/control/settlement/{institution}", get(settlement))
        .route("/control/ledger/{institution}/operations", get(operations))
        .route("/control/ledger/{institution}/operations/{id}", get(operation))
        .with_state(Arc::new(served))
}

/// Why the control address refuses.
enum Refusal {
    Body(serde_json::Error),
    Day,
    Fault(String),
    Institution(String),
    Ledger(LedgerError),
    NoSuchOperation,
}

impl From<LedgerError> for Refusal {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::Body(error) => (StatusCode::BAD_REQUEST, error.to_string()),
            Self::Day => (StatusCode::BAD_REQUEST, "`day` must be such as 2026-11-26".into()),
            Self::Fault(why) => (StatusCode::BAD_REQUEST, why),
            Self::Institution(name) => {
                (StatusCode::NOT_FOUND, format!("no institution `{name}` is served here"))
            }
            Self::Ledger(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
            Self::NoSuchOperation => (StatusCode::NOT_FOUND, "no such operation".into()),
        };
        (status, Json(json!({ "error": error }))).into_response()
    }
}

struct Json<T>(T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.0).expect("reports have a JSON form");
        ([(CONTENT_TYPE, "application/json")], body).into_response()
    }
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(Refusal::Body)
}

/// The institution of this name, or all where none is said.
fn chosen(served: &Served, name: Option<&str>) -> Result<Vec<Arc<Institution>>, Refusal> {
    let Some(name) = name else { return Ok(served.values().map(Arc::clone).collect()) };
    let found = name.parse().ok().and_then(|id: InstitutionId| served.get(&id));
    found.map(|one| vec![Arc::clone(one)]).ok_or_else(|| Refusal::Institution(name.into()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKey {
    key: String,
    institution: Option<String>,
}

async fn add_operator_key(
    State(served): State<Served>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let said: NewKey = read(&body)?;
    let key: PublicKey = said
        .key
        .parse()
        .map_err(|error| Refusal::Body(serde::de::Error::custom(format!("`key` {error}"))))?;
    for institution in chosen(&served, said.institution.as_deref())? {
        institution.add_operator(key).await?;
    }
    Ok(Json(json!({ "key_id": key.id() })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewContract {
    number: ContractNumber,
    institution: Option<String>,
}

async fn add_contract(State(served): State<Served>, body: Bytes) -> Result<Json<Value>, Refusal> {
    let said: NewContract = read(&body)?;
    for institution in chosen(&served, said.institution.as_deref())? {
        institution.add_contract(said.number.clone()).await?;
    }
    Ok(Json(json!({ "number": said.number })))
}

#[derive(Deserialize)]
struct Which {
    institution: Option<String>,
}

async fn instruments(
    State(served): State<Served>,
    Query(which): Query<Which>,
) -> Result<Json<Value>, Refusal> {
    let mut all = Vec::new();
    for institution in chosen(&served, which.institution.as_deref())? {
        for one in institution.instruments.all() {
            let does = match one.behaviour {
                Behaviour::Pays(balance) => json!({ "pays_up_to": balance }),
                Behaviour::Declines(reason) => json!({ "declines": reason }),
                Behaviour::Fails(fault) => json!({ "fails": fault }),
                Behaviour::Pends => json!({ "pends": true }),
            };
            all.push(json!({
                "institution": institution.house.id(),
                "name": one.name,
                "number": one.number,
                "instrument": one.json,
                "does": does,
            }));
        }
    }
    Ok(Json(Value::Array(all)))
}

#[derive(Deserialize)]
struct NewFault {
    institution: Option<String>,
    #[serde(flatten)]
    rest: Value,
}

async fn add_fault(State(served): State<Served>, body: Bytes) -> Result<Json<Value>, Refusal> {
    let said: NewFault = read(&body)?;
    let planned: PlannedFault = serde_json::from_value(said.rest).map_err(Refusal::Body)?;
    if let Some(why) = planned.useless() {
        return Err(Refusal::Fault(why.into()));
    }
    let mut met = chosen(&served, said.institution.as_deref())?;
    if let Some(name) = &planned.instrument {
        met.retain(|one| one.instruments.all().iter().any(|known| known.name == *name));
        if met.is_empty() {
            return Err(Refusal::Fault(format!("there is no test instrument `{name}`")));
        }
    }
    for institution in met {
        institution.faults.add(planned.clone());
    }
    Ok(Json(json!(planned)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewQuirk {
    quirk: Option<Quirk>,
    institution: Option<String>,
}

async fn set_quirk(State(served): State<Served>, body: Bytes) -> Result<Json<Value>, Refusal> {
    let said: NewQuirk = read(&body)?;
    for institution in chosen(&served, said.institution.as_deref())? {
        institution.quirks.set(said.quirk);
    }
    Ok(Json(json!({ "quirk": said.quirk })))
}

async fn clear_faults(
    State(served): State<Served>,
    Query(which): Query<Which>,
) -> Result<Json<Value>, Refusal> {
    for institution in chosen(&served, which.institution.as_deref())? {
        institution.faults.clear();
    }
    Ok(Json(json!({})))
}

async fn faults(State(served): State<Served>) -> Json<Value> {
    let on = served.iter().map(|(id, one)| (id.to_string(), json!(one.faults.list())));
    Json(Value::Object(on.collect()))
}

async fn ledger(
    State(served): State<Served>,
    Query(which): Query<Which>,
) -> Result<Json<Value>, Refusal> {
    let mut reports = serde_json::Map::new();
    for institution in chosen(&served, which.institution.as_deref())? {
        let report = institution.ledger.run(|books| books.report()).await?;
        reports.insert(institution.house.id().to_string(), json!(report));
    }
    Ok(Json(Value::Object(reports)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Day {
    day: String,
    from_ms: Option<u64>,
    until_ms: Option<u64>,
}

/// A day begins and ends in UTC, unless other moments are said.
async fn settlement(
    State(served): State<Served>,
    Path(name): Path<String>,
    Query(asked): Query<Day>,
) -> Result<Response, Refusal> {
    const DAY_MS: u64 = 86_400_000;
    let days = days_since_1970(&asked.day).ok_or(Refusal::Day)?;
    let from = asked.from_ms.unwrap_or_else(|| days.saturating_mul(DAY_MS));
    let until = asked.until_ms.unwrap_or_else(|| from.saturating_add(DAY_MS));
    let mut all = chosen(&served, Some(&name))?;
    let institution = all.pop().ok_or(Refusal::Institution(name))?;
    let day = SettlementDay {
        institution: institution.house.id(),
        day: asked.day,
        from: Timestamp::from_ms(from),
        until: Timestamp::from_ms(until),
    };
    let file = institution.ledger.run(move |books| books.settlement(&day)).await?;
    Ok(([(CONTENT_TYPE, "text/csv; charset=utf-8")], file).into_response())
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, later than that.
fn days_since_1970(date: &str) -> Option<u64> {
    let mut parts = date.split('-');
    let mut part = |digits: usize| {
        let part = parts.next().filter(|part| part.len() == digits)?;
        part.parse::<u64>().ok().filter(|_| part.bytes().all(|octet| octet.is_ascii_digit()))
    };
    let (year, month, day) = (part(4)?, part(2)?, part(2)?);
    let is_date = year > 1970 && (1..=12).contains(&month) && (1..=31).contains(&day);
    if parts.next().is_some() || !is_date {
        return None;
    }
    // Years begin in March here, so that the leap day is their last.
    let (year, month) = if month > 2 {
        (year, month.checked_sub(3)?)
    } else {
        (year.checked_sub(1)?, month.checked_add(9)?)
    };
    let leaps = (year / 4).checked_sub(year / 100)?.checked_add(year / 400)?;
    let in_year = month.checked_mul(153)?.checked_add(2)? / 5;
    year.checked_mul(365)?
        .checked_add(leaps)?
        .checked_add(in_year)?
        .checked_add(day)?
        .checked_sub(719_469)
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    after: i64,
    #[serde(default = "Page::usual")]
    limit: u32,
}

impl Page {
    const fn usual() -> u32 {
        1_000
    }
}

async fn operations(
    State(served): State<Served>,
    Path(name): Path<String>,
    Query(page): Query<Page>,
) -> Result<Json<Value>, Refusal> {
    let mut reports = Vec::new();
    for institution in chosen(&served, Some(&name))? {
        let Page { after, limit } = page;
        let limit = limit.min(10_000);
        let page =
            institution.ledger.run(move |books| books.operation_reports(after, limit)).await?;
        reports.extend(page);
    }
    Ok(Json(json!(reports)))
}

async fn operation(
    State(served): State<Served>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let id: OperationId = id.parse().map_err(|_| Refusal::NoSuchOperation)?;
    for institution in chosen(&served, Some(&name))? {
        let found = institution.ledger.run(move |books| books.operation_report(id)).await?;
        if let Some(found) = found {
            return Ok(Json(json!(found)));
        }
    }
    Err(Refusal::NoSuchOperation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_days_since_1970() {
        for (date, days) in [
            ("1971-01-01", Some(365)),
            ("2000-02-29", Some(11_016)),
            ("2000-03-01", Some(11_017)),
            ("2026-11-26", Some(20_783)),
            ("2100-03-01", Some(47_541)),
            ("2026-13-01", None),
            ("2026-11-26-1", None),
            ("26-11-26", None),
        ] {
            assert_eq!(days_since_1970(date), days, "{date}");
        }
    }
}
