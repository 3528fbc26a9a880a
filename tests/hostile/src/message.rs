//! A call or an answer as its parts, and as a text that a person can read in a corpus.

use std::time::Duration;

use pos_protocol::Timestamp;
use pos_protocol::key::{PublicKey, SigningKey};
use pos_protocol::sign::call::CallParts;
use pos_protocol::sign::{CONTENT_TYPE, POS_CONNECT, answer, call, header};

/// The parts of a message that the signing profile looks at. Octets, because a stranger sends what
/// he likes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Message {
    /// `POST /v1/payments?query` of a call, `200` of an answer.
    pub start: Vec<u8>,
    /// Header fields, names in lower case, in their order.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Message {
    /// Reads `start`, lines of `name: value`, an empty line, and the body. Takes everything: what has
    /// no colon is a field with an empty value.
    pub fn read(octets: &[u8]) -> Self {
        let mut message = Self::default();
        let mut rest = octets;
        let mut first = true;
        loop {
            let end = rest.iter().position(|octet| *octet == b'\n').unwrap_or(rest.len());
            let (line, after) = (&rest[..end], rest.get(end + 1..).unwrap_or_default());
            rest = after;
            if first {
                message.start = line.to_vec();
                first = false;
            } else if line.is_empty() {
                message.body = rest.to_vec();
                return message;
            } else {
                let colon = line.iter().position(|octet| *octet == b':').unwrap_or(line.len());
                let value = line.get(colon + 1..).unwrap_or_default();
                let value = value.strip_prefix(b" ").unwrap_or(value);
                message.headers.push((line[..colon].to_ascii_lowercase(), value.to_vec()));
            }
        }
    }

    /// The values of a field.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let fields = self.headers.iter().filter(move |(known, _)| known == name.as_bytes());
        fields.map(|(_, value)| value.as_slice())
    }

    /// Gives the first field of this name another value, or adds it.
    pub fn set(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        let found = self.headers.iter_mut().find(|(known, _)| known == name.as_bytes());
        match found {
            Some(field) => field.1 = value.into(),
            None => self.headers.push((name.into(), value.into())),
        }
    }

    /// Method, path and query of a call, where it has them as texts.
    pub fn target(&self) -> Option<(&str, &str, &str)> {
        let (method, target) = std::str::from_utf8(&self.start).ok()?.split_once(' ')?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Some((method, path, query))
    }

    /// What the profile covers of a call that came to `authority`.
    pub fn parts<'a>(&'a self, authority: &'a str) -> Option<CallParts<'a>> {
        let (method, path, query) = self.target()?;
        // As the server reads it: what is no text is an empty one.
        let key = self.values("idempotency-key").next();
        let idempotency_key = key.map(|key| std::str::from_utf8(key).unwrap_or_default());
        Some(CallParts { method, authority, path, query, body: &self.body, idempotency_key })
    }

    /// The fields of a call.
    pub fn call(&self) -> call::Received<'_> {
        call::Received::read(|name| self.values(name))
    }

    /// The fields of an answer.
    pub fn answer(&self) -> answer::Received<'_> {
        answer::Received::read(|name| self.values(name))
    }

    /// The same without controls, which cannot stand in a head of HTTP.
    #[must_use]
    pub fn plain(mut self) -> Self {
        self.start.retain(|octet| !octet.is_ascii_control());
        for (_, value) in &mut self.headers {
            value.retain(|octet| !octet.is_ascii_control());
        }
        self
    }

    /// The call as HTTP/1.1. Make it [`plain`](Self::plain) before, or it may be none.
    pub fn written(&self, host: &str) -> Vec<u8> {
        let mut octets = self.start.clone();
        octets.extend_from_slice(format!(" HTTP/1.1\r\nhost: {host}\r\n").as_bytes());
        for (name, value) in &self.headers {
            octets.extend_from_slice(name);
            octets.extend_from_slice(b": ");
            octets.extend_from_slice(value);
            octets.extend_from_slice(b"\r\n");
        }
        octets.extend_from_slice(format!("content-length: {}\r\n\r\n", self.body.len()).as_bytes());
        octets.extend_from_slice(&self.body);
        octets
    }

    /// Whether it is a call that the server would take for signed by `key`, whatever the time.
    pub fn is_proved(&self, authority: &str, key: &PublicKey) -> bool {
        let claimed = call::parse(&POS_CONNECT, &self.call());
        let parts = self.parts(authority);
        claimed.is_ok_and(|claimed| parts.is_some_and(|parts| claimed.verify(&parts, key).is_ok()))
    }
}

/// A call before it is signed.
#[derive(Clone, Debug)]
pub struct Unsigned {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The body's octets.
    pub body: Vec<u8>,
    /// The idempotency key.
    pub key: Option<String>,
}

impl Unsigned {
    /// The call, signed; none where the profile cannot sign it.
    pub fn signed(
        &self,
        key: &SigningKey,
        authority: &str,
        created: Timestamp,
        life: Duration,
    ) -> Option<Message> {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let parts = CallParts {
            method: &self.method,
            authority,
            path,
            query,
            body: &self.body,
            idempotency_key: self.key.as_deref(),
        };
        let (expires, id) = (created.plus(life), key.public().id());
        let unsigned = call::Unsigned::new(&POS_CONNECT, &parts, created, expires, id).ok()?;
        let signature = key.sign(unsigned.base());
        let made = unsigned.into_headers(&signature);
        let start = format!("{} {}", self.method, self.target).into();
        let mut message = Message { start, headers: Vec::new(), body: self.body.clone() };
        message.set(header::SIGNATURE_INPUT, made.signature_input);
        message.set(header::SIGNATURE, made.signature);
        if let Some(digest) = made.content_digest {
            message.set(header::CONTENT_DIGEST, digest);
            message.set(header::CONTENT_TYPE, CONTENT_TYPE);
        }
        if let Some(key) = &self.key {
            message.set(header::IDEMPOTENCY_KEY, key.clone());
        }
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_from_a_text() {
        let read = Message::read(b"GET /a?b\nX-One: 1\nnone\n\nbody\n\nmore");
        assert_eq!(read.target(), Some(("GET", "/a", "b")));
        assert_eq!(read.headers[0], (b"x-one".to_vec(), b"1".to_vec()));
        assert_eq!(read.headers[1], (b"none".to_vec(), Vec::new()));
        assert_eq!(read.body, b"body\n\nmore");
        assert_eq!(Message::read(b""), Message::default());
    }
}
