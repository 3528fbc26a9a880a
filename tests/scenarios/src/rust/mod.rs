//! A shop in Rust that is driven by the runners' protocol: `pos-connect` itself, as a Rust shop
//! links it.

pub(crate) mod read;
mod write;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use pos_connect::journal::{FileJournal, MemoryJournal};
use pos_connect::keys::{FileKeyStore, MemoryKeyStore};
use pos_connect::protocol::key::Signature;
use pos_connect::{Config, Connection, EnrolmentCode, SealError, SecretText, Setup, Stores, wire};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use self::read::{Arguments, Refused, class_of};
use self::write::{failure, key_status, told};

/// What does not come back as a value.
enum Ended {
    /// The module's own error.
    Error(Box<pos_connect::Error>),
    /// What Rust's types cannot say, and why.
    NotHere(&'static str),
    /// An error of a type's own: it never became an argument.
    Refused(String),
}

impl From<pos_connect::Error> for Ended {
    fn from(error: pos_connect::Error) -> Self {
        Self::Error(Box::new(error))
    }
}

impl From<Refused> for Ended {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::By(class) => Self::Refused(class),
            Refused::Untold(why) => Self::NotHere(why),
        }
    }
}

/// What stands behind a connection's name: settings until the first verb, a line from then on.
struct Line {
    setup: Setup,
    open: Option<Connection>,
}

enum Kept {
    Line(Box<Line>),
    Store(Stores),
}

/// The runner's state.
#[derive(Default)]
pub struct RustShop {
    kept: HashMap<String, Kept>,
}

#[derive(Deserialize)]
struct Request {
    on: Option<String>,
    #[serde(default)]
    call: String,
    #[serde(default)]
    arguments: Map<String, Value>,
    keep: Option<String>,
    drop: Option<String>,
}

impl RustShop {
    /// The answer to one line.
    pub async fn answer(&mut self, line: &str) -> Value {
        let request: Request = match serde_json::from_str(line) {
            Ok(request) => request,
            Err(cause) => return json!({ "misunderstood": cause.to_string() }),
        };
        if let Some(name) = &request.drop {
            self.kept.remove(name);
            return json!({ "value": null });
        }
        let arguments = Arguments(&request.arguments);
        let ended = match (&request.on, &request.keep) {
            (Some(name), _) => match self.kept.get_mut(name) {
                Some(Kept::Line(line)) => verb(line, &request.call, arguments).await,
                _ => return json!({ "misunderstood": format!("{name} is no connection") }),
            },
            (None, Some(name)) => match self.made(&request.call, arguments) {
                Ok(made) => {
                    self.kept.insert(name.clone(), made);
                    return json!({ "kept": name });
                }
                Err(ended) => Err(ended),
            },
            (None, None) => function(&request.call, arguments),
        };
        match ended {
            Ok(value) => json!({ "value": value }),
            Err(Ended::Error(error)) => json!({ "error": failure(&error) }),
            Err(Ended::NotHere(why)) => json!({ "not_here": why }),
            Err(Ended::Refused(class)) => json!({ "refused": class }),
        }
    }

    fn made(&self, call: &str, arguments: Arguments<'_>) -> Result<Kept, Ended> {
        let stores = match call {
            "Store.in_folder" => {
                let folder = arguments.text("folder")?;
                let folder = Path::new(&folder);
                let keys = FileKeyStore::new(folder.join("keys.json")).map_err(class_of)?;
                let journal = FileJournal::new(folder.join("journal")).map_err(class_of)?;
                Stores::new(Arc::new(keys), Arc::new(journal))
            }
            "Store.in_memory" => {
                let (keys, journal) = (MemoryKeyStore::default(), MemoryJournal::default());
                Stores::new(Arc::new(keys), Arc::new(journal))
            }
            "Store.of_host" => {
                let journal = FileJournal::new(arguments.text("journal_folder")?);
                Stores::new(arguments.storage("storage")?, Arc::new(journal.map_err(class_of)?))
            }
            "Connection" => {
                let config = arguments.record("config")?.config()?;
                let name = arguments.kept("store")?;
                let Some(Kept::Store(stores)) = self.kept.get(name) else {
                    return Err(Ended::NotHere("no such store"));
                };
                let setup = Setup::of(config, stores.clone());
                return Ok(Kept::Line(Box::new(Line { setup, open: None })));
            }
            _ => return Err(Ended::NotHere("no such constructor")),
        };
        Ok(Kept::Store(stores))
    }
}

/// The free functions.
fn function(call: &str, arguments: Arguments<'_>) -> Result<Value, Ended> {
    match call {
        "seal" => {
            let instrument = arguments.instrument("instrument")?;
            let binding = arguments.record("binding")?.binding()?;
            let keys = arguments.json_text("seal_keys")?;
            let root = arguments.parsed("seal_root")?;
            let envelope = pos_connect::seal(&instrument, &binding, &keys, &root);
            let envelope =
                envelope.map_err(|cause: SealError| Refused::By(class_of_seal(&cause)))?;
            Ok(json!(serde_json::to_string(&envelope).expect("an envelope is JSON")))
        }
        "verify" => {
            let key = arguments.parsed("answer_key")?;
            let signature: [u8; 64] = arguments
                .octets("call_signature")?
                .try_into()
                .map_err(|_| Refused::By("TryFromSliceError".into()))?;
            let headers = arguments.headers("headers")?;
            let values = |name: &'static str| {
                headers.get(name).into_iter().flatten().map(|value| value.as_bytes())
            };
            let signature = Signature::from_octets(signature);
            let status = arguments.number("status")?;
            let body = arguments.octets("body")?;
            let time = pos_connect::verify(&key, &signature, status, values, &body);
            Ok(json!(time.map_err(class_of)?.as_ms()))
        }
        _ => Err(Ended::NotHere("no such function")),
    }
}

/// The variant says what to do, as the kind of an error does elsewhere.
fn class_of_seal(cause: &SealError) -> String {
    let name = format!("{cause:?}");
    let variant = name.split(['(', ' ', '{']).next().unwrap_or_default();
    format!("SealError::{variant}")
}

/// The verbs.
async fn verb(line: &mut Line, call: &str, arguments: Arguments<'_>) -> Result<Value, Ended> {
    match call {
        "register" => {
            let user = arguments.parsed("user_id")?;
            let password = SecretText::new(arguments.text("password")?);
            let code = EnrolmentCode::parse(&arguments.text("code")?).map_err(class_of)?;
            let setup = line.setup.clone();
            let (open, answer) = Connection::register(setup, user, password, &code).await?;
            line.open = Some(open);
            return Ok(told(&answer));
        }
        "login" => {
            let user = arguments.parsed("user_id")?;
            let password = SecretText::new(arguments.text("password")?);
            let (open, answer) = Connection::login(line.setup.clone(), user, password).await?;
            line.open = Some(open);
            return Ok(told(&answer));
        }
        "close" => {
            if let Some(open) = &line.open {
                open.close();
            }
            return Ok(Value::Null);
        }
        _ => {}
    }
    if line.open.is_none() {
        line.open = Some(Connection::open(line.setup.clone()).await?);
    }
    let open = line.open.as_ref().ok_or(Ended::NotHere("it was opened just now"))?;
    match call {
        "pay" | "authorise" | "capture" | "void" | "refund" => moving(open, call, arguments).await,
        "resume" => Ok(told(&open.resume(&arguments.parsed("idempotency_key")?).await?)),
        "dismiss" => Ok(told(&open.dismiss(&arguments.parsed("idempotency_key")?).await?)),
        "sign_out" => Ok(told(&open.sign_out().await?)),
        "list_keys" => Ok(told(&open.list_keys().await?)),
        "roll_key" => Ok(told(&open.roll_key().await?)),
        "revoke_key" => Ok(told(&open.revoke_key(&arguments.parsed("key_id")?).await?)),
        "key_id" => Ok(json!(open.key_id().to_string())),
        "server_time_ms" => Ok(json!(open.server_time()?.as_ms())),
        _ => asking(open, call, arguments).await,
    }
}

async fn moving(line: &Connection, call: &str, arguments: Arguments<'_>) -> Result<Value, Ended> {
    let key = arguments.parsed_if("idempotency_key")?;
    let answer = match call {
        "pay" => line.pay(&arguments.record("order")?.order()?, key).await?,
        "authorise" => line.authorise(&arguments.record("order")?.order()?, key).await?,
        "void" => line.void(arguments.parsed("payment_id")?, key).await?,
        "capture" => {
            let money = arguments.money()?;
            line.capture(arguments.parsed("payment_id")?, money, key).await?
        }
        _ => line.refund(arguments.parsed("payment_id")?, arguments.money()?, key).await?,
    };
    Ok(told(&answer))
}

async fn asking(line: &Connection, call: &str, arguments: Arguments<'_>) -> Result<Value, Ended> {
    Ok(match call {
        "methods" => told(&line.methods(arguments.parsed_if("pos_id")?).await?),
        "quote" => {
            let request: wire::QuoteRequest = arguments.record("request")?.body()?;
            told(&line.quote(&request).await?)
        }
        "check" => {
            let request: wire::CheckRequest = arguments.record("request")?.body()?;
            told(&line.check(&request, arguments.parsed_if("idempotency_key")?).await?)
        }
        "payment" => told(&line.payment(arguments.parsed("payment_id")?).await?),
        "payment_of_order" => told(&line.payment_of_order(&arguments.parsed("order_id")?).await?),
        "operation" => key_status(line.operation(&arguments.parsed("idempotency_key")?).await?),
        "history" => told(&line.history(&arguments.record("query")?.query()?).await?),
        "notices" => write::notice_settings(line.notices().await?),
        "set_notices" => {
            let request = arguments.record("settings")?.notices()?;
            write::notice_settings(line.set_notices(&request).await?)
        }
        "verify_webhook" => {
            let (id, at) = (arguments.text("webhook_id")?, arguments.text("webhook_timestamp")?);
            let (signature, body) = (arguments.text("webhook_signature")?, arguments.text("body")?);
            let notice = line.verify_webhook(&id, &at, &signature, body.as_bytes());
            write::notice(&notice.await?)
        }
        "in_flight" => write::in_flight(&line.in_flight().await?),
        _ => return Err(Ended::NotHere("no such verb")),
    })
}

impl Arguments<'_> {
    fn config(self) -> Result<Config, Ended> {
        let as_error = |cause: pos_connect::ConfigError| pos_connect::Error::from(cause);
        let mut config = Config::new(&self.text("server_url")?).map_err(as_error)?;
        if let Some(language) = self.word("language")? {
            config = config.with_language(match language {
                "japanese" => pos_connect::Language::Japanese,
                _ => pos_connect::Language::English,
            });
        }
        if let Some(pem) = self.text_if("ca_pem")? {
            config = config.with_ca_pem(pem);
        }
        if let Some(name) = self.text_if("authority")? {
            config = config.with_authority(&name).map_err(as_error)?;
        }
        if let Some(name) = self.text_if("user_agent")? {
            config = config.with_user_agent(name).map_err(as_error)?;
        }
        if let Some(span) = self.seconds("connect_timeout_s")? {
            config = config.with_connect_timeout(span).map_err(as_error)?;
        }
        if let Some(span) = self.seconds("attempt_timeout_s")? {
            config = config.with_attempt_timeout(span).map_err(as_error)?;
        }
        if let Some(span) = self.seconds("total_timeout_s")? {
            config = config.with_total_timeout(span).map_err(as_error)?;
        }
        if let Some(pin) = self.text_if("answer_key")? {
            let pin = serde_json::from_value(json!(pin));
            config = config
                .with_answer_key(pin.map_err(|_| Refused::By("serde_json::Error".to_owned()))?);
        }
        Ok(config)
    }
}
