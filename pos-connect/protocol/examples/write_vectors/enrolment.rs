//! `enrolment.json`: codes as printed and as typed, the enrolment key, and the two proofs.

use pos_protocol::enrolment::{EnrolmentCode, key_roll_proof, registration_proof};
use pos_protocol::id::UserId;
use pos_protocol::key::SigningKey;
use pos_protocol::text::base64url;
use serde_json::{Value, json};

use super::signatures::{ANSWER, MODULE, STRANGER};

pub(crate) fn all() -> Value {
    let secret: [u8; 16] = std::array::from_fn(|at| u8::try_from(at).unwrap_or_default());
    json!({
        "about": "Enrolment codes and proofs: docs/PROTOCOL.md. `typed` are spellings of the \
            first code that must be read as it; `refused` must not be read, with the error.",
        "codes": [code(secret), code([0; 16]), code([0xff; 16])],
        "typed": typed(secret),
        "refused": refused(secret),
        "registration": registration(secret),
        "key_roll": key_roll(),
    })
}

fn code(secret: [u8; 16]) -> Value {
    let answer_key = SigningKey::from_seed(&ANSWER).public();
    let code = EnrolmentCode::new(secret, &answer_key);
    let key = code.enrolment_key();
    json!({
        "secret": base64url(&secret),
        "answer_key": answer_key,
        "fingerprint": code.answer_key(),
        "printed": code.printed().expose(),
        "enrolment_key_seed": base64url(&*key.seed()),
        "enrolment_key": key.public(),
    })
}

fn printed(secret: [u8; 16]) -> String {
    let answer_key = SigningKey::from_seed(&ANSWER).public();
    EnrolmentCode::new(secret, &answer_key).printed().expose().to_owned()
}

fn typed(secret: [u8; 16]) -> Value {
    let printed = printed(secret);
    let wide = |text: &str| {
        let widen = |c: char| char::from_u32(u32::from(c).saturating_add(0xfee0)).unwrap_or(c);
        text.chars().map(widen).collect::<String>()
    };
    json!([
        printed,
        printed.to_uppercase(),
        printed.replace('-', ""),
        printed.replace('-', " "),
        format!("  {}\n", printed.replace('-', " - ")),
        printed.replace('-', "\u{2212}"),
        printed.replace('0', "o").replace('1', "l"),
        printed.replace('0', "O").replace('1', "I"),
        wide(&printed),
    ])
}

fn refused(secret: [u8; 16]) -> Value {
    let printed = printed(secret);
    let mut short = printed.clone();
    short.pop();
    let swapped = {
        let mut groups: Vec<&str> = printed.split('-').collect();
        groups.swap(4, 5);
        groups.join("-")
    };
    let replaced = |at: usize, with: &str| {
        let mut text = printed.clone();
        text.replace_range(at..=at, with);
        text
    };
    json!([
        { "text": "", "error": "length" },
        { "text": short, "error": "length" },
        { "text": format!("{printed}0"), "error": "length" },
        { "text": replaced(3, "z"), "error": "check" },
        { "text": replaced(68, "z"), "error": "check" },
        { "text": swapped, "error": "check" },
        { "text": replaced(3, "u"), "error": "character" },
        { "text": replaced(3, "é"), "error": "character" },
    ])
}

fn registration(secret: [u8; 16]) -> Value {
    let user_id: UserId = "usr_06fpc9v3r0e4k7m2n8q1s5t9wx".parse().expect("the id is canonical");
    let module_key = SigningKey::from_seed(&MODULE).public();
    let code = EnrolmentCode::new(secret, &SigningKey::from_seed(&ANSWER).public());
    let octets = registration_proof(&user_id, &module_key);
    json!({
        "user_id": user_id,
        "module_key": module_key,
        "octets": base64url(&octets),
        "enrolment_key": code.enrolment_key().public(),
        "signature": code.enrolment_key().sign(&octets),
    })
}

fn key_roll() -> Value {
    let (old, new) = (SigningKey::from_seed(&MODULE).public(), SigningKey::from_seed(&STRANGER));
    let octets = key_roll_proof(&old, &new.public());
    json!({
        "old": old,
        "new": new.public(),
        "octets": base64url(&octets),
        "signature": new.sign(&octets),
    })
}
