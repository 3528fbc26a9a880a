//! From the protocol's JSON to the module's types, as a Rust shop reads what it gets from elsewhere.

use std::any::type_name;
use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pos_connect::env::Task;
use pos_connect::keys::{Change, KeyStore, KeyStoreError, MemoryKeyStore, StoredKeys};
use pos_connect::wire::{MailLanguage, MailSettings, SetNoticesRequest, SetWebhook};
use pos_connect::{Amount, Binding, HistoryQuery, Instrument, Money, Order};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// Why there is no argument.
pub(crate) enum Refused {
    /// An error of this type.
    By(String),
    /// Rust has no such value.
    Untold(&'static str),
}

/// The error type's own name.
pub(crate) fn class_of<E>(_: E) -> Refused {
    let path = type_name::<E>();
    Refused::By(path.rsplit("::").next().unwrap_or(path).to_owned())
}

/// Arguments or fields, by name.
#[derive(Clone, Copy)]
pub(crate) struct Arguments<'a>(pub(crate) &'a Map<String, Value>);

impl<'a> Arguments<'a> {
    fn value(self, name: &str) -> Result<&'a Value, Refused> {
        let value = self.0.get(name).ok_or(Refused::Untold("a missing field does not compile"))?;
        if value.get("odd").is_some_and(|odd| odd != "megabyte" && odd != "two_to_63") {
            return Err(Refused::Untold("a value of a wrong type does not compile"));
        }
        Ok(value)
    }

    /// The same where it may be none or left out.
    fn value_if(self, name: &str) -> Result<Option<&'a Value>, Refused> {
        if self.0.get(name).is_none_or(Value::is_null) {
            return Ok(None);
        }
        self.value(name).map(Some)
    }

    pub(crate) fn text(self, name: &str) -> Result<String, Refused> {
        match self.value(name)? {
            Value::String(text) => Ok(text.clone()),
            value if value.get("odd").is_some_and(|odd| odd == "megabyte") => {
                Ok("x".repeat(1 << 20))
            }
            _ => Err(Refused::Untold("a value of a wrong type does not compile")),
        }
    }

    pub(crate) fn text_if(self, name: &str) -> Result<Option<String>, Refused> {
        self.value_if(name)?.map(|_| self.text(name)).transpose()
    }

    pub(crate) fn parsed<T: FromStr>(self, name: &str) -> Result<T, Refused> {
        self.text(name)?.parse().map_err(class_of)
    }

    pub(crate) fn parsed_if<T: FromStr>(self, name: &str) -> Result<Option<T>, Refused> {
        self.value_if(name)?.map(|_| self.parsed(name)).transpose()
    }

    pub(crate) fn number<T: TryFrom<u64>>(self, name: &str) -> Result<T, Refused> {
        let value = self.value(name)?;
        let odd = || value.get("odd").is_some_and(|odd| odd == "two_to_63").then_some(1 << 63);
        let number = value.as_u64().or_else(odd);
        number
            .and_then(|number| T::try_from(number).ok())
            .ok_or(Refused::Untold("a value of a wrong type does not compile"))
    }

    pub(crate) fn seconds(self, name: &str) -> Result<Option<Duration>, Refused> {
        self.value_if(name)?.map(|_| self.number(name).map(Duration::from_secs)).transpose()
    }

    /// The word of an enum, if there is one.
    pub(crate) fn word(self, name: &str) -> Result<Option<&'a str>, Refused> {
        let word = self.value_if(name)?.map(|value| value["value"].as_str());
        word.map(|word| word.ok_or(Refused::Untold("an enum has no such word"))).transpose()
    }

    pub(crate) fn kept(self, name: &str) -> Result<&'a str, Refused> {
        let kept = self.value(name)?["kept"].as_str();
        kept.ok_or(Refused::Untold("a value of a wrong type does not compile"))
    }

    /// The fields of a record or variant.
    pub(crate) fn record(self, name: &str) -> Result<Self, Refused> {
        let fields = self.value(name)?["fields"].as_object();
        fields.map(Self).ok_or(Refused::Untold("a value of a wrong type does not compile"))
    }

    pub(crate) fn octets(self, name: &str) -> Result<Vec<u8>, Refused> {
        let text = self.value(name)?["octets"].as_str().unwrap_or_default();
        STANDARD.decode(text).map_err(|_| Refused::Untold("octets travel in base64"))
    }

    pub(crate) fn headers(self, name: &str) -> Result<HashMap<String, Vec<String>>, Refused> {
        serde_json::from_value(self.value(name)?.clone())
            .map_err(|_| Refused::Untold("headers are lists of texts by name"))
    }

    pub(crate) fn json_text<T: DeserializeOwned>(self, name: &str) -> Result<T, Refused> {
        pos_connect::wire::read_body(self.text(name)?.as_bytes()).map_err(class_of)
    }

    pub(crate) fn money(self) -> Result<Money, Refused> {
        let amount = Amount::new(self.number("amount")?).map_err(class_of)?;
        Ok(Money { amount, currency: self.parsed("currency")? })
    }

    pub(crate) fn order(self) -> Result<Order, Refused> {
        let order = Order::new(
            self.parsed("contract_id")?,
            self.parsed("order_id")?,
            self.money()?,
            self.json_text("envelope")?,
        );
        let allow_partial = self.0.get("allow_partial").is_some_and(|value| *value == true);
        Ok(Order { allow_partial, ..order })
    }

    pub(crate) fn binding(self) -> Result<Binding, Refused> {
        let operation = match self.word("operation")? {
            Some("sale") => pos_connect::SealedOperation::Sale,
            Some("authorise") => pos_connect::SealedOperation::Authorise,
            Some("check") => pos_connect::SealedOperation::Check,
            _ => return Err(Refused::Untold("an enum has no such word")),
        };
        Ok(Binding {
            institution: self.parsed("institution")?,
            contract_number: self.parsed("contract_number")?,
            operation,
            order_id: self.parsed("order_id")?,
            money: self.money()?,
        })
    }

    pub(crate) fn query(self) -> Result<HistoryQuery, Refused> {
        Ok(HistoryQuery {
            after: self.parsed_if("after")?,
            limit: self.value_if("limit")?.map(|_| self.number("limit")).transpose()?,
            pos_id: self.parsed_if("pos_id")?,
        })
    }

    /// Where the shop is told from now on.
    pub(crate) fn notices(self) -> Result<SetNoticesRequest, Refused> {
        let language = match self.word("mail_language")? {
            Some("japanese") => MailLanguage::Japanese,
            _ => MailLanguage::English,
        };
        let mail = self.parsed_if("mail_address")?;
        let new_key = self.0.get("new_webhook_key").is_some_and(|value| *value == true);
        Ok(SetNoticesRequest {
            mail: mail.map(|address| MailSettings { address, language: language.into() }),
            webhook: self.text_if("webhook_url")?.map(|url| SetWebhook { url, new_key }),
        })
    }

    /// A body of the wire that is read as such: its names are those of the surface.
    pub(crate) fn body<T: DeserializeOwned>(self) -> Result<T, Refused> {
        let mut fields = self.0.clone();
        fields.retain(|_, value| !value.is_null());
        if let Some(envelope) = fields.get_mut("envelope") {
            *envelope = self.json_text("envelope")?;
        }
        let body = Value::Object(fields).to_string();
        pos_connect::wire::read_body(body.as_bytes()).map_err(class_of)
    }

    /// The JSON of what is sealed has the names of the surface, and a `type`.
    pub(crate) fn instrument(self, name: &str) -> Result<Instrument, Refused> {
        let variant = self.value(name)?["variant"].as_str().unwrap_or_default();
        let kind = variant.strip_prefix("Instrument.").unwrap_or_default();
        let mut fields = self.record(name)?.0.clone();
        fields.retain(|_, value| !value.is_null());
        if let Some(word) = fields.get_mut("kind") {
            *word = word["value"].clone();
        }
        fields.insert("type".into(), json!(kind));
        Instrument::from_json(Value::Object(fields).to_string().as_bytes()).map_err(class_of)
    }

    /// A host's key storage.
    pub(crate) fn storage(self, name: &str) -> Result<Arc<dyn KeyStore>, Refused> {
        let value = self.value(name)?;
        if value["storage"] != "memory" {
            let why = value["text"].as_str().unwrap_or_default().to_owned();
            return Ok(Arc::new(Raises(why)));
        }
        let Some(text) = value["text"].as_str() else {
            return Ok(Arc::new(MemoryKeyStore::default()));
        };
        match serde_json::from_str(text) {
            Ok(keys) => Ok(Arc::new(MemoryKeyStore::holding(keys))),
            Err(cause) => Ok(Arc::new(Raises(format!("it holds no keys: {cause}")))),
        }
    }
}

/// A storage that cannot be read.
struct Raises(String);

impl Raises {
    fn raise<T: Send + 'static>(&self) -> Task<'_, Result<T, KeyStoreError>> {
        let cause = KeyStoreError::Host(self.0.clone().into());
        Box::pin(async { Err(cause) })
    }
}

impl KeyStore for Raises {
    fn load(&self) -> Task<'_, Result<Option<StoredKeys>, KeyStoreError>> {
        self.raise()
    }

    fn create(&self, _: StoredKeys) -> Task<'_, Result<(), KeyStoreError>> {
        self.raise()
    }

    fn change(&self, _: Change) -> Task<'_, Result<StoredKeys, KeyStoreError>> {
        self.raise()
    }

    fn remove(&self) -> Task<'_, Result<(), KeyStoreError>> {
        self.raise()
    }
}
