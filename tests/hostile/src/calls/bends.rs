//! Ways to bend a signed call.

use pos_protocol::sign::{content_digest, header};
use pos_protocol::text::base64;

use super::word;
use crate::draw::Draw;
use crate::message::Message;

/// Bends a call in one way. What comes out may be the same call, or another that was signed.
pub(super) fn bend(draw: &mut Draw, message: &mut Message, others: &[Message]) {
    match draw.below(12) {
        0 | 1 => flip(draw, message),
        2 => edit(draw, message),
        3 => times(draw, message),
        4 => components(draw, message),
        5 => parameters(draw, message),
        6 => field(draw, message, others),
        7 => splice(draw, message, others),
        8 => other_body(draw, message),
        9 => signature(draw, message),
        10 => path(draw, message),
        _ => idempotency_key(draw, message),
    }
}

/// One of the octet strings of a call.
fn part<'a>(draw: &mut Draw, message: &'a mut Message) -> &'a mut Vec<u8> {
    match draw.below(message.headers.len() + 2) {
        0 => &mut message.start,
        1 => &mut message.body,
        at => &mut message.headers[at - 2].1,
    }
}

fn flip(draw: &mut Draw, message: &mut Message) {
    let part = part(draw, message);
    if !part.is_empty() {
        let at = draw.below(part.len());
        part[at] ^= 1 << draw.below(8);
    }
}

/// Replaces, removes, doubles or adds a piece.
fn edit(draw: &mut Draw, message: &mut Message) {
    const PIECES: [&[u8]; 10] =
        [b" ", b"\t", b",", b";", b"\"", b":", b"=", b"\0", b"\xc3\xa9", b"pos=:AAAA:"];
    let part = part(draw, message);
    let from = draw.below(part.len() + 1);
    let until = (from + draw.below(4)).min(part.len());
    let piece = match draw.below(4) {
        0 => Vec::new(),
        1 => part[from..until].repeat(2),
        2 => draw.one_of(&PIECES).to_vec(),
        _ => draw.octets(3),
    };
    part.splice(from..until, piece);
}

/// The values of `Signature-Input` as a text.
fn input(message: &Message) -> String {
    let value = message.values(header::SIGNATURE_INPUT).next().unwrap_or_default();
    String::from_utf8_lossy(value).into_owned()
}

fn times(draw: &mut Draw, message: &mut Message) {
    let text = input(message);
    let name = *draw.one_of(&["created=", "expires="]);
    let Some(at) = text.find(name).map(|at| at + name.len()) else { return };
    let end = text[at..].find(|c: char| !c.is_ascii_digit()).map_or(text.len(), |end| at + end);
    let number: u64 = text[at..end].parse().unwrap_or_default();
    let step = 1 + u64::try_from(draw.below(20)).unwrap_or(0);
    let other = match draw.below(5) {
        0 => number.wrapping_add(step).to_string(),
        1 => number.wrapping_sub(step).to_string(),
        2 => format!("0{number}"),
        3 => format!("{number}.0"),
        _ => format!("-{number}"),
    };
    message.set(header::SIGNATURE_INPUT, format!("{}{other}{}", &text[..at], &text[end..]));
}

/// Another list of what is covered.
fn components(draw: &mut Draw, message: &mut Message) {
    let text = input(message);
    let Some((before, rest)) = text.split_once('(') else { return };
    let Some((list, after)) = rest.split_once(')') else { return };
    let mut list: Vec<&str> = list.split(' ').collect();
    let at = draw.below(list.len());
    match draw.below(4) {
        0 => drop(list.remove(at)),
        1 => list.insert(at, list[at]),
        2 => {
            let other = draw.below(list.len());
            list.swap(at, other);
        }
        _ => list.insert(
            at,
            *draw.one_of(&[
                "\"@scheme\"",
                "\"host\"",
                "\"date\"",
                "\"@path\";req",
                "\"content-digest\"",
            ]),
        ),
    }
    message.set(header::SIGNATURE_INPUT, format!("{before}({}){after}", list.join(" ")));
}

/// Other parameters, another label, another tag.
fn parameters(draw: &mut Draw, message: &mut Message) {
    let text = input(message);
    let Some((list, parameters)) = text.split_once(')') else { return };
    let mut parameters: Vec<String> = parameters.split(';').skip(1).map(str::to_owned).collect();
    if parameters.is_empty() {
        return;
    }
    let (at, other) = (draw.below(parameters.len()), draw.below(parameters.len()));
    let mut list = list.to_owned();
    match draw.below(7) {
        0 => drop(parameters.remove(at)),
        1 => parameters.insert(at, parameters[other].clone()),
        2 => parameters.swap(at, other),
        3 => parameters
            .insert(at, (*draw.one_of(&["alg=\"ed25519\"", "nonce=\"a\"", "x"])).to_owned()),
        4 => list = list.replacen("pos=", label(draw), 1),
        5 => {
            let tags = ["pos-institution/1", "pos-connect/1-answer", "pos-connect/2", ""];
            let tag = format!("tag=\"{}\"", draw.one_of(&tags));
            parameters[at] = tag;
        }
        _ => parameters[at] = format!("keyid=\"{}\"", word(draw)),
    }
    message.set(header::SIGNATURE_INPUT, format!("{list});{}", parameters.join(";")));
}

fn label(draw: &mut Draw) -> &'static str {
    const LABELS: [&str; 4] = ["sig=", "pos =", "POS=", "pos-answer="];
    LABELS[draw.below(4)]
}

/// A field that is gone, doubled, another call's, or in two halves.
fn field(draw: &mut Draw, message: &mut Message, others: &[Message]) {
    if message.headers.is_empty() {
        return;
    }
    let at = draw.below(message.headers.len());
    let (name, value) = message.headers[at].clone();
    let name = String::from_utf8_lossy(&name).into_owned();
    match draw.below(4) {
        0 => drop(message.headers.remove(at)),
        1 => message.headers.insert(at, (name.into(), value)),
        2 => {
            let other = draw.one_of(others).values(&name).next().map(<[u8]>::to_vec);
            message.set(&name, other.unwrap_or_default());
        }
        _ => {
            let half = value.len() / 2;
            message.headers[at].1.truncate(half);
            message.headers.insert(at + 1, (name.into(), value[half..].to_vec()));
        }
    }
}

/// Pieces of another call that was signed.
fn splice(draw: &mut Draw, message: &mut Message, others: &[Message]) {
    let other = draw.one_of(others).clone();
    match draw.below(4) {
        0 => message.start = other.start,
        1 => message.body = other.body,
        2 => message.headers = other.headers,
        _ => {
            for name in [header::SIGNATURE, header::SIGNATURE_INPUT] {
                if let Some(value) = other.values(name).next() {
                    message.set(name, value);
                }
            }
        }
    }
}

/// Another body under its own digest.
fn other_body(draw: &mut Draw, message: &mut Message) {
    match draw.below(3) {
        0 => message.body.push(b' '),
        1 => {
            let text = String::from_utf8_lossy(&message.body).replacen('1', "9", 1);
            message.body = text.into();
        }
        _ => message.body = draw.octets(40),
    }
    message.set(header::CONTENT_DIGEST, content_digest(&message.body));
    message.set(header::CONTENT_TYPE, "application/json");
}

/// The order of the group of Ed25519, least octet first (RFC 8032 section 5.1).
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// Signatures that a lax verifier might take.
fn signature(draw: &mut Draw, message: &mut Message) {
    use pos_protocol::sign::POS_CONNECT;

    let Some(given) = message.call().well_formed_signature(&POS_CONNECT) else { return };
    let mut octets = *given.octets();
    match draw.below(8) {
        // s + L is the same number modulo the group's order: a second spelling.
        0 => add(&mut octets[32..], &ORDER),
        1 => octets = [0; 64],
        2 => octets = [0xff; 64],
        // The neutral element as R, and s = 0.
        3 => {
            octets = [0; 64];
            octets[0] = 1;
        }
        4 => octets.reverse(),
        5 => octets.rotate_left(32),
        6 => octets[31] ^= 0x80,
        _ => octets.copy_from_slice(&[draw.octet(); 64]),
    }
    let text = base64(&octets);
    let value = match draw.below(5) {
        0 => format!("pos=:{}:", text.trim_end_matches('=')),
        1 => format!("pos=:{}:", text.replace('+', "-").replace('/', "_")),
        2 => format!("pos=:{}:;alg=\"ed25519\"", base64(given.octets())),
        _ => format!("pos=:{text}:"),
    };
    message.set(header::SIGNATURE, value);
}

fn add(into: &mut [u8], more: &[u8; 32]) {
    let mut carry = 0_u16;
    for (octet, more) in into.iter_mut().zip(more) {
        carry += u16::from(*octet) + u16::from(*more);
        let [low, high] = carry.to_le_bytes();
        *octet = low;
        carry = high.into();
    }
}

/// Other spellings of what a lax reader takes for the same address, and other addresses.
fn path(draw: &mut Draw, message: &mut Message) {
    let text = String::from_utf8_lossy(&message.start).into_owned();
    let Some((method, target)) = text.split_once(' ') else { return };
    let at = 1 + draw.below(target.len().max(2) - 1);
    let at = (at..target.len()).find(|at| target.is_char_boundary(*at)).unwrap_or(target.len());
    let (before, after) = target.split_at(at);
    let target = match draw.below(9) {
        0 => format!("{before}/{after}"),
        1 => format!("{before}/.{after}"),
        2 => format!("{before}%2e{after}"),
        3 => format!("{target}/"),
        4 => format!("{target}?"),
        5 => format!("{target}&a=b"),
        6 => target.to_uppercase(),
        7 => format!("{before}?{after}"),
        _ => match after.as_bytes().first() {
            Some(octet) if octet.is_ascii() => format!("{before}%{octet:02X}{}", &after[1..]),
            _ => format!("{target};a"),
        },
    };
    let method =
        if draw.once_in(3) { *draw.one_of(&["PUT", "post", "GET", "POST"]) } else { method };
    message.start = format!("{method} {target}").into();
}

fn idempotency_key(draw: &mut Draw, message: &mut Message) {
    let value = message.values(header::IDEMPOTENCY_KEY).next();
    let value = String::from_utf8_lossy(value.unwrap_or(b"order-000123-refund-1")).into_owned();
    let other = match draw.below(5) {
        0 => value.to_uppercase(),
        1 => format!("{value}, {value}"),
        2 => format!("\"{value}\""),
        3 => word(draw),
        _ => format!("{value}0"),
    };
    message.set(header::IDEMPOTENCY_KEY, other);
}
