//! `docs/ERRORS.md`, made from the tables of codes and reasons. Only what to do on each code is
//! written here; a code without it does not compile.

use std::fmt::Write as _;

use pos_connect::protocol::reason::DeclineReason;
use pos_connect::{ErrorCode, ModuleCode};

/// The whole page.
pub(crate) fn page() -> String {
    let mut page = HEAD.to_owned();
    page.push_str(&codes());
    page.push_str(BETWEEN);
    page.push_str(&module_codes());
    page.push_str(BEFORE_REASONS);
    page.push_str(&reasons());
    page.push_str(TAIL);
    page
}

const HEAD: &str = "\
# Every error code, and every reason of a decline

Made from the code: `cargo run -p pos-connect --example write_errors_page`. A test compares.

## What a refusal looks like

Every refusal has a JSON body: `Problem` in [PROTOCOL.md](PROTOCOL.md#problem). It is signed like every
answer to a call whose signature is well-formed. A decline is no refusal: it is a `200` with the state `declined`
and one of the [reasons](#reasons-of-a-decline).

| `retry` | what it allows |
|---|---|
| `never` | nothing as it stands: change the call, under a new idempotency key |
| `same_key` | the same call with the same key, signed afresh |
| `after` | as `same_key`, after `retry_after_ms` |
| `new_quote` | a new quote, then a new call with a new key and, for a payment, a new envelope |

*Kept* means: the refusal is stored under the idempotency key, and every repeat of the call gets it again, whatever has
changed meanwhile. A new try takes a new key. What is not kept leaves the key unused.

*Proves the call was read* means: the refusal is given only after the signature was verified. The others are given before; a
copy of the call that was bent on the way, its signature left as it was, can draw one, and the answer is bound to that same
signature. For a call that moves money they say nothing about the call that was sent: ask by the key.

After those, `429`, any `5xx`, or a refusal of a *repeat*, ask `GET /v1/operations/{idempotency_key}` before anything else: such an
answer says nothing of an earlier attempt. A call that was refused by a code that a client does not know is not repeated as it stands;
where it moves money, such a code proves nothing, and the client asks by the key.

## Codes

| code | HTTP | `retry` | kept | proves the call was read | English | Japanese | what to do |
|---|---|---|---|---|---|---|---|
";

const BETWEEN: &str = "
The English sentence may be a more exact one in the answer, and `field` then says where: a JSON path (`envelope.key_id`), a header or
a part of the path in lower case, a signature parameter, or for `busy` the id of the operation in the way. The Japanese sentence is
the one above. A refusal that was kept repeats the general sentence.

## Codes of the connection module

What the module itself finds wrong, in whatever language it is used. No server sends these. `kind` is what to do, and what an
error of a [binding](../bindings/README.md) is caught by: for `ask_for_status` the outcome of a payment is not known, with every other kind
nothing was moved. Where an earlier call under the same key is open, the kind is `ask_for_status` whatever the table says.

| code | kind | `retry` | English | Japanese |
|---|---|---|---|---|
";

const BEFORE_REASONS: &str = "
## Reasons of a decline

`decline.reason` of an operation or a check. The sentences are for the person at the shop and safe to show there: they never say
that a card is reported stolen or that fraud is suspected. The shopper is told no more than `shopper_advice`. The institution's
own code stays in the operator's log (`raw_code`).

*Hard* means: the same instrument must not be tried again at all.

| reason | `shopper_advice` | hard | English | Japanese |
|---|---|---|---|---|
";

const TAIL: &str = "
| `shopper_advice` | what to tell the shopper |
|---|---|
| `try_another` | another card, account or prepaid number may work |
| `check_details` | the same may work once the shopper has checked what was typed |
| `try_later` | the same may work later |
";

fn codes() -> String {
    let mut rows = String::new();
    for code in ErrorCode::ALL {
        writeln!(
            rows,
            "| `{}` | {} | `{}` | {} | {} | {} | {} | {} |",
            code.wire(),
            code.status(),
            code.retry().wire(),
            yes(code.is_kept()),
            yes(code.comes_after_verification()),
            code.english(),
            code.japanese(),
            what_to_do(*code),
        )
        .expect("writing to a string does not fail");
    }
    rows
}

fn module_codes() -> String {
    let mut rows = String::new();
    for code in ModuleCode::ALL {
        writeln!(
            rows,
            "| `{}` | `{}` | `{}` | {} | {} |",
            code.as_str(),
            code.kind().as_str(),
            code.retry().wire(),
            code.english(),
            code.japanese(),
        )
        .expect("writing to a string does not fail");
    }
    rows
}

fn reasons() -> String {
    let mut rows = String::new();
    for reason in DeclineReason::ALL {
        writeln!(
            rows,
            "| `{}` | `{}` | {} | {} | {} |",
            reason.wire(),
            reason.shopper_advice().wire(),
            yes(reason.is_hard()),
            reason.english(),
            reason.japanese(),
        )
        .expect("writing to a string does not fail");
    }
    rows
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

fn what_to_do(code: ErrorCode) -> &'static str {
    use ErrorCode as E;
    match code {
        E::InvalidJson => "Send JSON in UTF-8 without anything before or behind it.",
        E::InvalidField => "Correct the member that `field` names.",
        E::IdempotencyKeyMissing => "Make a key, keep it, send it with the call.",
        E::IdempotencyKeyInvalid => "Make the key of 16 to 64 of `A-Za-z0-9_-`.",
        E::IdempotencyKeyReused => {
            "Two different calls were given one key: a fault of the caller. Ask by the key what the first one did."
        }
        E::DeadlineTooShort => {
            "Set `expires` at least 2 s, better 20 s, after the time at which the call arrives."
        }
        E::BodyTooLarge => "No call of this protocol needs so much: look at what is sent.",
        E::BodyTooSlow => "Sign and send the call again; look at the line if it goes on.",
        E::UnsupportedMediaType => "Leave out `Content-Encoding`.",
        E::NotFound => {
            "Look at the id. Another shop's id, one outside the key's POS, and one that never was are answered alike."
        }
        E::MethodNotAllowed => "Use the method of the table of routes.",
        E::SignatureMissing => "Sign the call.",
        E::SignatureInvalid => {
            "Compare with `tests/vectors/signatures.json`; most often `@authority` is not the configured name, or something on the way changes the call."
        }
        E::SignatureStale => {
            "Learn the clock's offset from `created` of this answer's verified signature, sign again."
        }
        E::DigestMismatch => {
            "Digest the octets as they are sent; look for a proxy that rewrites bodies."
        }
        E::KeyUnknown => "Register, or use the key that was registered with this server.",
        E::KeyRevoked => {
            "Use the successor if the key was rolled; else register anew with a code from the operator."
        }
        E::SessionEnded => "Sign in again with a fresh key.",
        E::CredentialRefused => {
            "Check what was typed. A code ends 10 minutes after it was made and is spent once: ask the operator for another."
        }
        E::LoginLocked => "Wait `retry_after_ms`. Module keys go on paying.",
        E::NotPermitted => {
            "Use a key that may: only a module key rolls, only a session signs out, another key is revoked only within 5 minutes of signing in."
        }
        E::OrderTaken => "`GET /v1/orders/{order_id}` shows the payment that the order has.",
        E::Busy => {
            "Ask for the outcome of the operation that `field` names, then try with a new key."
        }
        E::AmountExceeded => "Look at the sums of the payment; ask for no more than is left.",
        E::NothingLeft => "Look at the sums of the payment.",
        E::CurrencyMismatch => "Use the payment's currency.",
        E::OperationUnsupported => {
            "Look at `operations` and `can_check` of the contract in `methods`."
        }
        E::CurrencyNotAccepted => "Quote again; another contract may take it.",
        E::AmountOutOfLimits => "Quote again; another contract may take it.",
        E::ContractDisabled => "Quote again; ask the operator if it should be on.",
        E::InstitutionDisabled => "Quote again; the operator has switched the institution off.",
        E::EnvelopeInvalid => {
            "Fetch the seal keys again (`methods` or a quote) and have the shopper's page seal anew."
        }
        E::EnvelopeExpired => "Have the shopper's page seal anew.",
        E::EnvelopeUsed => "Have the shopper's page seal anew: each envelope pays once.",
        E::InstitutionUnavailable => "Wait, or quote again.",
        E::TooManyRequests => {
            "Wait `retry_after_ms`, then ask by the key. This release does not give it."
        }
        E::Overloaded => "Wait `retry_after_ms`, then ask by the key.",
        E::NotReady => "Wait `retry_after_ms`, then ask by the key.",
        E::Internal => "Ask by the key. Tell the operator the request id.",
    }
}
