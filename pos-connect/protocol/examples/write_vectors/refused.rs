//! Calls that a receiver refuses: one for everything that can be wrong.

use pos_protocol::text::{base64, fixed_from_base64};

use super::ReceivedCall;
use super::accepted::{at_institution, read, received, refund, sale};
use super::draft::{Draft, edit, header, remove, replace};
use super::signatures::{NOW_S, STRANGER, key_id};

pub(crate) fn all() -> Vec<ReceivedCall> {
    let mut cases = Cases(Vec::new());
    components(&mut cases);
    coverage(&mut cases);
    params(&mut cases);
    times(&mut cases);
    fields(&mut cases);
    signatures(&mut cases);
    digests(&mut cases);
    changes(&mut cases);
    institution(&mut cases);
    cases.0
}

/// The code on the wire for an error.
fn code(error: &str) -> &'static str {
    match error {
        "missing" => "signature_missing",
        "expired" | "future" | "stale" => "signature_stale",
        "digest_mismatch" => "digest_mismatch",
        _ => "signature_invalid",
    }
}

struct Cases(Vec<ReceivedCall>);

impl Cases {
    /// A refund bent before it is signed: the signature is good, the profile refuses.
    fn signed(&mut self, name: &str, why: &str, error: &str, bend: impl FnOnce(&mut Draft)) {
        let mut draft = refund();
        bend(&mut draft);
        self.push(name, why, error, received(&draft));
    }

    /// The same, where not even RFC 9421 allows what is signed.
    fn invalid(&mut self, name: &str, why: &str, error: &str, bend: impl FnOnce(&mut Draft)) {
        let mut draft = refund();
        bend(&mut draft);
        let call = ReceivedCall { is_rfc9421: false, ..received(&draft) };
        self.push(name, why, error, call);
    }

    /// A refund altered on its way.
    fn altered(
        &mut self,
        name: &str,
        why: &str,
        error: &str,
        alter: impl FnOnce(&mut ReceivedCall),
    ) {
        let mut call = ReceivedCall { is_rfc9421: false, ..received(&refund()) };
        alter(&mut call);
        self.push(name, why, error, call);
    }

    fn push(&mut self, name: &str, why: &str, error: &str, call: ReceivedCall) {
        self.0.push(ReceivedCall {
            name: name.into(),
            why: why.into(),
            error: Some(error.into()),
            code: Some(code(error).into()),
            ..call
        });
    }
}

/// The covered list is not the profile's.
fn components(cases: &mut Cases) {
    for component in refund().components {
        let name = format!("without {}", component.trim_matches('"'));
        let why = "every component of the profile must be covered";
        cases.signed(&name, why, "components", |draft| draft.drop_component(&component));
    }
    for component in ["@scheme", "content-length", "host"] {
        let name = format!("with {component} as well");
        cases.signed(&name, "nothing else may be covered", "components", |draft| {
            draft.components.push(format!("\"{component}\""));
        });
    }
    cases.signed("nothing covered", "the list is empty", "components", |draft| {
        draft.components.clear();
    });
    for (name, left, right) in [
        ("method and authority swapped", 0, 1),
        ("digest and type swapped", 4, 5),
        ("key before type", 5, 6),
    ] {
        cases.signed(name, "the order is fixed", "components", |draft| {
            draft.components.swap(left, right);
        });
    }
    for (at, with) in [(5, "\"content-type\";sf"), (6, "\"idempotency-key\";bs")] {
        let name = format!("component {with}");
        let why = "a component has no parameters";
        cases.signed(&name, why, "components", |draft| draft.components[at] = with.into());
    }
    cases.invalid("method covered twice", "no component may be doubled", "components", |draft| {
        draft.components.insert(1, "\"@method\"".into());
    });
    cases.altered("component in upper case", "names are lower case", "components", |call| {
        replace(&mut call.headers, "signature-input", "content-type", "Content-Type");
    });
    cases.altered("list without end", "the list is never closed", "components", |call| {
        replace(&mut call.headers, "signature-input", ")", "");
    });
}

/// What is covered and what is there do not agree.
fn coverage(cases: &mut Cases) {
    let mut uncovered = received(&read());
    uncovered.body = "{}".into();
    cases.push("body not covered", "a body was added to a read", "components", uncovered);
    let mut digested = received(&read());
    digested.body = "{}".into();
    let digest = "sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:";
    digested.headers.push(header("content-digest", digest));
    digested.headers.push(header("content-type", "application/json"));
    let why = "digest and type came with the body, but the signature does not cover them";
    cases.push("body and digest not covered", why, "components", digested);
    let mut keyed = received(&read());
    keyed.headers.push(header("idempotency-key", "0123456789abcdef"));
    cases.push("idempotency-key not covered", "a key was added to a read", "components", keyed);
    cases.altered("body removed", "the covered body did not come", "components", |call| {
        call.body.clear();
    });
    cases.altered("covered digest removed", "a covered field is missing", "components", |call| {
        remove(&mut call.headers, "content-digest");
    });
    cases.altered("covered key removed", "a covered field is missing", "components", |call| {
        remove(&mut call.headers, "idempotency-key");
    });
}

/// The parameters are not the profile's.
fn params(cases: &mut Cases) {
    for name in ["created", "expires", "keyid", "tag"] {
        let why = "every parameter of the profile must be there";
        cases.signed(&format!("without {name}"), why, "parameter", |draft| draft.drop_param(name));
    }
    for (name, value) in [("alg", "\"ed25519\""), ("nonce", "\"bm9uY2U\""), ("x", "1")] {
        let why = "no other parameter may be there; the key's record names the algorithm";
        cases.signed(&format!("with {name}"), why, "parameter", |draft| {
            draft.add_param(name, value);
        });
    }
    cases.signed("alg first", "no other parameter may be there", "parameter", |draft| {
        draft.params.insert(0, ("alg".into(), "\"ed25519\"".into()));
    });
    for name in ["created", "expires", "keyid", "tag"] {
        let why = "each parameter stands once";
        cases.invalid(&format!("{name} twice"), why, "parameter", |draft| {
            let (_, value) = draft.params.iter().find(|each| each.0 == name).expect("it is there");
            let value = value.clone();
            draft.add_param(name, &value);
        });
    }
    let created = |value: &str| value.replace('N', &NOW_S.to_string());
    for value in ["\"N\"", "-N", "0N", "+N", "1234567890123456", "?1", ""] {
        let (value, why) = (created(value), "created is an integer, canonically written");
        cases.invalid(&format!("created={value}"), why, "parameter", |draft| {
            draft.set_param("created", &value);
        });
    }
    cases.invalid("created as a decimal", "a semicolon follows", "malformed", |draft| {
        draft.set_param("created", &created("N.0"));
    });
    cases.signed("keyid of another kind", "it is no thumbprint", "parameter", |draft| {
        draft.set_param("keyid", "\"module-key-1\"");
    });
    let id = key_id(&super::signatures::MODULE);
    cases.signed("keyid with padding", "a thumbprint has no padding", "parameter", |draft| {
        draft.set_param("keyid", &format!("\"{id}=\""));
    });
    cases.invalid("keyid without quotes", "it is a string", "parameter", |draft| {
        draft.set_param("keyid", "module");
    });
    for tag in ["pos-institution/1", "pos-connect/1-answer", "POS-CONNECT/1", "pos-connect/2", ""] {
        cases.signed(&format!("tag {tag:?}"), "the tag is another", "tag", |draft| {
            draft.set_param("tag", &format!("\"{tag}\""));
        });
    }
}

/// The times are not fresh.
fn times(cases: &mut Cases) {
    for (name, created, expires) in [
        ("expires with created", NOW_S, NOW_S),
        ("expires before created", NOW_S, NOW_S - 1),
        ("expires 61 s after created", NOW_S, NOW_S + 61),
    ] {
        cases.signed(name, "the span is 1 to 60 s", "lifetime", |draft| {
            draft.set_param("created", &created.to_string());
            draft.set_param("expires", &expires.to_string());
        });
    }
    let mut at = |name, why, error, now_ms| {
        let mut draft = refund();
        draft.set_param("expires", &(NOW_S + 60).to_string());
        cases.push(name, why, error, ReceivedCall { now_ms, ..received(&draft) });
    };
    at("expired just now", "the instant of expires is past", "expired", (NOW_S + 60) * 1000);
    at("stale", "created 60.001 s ago", "stale", (NOW_S + 60) * 1000 + 1);
    at("stale by a year", "created long ago", "stale", (NOW_S + 31_536_000) * 1000);
    at("from the future", "created 10.001 s ahead", "future", (NOW_S - 10) * 1000 - 1);
    let expired = ReceivedCall { now_ms: (NOW_S + 31) * 1000, ..received(&refund()) };
    cases.push("expired", "expires is past though created is fresh", "expired", expired);
}

/// The fields are missing, doubled, or written in another way.
fn fields(cases: &mut Cases) {
    cases.altered("not signed", "neither field is there", "missing", |call| {
        call.headers.retain(|each| !each.0.starts_with("signature"));
    });
    for name in ["signature-input", "signature"] {
        cases.altered(&format!("no {name}"), "one field is missing", "missing", |call| {
            remove(&mut call.headers, name);
        });
    }
    let headers = received(&refund()).headers;
    for twice in headers {
        let why = "a doubled field may be read in two ways";
        cases.altered(&format!("{} twice", twice.0), why, "doubled", |call| {
            call.headers.push(twice);
        });
    }
    cases.signed("another label", "the label is fixed", "label", |draft| {
        draft.label = "sig1".into();
    });
    cases.signed("the label of an answer", "the label is fixed", "label", |draft| {
        draft.label = "pos-answer".into();
    });
    second_signature(cases);
    white_space(cases);
    for value in ["application/json; charset=utf-8", "Application/JSON", "text/json", ""] {
        let why = "the type is exactly application/json";
        cases.signed(&format!("content-type {value:?}"), why, "content_type", |draft| {
            draft.content_type = value.into();
        });
    }
    cases.altered("no content-type", "the body has no type", "content_type", |call| {
        remove(&mut call.headers, "content-type");
    });
}

/// A good signature with another one beside it.
fn second_signature(cases: &mut Cases) {
    let mut call = received(&refund());
    let mut other = refund();
    other.label = "sig2".into();
    for field in other.headers().iter().filter(|each| each.0.starts_with("signature")) {
        edit(&mut call.headers, &field.0, |value| format!("{value}, {}", field.1));
    }
    cases.push("two signatures", "there is one signature, under one label", "label", call);
    cases.altered("two members of signature", "there is one signature", "label", |call| {
        edit(&mut call.headers, "signature", |value| format!("{value}, sig2=:AAAA:"));
    });
}

/// White space that structured fields allow, or do not, where the profile writes none.
fn white_space(cases: &mut Cases) {
    let mut spaced = |name: &str, error: &str, field: &str, from: &str, to: &str, is_sf: bool| {
        let why = "there is one way to write the field";
        cases.altered(name, why, error, |call| {
            replace(&mut call.headers, field, from, to);
            call.is_rfc9421 = is_sf;
        });
    };
    let input = "signature-input";
    spaced("two spaces in the list", "components", input, "\" \"@path", "\"  \"@path", true);
    spaced("space after the parenthesis", "components", input, "(", "( ", true);
    spaced("space before the parenthesis", "components", input, ")", " )", true);
    spaced("tab in the list", "components", input, "\" \"@path", "\"\t\"@path", false);
    spaced("space after a semicolon", "parameter", input, ";expires", "; expires", true);
    spaced("space before a semicolon", "malformed", input, ";expires", " ;expires", false);
    spaced("space after the label", "label", input, "pos=", "pos =", false);
    spaced("space in the signature", "malformed", "signature", "=:", "=: ", false);
    cases.altered("text after the parameters", "the field ends there", "malformed", |call| {
        edit(&mut call.headers, input, |value| format!("{value} x"));
    });
}

/// The signature itself is wrong.
fn signatures(cases: &mut Cases) {
    let mut flipped = |name: &str, at: usize, error: &str| {
        cases.altered(name, "the signature was changed", error, |call| {
            bend_signature(call, |octets| octets[at] ^= 1);
        });
    };
    flipped("first octet of R changed", 0, "wrong_signature");
    flipped("first octet of S changed", 32, "wrong_signature");
    flipped("last octet of S changed", 63, "wrong_signature");
    let why = "S is not below the group order: the same signature must not have two spellings";
    cases.altered("S plus the group order", why, "wrong_signature", |call| {
        bend_signature(call, add_group_order);
    });
    cases.altered("all octets zero", "this is no signature", "wrong_signature", |call| {
        bend_signature(call, |octets| octets.fill(0));
    });
    cases.altered("signature of 63 octets", "a signature has 64", "malformed", |call| {
        edit(&mut call.headers, "signature", |_| format!("pos=:{}:", base64(&[1; 63])));
    });
    cases.altered("signature of 65 octets", "a signature has 64", "malformed", |call| {
        edit(&mut call.headers, "signature", |_| format!("pos=:{}:", base64(&[1; 65])));
    });
    for (name, from, to) in [
        ("signature without padding", "==:", ":"),
        ("signature with a parameter", "==:", "==:;x"),
        ("signature without colons", "=:", "="),
        ("signature as a string", "=:", "=\""),
    ] {
        cases.altered(name, "it is one byte sequence", "malformed", |call| {
            replace(&mut call.headers, "signature", from, to);
        });
    }
    cases.altered("signature under another label", "the labels differ", "label", |call| {
        replace(&mut call.headers, "signature", "pos=", "sig1=");
    });
    cases.signed("signed by another key", "keyid names the module key", "wrong_signature", |d| {
        d.seed = STRANGER;
    });
    cases.0.last_mut().expect("the case was just added").is_rfc9421 = false;
    cases.signed("the key under keyid is another", "the record is another key's", "key_id", |d| {
        d.set_param("keyid", &format!("\"{}\"", key_id(&STRANGER)));
    });
}

/// The digest is not the profile's, or not that of the body.
fn digests(cases: &mut Cases) {
    let sha512 = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";
    let sha256 = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:";
    for (name, digest) in [
        ("digest by SHA-512", sha512.to_owned()),
        ("two digests", format!("{sha256}, {sha512}")),
        ("digest with a parameter", format!("{sha256};x")),
        ("digest without padding", sha256.replace('=', "").replace("sha-256", "sha-256=")),
        ("digest name in upper case", sha256.replace("sha", "SHA")),
        ("digest with stray bits", sha256.replace("BPE=", "BPF=")),
        ("digest of 31 octets", format!("sha-256=:{}:", base64(&[7; 31]))),
    ] {
        cases.signed(name, "there is one form of the digest", "malformed", |draft| {
            draft.digest = Some(digest);
        });
    }
    cases.signed("digest of another body", "the digest is signed", "digest_mismatch", |draft| {
        draft.digest = Some(sha256.to_owned());
    });
    for (name, body) in [
        ("amount changed", r#"{"amount":9200,"currency":"JPY"}"#),
        ("space added to the body", r#"{"amount":1200, "currency":"JPY"}"#),
        ("newline added to the body", "{\"amount\":1200,\"currency\":\"JPY\"}\n"),
    ] {
        cases.altered(name, "the digest is over the raw octets", "digest_mismatch", |call| {
            call.body = body.into();
            // The signature itself still stands: it covers the digest, not the body.
            call.is_rfc9421 = true;
        });
    }
    cases.altered("body and digest changed", "the digest is covered", "wrong_signature", |call| {
        call.body = "{}".into();
        edit(&mut call.headers, "content-digest", |_| {
            "sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:".into()
        });
    });
}

/// A covered part was changed after signing.
fn changes(cases: &mut Cases) {
    let mut changed = |name: &str, alter: fn(&mut ReceivedCall)| {
        cases.altered(name, "what is covered was changed", "wrong_signature", alter);
    };
    changed("method changed", |call| call.method = "PUT".into());
    changed("path changed", |call| call.path = call.path.replace("refunds", "captures"));
    changed("path encoded", |call| call.path = call.path.replace("refunds", "%72efunds"));
    changed("query added", |call| call.query = "dry_run=1".into());
    changed("key changed", |call| {
        replace(&mut call.headers, "idempotency-key", "refund-1", "refund-2");
    });
    changed("created changed", |call| {
        replace(&mut call.headers, "signature-input", "1795000000", "1795000001");
    });
    changed("expires changed", |call| {
        replace(&mut call.headers, "signature-input", "1795000030", "1795000031");
    });
    changed("parameters reordered after signing", |call| {
        replace(
            &mut call.headers,
            "signature-input",
            ";created=1795000000;expires=1795000030",
            ";expires=1795000030;created=1795000000",
        );
    });
    for (name, authority) in [
        ("signed for the test system", "test.pos.example"),
        ("signed for another port", "pos.example:8443"),
        ("authority signed in upper case", "POS.example"),
    ] {
        let mut draft = refund();
        draft.authority = authority.into();
        let call = ReceivedCall { is_rfc9421: false, ..received(&draft) };
        let why = "the receiver compares with its own configured name";
        cases.push(name, why, "wrong_signature", call);
    }
    cases.altered("path with a line feed", "no line can be added", "malformed", |call| {
        call.path = "/v1/payments\n\"@query\": ?".into();
    });
    cases.altered("path beyond ASCII", "a path is percent-encoded", "malformed", |call| {
        call.path = "/v1/店".into();
    });
}

fn bend_signature(call: &mut ReceivedCall, bend: impl FnOnce(&mut [u8; 64])) {
    edit(&mut call.headers, "signature", |value| {
        let digits = value.trim_start_matches("pos=:").trim_end_matches(':');
        let mut octets = fixed_from_base64(digits).expect("the signature is well-formed");
        bend(&mut octets);
        format!("pos=:{}:", base64(&octets))
    });
}

/// Adds the order of the group, 2^252 + 27742317777372353535851937790883648493, to S.
fn add_group_order(signature: &mut [u8; 64]) {
    const LOW: u128 = 27_742_317_777_372_353_535_851_937_790_883_648_493;
    const HIGH: u128 = 1 << 124;
    let (low, high) = signature[32..].split_at_mut(16);
    let of = |half: &[u8]| u128::from_le_bytes(half.try_into().expect("half of S is 16 octets"));
    let (sum, carry) = of(low).overflowing_add(LOW);
    let top = of(high).wrapping_add(HIGH).wrapping_add(u128::from(carry));
    low.copy_from_slice(&sum.to_le_bytes());
    high.copy_from_slice(&top.to_le_bytes());
}

/// What an institution refuses of the server's calls.
fn institution(cases: &mut Cases) {
    let mut shops = sale();
    shops.set_param("tag", "\"pos-connect/1\"");
    let why = "the same key and label, but signed for the calls of shops";
    cases.push("a shop's tag at an institution", why, "tag", at_institution(&shops));
    let mut keyless = sale();
    keyless.drop_component("\"idempotency-key\"");
    let why = "the key is there and must be covered";
    let keyless = at_institution(&keyless);
    cases.push("a sale whose key is not covered", why, "components", keyless);
    let mut text = sale();
    text.content_type = "text/plain".into();
    let text = at_institution(&text);
    cases.push("a sale as text", "bodies are application/json", "content_type", text);
}
