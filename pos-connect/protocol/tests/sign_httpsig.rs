//! A stranger's implementation of RFC 9421, the crate `httpsig`, as judge in both directions: it
//! verifies what we sign, and we verify what it signs when it is told our components and
//! parameters. It builds the component values and the base by its own code.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use httpsig::prelude::message_component::{HttpMessageComponent, HttpMessageComponentId};
use httpsig::prelude::{
    AlgorithmName, HttpSignatureBase, HttpSignatureHeaders, HttpSignatureParams, PublicKey,
    SecretKey,
};
use pos_protocol::Timestamp;
use pos_protocol::key::{Signature, SigningKey};
use pos_protocol::sign::{self, Field, Profile, answer, call};

// Its expiry check reads the system clock, so these messages are of the year 2100.
const CREATED_S: u64 = 4_102_444_800;
const EXPIRES_S: u64 = 4_102_444_830;
const SEED: [u8; 32] = [0x66; 32];
const BODY: &str = r#"{"amount":1200,"currency":"JPY"}"#;

/// What `httpsig` is given of a message: identifiers and the field or derived values.
type Values = Vec<(&'static str, String)>;

#[test]
fn it_verifies_our_calls_and_nothing_else() {
    for (parts, profile) in calls() {
        let (headers, _) = ours(&parts, profile);
        let digest = headers.content_digest.clone();
        let good = base(&values(&parts, digest.as_deref()), &headers.signature_input);
        assert_eq!(judge(&good, &headers.signature_input, &headers.signature), Ok(()), "{parts:?}");

        let other = call::CallParts { path: "/v1/other", ..parts };
        let bent = base(&values(&other, digest.as_deref()), &headers.signature_input);
        assert!(
            judge(&bent, &headers.signature_input, &headers.signature).is_err(),
            "the judge is awake"
        );
    }
}

#[test]
fn we_verify_its_calls_and_nothing_else() {
    for (parts, profile) in calls() {
        let digest = (!parts.body.is_empty()).then(|| sign::content_digest(parts.body));
        let values = values(&parts, digest.as_deref());
        let theirs = theirs(&values, profile.label, profile.tag, Some(EXPIRES_S));
        let content_type = digest.as_ref().map(|_| "application/json");
        let received = call::Received {
            signature_input: Field::from(Some(&*theirs.0)),
            signature: Field::from(Some(&*theirs.1)),
            content_digest: digest.as_deref().into(),
            content_type: content_type.into(),
            idempotency_key: parts.idempotency_key.into(),
        };
        let claimed = call::parse(profile, &received).unwrap();
        let key = SigningKey::from_seed(&SEED).public();
        assert_eq!(claimed.verify(&parts, &key), Ok(()), "{parts:?}");
        let other = call::CallParts { path: "/v1/other", ..parts };
        assert!(claimed.verify(&other, &key).is_err());

        // It salts its signatures, so they differ from ours; base and parameters must not.
        let (ours, _) = ours(&parts, profile);
        assert_eq!(theirs.0, ours.signature_input);
        assert_eq!(theirs.2, our_base(&parts, profile));
    }
}

#[test]
fn answers_go_both_ways() {
    for (parts, profile) in calls() {
        let (call_headers, call) = ours(&parts, profile);
        let key = SigningKey::from_seed(&SEED);
        let (created, id) = (Timestamp::from_secs(CREATED_S), key.public().id());
        let unsigned = answer::Unsigned::new(profile, 202, BODY.as_bytes(), &call, created, id);
        let our_base = unsigned.base().to_vec();
        let signature = key.sign(&our_base);
        let headers = unsigned.into_headers(&signature);

        // The judge takes the member out of the call's whole field by itself.
        let bound = match profile.label {
            "pos" => "\"signature\";req;key=\"pos\"",
            other => panic!("no case for {other}"),
        };
        let values = vec![
            ("\"@status\"", "202".to_owned()),
            ("\"content-digest\"", headers.content_digest.clone()),
            ("\"content-type\"", "application/json".to_owned()),
            (bound, call_headers.signature),
        ];
        let theirs = theirs(&values, profile.answer_label, profile.answer_tag, None);
        assert_eq!(theirs.0, headers.signature_input);
        assert_eq!(theirs.2, our_base);
        let good = base(&values, &headers.signature_input);
        assert_eq!(judge(&good, &headers.signature_input, &headers.signature), Ok(()));

        let received = answer::Received {
            signature_input: Field::from(Some(&*theirs.0)),
            signature: Field::from(Some(&*theirs.1)),
            content_digest: Field::from(Some(&*headers.content_digest)),
            content_type: Field::from(Some("application/json")),
        };
        let verify = |status, call: &Signature| {
            answer::verify(profile, &received, status, BODY.as_bytes(), call, &key.public())
        };
        assert_eq!(verify(202, &call), Ok(created));
        assert!(verify(200, &call).is_err());
        assert!(verify(202, &Signature::from_octets([1; 64])).is_err());
    }
}

/// Every shape of call, under both profiles.
fn calls() -> Vec<(call::CallParts<'static>, &'static Profile)> {
    let refund = call::CallParts {
        method: "POST",
        authority: "pos.example:8443",
        path: "/v1/payments/pay_06fpc9v3r0e4k7m2n8q1s5t9wx/refunds",
        query: "",
        body: BODY.as_bytes(),
        idempotency_key: Some("order-000123-refund-1"),
    };
    let quote = call::CallParts { path: "/v1/quotes", idempotency_key: None, ..refund };
    let read =
        call::CallParts { method: "GET", query: "limit=20&pos=%E5%BA%97", body: b"", ..quote };
    let end = call::CallParts { method: "DELETE", body: b"", ..refund };
    [refund, quote, read, end]
        .into_iter()
        .flat_map(|parts| [(parts, &sign::POS_CONNECT), (parts, &sign::POS_INSTITUTION)])
        .collect()
}

fn ours(parts: &call::CallParts<'_>, profile: &'static Profile) -> (call::Headers, Signature) {
    let unsigned = unsigned(parts, profile);
    let signature = SigningKey::from_seed(&SEED).sign(unsigned.base());
    (unsigned.into_headers(&signature), signature)
}

fn our_base(parts: &call::CallParts<'_>, profile: &'static Profile) -> Vec<u8> {
    unsigned(parts, profile).base().to_vec()
}

fn unsigned(parts: &call::CallParts<'_>, profile: &'static Profile) -> call::Unsigned {
    let id = SigningKey::from_seed(&SEED).public().id();
    let (created, expires) = (Timestamp::from_secs(CREATED_S), Timestamp::from_secs(EXPIRES_S));
    call::Unsigned::new(profile, parts, created, expires, id).unwrap()
}

fn values(parts: &call::CallParts<'_>, content_digest: Option<&str>) -> Values {
    let mut values = vec![
        ("\"@method\"", parts.method.to_owned()),
        ("\"@authority\"", parts.authority.to_owned()),
        ("\"@path\"", parts.path.to_owned()),
        ("\"@query\"", format!("?{}", parts.query)),
    ];
    if let Some(digest) = content_digest {
        values.push(("\"content-digest\"", digest.to_owned()));
        values.push(("\"content-type\"", "application/json".to_owned()));
    }
    if let Some(key) = parts.idempotency_key {
        values.push(("\"idempotency-key\"", key.to_owned()));
    }
    values
}

/// The judge's base for the values, with the parameters that it reads out of `signature_input`.
fn base(values: &Values, signature_input: &str) -> HttpSignatureBase {
    let (_, params) = signature_input.split_once('=').unwrap();
    HttpSignatureBase::try_new(&lines(values), &HttpSignatureParams::try_from(params).unwrap())
        .unwrap()
}

fn judge(base: &HttpSignatureBase, input: &str, signature: &str) -> Result<(), String> {
    let parsed = HttpSignatureHeaders::try_parse(signature, input).unwrap();
    let public = SigningKey::from_seed(&SEED).public();
    let key = PublicKey::from_bytes(&AlgorithmName::Ed25519, public.octets()).unwrap();
    let (_, only) = parsed.first().unwrap();
    base.verify_signature_headers(&key, only).map_err(|error| error.to_string())
}

/// `Signature-Input` and `Signature` as the judge makes them, and the base that it signed.
fn theirs(
    values: &Values,
    label: &str,
    tag: &str,
    expires_s: Option<u64>,
) -> (String, String, Vec<u8>) {
    let lines = lines(values);
    let covered: Vec<_> = lines.iter().map(|line| line.id.clone()).collect();
    let mut params = HttpSignatureParams::try_new(&covered).unwrap();
    params.set_created(CREATED_S).set_tag(tag);
    params.set_keyid(&SigningKey::from_seed(&SEED).public().id().to_string());
    if let Some(expires_s) = expires_s {
        params.set_expires(expires_s);
    }
    let key = SecretKey::from_bytes(&AlgorithmName::Ed25519, &SEED).unwrap();
    let base = HttpSignatureBase::try_new(&lines, &params).unwrap();
    let headers = base.build_signature_headers(&key, Some(label)).unwrap();
    let (input, signature) =
        (headers.signature_input_header_value(), headers.signature_header_value());
    (input, signature, base.as_bytes())
}

fn lines(values: &Values) -> Vec<HttpMessageComponent> {
    let line = |(identifier, value): &(&str, String)| {
        let id = HttpMessageComponentId::try_from(*identifier).unwrap();
        HttpMessageComponent::try_from((&id, &[value.clone()][..])).unwrap()
    };
    values.iter().map(line).collect()
}
