//! Requests that no client would send: signed ones whose body or address is none of the protocol's, and
//! octets that are hardly HTTP.

use pos_protocol::sign::header;
use serde_json::{Map, Value, json};

use super::calls::word;
use crate::draw::Draw;
use crate::message::{Message, Unsigned};

/// A call that would be good.
#[derive(Clone, Debug)]
pub struct Template {
    /// `GET` or `POST`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The body; `null` for none.
    pub body: Value,
    /// Whether it takes an idempotency key.
    pub keyed: bool,
}

/// What goes on the line.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its octets.
    pub octets: Vec<u8>,
    /// Whether it is whole HTTP, so that an answer comes while the line stays open. The others need a line
    /// of their own, whose sending half is closed behind them.
    pub is_whole: bool,
}

/// Makes requests from templates.
#[derive(Debug)]
pub struct Maker<S> {
    templates: Vec<Template>,
    host: String,
    sign: S,
}

impl<S: Fn(&mut Draw, &Unsigned) -> Option<Message>> Maker<S> {
    /// `sign` signs what the profile can sign, as a shop of the server.
    pub const fn new(templates: Vec<Template>, host: String, sign: S) -> Self {
        Self { templates, host, sign }
    }

    /// The next request.
    pub fn next(&self, draw: &mut Draw) -> Request {
        if draw.once_in(40) {
            return Request { octets: self.no_http(draw), is_whole: false };
        }
        let template = draw.one_of(&self.templates).clone();
        let call = bent(draw, template);
        let message = (self.sign)(draw, &call).unwrap_or_else(|| unsigned(&call));
        let message = if draw.once_in(4) { odd_fields(draw, message) } else { message };
        Request { octets: message.plain().written(&self.host), is_whole: true }
    }

    /// Octets that HTTP refuses, waits for in vain, or reads in a way of its own.
    fn no_http(&self, draw: &mut Draw) -> Vec<u8> {
        let host = &self.host;
        let long = "a".repeat(1 + draw.below(40_000));
        let many = "x: 1\r\n".repeat(draw.below(400));
        let noise = String::from_utf8_lossy(&draw.octets(300)).into_owned();
        if draw.once_in(16) {
            return draw.octets(600);
        }
        match 1 + draw.below(15) {
            1 => format!("GET /{long} HTTP/1.1\r\nhost: {host}\r\n\r\n"),
            2 => format!("GET /v1/keys HTTP/1.1\r\nhost: {host}\r\nx: {long}\r\n\r\n"),
            3 => format!("GET /v1/keys HTTP/1.1\r\nhost: {host}\r\n{many}\r\n"),
            4 => format!("POST /v1/quotes HTTP/1.1\r\nhost: {host}\r\ncontent-length: 5\r\n\r\n{{}}"),
            5 => format!(
                "POST /v1/quotes HTTP/1.1\r\nhost: {host}\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{{}}"
            ),
            6 => format!("POST /v1/quotes HTTP/1.1\r\nhost: {host}\r\ncontent-length: -1\r\n\r\n"),
            7 => format!(
                "POST /v1/quotes HTTP/1.1\r\nhost: {host}\r\ntransfer-encoding: chunked\r\n\r\n{noise}\r\n"
            ),
            8 => format!(
                "POST /v1/quotes HTTP/1.1\r\nhost: {host}\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n\
                 2\r\n{{}}\r\n0\r\n\r\nGET /v1/keys HTTP/1.1\r\n\r\n"
            ),
            9 => "GET /v1/keys\r\n\r\n".to_owned(),
            10 => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_owned(),
            11 => format!("CONNECT {host} HTTP/1.1\r\nhost: {host}\r\n\r\n{noise}"),
            12 => format!("GET http://{host}/v1/keys HTTP/1.1\r\nhost: other\r\nhost: {host}\r\n\r\n"),
            13 => format!("GET /v1/keys HTTP/1.1\nhost: {host}\nno colon here\n\n"),
            14 => format!("GET /v1/keys HTTP/1.1\r\nhost: {host}\r\nx: \0{noise}\r\n y: folded\r\n\r\n"),
            _ => format!(
                "POST /v1/quotes HTTP/1.1\r\nhost: {host}\r\nexpect: 100-continue\r\ncontent-length: 70000\r\n\r\n{long}"
            ),
        }
        .into()
    }
}

/// The call with something wrong in it; now and then with nothing.
fn bent(draw: &mut Draw, template: Template) -> Unsigned {
    let Template { mut method, mut target, mut body, keyed } = template;
    let mut key = keyed.then(|| format!("hostile-{:016x}", draw.bits()));
    let mut octets = None;
    match draw.below(10) {
        0..=4 => {
            for _ in 0..=draw.below(3) {
                bend_value(draw, &mut body, 0);
            }
        }
        5 => octets = Some(bend_text(draw, &body.to_string())),
        6 | 7 => target = bend_target(draw, &target),
        8 => {
            method = (*draw.one_of(&["PUT", "DELETE", "PATCH", "OPTIONS", "GET", "POST", "X"]))
                .to_owned()
        }
        _ => {
            key = match draw.below(4) {
                0 => None,
                1 => Some("short".to_owned()),
                2 => Some("k".repeat(draw.below(3_000))),
                _ => Some(word(draw)),
            }
        }
    }
    let body =
        octets.unwrap_or_else(|| if body.is_null() { Vec::new() } else { body.to_string().into() });
    Unsigned { method, target, body, key }
}

/// Something that a member could be given.
fn odd_value(draw: &mut Draw) -> Value {
    match draw.below(16) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!(0),
        4 => json!(u64::MAX),
        5 => json!(1.5),
        6 => json!(i64::MIN),
        7 => json!([]),
        8 => json!({}),
        9 => json!(""),
        10 => json!("\u{0}\u{202e}\u{1f600}"),
        11 => json!("a".repeat(draw.below(9_000))),
        12 => json!("4111111111111111"),
        13 => json!("JPY"),
        14 => (0..draw.below(60)).fold(json!(1), |inner, _| json!([inner])),
        _ => json!(word(draw)),
    }
}

/// Changes one member, somewhere.
fn bend_value(draw: &mut Draw, value: &mut Value, depth: usize) {
    match value {
        Value::Object(members) if !members.is_empty() && depth < 4 => {
            bend_member(draw, members, depth)
        }
        Value::String(text) if draw.once_in(2) => {
            let bent = bend_text(draw, text);
            *text = String::from_utf8_lossy(&bent).into_owned();
        }
        Value::Number(number) if draw.once_in(2) => {
            let near = number.as_u64().unwrap_or_default();
            *value = json!(near.wrapping_add(1_u64.rotate_right(u32::from(draw.octet()) % 64)));
        }
        other => *other = odd_value(draw),
    }
}

fn bend_member(draw: &mut Draw, members: &mut Map<String, Value>, depth: usize) {
    let names: Vec<String> = members.keys().cloned().collect();
    let name = draw.one_of(&names).clone();
    match draw.below(8) {
        0 => drop(members.remove(&name)),
        1 => drop(members.insert(word(draw), odd_value(draw))),
        2 => {
            let other = members.get(draw.one_of(&names)).cloned();
            members.insert(name, other.unwrap_or_default());
        }
        _ => {
            if let Some(value) = members.get_mut(&name) {
                bend_value(draw, value, depth + 1);
            }
        }
    }
}

fn bend_text(draw: &mut Draw, text: &str) -> Vec<u8> {
    let mut octets = text.as_bytes().to_vec();
    for _ in 0..=draw.below(3) {
        let from = draw.below(octets.len() + 1);
        let until = (from + draw.below(5)).min(octets.len());
        let piece = match draw.below(6) {
            0 => Vec::new(),
            1 => octets[from..until].repeat(3),
            2 => b"[".repeat(draw.below(5_000)),
            3 => draw
                .one_of(&[&b","[..], b"\"", b"}", b"{}", b"\xff\xfe", b"\\u0000", b"e999"])
                .to_vec(),
            4 => b"\xef\xbb\xbf".to_vec(),
            _ => draw.octets(4),
        };
        octets.splice(from..until, piece);
    }
    octets
}

fn bend_target(draw: &mut Draw, target: &str) -> String {
    let parts: Vec<&str> = target.split('/').collect();
    let at = draw.below(parts.len());
    let odd = match draw.below(9) {
        0 => String::new(),
        1 => "..".to_owned(),
        2 => "%00".to_owned(),
        3 => "%zz%".to_owned(),
        4 => "%e6%97%a5%ff".to_owned(),
        5 => "a".repeat(draw.below(4_000)),
        6 => word(draw),
        7 => format!("{}?{}={}&limit={}", parts[at], word(draw), word(draw), draw.bits()),
        _ => format!("{}?pos=%00&after&limit=-1&pos={}", parts[at], word(draw)),
    };
    let bent: Vec<_> =
        parts.iter().enumerate().map(|(i, part)| if i == at { &odd } else { *part }).collect();
    let bent = bent.join("/");
    if bent.starts_with('/') { bent } else { format!("/{bent}") }
}

fn unsigned(call: &Unsigned) -> Message {
    let start = format!("{} {}", call.method, call.target).into();
    let mut message = Message { start, headers: Vec::new(), body: call.body.clone() };
    message.set(header::CONTENT_TYPE, "application/json");
    if let Some(key) = &call.key {
        message.set(header::IDEMPOTENCY_KEY, key.clone());
    }
    message
}

/// Fields that are wrong, doubled or strange.
fn odd_fields(draw: &mut Draw, mut message: Message) -> Message {
    let names = [
        header::SIGNATURE,
        header::SIGNATURE_INPUT,
        header::CONTENT_DIGEST,
        header::CONTENT_TYPE,
        header::IDEMPOTENCY_KEY,
        "content-encoding",
        "origin",
        "accept",
        "x-forwarded-host",
        "authorization",
        "cookie",
        "access-control-request-method",
        "range",
        "if-match",
    ];
    for _ in 0..=draw.below(3) {
        let name = *draw.one_of(&names);
        let value = match draw.below(6) {
            0 => Vec::new(),
            1 => b"gzip".to_vec(),
            2 => vec![0xe9; draw.below(2_000)],
            3 => b"null".to_vec(),
            4 => b"pos=(\"@method\");created=1".to_vec(),
            _ => word(draw).into(),
        };
        match draw.below(3) {
            0 => message.headers.retain(|(known, _)| known != name.as_bytes()),
            1 => message.set(name, value),
            _ => message.headers.push((name.into(), value)),
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_requests_and_another_seed_others() {
        let template = Template {
            method: "POST".into(),
            target: "/v1/payments/pay_1/captures".into(),
            body: json!({ "amount": 1, "currency": "JPY" }),
            keyed: true,
        };
        let maker =
            Maker::new(vec![template], "pos.example".into(), |_: &mut Draw, _: &Unsigned| None);
        let made = |seed| {
            let mut draw = Draw::new(seed);
            (0..200).map(|_| maker.next(&mut draw).octets).collect::<Vec<_>>()
        };
        assert_eq!(made(1), made(1));
        assert_ne!(made(1), made(2));
        let whole =
            made(1).iter().filter(|one| one.starts_with(b"POST /v1/payments/pay_1/")).count();
        assert!(whole > 100, "{whole}");
    }
}
