//! The bed for every other language: one JSON line that says where everything is, and a control
//! address that does what a test in Rust would do by a method (`tests/README.md`).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use pos_protocol::text::base64url;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::bed::{Bed, BedOptions, Enrolment, PASSWORD, PosKit};
use crate::error::BedError;
use crate::forge::{Forge, Forgery};
use crate::receiver::{Arrived, Receiver};

/// How long a server that is asked to end may take; its own limit is 30 s.
const END_LIMIT: Duration = Duration::from_secs(40);

/// A bed with its control address and its forging proxy.
#[derive(Debug)]
pub struct Testbed {
    shared: Arc<Shared>,
    url: String,
    serving: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    bed: Bed,
    forge: Forge,
    /// Where shops may have their webhooks sent to.
    receiver: Option<Receiver>,
}

impl Testbed {
    /// Starts a bed with a receiver of webhooks beside it, and opens it.
    ///
    /// # Errors
    /// What did not come up.
    pub async fn start(mut options: BedOptions) -> Result<Self, BedError> {
        let receiver = Receiver::start().await?;
        options.server.more += &receiver.settings();
        Self::over(Bed::start(&options).await?, Some(receiver)).await
    }

    /// Opens the control address of a bed, and a forging proxy in front of its server.
    ///
    /// # Errors
    /// [`BedError::System`].
    pub async fn open(bed: Bed) -> Result<Self, BedError> {
        Self::over(bed, None).await
    }

    async fn over(bed: Bed, receiver: Option<Receiver>) -> Result<Self, BedError> {
        let forge = Forge::start(bed.server.place()?).await?;
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = bound.map_err(BedError::system("binding the control address"))?;
        let address = listener.local_addr().map_err(BedError::system("binding the address"))?;
        let shared = Arc::new(Shared { bed, forge, receiver });
        let serving = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Ok(Self { shared, url: format!("http://{address}"), serving })
    }

    /// The bed.
    pub fn bed(&self) -> &Bed {
        &self.shared.bed
    }

    /// Where it is controlled.
    pub fn control_url(&self) -> &str {
        &self.url
    }

    /// Everything that a client in any language needs, as `tests/README.md` describes it.
    ///
    /// # Errors
    /// [`BedError::Unknown`] in a bed without a shop.
    pub fn announcement(&self) -> Result<Value, BedError> {
        let bed = self.bed();
        let address = bed.server.address();
        let shop = bed.shop();
        let institutions = institutions(bed)?;
        let instruments = instruments_of(bed, "sakura-card")?;
        Ok(json!({
            "event": "ready",
            "server": {
                "url": address.url,
                "tls_url": address.tls_url,
                "forge_url": self.shared.forge.url(),
                "ca_pem": bed.server.ca_pem(),
                "authority": address.authority,
                "answer_key": base64url(address.answer_key.octets()),
            },
            "shop": {
                "id": shop.enrolment.shop_id,
                "user_id": shop.enrolment.user_id,
                "password": PASSWORD,
                "pos_ids": shop.poses.iter().map(|pos| pos.pos_id).collect::<Vec<_>>(),
                "poses": shop.poses.iter().map(pos).collect::<Vec<_>>(),
                "module_key": {
                    "seed": base64url(&*shop.key.seed()),
                    "public": base64url(shop.key.public().octets()),
                    "key_id": shop.key.public().id(),
                },
            },
            "unregistered": bed.unregistered.iter().map(enrolment).collect::<Vec<_>>(),
            "instruments": instruments,
            "institutions": institutions,
            "webhook_url": self.shared.receiver.as_ref().map(Receiver::url),
            "control_url": self.url,
            "folder": bed.folder(),
        }))
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn pos(pos: &PosKit) -> Value {
    let contracts = pos.contracts.iter().map(|contract| {
        json!({
            "contract_id": contract.contract_id,
            "institution": contract.institution,
            "contract_number": contract.number,
        })
    });
    json!({ "pos_id": pos.pos_id, "contracts": contracts.collect::<Vec<_>>() })
}

fn enrolment(enrolment: &Enrolment) -> Value {
    json!({ "user_id": enrolment.user_id, "code": enrolment.enrolment_code.expose() })
}

/// Each institution with the shop's contract there and what is needed to seal for it.
fn institutions(bed: &Bed) -> Result<Vec<Value>, BedError> {
    let mut all = Vec::new();
    for one in bed.institutions.all() {
        let contract = bed.shop().contract(one.id.as_str())?;
        let signed = bed.seal_keys.iter().find(|(id, _, _)| *id == one.id);
        all.push(json!({
            "id": one.id,
            "contract_id": contract.contract_id,
            "contract_number": contract.number,
            "seal_root": one.seal_root,
            "seal_keys": signed.map(|(_, signed, _)| signed),
            "instruments": instruments_of(bed, one.id.as_str())?,
        }));
    }
    Ok(all)
}

/// By name: what is sealed, and where it is good. Of several instruments of one name the first.
fn instruments_of(bed: &Bed, institution: &str) -> Result<BTreeMap<String, Value>, BedError> {
    let contract = bed.shop().contract(institution)?;
    let of_this = bed.instruments.iter().filter(|one| one.institution.as_str() == institution);
    let mut named = BTreeMap::new();
    for one in of_this {
        named.entry(one.name.clone()).or_insert_with(|| {
            json!({
                "instrument": one.instrument,
                "institution": contract.institution,
                "contract_id": contract.contract_id,
                "contract_number": contract.number,
            })
        });
    }
    Ok(named)
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| answer(Arc::clone(&shared), request));
        // Who hangs up needs no answer.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let (status, answer) = match act(&shared, &head.method, head.uri.path(), &body).await {
        Ok(Some(answer)) => (StatusCode::OK, answer),
        Ok(None) => (StatusCode::NOT_FOUND, json!({ "error": "tests/README.md lists the routes" })),
        Err(error) => (StatusCode::BAD_REQUEST, json!({ "error": error.to_string() })),
    };
    let mut response = hyper::Response::new(Full::new(Bytes::from(answer.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    forgery: Forgery,
    #[serde(default = "once")]
    times: u32,
}

const fn once() -> u32 {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoke {
    shop_id: String,
    key_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Webhooks {
    shop_id: String,
    count: usize,
}

/// A webhook as the verb that verifies it takes it.
fn webhook(arrived: &Arrived) -> Value {
    json!({
        "webhook_id": arrived.header("webhook-id"),
        "webhook_timestamp": arrived.header("webhook-timestamp"),
        "webhook_signature": arrived.header("webhook-signature"),
        "body": arrived.body,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stop {
    #[serde(default)]
    graceful: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Operate {
    words: Vec<String>,
}

/// Does what a route says; `None` where there is no such route.
async fn act(
    shared: &Shared,
    method: &Method,
    path: &str,
    body: &[u8],
) -> Result<Option<Value>, BedError> {
    let bed = &shared.bed;
    let done = || json!({ "done": true });
    let parts: Vec<_> = path.trim_matches('/').split('/').collect();
    let answer = match (method.as_str(), &parts[..]) {
        ("POST", ["faults"]) => {
            bed.institutions.add_fault(read(body)?).await?;
            done()
        }
        ("DELETE", ["faults"]) => {
            bed.institutions.clear_faults().await?;
            done()
        }
        ("GET", ["ledger"]) => {
            let ledgers = bed.institutions.ledgers().await?;
            let ledgers = ledgers.into_iter().map(|(id, ledger)| (id.to_string(), json!(ledger)));
            Value::Object(ledgers.collect())
        }
        ("GET", ["ledger", institution]) => json!(bed.institutions.operations(institution).await?),
        ("POST", ["forge"]) => {
            let plan: Plan = read(body)?;
            (0..plan.times).for_each(|_| shared.forge.plan(plan.forgery));
            done()
        }
        ("GET", ["forge"]) => json!({ "planned": shared.forge.left() }),
        ("DELETE", ["forge"]) => {
            shared.forge.clear();
            done()
        }
        ("POST", ["shops"]) => {
            let (admitted, web) = bed.admit("Admitted by a test").await?;
            json!({
                "shop_id": admitted.shop_id,
                "user_id": admitted.user_id,
                "code": admitted.enrolment_code.expose(),
                "poses": [pos(&web)],
            })
        }
        ("POST", ["keys", "revoke"]) => {
            let Revoke { shop_id, key_id } = read(body)?;
            bed.server.operate(&["key", "revoke", &shop_id, &key_id]).await?
        }
        ("POST", ["operate"]) => {
            let Operate { words } = read(body)?;
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            bed.server.operate(&words).await?
        }
        ("POST", ["server", "stop"]) => {
            let stop = if body.is_empty() { Stop { graceful: false } } else { read(body)? };
            if stop.graceful {
                bed.server.end(END_LIMIT).await?;
            } else {
                bed.server.kill().await?;
            }
            done()
        }
        ("POST", ["server", "restart"]) => {
            bed.server.restart().await?;
            done()
        }
        ("POST", ["institutions", "stop"]) => {
            bed.institutions.kill().await?;
            done()
        }
        ("POST", ["institutions", "restart"]) => {
            bed.institutions.restart().await?;
            done()
        }
        ("POST", ["webhooks"]) => {
            let Some(receiver) = &shared.receiver else { return Ok(None) };
            let Webhooks { shop_id, count } = read(body)?;
            let arrived = receiver.of_shop(&shop_id, count).await?;
            Value::Array(arrived.iter().map(webhook).collect())
        }
        ("GET", ["logs"]) => json!({ "logs": bed.logs().await }),
        _ => return Ok(None),
    };
    Ok(Some(answer))
}

fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, BedError> {
    serde_json::from_slice(body).map_err(BedError::answer("the body"))
}
