//! Who may do what to whose: every route with every role's key and every foreign id, against the running
//! server (`security.md` T5). A foreign id is answered like one that nobody has, octet for octet, and no
//! refused call moves anything.

mod rows;
mod world;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::BED;
use rows::{Proof, ROWS, Row};
use world::World;

/// With whose key a call is signed. The shop in question is the one that the ids called
/// [`Whose::Own`] belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// A module key of the shop.
    Module,
    /// A module key of the shop that is narrowed to its first POS.
    OnePos,
    /// A person of the shop who signed in a moment ago.
    Session,
    /// A module key of another shop.
    Stranger,
    /// A key that was never registered.
    Unregistered,
    /// A module key of the shop that was revoked.
    Revoked,
    /// A session of the shop that was ended.
    SignedOut,
    /// The call of the module key without its signature.
    Unsigned,
}

impl Role {
    const ALL: [Self; 8] = [
        Self::Module,
        Self::OnePos,
        Self::Session,
        Self::Stranger,
        Self::Unregistered,
        Self::Revoked,
        Self::SignedOut,
        Self::Unsigned,
    ];
}

/// Whose the id in the call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// The shop's, on its first POS.
    Own,
    /// The shop's, on its second POS.
    OtherPos,
    /// Another shop's.
    OtherShop,
    /// Well-formed, and nobody's.
    Nobodys,
}

#[test]
fn every_route_of_the_server_is_in_the_table_with_every_id_that_it_takes() {
    BED.run(async |bed| {
        let place = bed.server.place().unwrap();
        let read = place.send(&pos_tests::line::Request::get("/v1/openapi.json")).await.unwrap();
        let served = served(&read.json());
        assert!(served.len() > 30, "the document was not understood: {served:?}");
        let listed: BTreeSet<_> = ROWS.iter().map(|row| (row.call.into(), row.id.into())).collect();
        assert_eq!(served.difference(&listed).collect::<Vec<_>>(), [].iter().collect::<Vec<_>>());
        let calls = |pairs: &BTreeSet<(String, String)>| -> BTreeSet<String> {
            pairs.iter().map(|(call, _)| call.clone()).collect()
        };
        assert_eq!(calls(&listed), calls(&served), "the table lists what is not served");
    });
}

/// Every call of the document with every id that it takes, in path, query, head or body, and once
/// without.
fn served(document: &Value) -> BTreeSet<(String, String)> {
    const IDS: [&str; 8] = [
        "ContractId",
        "IdempotencyKey",
        "KeyId",
        "OrderId",
        "PaymentId",
        "PosId",
        "PublicKey",
        "UserId",
    ];
    const NO_IDS: [&str; 4] = ["content-digest", "limit", "signature", "signature-input"];
    let members = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let mut pairs = BTreeSet::new();
    for (path, methods) in members(&document["paths"]) {
        for (method, operation) in members(&methods) {
            let call = format!("{} {path}", method.to_uppercase());
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let mut ids: Vec<String> = parameters
                .iter()
                .map(|parameter| parameter["name"].as_str().unwrap().to_lowercase())
                .filter(|name| !NO_IDS.contains(&name.as_str()))
                .collect();
            let body = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
            if let Some((_, name)) = body.as_str().and_then(|text| text.rsplit_once('/')) {
                for (member, schema) in
                    members(&document["components"]["schemas"][name]["properties"])
                {
                    let text = schema.to_string();
                    if IDS.iter().any(|id| text.contains(&format!("/{id}\""))) {
                        ids.push(member);
                    }
                }
            }
            if ids.is_empty() {
                ids.push(String::new());
            }
            pairs.extend(ids.into_iter().map(|id| (call.clone(), id)));
        }
    }
    pairs
}

#[test]
fn every_role_is_answered_as_the_table_says_and_no_refusal_moves_anything() {
    BED.run(async |bed| {
        let mut world = World::new(bed).await;
        let before = world.footprints().await;
        let mut wrong = Vec::new();
        for cell in cells().filter(|cell| !cell.expected().starts_with("200")) {
            let told = cell.ask(&world).await;
            check(&cell, &told, &mut wrong);
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert_eq!(world.footprints().await, before, "a refused call moved something");
        for cell in cells().filter(|cell| cell.expected().starts_with("200")) {
            let told = cell.ask(&world).await;
            check(&cell, &told, &mut wrong);
            // A read uses nothing up.
            if cell.row.call.starts_with("POST") {
                world.renew().await;
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        let after = world.footprints().await;
        assert!(after.iter().zip(&before).all(|(after, before)| after != before), "nothing moved");
    });
}

/// What one call was told.
struct Told {
    /// Status, code or kind, and field.
    summary: String,
    /// The body without what differs from call to call.
    body: Value,
}

fn check(cell: &Cell, told: &Told, wrong: &mut Vec<String>) {
    if told.summary != cell.expected() {
        let Cell { row: Row { call, id, .. }, role, whose } = cell;
        let expected = cell.expected();
        wrong.push(format!(
            "{call} by {role:?} with {whose:?} {id}: {} for {expected}; {}",
            told.summary, told.body
        ));
    }
}

/// One call of the matrix.
#[derive(Clone, Copy)]
struct Cell {
    row: &'static Row,
    role: Role,
    whose: Whose,
}

fn cells() -> impl Iterator<Item = Cell> {
    ROWS.iter().flat_map(|row| {
        Role::ALL.into_iter().flat_map(move |role| {
            row.whose.iter().map(move |whose| Cell { row, role, whose: *whose })
        })
    })
}

impl Cell {
    fn expected(&self) -> &'static str {
        self.row.told(self.role, self.whose)
    }

    async fn ask(&self, world: &World) -> Told {
        let told = self.ask_with(world, self.whose).await;
        // Nobody can tell another's id from one that nobody has.
        let nobodys = self.row.whose.contains(&Whose::Nobodys)
            && self.expected() == self.row.told(self.role, Whose::Nobodys);
        if nobodys && self.whose != Whose::Nobodys && !self.expected().starts_with("200") {
            let random = self.ask_with(world, Whose::Nobodys).await;
            assert_eq!(
                told.body, random.body,
                "{} {} by {:?}",
                self.row.call, self.row.id, self.role
            );
        }
        told
    }

    async fn ask_with(&self, world: &World, whose: Whose) -> Told {
        let signer = world.key(self.role);
        let draft = world.draft(self.row, self.role, whose);
        let caller = world.bed.caller_with(signer);
        let mut signed = caller.sign(&draft);
        if self.role == Role::Unsigned {
            signed.request.remove_header("signature");
            signed.request.remove_header("signature-input");
        }
        let answer = caller.send(&world.bed.server.place().unwrap(), &signed).await.unwrap();
        let proved = self.row.proof != Proof::None && self.role != Role::Unsigned;
        assert_eq!(answer.verified.is_ok(), proved, "{} {:?}", self.row.call, answer.verified);
        let mut body = answer.json();
        let word = |name: &str| body[name].as_str().map(str::to_owned);
        let summary: Vec<_> =
            [Some(answer.status.to_string()), word("code"), word("found"), word("field")]
                .into_iter()
                .flatten()
                .collect();
        body.as_object_mut().map(|members| members.remove("request_id"));
        Told { summary: summary.join(" "), body }
    }
}
