//! Answers as the server makes them, and as the module judges them.

use pos_protocol::Timestamp;
use pos_protocol::institution::{InstitutionCode, InstitutionError, OperationAnswer, to_json};
use pos_protocol::key::{Signature, SigningKey};
use pos_protocol::sign::{self, answer};
use pos_protocol::text::{base64, fixed_from_base64};

use super::accepted::refund;
use super::draft::{Draft, edit, header, remove, replace};
use super::signatures::{
    ANSWER, EXPIRES_S, INSTITUTION, NOW_S, STRANGER, institution_body, key_id,
};
use super::{AnswerVector, CallVector, Header, ReceivedAnswer, bodies};

const DONE: &str = r#"{"operation_id":"op_06fpc9v3r0e4k7m2n8q1s5t9wx","payment_id":"pay_06fpc9v3r0e4k7m2n8q1s5t9wx","order_id":"order-000123","idempotency_key":"order-000123-refund-1","operation":"refund","state":"done","amount":1200,"currency":"JPY","done_amount":1200,"contract_id":"con_06fpc9v3r0e4k7m2n8q1s5t9wx","institution":"sakura-card","institution_reference":"R-000042","created_at_ms":1795000000400,"ended_at_ms":1795000001900}"#;
const NOT_FOUND: &str = r#"{"code":"not_found","message":"There is no such payment.","request_id":"req_06fpc9v3r0e4k7m2n8q1s5t9wx","retry":"never"}"#;

/// Answers to some of the calls.
pub(crate) fn made(calls: &[CallVector]) -> Vec<AnswerVector> {
    let done = institution_body::<OperationAnswer>("operation-answer", "done");
    let unknown = institution_body::<OperationAnswer>("operation-answer", "not found");
    let used = InstitutionError::new(
        InstitutionCode::EnvelopeUsed,
        "the envelope was taken by another operation",
        Timestamp::from_ms(NOW_S * 1000 + 40),
    );
    let refusal = String::from_utf8(to_json(&used)).expect("JSON is UTF-8");
    let (sale, inquiry) = ("a sale to an institution", "an inquiry to an institution");
    [
        ("a finished operation", "refund", 200, DONE),
        ("an open operation", "refund", 202, r#"{"state":"processing"}"#),
        ("a refusal", "payment by id: no body, no key", 404, NOT_FOUND),
        ("a sale that is paid", "pay", 200, bodies::operation("done")),
        ("an institution's outcome of a sale", sale, 200, &done),
        ("an institution's answer to an inquiry", inquiry, 200, &unknown),
        ("an institution's refusal of a sale", sale, 409, &refusal),
    ]
    .map(|(name, call, status, body)| {
        let call = calls.iter().find(|each| each.name == call).expect("the call is a vector");
        let (profile, key) = if call.profile == sign::POS_CONNECT.tag {
            (&sign::POS_CONNECT, ("answer", ANSWER))
        } else {
            (&sign::POS_INSTITUTION, ("institution", INSTITUTION))
        };
        let signer = SigningKey::from_seed(&key.1);
        let (bound, created) = (call_signature(call), Timestamp::from_secs(NOW_S + 2));
        let body_octets = body.as_bytes();
        let id = signer.public().id();
        let unsigned = answer::Unsigned::new(profile, status, body_octets, &bound, created, id);
        let base = String::from_utf8(unsigned.base().to_vec()).expect("a base is ASCII");
        let headers = unsigned.into_headers(&signer.sign(base.as_bytes()));
        AnswerVector {
            name: name.into(),
            profile: profile.answer_tag.into(),
            key: key.0.into(),
            call: call.name.clone(),
            status,
            body: body.into(),
            created_s: created.as_secs(),
            base,
            signature_input: headers.signature_input,
            signature: headers.signature,
            content_digest: headers.content_digest,
        }
    })
    .into()
}

/// Received answers: one good, and one for everything that can be wrong.
pub(crate) fn received() -> Vec<ReceivedAnswer> {
    let mut cases = Cases(vec![ReceivedAnswer {
        name: "a finished operation".into(),
        why: "everything is as it must be".into(),
        created_s: Some(NOW_S + 2),
        ..arrived(&done())
    }]);
    bent_before(&mut cases);
    bent_after(&mut cases);
    cases.0
}

struct Cases(Vec<ReceivedAnswer>);

impl Cases {
    fn signed(&mut self, name: &str, error: &str, bend: impl FnOnce(&mut Draft)) {
        let mut draft = done();
        bend(&mut draft);
        self.push(name, "the signature is good, the profile refuses", error, arrived(&draft));
    }

    fn altered(&mut self, name: &str, error: &str, alter: impl FnOnce(&mut ReceivedAnswer)) {
        let mut answer = arrived(&done());
        alter(&mut answer);
        self.push(name, "the answer was changed on its way", error, answer);
    }

    fn push(&mut self, name: &str, why: &str, error: &str, answer: ReceivedAnswer) {
        let (name, why, error) = (name.into(), why.into(), Some(error.into()));
        self.0.push(ReceivedAnswer { name, why, error, ..answer });
    }
}

fn bent_before(cases: &mut Cases) {
    for component in done().components {
        let name = format!("without {component}");
        cases.signed(&name, "components", |draft| draft.drop_component(&component));
    }
    cases.signed("status and digest swapped", "components", |d| d.components.swap(0, 1));
    cases.signed("with content-length as well", "components", |draft| {
        draft.components.push("\"content-length\"".into());
    });
    for name in ["created", "keyid", "tag"] {
        cases.signed(&format!("without {name}"), "parameter", |draft| draft.drop_param(name));
    }
    for (name, value) in [("expires", EXPIRES_S.to_string()), ("alg", "\"ed25519\"".into())] {
        cases.signed(&format!("with {name}"), "parameter", |draft| draft.add_param(name, &value));
    }
    cases.signed("the tag of a call", "tag", |draft| draft.set_param("tag", "\"pos-connect/1\""));
    cases.signed("the label of a call", "label", |draft| draft.label = "pos".into());
    cases.signed("html", "content_type", |draft| draft.content_type = "text/html".into());
    cases.signed("by a key nobody named", "key_id", |draft| {
        draft.seed = STRANGER;
        draft.set_param("keyid", &format!("\"{}\"", key_id(&STRANGER)));
    });
    cases.signed("by another key under this keyid", "wrong_signature", |d| d.seed = STRANGER);
    cases.signed("the answer to another call", "wrong_signature", |draft| {
        draft.call_signature = base64(&[9; 64]);
    });
}

fn bent_after(cases: &mut Cases) {
    // The answer is judged by the call that was sent, whatever the answer says it answers.
    let sent = arrived(&done()).call_signature;
    let last = cases.0.last_mut().expect("the last case is the answer to another call");
    last.call_signature = sent;

    cases.altered("approved instead of open", "wrong_signature", |answer| answer.status = 202);
    cases.altered("not found instead", "wrong_signature", |answer| answer.status = 404);
    cases.altered("body changed", "digest_mismatch", |answer| {
        answer.body = answer.body.replace("\"done\"", "\"declined\"");
    });
    cases.altered("body and digest changed", "wrong_signature", |answer| {
        answer.body = "{}".into();
        edit(&mut answer.headers, "content-digest", |_| {
            "sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:".into()
        });
    });
    cases.altered("body removed", "digest_mismatch", |answer| answer.body.clear());
    cases.altered("server time changed", "wrong_signature", |answer| {
        replace(&mut answer.headers, "signature-input", "1795000002", "1795000902");
    });
    for name in ["signature-input", "signature", "content-digest", "content-type"] {
        cases.altered(&format!("no {name}"), "missing", |a| remove(&mut a.headers, name));
        cases.altered(&format!("{name} twice"), "doubled", |answer| {
            let found = answer.headers.iter().find(|each| each.0 == name).expect("it is there");
            let again = found.clone();
            answer.headers.push(again);
        });
    }
    cases.altered("a proxy's error page", "missing", |answer| {
        answer.status = 502;
        answer.headers = vec![header("content-type", "text/html")];
        answer.body = "<html>Bad Gateway</html>".into();
    });
}

/// The refund's answer, as the profile wants it.
fn done() -> Draft {
    let call = refund();
    let signature = SigningKey::from_seed(&call.seed).sign(call.base().as_bytes());
    Draft {
        status: 200,
        body: DONE.into(),
        idempotency_key: None,
        call_signature: base64(signature.octets()),
        label: "pos-answer".into(),
        components: [
            "\"@status\"",
            "\"content-digest\"",
            "\"content-type\"",
            "\"signature\";req;key=\"pos\"",
        ]
        .map(String::from)
        .into(),
        params: vec![
            ("created".into(), (NOW_S + 2).to_string()),
            ("keyid".into(), format!("\"{}\"", key_id(&ANSWER))),
            ("tag".into(), "\"pos-connect/1-answer\"".into()),
        ],
        seed: ANSWER,
        ..call
    }
}

fn arrived(draft: &Draft) -> ReceivedAnswer {
    let headers: Vec<Header> = draft.headers();
    ReceivedAnswer {
        name: String::new(),
        why: String::new(),
        profile: "pos-connect/1-answer".into(),
        key: "answer".into(),
        call_signature: draft.call_signature.clone(),
        status: draft.status,
        headers,
        body: draft.body.clone(),
        created_s: None,
        error: None,
    }
}

fn call_signature(call: &CallVector) -> Signature {
    let digits = call.signature.trim_start_matches("pos=:").trim_end_matches(':');
    Signature::from_octets(fixed_from_base64(digits).expect("the vector is well-formed"))
}
