//! Signs calls and answers by RFC 9421 alone, whatever the profile says of them: the way to a bad
//! call whose signature is good. It shares no code with the profile.

use pos_protocol::key::SigningKey;
use pos_protocol::text::base64;
use sha2::{Digest as _, Sha256};

use super::Header;

/// A message in the making. The header fields follow from it, then both can be bent.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) method: String,
    pub(crate) authority: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) content_type: String,
    pub(crate) digest: Option<String>,
    pub(crate) idempotency_key: Option<String>,
    /// The signature of the call that an answer answers, base64.
    pub(crate) call_signature: String,
    pub(crate) label: String,
    /// The covered identifiers, as they stand in the list.
    pub(crate) components: Vec<String>,
    /// Parameter names and serialised values.
    pub(crate) params: Vec<(String, String)>,
    pub(crate) seed: [u8; 32],
}

impl Draft {
    /// The signature base of RFC 9421 section 2.5.
    pub(crate) fn base(&self) -> String {
        let mut base = String::new();
        for identifier in &self.components {
            base += &format!("{identifier}: {}\n", self.value(identifier));
        }
        base + "\"@signature-params\": " + &self.list()
    }

    /// Every header field of the signed message.
    pub(crate) fn headers(&self) -> Vec<Header> {
        let label = &self.label;
        let signature = SigningKey::from_seed(&self.seed).sign(self.base().as_bytes());
        let mut headers = vec![
            header("signature-input", &format!("{label}={}", self.list())),
            header("signature", &format!("{label}=:{}:", base64(signature.octets()))),
        ];
        if !self.body.is_empty() {
            headers.push(header("content-digest", &self.digest()));
            headers.push(header("content-type", &self.content_type));
        }
        if let Some(key) = &self.idempotency_key {
            headers.push(header("idempotency-key", key));
        }
        headers
    }

    /// Leaves out a component that stands in the list.
    pub(crate) fn drop_component(&mut self, identifier: &str) {
        let before = self.components.len();
        self.components.retain(|each| each != identifier);
        assert_ne!(before, self.components.len(), "{identifier} is covered");
    }

    /// Leaves out a parameter that is there.
    pub(crate) fn drop_param(&mut self, name: &str) {
        let before = self.params.len();
        self.params.retain(|(each, _)| each != name);
        assert_ne!(before, self.params.len(), "{name} is there");
    }

    /// Gives a parameter that is there another serialised value.
    pub(crate) fn set_param(&mut self, name: &str, value: &str) {
        let param = self.params.iter_mut().find(|(each, _)| each == name);
        param.expect("the parameter is there").1 = value.to_owned();
    }

    /// Adds a parameter at the end.
    pub(crate) fn add_param(&mut self, name: &str, value: &str) {
        self.params.push((name.to_owned(), value.to_owned()));
    }

    fn list(&self) -> String {
        let mut list = format!("({})", self.components.join(" "));
        for (name, value) in &self.params {
            list += &format!(";{name}={value}");
        }
        list
    }

    fn digest(&self) -> String {
        let computed = || format!("sha-256=:{}:", base64(&Sha256::digest(self.body.as_bytes())));
        self.digest.clone().unwrap_or_else(computed)
    }

    fn value(&self, identifier: &str) -> String {
        match identifier {
            "\"@method\"" => self.method.clone(),
            "\"@authority\"" | "\"host\"" => self.authority.clone(),
            "\"@path\"" => self.path.clone(),
            "\"@query\"" => format!("?{}", self.query),
            "\"@scheme\"" => "https".to_owned(),
            "\"@status\"" => self.status.to_string(),
            "\"content-digest\"" => self.digest(),
            "\"content-type\"" | "\"content-type\";sf" => self.content_type.clone(),
            "\"content-length\"" => self.body.len().to_string(),
            "\"idempotency-key\"" => self.idempotency_key.clone().unwrap_or_default(),
            "\"idempotency-key\";bs" => {
                let key = self.idempotency_key.clone().unwrap_or_default();
                format!(":{}:", base64(key.as_bytes()))
            }
            "\"signature\";req;key=\"pos\"" => format!(":{}:", self.call_signature),
            other => panic!("no vector covers {other}"),
        }
    }
}

pub(crate) fn header(name: &str, value: &str) -> Header {
    Header(name.to_owned(), value.to_owned())
}

/// Changes the value of a header field that is there.
pub(crate) fn edit(headers: &mut [Header], name: &str, change: impl FnOnce(&str) -> String) {
    let header = headers.iter_mut().find(|each| each.0 == name).expect("the field is there");
    header.1 = change(&header.1);
}

/// Changes a piece of a header field's value, which must be in it.
pub(crate) fn replace(headers: &mut [Header], name: &str, from: &str, to: &str) {
    edit(headers, name, |value| {
        assert!(value.contains(from), "{name} contains {from}");
        value.replacen(from, to, 1)
    });
}

/// Removes a header field that is there.
pub(crate) fn remove(headers: &mut Vec<Header>, name: &str) {
    let before = headers.len();
    headers.retain(|each| each.0 != name);
    assert_ne!(before, headers.len(), "the message has {name}");
}
