//! Calls that a receiver accepts: the plain ones, and the odd ones that are good all the same.

use pos_protocol::institution::OperationRequest;

use super::draft::{Draft, header};
use super::signatures::{
    AUTHORITY, BODY, CARD_AUTHORITY, EXPIRES_S, IDEMPOTENCY_KEY, MODULE, NOW_S, OPERATION,
    OPERATOR, PAYMENT, institution_body, key_id,
};
use super::{Header, ReceivedCall};

const ARRIVAL_MS: u64 = 1_795_000_001_000; // A second after signing: 29 s are left.

pub(crate) fn all() -> Vec<ReceivedCall> {
    let mut from_now = read();
    from_now.set_param("created", &(NOW_S + 10).to_string());
    from_now.set_param("expires", &(NOW_S + 70).to_string());
    let mut turned = refund();
    turned.params.reverse();
    let mut charged = received(&read());
    charged.headers.push(header("content-type", "text/plain"));
    let at = |draft: &Draft, now_ms| ReceivedCall { now_ms, ..received(draft) };
    let mut long = refund();
    long.set_param("expires", &(NOW_S + 60).to_string());
    vec![
        accepted("refund", "body and key covered", received(&refund()), 29_000),
        accepted("read", "neither body nor key", received(&read()), 29_000),
        accepted(
            "parameters in another order",
            "RFC 9421 signs them as they stand",
            received(&turned),
            29_000,
        ),
        accepted(
            "content-type without a body",
            "it means nothing where nothing is sent, and some clients send it always",
            charged,
            29_000,
        ),
        accepted(
            "created 10 s ahead",
            "the most that a clock may be fast; such a caller gets no more than it asked for",
            at(&from_now, NOW_S * 1000),
            60_000,
        ),
        accepted(
            "the last millisecond",
            "created 59.999 s ago, expires in 1 ms",
            at(&long, NOW_S * 1000 + 59_999),
            1,
        ),
        accepted("a sale at an institution", "the operator's key", at_institution(&sale()), 59_000),
    ]
}

/// The sale of `docs/INSTITUTION.md` 4.2, as an institution wants it.
pub(crate) fn sale() -> Draft {
    let mut sale = refund();
    sale.authority = CARD_AUTHORITY.into();
    sale.path = "/v1/operations".into();
    sale.body = institution_body::<OperationRequest>("operation-request", "sale");
    sale.idempotency_key = Some(OPERATION.into());
    sale.set_param("expires", &(NOW_S + 60).to_string());
    sale.set_param("keyid", &format!("\"{}\"", key_id(&OPERATOR)));
    sale.set_param("tag", "\"pos-institution/1\"");
    sale.seed = OPERATOR;
    sale
}

/// The draft as an institution receives it.
pub(crate) fn at_institution(draft: &Draft) -> ReceivedCall {
    ReceivedCall {
        profile: "pos-institution/1".into(),
        key: "operator".into(),
        authority: CARD_AUTHORITY.into(),
        ..received(draft)
    }
}

/// A refund, as the profile wants it.
pub(crate) fn refund() -> Draft {
    Draft {
        method: "POST".into(),
        authority: AUTHORITY.into(),
        path: "/v1/payments/pay_06fpc9v3r0e4k7m2n8q1s5t9wx/refunds".into(),
        query: String::new(),
        status: 0,
        body: BODY.into(),
        content_type: "application/json".into(),
        digest: None,
        idempotency_key: Some(IDEMPOTENCY_KEY.into()),
        call_signature: String::new(),
        label: "pos".into(),
        components: [
            "@method",
            "@authority",
            "@path",
            "@query",
            "content-digest",
            "content-type",
            "idempotency-key",
        ]
        .map(|name| format!("\"{name}\""))
        .into(),
        params: vec![
            ("created".into(), NOW_S.to_string()),
            ("expires".into(), EXPIRES_S.to_string()),
            ("keyid".into(), format!("\"{}\"", key_id(&MODULE))),
            ("tag".into(), "\"pos-connect/1\"".into()),
        ],
        seed: MODULE,
    }
}

/// A read of one payment, as the profile wants it.
pub(crate) fn read() -> Draft {
    let mut read = refund();
    read.method = "GET".into();
    read.path = PAYMENT.into();
    read.body = String::new();
    read.idempotency_key = None;
    read.components.truncate(4);
    read
}

/// The draft signed and received, without a judgement yet.
pub(crate) fn received(draft: &Draft) -> ReceivedCall {
    let headers: Vec<Header> = draft.headers();
    ReceivedCall {
        name: String::new(),
        why: String::new(),
        profile: "pos-connect/1".into(),
        key: "module".into(),
        now_ms: ARRIVAL_MS,
        method: draft.method.clone(),
        authority: AUTHORITY.into(),
        path: draft.path.clone(),
        query: draft.query.clone(),
        headers,
        body: draft.body.clone(),
        is_rfc9421: true,
        work_ms: None,
        error: None,
        code: None,
    }
}

fn accepted(name: &str, why: &str, call: ReceivedCall, work_ms: u64) -> ReceivedCall {
    ReceivedCall { name: name.into(), why: why.into(), work_ms: Some(work_ms), ..call }
}
