//! The table: for every route and every id that it takes, who is told what.

use super::{Role, Whose};
use Role::{OnePos, Revoked, Session, SignedOut, Stranger, Unregistered, Unsigned};
use Whose::{Nobodys, OtherPos, OtherShop, Own};

/// What a route asks of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Nothing, and its answer is not signed.
    None,
    /// A signature by the key in the body.
    OfTheKey,
    /// A signature by a registered key.
    Registered,
}

/// One route with one of the ids that it takes: of all others the call has the caller's own.
#[derive(Debug)]
pub(super) struct Row {
    /// Method and path as the OpenAPI document has them.
    pub(super) call: &'static str,
    /// The parameter, field or member in question; empty where the route takes no id.
    pub(super) id: &'static str,
    pub(super) proof: Proof,
    /// Whose are tried.
    pub(super) whose: &'static [Whose],
    /// What a key is told of what it may see: status, code, field.
    own: &'static str,
    /// What it is told of the rest.
    foreign: &'static str,
    /// What some are told instead.
    but: &'static [(Role, Whose, &'static str)],
}

impl Row {
    /// What this role is told when the id is whose.
    pub(super) fn told(&self, role: Role, whose: Whose) -> &'static str {
        if let Some((_, _, told)) = self.but.iter().find(|but| (but.0, but.1) == (role, whose)) {
            return told;
        }
        match (self.proof, role) {
            (Proof::None, _) => return self.own,
            (_, Unsigned) => return "401 signature_missing signature-input",
            (Proof::Registered, Unregistered) => return "401 key_unknown",
            (Proof::Registered, Revoked) => return "401 key_revoked",
            (Proof::Registered, SignedOut) => return "401 session_ended",
            _ => {}
        }
        let seen = match role {
            _ if self.id.is_empty() => true,
            Stranger => whose == OtherShop,
            OnePos => whose == Own,
            _ => matches!(whose, Own | OtherPos),
        };
        if seen { self.own } else { self.foreign }
    }
}

const NO_ID: &[Whose] = &[Own];
const OF_A_SHOP: &[Whose] = &[Own, OtherShop, Nobodys];
const OF_A_POS: &[Whose] = &[Own, OtherPos, OtherShop, Nobodys];

const fn row(
    call: &'static str,
    id: &'static str,
    whose: &'static [Whose],
    own: &'static str,
    foreign: &'static str,
) -> Row {
    Row { call, id, proof: Proof::Registered, whose, own, foreign, but: &[] }
}

const REFUSED: &str = "401 credential_refused";
const NO_POS: &str = "404 not_found pos";
const NO_PAYMENT: &str = "404 not_found payment_id";
const NO_CONTRACT: &str = "404 not_found contract_id";
const REUSED: &str = "422 idempotency_key_reused idempotency-key";
/// Of calls that are no operations, whose keys are kept apart.
const REUSED_APART: &str = "422 idempotency_key_reused";
const NOT_PERMITTED: &str = "403 not_permitted";

/// An order or a key is taken within its shop, whatever POS the signer is narrowed to.
const ALSO_OF_THE_OTHER_POS: &[(Role, Whose, &str)] = &[(OnePos, OtherPos, REUSED)];

/// A person may not roll a module key, nor software sign out.
const BY_NO_SESSION: &[(Role, Whose, &str)] = &[
    (Session, Own, NOT_PERMITTED),
    (Session, OtherShop, NOT_PERMITTED),
    (Session, Nobodys, NOT_PERMITTED),
];

const BY_NO_KEY_OF_ONE_POS: &[(Role, Whose, &str)] = &[
    (OnePos, Own, NOT_PERMITTED),
    (OnePos, OtherShop, NOT_PERMITTED),
    (OnePos, Nobodys, NOT_PERMITTED),
];

/// The table.
#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    // A key is registered once and for one shop, and what signs must be the key in the body.
    Row { proof: Proof::OfTheKey, but: &[(Unregistered, Own, "200")],
        ..row("POST /v1/registrations", "user_id", OF_A_SHOP, REFUSED, REFUSED) },
    Row { proof: Proof::OfTheKey,
        ..row("POST /v1/registrations", "key", OF_A_SHOP, "401 signature_invalid", "401 signature_invalid") },
    Row { proof: Proof::OfTheKey, but: &[(Unregistered, Own, "200")],
        ..row("POST /v1/sessions", "user_id", OF_A_SHOP, REFUSED, REFUSED) },
    Row { proof: Proof::OfTheKey,
        ..row("POST /v1/sessions", "key", OF_A_SHOP, "401 signature_invalid", "401 signature_invalid") },

    // A repeated sign-out is answered as done.
    Row { but: &[(Session, Own, REUSED_APART), (Session, OtherShop, "200"), (Session, Nobodys, "200"),
                 (SignedOut, Own, REUSED_APART), (SignedOut, OtherShop, "200"), (SignedOut, Nobodys, "200")],
        ..row("POST /v1/sessions/end", "idempotency-key", OF_A_SHOP, NOT_PERMITTED, NOT_PERMITTED) },
    row("GET /v1/keys", "", NO_ID, "200", ""),
    // A key that stands already is no successor, whoever holds it.
    Row { but: &[(Role::Module, Nobodys, "200"), (OnePos, Nobodys, "200"), (Stranger, Nobodys, "200"),
                 (Session, Own, NOT_PERMITTED), (Session, OtherShop, NOT_PERMITTED), (Session, Nobodys, NOT_PERMITTED)],
        ..row("POST /v1/keys/roll", "key", OF_A_SHOP, "400 invalid_field key", "400 invalid_field key") },
    Row { but: BY_NO_SESSION,
        ..row("POST /v1/keys/roll", "idempotency-key", OF_A_SHOP, REUSED_APART, "200") },
    // Software ends no key but its own; a person who has just signed in ends any of the shop's.
    Row { but: &[(Session, Own, "200"), (Session, OtherShop, "404 not_found"), (Session, Nobodys, "404 not_found")],
        ..row("POST /v1/keys/{key_id}/revoke", "key_id", OF_A_SHOP, NOT_PERMITTED, NOT_PERMITTED) },
    Row { but: &[(Session, Own, REUSED_APART), (Session, OtherShop, "200"), (Session, Nobodys, "200")],
        ..row("POST /v1/keys/{key_id}/revoke", "idempotency-key", OF_A_SHOP, NOT_PERMITTED, NOT_PERMITTED) },

    // They tell of every POS of the shop.
    Row { but: &[(OnePos, Own, NOT_PERMITTED)], ..row("GET /v1/notices", "", NO_ID, "200", "") },
    Row { but: BY_NO_KEY_OF_ONE_POS,
        ..row("POST /v1/notices", "idempotency-key", OF_A_SHOP, REUSED_APART, "200") },

    row("GET /v1/methods", "pos", OF_A_POS, "200", NO_POS),
    row("POST /v1/quotes", "pos_id", OF_A_POS, "200", "404 not_found pos_id"),
    row("POST /v1/quotes", "contract_id", OF_A_POS, "200", NO_CONTRACT),
    row("POST /v1/quotes", "order_id", OF_A_POS, "200", "200"),
    row("POST /v1/checks", "contract_id", OF_A_POS, "200", NO_CONTRACT),
    row("POST /v1/checks", "order_id", OF_A_POS, "200", "200"),
    row("POST /v1/checks", "idempotency-key", OF_A_SHOP, REUSED_APART, "200"),

    row("POST /v1/payments", "contract_id", OF_A_POS, "200", NO_CONTRACT),
    Row { but: &[(OnePos, OtherPos, "409 order_taken order_id")],
        ..row("POST /v1/payments", "order_id", OF_A_POS, "409 order_taken order_id", "200") },
    Row { but: ALSO_OF_THE_OTHER_POS,
        ..row("POST /v1/payments", "idempotency-key", OF_A_POS, REUSED, "200") },
    row("POST /v1/payments/{payment_id}/captures", "payment_id", OF_A_POS, "200", NO_PAYMENT),
    Row { but: ALSO_OF_THE_OTHER_POS,
        ..row("POST /v1/payments/{payment_id}/captures", "idempotency-key", OF_A_POS, REUSED, "200") },
    row("POST /v1/payments/{payment_id}/voids", "payment_id", OF_A_POS, "200", NO_PAYMENT),
    Row { but: ALSO_OF_THE_OTHER_POS,
        ..row("POST /v1/payments/{payment_id}/voids", "idempotency-key", OF_A_POS, REUSED, "200") },
    row("POST /v1/payments/{payment_id}/refunds", "payment_id", OF_A_POS, "200", NO_PAYMENT),
    Row { but: ALSO_OF_THE_OTHER_POS,
        ..row("POST /v1/payments/{payment_id}/refunds", "idempotency-key", OF_A_POS, REUSED, "200") },

    row("GET /v1/payments", "pos", OF_A_POS, "200", NO_POS),
    // A place in the order of time, which is compared and never looked up.
    row("GET /v1/payments", "after", OF_A_POS, "200", "200"),
    row("GET /v1/payments/{payment_id}", "payment_id", OF_A_POS, "200", "404 not_found"),
    row("GET /v1/orders/{order_id}", "order_id", OF_A_POS, "200", "404 not_found"),
    // "Nothing" becomes *not made* in the module, so it is said of what is not there alone.
    Row { but: &[(OnePos, OtherPos, "404 not_found")],
        ..row("GET /v1/operations/{idempotency_key}", "idempotency_key", OF_A_POS, "200 operation", "200 nothing") },

    Row { proof: Proof::None, ..row("GET /v1/answer-keys", "", NO_ID, "200", "") },
    Row { proof: Proof::None, ..row("GET /v1/openapi.json", "", NO_ID, "200", "") },
];
