//! The golden vectors: made again, compared with the committed files, and judged from the files
//! alone.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use pos_protocol::Timestamp;
use pos_protocol::key::{PublicKey, Signature, SigningKey};
use pos_protocol::sign::{self, Field, Profile, SignError, answer, call};
use pos_protocol::text::{base64url, fixed_from_base64, fixed_from_base64url, from_base64url};
use pos_protocol::webhook::{Arrived, WebhookError, WebhookKey};
use write_vectors::{AnswerVector, CallVector, Header, ReceivedAnswer, ReceivedCall, Signatures};

#[path = "../examples/write_vectors/main.rs"]
#[expect(dead_code, reason = "the program's own entry")]
mod write_vectors;

#[test]
fn the_committed_files_are_what_the_code_makes() {
    for (name, text) in write_vectors::files() {
        let committed = read(name);
        assert!(
            committed == text,
            "{name}: run `cargo run -p pos-protocol --example write_vectors` and look at the change"
        );
    }
}

#[test]
fn calls_are_made_to_the_octet() {
    let vectors = signatures();
    assert_eq!(vectors.calls.len(), 13);
    for vector in &vectors.calls {
        let parts = parts_of(vector);
        let key = vectors.key(&vector.key);
        let unsigned = call::Unsigned::new(
            profile(&vector.profile),
            &parts,
            Timestamp::from_secs(vector.created_s),
            Timestamp::from_secs(vector.expires_s),
            key.public().id(),
        )
        .unwrap();
        assert_eq!(String::from_utf8_lossy(unsigned.base()), vector.base, "{}", vector.name);
        let signature = key.sign(unsigned.base());
        let headers = unsigned.into_headers(&signature);
        assert_eq!(headers.signature_input, vector.signature_input, "{}", vector.name);
        assert_eq!(headers.signature, vector.signature, "{}", vector.name);
        assert_eq!(headers.content_digest, vector.content_digest, "{}", vector.name);

        let content_type = vector.content_digest.as_ref().map(|_| "application/json");
        let received = call::Received {
            signature_input: Field::from(Some(&*vector.signature_input)),
            signature: Field::from(Some(&*vector.signature)),
            content_digest: vector.content_digest.as_deref().into(),
            content_type: content_type.into(),
            idempotency_key: vector.idempotency_key.as_deref().into(),
        };
        let claimed = call::parse(profile(&vector.profile), &received).unwrap();
        assert_eq!(claimed.key_id(), key.public().id());
        assert_eq!(claimed.created().as_secs(), vector.created_s);
        assert_eq!(claimed.expires().as_secs(), vector.expires_s);
        assert_eq!(claimed.signature(), &signature);
        assert_eq!(claimed.covers_body(), !vector.body.is_empty());
        assert_eq!(claimed.verify(&parts, &key.public()), Ok(()), "{}", vector.name);
    }
}

#[test]
fn answers_are_made_to_the_octet() {
    let vectors = signatures();
    assert_eq!(vectors.answers.len(), 7);
    for vector in &vectors.answers {
        let AnswerVector { name, status, body, .. } = vector;
        let call = vectors.calls.iter().find(|each| each.name == vector.call).unwrap();
        let (bound, key) = (signature_in(&call.signature), vectors.key(&vector.key));
        let created = Timestamp::from_secs(vector.created_s);
        let profile = profile(&call.profile);
        let id = key.public().id();
        let unsigned =
            answer::Unsigned::new(profile, *status, body.as_bytes(), &bound, created, id);
        assert_eq!(String::from_utf8_lossy(unsigned.base()), vector.base, "{name}");
        let signature = key.sign(unsigned.base());
        let headers = unsigned.into_headers(&signature);
        assert_eq!(headers.signature_input, vector.signature_input, "{name}");
        assert_eq!(headers.signature, vector.signature, "{name}");
        assert_eq!(headers.content_digest, vector.content_digest, "{name}");
    }
}

#[test]
fn received_calls_are_judged_as_the_vectors_say() {
    let vectors = signatures();
    let accepted = vectors.received_calls.iter().filter(|each| each.work_ms.is_some()).count();
    assert_eq!((accepted, vectors.received_calls.len()), (7, 136));
    for vector in &vectors.received_calls {
        let judged = judge_call(vector, &vectors.key(&vector.key).public());
        let (name, why) = (&vector.name, &vector.why);
        match judged {
            Ok(work_ms) => assert_eq!(vector.work_ms, Some(work_ms), "{name}: {why}"),
            Err(error) => {
                let (error, code) = named(error);
                assert_eq!(vector.error.as_deref(), Some(error), "{name}: {why}");
                assert_eq!(vector.code.as_deref(), Some(code), "{name}: {why}");
            }
        }
    }
}

#[test]
fn received_answers_are_judged_as_the_vectors_say() {
    let vectors = signatures();
    let accepted = vectors.received_answers.iter().filter(|each| each.created_s.is_some()).count();
    assert_eq!((accepted, vectors.received_answers.len()), (1, 33));
    for vector in &vectors.received_answers {
        let judged = judge_answer(vector, &vectors.key(&vector.key).public());
        match judged {
            Ok(created) => assert_eq!(vector.created_s, Some(created.as_secs()), "{}", vector.name),
            Err(error) => {
                assert_eq!(vector.error.as_deref(), Some(named(error).0), "{}", vector.name)
            }
        }
    }
}

/// What the judge `tests/judges/http_message_signatures_judge.py` signed from the same inputs, with
/// its parameters in its own order, is good to us.
#[test]
fn what_strangers_sign_is_accepted() {
    let (vectors, strangers) = (signatures(), strangers());
    assert_eq!((strangers.calls.len(), strangers.answers.len()), (13, 7));
    for theirs in &strangers.calls {
        let vector = vectors.calls.iter().find(|each| each.name == theirs.call).unwrap();
        let received = call::Received::read(|name| values(&theirs.headers, name));
        let claimed = call::parse(profile(&vector.profile), &received).unwrap();
        let key = vectors.key(&vector.key).public();
        assert_eq!(claimed.verify(&parts_of(vector), &key), Ok(()), "{}", vector.name);
        assert_eq!(claimed.created().as_secs(), vector.created_s);
        assert_eq!(claimed.expires().as_secs(), vector.expires_s);
    }
    for theirs in &strangers.answers {
        let vector = vectors.answers.iter().find(|each| each.name == theirs.answer).unwrap();
        let call = vectors.calls.iter().find(|each| each.name == vector.call).unwrap();
        let received = answer::Received::read(|name| values(&theirs.headers, name));
        let (bound, key) = (signature_in(&theirs.call_signature), vectors.key(&vector.key));
        let (profile, body) = (profile(&call.profile), vector.body.as_bytes());
        let judged = answer::verify(profile, &received, vector.status, body, &bound, &key.public());
        assert_eq!(judged, Ok(Timestamp::from_secs(vector.created_s)), "{}", vector.name);
    }
}

/// Every kind of error occurs among the vectors: none of the checks is without a case that fails.
#[test]
fn every_error_has_a_vector() {
    let vectors = signatures();
    let mut seen: Vec<_> = vectors.received_calls.iter().filter_map(|v| v.error.clone()).collect();
    seen.sort();
    seen.dedup();
    let all = [
        "components",
        "content_type",
        "digest_mismatch",
        "doubled",
        "expired",
        "future",
        "key_id",
        "label",
        "lifetime",
        "malformed",
        "missing",
        "parameter",
        "stale",
        "tag",
        "wrong_signature",
    ];
    assert_eq!(seen, all);
}

/// The examples that readers of `docs/PROTOCOL.md` follow are the vectors, to the octet.
#[test]
fn the_documentation_shows_the_vectors() {
    let text = read("../../docs/PROTOCOL.md");
    let vectors = signatures();
    let (refund, one, done) = (&vectors.calls[0], &vectors.calls[1], &vectors.answers[0]);
    let paid = vectors.answers.iter().find(|answer| answer.name == "a sale that is paid").unwrap();
    let counts = format!(
        "{} calls to make and {} to judge",
        vectors.calls.len(),
        vectors.received_calls.len()
    );
    let enrolment: serde_json::Value = serde_json::from_str(&read("enrolment.json")).unwrap();
    let succession: serde_json::Value = serde_json::from_str(&read("succession.json")).unwrap();
    let text_of = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let roll: Vec<u8> = from_base64url(enrolment["key_roll"]["octets"].as_str().unwrap()).unwrap();
    let roll: Vec<String> = [&roll[..26], &roll[26..62], &roll[62..]]
        .iter()
        .map(|field| format!("{} {}", hex(&field[..4]), hex(&field[4..])))
        .collect();
    let seed = from_base64url(enrolment["codes"][0]["enrolment_key_seed"].as_str().unwrap());
    let statement = &succession["statements"][0]["statement"];
    for shown in [
        counts,
        refund.base.clone(),
        format!("Signature-Input: {}", refund.signature_input),
        format!("Signature: {}", refund.signature),
        format!("Content-Digest: {}", refund.content_digest.as_ref().unwrap()),
        format!("\n{}\n", refund.body),
        format!("Signature-Input: {}", one.signature_input),
        format!("Signature: {}", one.signature),
        done.base.clone(),
        shown_answer(done),
        shown_call(&vectors, "register"),
        shown_call(&vectors, "pay"),
        shown_answer(paid),
        text_of(&enrolment["codes"][0]["printed"]),
        text_of(&enrolment["codes"][0]["enrolment_key"]["x"]),
        hex(&seed.unwrap()),
        roll.join("\n"),
        text_of(&enrolment["key_roll"]["signature"]),
        text_of(&statement["predecessor"]["x"]),
        text_of(&statement["successor"]["x"]),
        statement["created_ms"].to_string(),
        text_of(&statement["signature"]),
    ] {
        assert!(text.contains(&shown), "docs/PROTOCOL.md shows {shown}");
    }
}

/// The transcript of `docs/INSTITUTION.md` is made of the vectors, to the octet.
#[test]
fn the_institutions_documentation_shows_the_vectors() {
    let text = read("../../docs/INSTITUTION.md");
    let vectors = signatures();
    let calls = vectors.calls.iter().filter(|call| call.profile == "pos-institution/1");
    let mut shown = Vec::new();
    for call in calls {
        shown.push(format!("{} {} HTTP/1.1\nHost: {}\n", call.method, call.path, call.authority));
        shown.push(format!(
            "Signature-Input: {}\nSignature: {}\n",
            call.signature_input, call.signature
        ));
        shown.push(format!("{}\n", call.body));
        shown
            .extend(call.content_digest.iter().map(|digest| format!("Content-Digest: {digest}\n")));
    }
    let answers = vectors.answers.iter().filter(|one| one.profile == "pos-institution/1-answer");
    for answer in answers {
        shown.push(format!("HTTP/1.1 {} ", answer.status));
        shown.push(format!(
            "Signature-Input: {}\nSignature: {}\nContent-Digest: {}\n",
            answer.signature_input, answer.signature, answer.content_digest
        ));
        shown.push(format!("\n{}\n", answer.body));
    }
    assert_eq!(shown.len(), 4 + 3 + 3 * 3);
    for piece in shown {
        assert!(text.contains(&piece), "docs/INSTITUTION.md shows {piece}");
    }
}

/// A call with its fields in the order of the page.
fn shown_call(vectors: &Signatures, name: &str) -> String {
    let call = vectors.calls.iter().find(|call| call.name == name).unwrap();
    let key = call.idempotency_key.iter().map(|key| format!("Idempotency-Key: {key}\n"));
    format!(
        "{} {} HTTP/1.1\nHost: {}\nContent-Type: application/json\nContent-Length: {}\n\
         Content-Digest: {}\n{}Signature-Input: {}\nSignature: {}\n\n{}\n",
        call.method,
        call.path,
        call.authority,
        call.body.len(),
        call.content_digest.as_ref().unwrap(),
        key.collect::<String>(),
        call.signature_input,
        call.signature,
        call.body,
    )
}

/// An answer likewise.
fn shown_answer(answer: &AnswerVector) -> String {
    format!(
        "HTTP/1.1 {} OK\nContent-Type: application/json\nContent-Length: {}\n\
         Cache-Control: no-store\nContent-Digest: {}\nSignature-Input: {}\nSignature: {}\n\n{}\n",
        answer.status,
        answer.body.len(),
        answer.content_digest,
        answer.signature_input,
        answer.signature,
        answer.body,
    )
}

#[test]
fn the_documentation_seals_as_the_vectors_do() {
    let text = read("../../docs/PROTOCOL.md");
    let file: serde_json::Value = serde_json::from_str(&read("seal.json")).unwrap();
    let case = &file["sealed"][0];
    let word =
        |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let octets = |value: &serde_json::Value| from_base64url(value.as_str().unwrap()).unwrap();
    let entropy = octets(&case["entropy"]);
    let bound = ["institution", "contract_number", "operation", "order_id", "amount", "currency"];
    let mut fields: Vec<_> =
        bound.iter().map(|name| word(&case["binding"][name]).into_bytes()).collect();
    fields.extend([word(&case["not_after_ms"]).into_bytes(), entropy[..16].to_vec()]);
    let fields: Vec<_> =
        fields.iter().map(|field| format!("{:08x} {}\n", field.len(), hex(field))).collect();
    let envelope = &case["envelope"];
    for shown in [
        format!("| instrument | `{}` |", word(&case["plaintext"])),
        format!("| seal key, 32 octets | `{}` |", word(&file["seal_key"]["public"]["x"])),
        format!("| `rand`, 16 octets | `{}` |", word(&envelope["rand"])),
        format!("| `ikmE`, 32 octets | `{}` |", base64url(&entropy[16..])),
        format!("fields | `{}` |", word(&case["info"])),
        format!("| AAD: SHA-256 of the eight | `{}` |", word(&case["aad"])),
        format!("| `enc` | `{}` |", word(&envelope["enc"])),
        format!("\"ct\":\"{}\"", word(&envelope["ct"])),
        format!("| SHA-256 of the envelope | `{}` |", word(&case["sha256"])),
        format!("```\n{}```\n", fields.concat()),
    ] {
        assert!(text.contains(&shown), "docs/PROTOCOL.md shows {shown}");
    }
}

#[test]
fn names_differ_within_a_list() {
    let vectors = signatures();
    let lists: [Vec<&String>; 4] = [
        vectors.calls.iter().map(|each| &each.name).collect(),
        vectors.answers.iter().map(|each| &each.name).collect(),
        vectors.received_calls.iter().map(|each| &each.name).collect(),
        vectors.received_answers.iter().map(|each| &each.name).collect(),
    ];
    for mut list in lists {
        let before = list.len();
        list.sort();
        list.dedup();
        assert_eq!(list.len(), before);
    }
}

fn judge_call(vector: &ReceivedCall, key: &PublicKey) -> Result<u64, SignError> {
    let received = call::Received::read(|name| values(&vector.headers, name));
    let claimed = call::parse(profile(&vector.profile), &received)?;
    let work = claimed.check_fresh(Timestamp::from_ms(vector.now_ms))?;
    let idempotency_key =
        vector.headers.iter().find(|each| each.0 == "idempotency-key").map(|each| &*each.1);
    let parts = call::CallParts {
        method: &vector.method,
        authority: &vector.authority,
        path: &vector.path,
        query: &vector.query,
        body: vector.body.as_bytes(),
        idempotency_key,
    };
    claimed.verify(&parts, key)?;
    Ok(u64::try_from(work.as_millis()).unwrap())
}

fn judge_answer(vector: &ReceivedAnswer, key: &PublicKey) -> Result<Timestamp, SignError> {
    let received = answer::Received::read(|name| values(&vector.headers, name));
    let call = Signature::from_octets(fixed_from_base64(&vector.call_signature).unwrap());
    let profile = match &*vector.profile {
        "pos-connect/1-answer" => &sign::POS_CONNECT,
        other => panic!("no profile {other}"),
    };
    answer::verify(profile, &received, vector.status, vector.body.as_bytes(), &call, key)
}

/// The name of an error in the vectors, and the code on the wire that its documentation promises.
fn named(error: SignError) -> (&'static str, &'static str) {
    match error {
        SignError::Components => ("components", "signature_invalid"),
        SignError::ContentType => ("content_type", "signature_invalid"),
        SignError::DigestMismatch => ("digest_mismatch", "digest_mismatch"),
        SignError::Doubled { .. } => ("doubled", "signature_invalid"),
        SignError::Expired => ("expired", "signature_stale"),
        SignError::Future => ("future", "signature_stale"),
        SignError::KeyId => ("key_id", "signature_invalid"),
        SignError::Label { .. } => ("label", "signature_invalid"),
        SignError::Lifetime => ("lifetime", "signature_invalid"),
        SignError::Malformed { .. } => ("malformed", "signature_invalid"),
        SignError::Missing { .. } => ("missing", "signature_missing"),
        SignError::Parameter { .. } => ("parameter", "signature_invalid"),
        SignError::Stale => ("stale", "signature_stale"),
        SignError::Tag => ("tag", "signature_invalid"),
        SignError::WrongSignature => ("wrong_signature", "signature_invalid"),
    }
}

fn values<'a>(headers: &'a [Header], name: &str) -> Vec<&'a [u8]> {
    headers.iter().filter(|each| each.0 == name).map(|each| each.1.as_bytes()).collect()
}

fn parts_of(vector: &CallVector) -> call::CallParts<'_> {
    call::CallParts {
        method: &vector.method,
        authority: &vector.authority,
        path: &vector.path,
        query: &vector.query,
        body: vector.body.as_bytes(),
        idempotency_key: vector.idempotency_key.as_deref(),
    }
}

fn profile(tag: &str) -> &'static Profile {
    match tag {
        "pos-connect/1" => &sign::POS_CONNECT,
        "pos-institution/1" => &sign::POS_INSTITUTION,
        other => panic!("no profile {other}"),
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn signature_in(field: &str) -> Signature {
    let digits = field.strip_prefix("pos=:").and_then(|rest| rest.strip_suffix(':')).unwrap();
    Signature::from_octets(fixed_from_base64(digits).unwrap())
}

impl Signatures {
    fn key(&self, name: &str) -> SigningKey {
        let key = self.keys.iter().find(|each| each.name == name).unwrap();
        let signing = SigningKey::from_seed(&fixed_from_base64url(&key.seed).unwrap());
        assert_eq!(signing.public(), key.x.parse().unwrap());
        assert_eq!(signing.public().id().to_string(), key.id);
        signing
    }
}

/// `strangers.json`.
#[derive(serde::Deserialize)]
struct Strangers {
    calls: Vec<StrangersCall>,
    answers: Vec<StrangersAnswer>,
}

#[derive(serde::Deserialize)]
struct StrangersCall {
    call: String,
    headers: Vec<Header>,
}

#[derive(serde::Deserialize)]
struct StrangersAnswer {
    answer: String,
    call_signature: String,
    headers: Vec<Header>,
}

fn strangers() -> Strangers {
    serde_json::from_str(&read("strangers.json")).unwrap()
}

fn signatures() -> Signatures {
    serde_json::from_str(&read("signatures.json")).unwrap()
}

fn read(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors");
    fs::read_to_string(format!("{folder}/{name}")).unwrap()
}

#[test]
fn webhooks_are_believed_as_the_file_says() {
    let vectors: serde_json::Value = serde_json::from_str(&read("webhooks.json")).unwrap();
    let texts = vectors["keys"].as_array().unwrap();
    let keys: Vec<WebhookKey> =
        texts.iter().map(|text| text.as_str().unwrap().parse().unwrap()).collect();
    let now = Timestamp::from_secs(vectors["now_s"].as_u64().unwrap());
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!((keys.len(), cases.len()), (2, 18));
    for case in cases {
        let field = |name: &str| case["webhook"][name].as_str().unwrap();
        let (id, at) = (field("webhook-id"), field("webhook-timestamp"));
        let (signature, body) = (field("webhook-signature"), field("body"));
        let found = Arrived::read(id, at, signature, body.as_bytes(), now)
            .and_then(|arrived| arrived.verify(&keys));
        let error = match found {
            Ok(_) => None,
            Err(WebhookError::Body) => Some("body"),
            Err(WebhookError::Form) => Some("form"),
            Err(WebhookError::Time) => Some("time"),
            Err(WebhookError::Unsigned) => Some("unsigned"),
        };
        assert_eq!(error, case["error"].as_str(), "{}", case["name"]);
    }
}
