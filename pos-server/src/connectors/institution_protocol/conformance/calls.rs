//! Rules about calls as such: who is heard, and what is no call at all.

use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use pos_protocol::institution::{
    self as bodies, CHECKS, INSTITUTION, InstitutionCode, InstitutionInfo, OPERATIONS,
    OperationAnswer, OperationRequest,
};
use pos_protocol::key::SigningKey;
use pos_protocol::sign::{content_digest, header};

use super::probe::{Probe, refused_with};
use super::{Found, Rule, not};
use crate::connectors::registry::CallKey;

pub(super) const RULES: &[Rule] = &[
    Rule {
        rule: "refuses a call without signature",
        section: "2",
        check: |probe| Box::pin(unsigned(probe)),
    },
    Rule {
        rule: "refuses a key that is not the operator's",
        section: "2",
        check: |probe| Box::pin(stranger(probe)),
    },
    Rule {
        rule: "refuses a signature that is old",
        section: "2",
        check: |probe| Box::pin(stale(probe)),
    },
    Rule {
        rule: "refuses a body that is not the signed one",
        section: "2",
        check: |probe| Box::pin(other_body(probe)),
    },
    Rule {
        rule: "refuses a signature that covers too little",
        section: "2",
        check: |probe| Box::pin(too_little(probe)),
    },
    Rule {
        rule: "refuses a call that was signed for another use",
        section: "2",
        check: |probe| Box::pin(other_tag(probe)),
    },
    Rule {
        rule: "refuses a call that was signed for another path",
        section: "2",
        check: |probe| Box::pin(other_path(probe)),
    },
    Rule {
        rule: "signs its refusal of routes and methods that do not exist",
        section: "3",
        check: |probe| Box::pin(routes(probe)),
    },
    Rule {
        rule: "refuses bodies of another media type",
        section: "1",
        check: |probe| Box::pin(media_type(probe)),
    },
    Rule {
        rule: "refuses bodies that break the form",
        section: "1",
        check: |probe| Box::pin(forms(probe)),
    },
    Rule {
        rule: "takes an operation only under its own id",
        section: "3",
        check: |probe| Box::pin(key_is_id(probe)),
    },
];

async fn unsigned(probe: &Probe<'_>) -> Found {
    let mut request = probe.sign(probe.get(INSTITUTION));
    request.headers.remove(header::SIGNATURE);
    request.headers.remove(header::SIGNATURE_INPUT);
    let reply = probe.exchange(&request).await?;
    if reply.status == 401 { Ok(()) } else { Err(not("status 401", &reply.status)) }
}

async fn stranger(probe: &Probe<'_>) -> Found {
    let stranger = SigningKey::from_seed(&[0x5a; 32]);
    let key = CallKey::new(stranger.public().id(), move |message| stranger.sign(message));
    let request = probe.sign_at(probe.get(INSTITUTION), probe.clock.now(), &key);
    refused_with(probe.ask_with::<InstitutionInfo>(&request).await?, InstitutionCode::KeyUnknown)
}

async fn stale(probe: &Probe<'_>) -> Found {
    let then = probe.clock.now().minus(Duration::from_secs(120));
    let request = probe.sign_at(probe.get(INSTITUTION), then, probe.call_key);
    let said = probe.ask_with::<InstitutionInfo>(&request).await?;
    refused_with(said, InstitutionCode::SignatureStale)
}

async fn other_body(probe: &Probe<'_>) -> Found {
    let operation = probe.payment("approve")?;
    let key = Some(operation.operation_id.to_string());
    let body = bodies::to_json(&operation);
    let mut request = probe.sign(probe.post(OPERATIONS, body.clone(), key));
    let mut altered = body;
    // One more space behind the object is another body and the same JSON.
    altered.push(b' ');
    request.body = Bytes::from(altered.clone());
    let said = probe.ask_with::<OperationAnswer>(&request).await?;
    refused_with(said, InstitutionCode::DigestMismatch)?;
    // With a digest that fits, the signature does not.
    let digest = HeaderValue::try_from(content_digest(&altered)).expect("a digest is ASCII");
    request.headers.insert(header::CONTENT_DIGEST, digest);
    let said = probe.ask_with::<OperationAnswer>(&request).await?;
    refused_with(said, InstitutionCode::SignatureInvalid)?;
    nothing_known(probe, &operation).await
}

async fn too_little(probe: &Probe<'_>) -> Found {
    let operation = probe.payment("approve")?;
    let key = operation.operation_id.to_string();
    let mut request = probe.sign(probe.post(OPERATIONS, bodies::to_json(&operation), None));
    let key = HeaderValue::try_from(key).expect("an operation id is ASCII");
    request.headers.insert(header::IDEMPOTENCY_KEY, key);
    let said = probe.ask_with::<OperationAnswer>(&request).await?;
    refused_with(said, InstitutionCode::SignatureInvalid)?;
    nothing_known(probe, &operation).await
}

async fn other_tag(probe: &Probe<'_>) -> Found {
    let request = probe.sign_for_another(probe.get(INSTITUTION));
    let said = probe.ask_with::<InstitutionInfo>(&request).await?;
    refused_with(said, InstitutionCode::SignatureInvalid)
}

async fn media_type(probe: &Probe<'_>) -> Found {
    let operation = probe.payment("approve")?;
    let key = Some(operation.operation_id.to_string());
    let changes = [
        (CONTENT_TYPE, "text/plain"),
        (CONTENT_TYPE, "application/json; charset=utf-8"),
        (CONTENT_ENCODING, "gzip"),
    ];
    for (field, value) in changes {
        let call = probe.post(OPERATIONS, bodies::to_json(&operation), key.clone());
        let mut request = probe.sign(call);
        request.headers.insert(field, HeaderValue::from_static(value));
        let said = probe.ask_with::<OperationAnswer>(&request).await?;
        refused_with(said, InstitutionCode::UnsupportedMediaType)?;
    }
    nothing_known(probe, &operation).await
}

async fn nothing_known(probe: &Probe<'_>, operation: &OperationRequest) -> Found {
    match probe.inquire(operation.operation_id).await? {
        OperationAnswer::NotFound { .. } => Ok(()),
        other => Err(not("nothing to be known of a refused operation", &other)),
    }
}

async fn other_path(probe: &Probe<'_>) -> Found {
    let mut request = probe.sign(probe.get("/v1/seal-keys"));
    request.target = INSTITUTION.into();
    let said = probe.ask_with::<InstitutionInfo>(&request).await?;
    refused_with(said, InstitutionCode::SignatureInvalid)
}

async fn routes(probe: &Probe<'_>) -> Found {
    let nowhere = probe.get("/v1/no-such-route");
    probe.refused::<InstitutionInfo>(nowhere, InstitutionCode::NotFound).await?;
    let wrong = probe.get(CHECKS);
    probe.refused::<InstitutionInfo>(wrong, InstitutionCode::MethodNotAllowed).await
}

async fn forms(probe: &Probe<'_>) -> Found {
    let operation = probe.payment("approve")?;
    let key = || Some(operation.operation_id.to_string());
    let whole = String::from_utf8(bodies::to_json(&operation)).expect("JSON is UTF-8");
    let amount = format!("\"amount\":{}", operation.amount.minor());
    let with = |part: &str| whole.replacen(&amount, part, 1).into_bytes();
    let broken = [
        (b"{\"operation_id\":".to_vec(), InstitutionCode::InvalidJson),
        ([whole.as_bytes(), b"{}"].concat(), InstitutionCode::InvalidJson),
        (with("\"amount\":0"), InstitutionCode::InvalidField),
        (with("\"amount\":1.5"), InstitutionCode::InvalidField),
        (with("\"amount\":1000000000000"), InstitutionCode::InvalidField),
        (with(&format!("{amount},\"colour\":\"blue\"")), InstitutionCode::InvalidField),
        (with(&format!("{amount},{amount}")), InstitutionCode::InvalidField),
    ];
    for (body, code) in broken {
        probe.refused::<OperationAnswer>(probe.post(OPERATIONS, body, key()), code).await?;
    }
    let long = vec![b' '; bodies::MAX_REQUEST_OCTETS.saturating_add(1)];
    let call = probe.post(OPERATIONS, long, key());
    probe.refused::<OperationAnswer>(call, InstitutionCode::BodyTooLarge).await
}

async fn key_is_id(probe: &Probe<'_>) -> Found {
    let operation = probe.payment("approve")?;
    let other = Some(probe.fresh_id().to_string());
    let call = probe.post(OPERATIONS, bodies::to_json(&operation), other);
    probe.refused::<OperationAnswer>(call, InstitutionCode::IdempotencyKeyInvalid).await
}
