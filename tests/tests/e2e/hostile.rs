//! Strangers with a generator: bent copies of signed calls, of which none may be taken, and requests of no
//! client, of which none may end in a panic or in status 500. Small here; `cargo xtask full --only hostile`
//! says how many by these variables.

use std::time::Duration;

use pos_hostile::calls::Calls;
use pos_hostile::draw::Draw;
use pos_hostile::message::{Message, Unsigned};
use pos_hostile::requests::{Maker, Template};
use pos_protocol::ErrorCode;
use pos_protocol::key::SigningKey;
use pos_tests::bed::shop::registration_draft;
use pos_tests::bed::{PASSWORD, ShopKit};
use pos_tests::octets::{OctetLine, Told};
use pos_tests::pay::Pay;
use pos_tests::raw::{Draft, fresh_key, fresh_signing_key, now};
use pos_tests::shared::Shared;
use pos_tests::{Bed, BedOptions};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Apart: it makes thousands of calls, and its log is searched for panics.
static BED: Shared = Shared::new(BedOptions::default);

/// So many mutants are made of calls before these are signed anew: they are fresh for a minute.
const BATCH: u64 = 1_000;

/// Lines that call at once.
const LINES: u64 = 4;

fn told_in(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

fn seed() -> u64 {
    told_in("POS_HOSTILE_SEED", 20_261_127)
}

#[test]
fn no_mutant_of_a_signed_call_is_taken() {
    BED.run(async |bed| {
        let count = told_in("POS_HOSTILE_CALLS", 2_000);
        let (shop, seed) = (bed.open_shop("Bent").await.unwrap(), seed());
        let payment = held(bed, &shop).await;
        let before = bed.footprint(&shop).await.unwrap();
        let calls = drafts(&payment);
        let mut line = OctetLine::new(&bed.server.address().url);
        let (mut draw, mut made, mut accepted) = (Draw::new(seed), 0, Vec::new());
        while made < count {
            let signed = Calls::new(calls.iter().map(|call| sign(bed, &shop.key, call)).collect());
            for _ in 0..BATCH.min(count - made) {
                let mutant = signed.mutant(&mut draw).plain();
                if signed.was_signed(&mutant) {
                    continue;
                }
                let told = ask(bed, &mut line, &mutant).await;
                if told.as_ref().is_some_and(is_taken) {
                    accepted.push(format!("{mutant:?} {told:?}"));
                }
                made += 1;
            }
            // They would have been taken: what the mutants were refused for is that they were bent.
            for call in signed.all().iter().filter(|call| call.start.starts_with(b"GET")) {
                let told = ask(bed, &mut line, call).await.unwrap();
                assert_eq!(told.status, 200, "{call:?}");
            }
        }
        println!("hostile: calls={made} accepted={} seed={seed}", accepted.len());
        assert_eq!(accepted, [""; 0]);
        assert_eq!(bed.footprint(&shop).await.unwrap(), before);
    });
}

async fn ask(bed: &Bed, line: &mut OctetLine, call: &Message) -> Option<Told> {
    line.ask(&call.written(&bed.server.address().authority)).await.unwrap()
}

/// Whether the server believed the signature: it did what was asked, or refused it for a reason that it
/// only gives to a proved call.
fn is_taken(told: &Told) -> bool {
    let code = json_of(told)["code"].as_str().and_then(ErrorCode::from_wire);
    told.status < 400 || code.is_some_and(ErrorCode::comes_after_verification)
}

fn json_of(told: &Told) -> Value {
    serde_json::from_slice(&told.body).unwrap_or_default()
}

/// The payment of a fresh order, authorised.
async fn held(bed: &Bed, shop: &ShopKit) -> String {
    let line = bed.connection(shop).await.unwrap();
    let order = Pay::authorise("sakura-card", "approve", 1_000).module_order(bed, shop).unwrap();
    line.authorise(&order, None).await.unwrap().payment_id.to_string()
}

/// Reads, and calls that would move money.
fn drafts(payment: &str) -> Vec<Unsigned> {
    let money = json!({ "amount": 10, "currency": "JPY" }).to_string();
    let call = |method: &str, target: String, body: &str, keyed: bool| Unsigned {
        method: method.to_owned(),
        target,
        body: body.into(),
        key: keyed.then(|| fresh_key().to_string()),
    };
    vec![
        call("GET", "/v1/keys".into(), "", false),
        call("GET", "/v1/payments?limit=2".into(), "", false),
        call("GET", format!("/v1/payments/{payment}"), "", false),
        call("POST", format!("/v1/payments/{payment}/captures"), &money, true),
        call("POST", format!("/v1/payments/{payment}/refunds"), &money, true),
        call("POST", format!("/v1/payments/{payment}/voids"), "{}", true),
    ]
}

fn sign(bed: &Bed, key: &SigningKey, call: &Unsigned) -> Message {
    let authority = &bed.server.address().authority;
    call.signed(key, authority, now(), Duration::from_secs(60)).unwrap()
}

#[test]
fn whatever_is_sent_there_is_no_panic_and_no_status_500() {
    BED.run(async |bed| {
        let (count, seed) = (told_in("POS_HOSTILE_REQUESTS", 5_000), seed());
        let mut lines = JoinSet::new();
        for number in 0..LINES {
            let draw = Draw::new(seed + number);
            lines.spawn(storm(bed, draw, count / LINES));
        }
        let mut all = Answers::default();
        for answers in lines.join_all().await {
            all.add(&answers);
        }
        let panics = bed.faults_in_log().unwrap().len();
        let Answers { sent, faults, unanswered, malformed, done, .. } = &all;
        println!(
            "hostile: malformed={sent} panics={panics} status_500={} seed={seed}",
            faults.len()
        );
        println!("hostile: not_read={malformed} done={done} not_answered={}", unanswered.len());
        assert_eq!((faults.as_slice(), unanswered.as_slice(), panics), (&[][..], &[][..], 0));
        // The storm went through: bodies were read, and some calls were good.
        assert!(*malformed > count / 20 && *done > count / 200, "{all:?}");
        assert_eq!(all.sent, count / LINES * LINES);
    });
}

/// What was answered.
#[derive(Debug, Default)]
struct Answers {
    sent: u64,
    /// Status 500, and what was sent.
    faults: Vec<String>,
    /// Whole requests without an answer.
    unanswered: Vec<String>,
    /// Proved, and not the route's body.
    malformed: u64,
    done: u64,
}

impl Answers {
    fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.faults.extend_from_slice(&other.faults);
        self.unanswered.extend_from_slice(&other.unanswered);
        self.malformed += other.malformed;
        self.done += other.done;
    }
}

async fn storm(bed: &'static Bed, mut draw: Draw, count: u64) -> Answers {
    let shop = bed.open_shop("Storm").await.unwrap();
    let stranger = fresh_signing_key();
    let templates = templates(bed, &shop, &stranger).await;
    let authority = bed.server.address().authority.clone();
    let named = authority.clone();
    let maker = Maker::new(templates, authority, move |_: &mut Draw, call: &Unsigned| {
        let by_stranger = ["/v1/registrations", "/v1/sessions"].contains(&call.target.as_str());
        let key = if by_stranger { &stranger } else { &shop.key };
        call.signed(key, &named, now(), Duration::from_secs(30))
    });
    let mut line = OctetLine::new(&bed.server.address().url);
    let mut answers = Answers::default();
    for _ in 0..count {
        let request = maker.next(&mut draw);
        let told = if request.is_whole {
            line.ask(&request.octets).await.unwrap()
        } else {
            line.shout(&request.octets).await.unwrap()
        };
        answers.sent += 1;
        let sent = || String::from_utf8_lossy(&request.octets).into_owned();
        match told {
            None if request.is_whole => answers.unanswered.push(sent()),
            None => {}
            Some(Told { status: 500, .. }) => answers.faults.push(sent()),
            Some(told) => {
                let code = json_of(&told)["code"].as_str().map(str::to_owned);
                let not_read = ["invalid_json", "invalid_field"].map(Some);
                answers.malformed += u64::from(not_read.contains(&code.as_deref()));
                answers.done += u64::from(told.status == 200);
            }
        }
    }
    answers
}

/// A good call to every route. Those that cost a password hash stand once among many.
async fn templates(bed: &Bed, shop: &ShopKit, stranger: &SigningKey) -> Vec<Template> {
    let payment = held(bed, shop).await;
    let (enrolment, _) = bed.admit("Storm's").await.unwrap();
    let pay = Pay::sale("sakura-card", "approve", 700);
    let sale = serde_json::to_value(pay.request(bed, shop).unwrap()).unwrap();
    let mut check = sale.clone();
    for member in ["operation", "allow_partial"] {
        check.as_object_mut().unwrap().remove(member);
    }
    let quote = json!({ "order_id": "o-1", "method": "card:visa", "amount": 1, "currency": "JPY" });
    let money = json!({ "amount": 1, "currency": "JPY" });
    let key = json!(stranger.public());
    let roll = json!({ "key": key, "proof": stranger.sign(b"") });
    let sign_in = json!({
        "user_id": shop.enrolment.user_id, "password": "not the password of it", "key": key,
    });
    let register: Draft = registration_draft(&enrolment, PASSWORD, stranger);
    let register: Value = serde_json::from_slice(&register.body).unwrap();
    let pos = shop.poses[0].pos_id;
    let get = |target: String| (String::from("GET"), target, Value::Null, false);
    let post =
        |target: &str, body: &Value, keyed| ("POST".into(), target.to_owned(), body.clone(), keyed);
    let of_payment = |what: &str| format!("/v1/payments/{payment}/{what}");
    let common = vec![
        get("/v1/keys".into()),
        get(format!("/v1/methods?pos={pos}")),
        get("/v1/payments?limit=3".into()),
        get(format!("/v1/payments/{payment}")),
        get("/v1/orders/order-1".into()),
        get("/v1/operations/hostile-0123456789".into()),
        get("/v1/answer-keys".into()),
        post("/v1/quotes", &quote, false),
        post("/v1/checks", &check, true),
        post("/v1/payments", &sale, true),
        post(&of_payment("captures"), &money, true),
        post(&of_payment("voids"), &json!({}), true),
        post(&of_payment("refunds"), &money, true),
        post("/v1/keys/roll", &roll, true),
        post(&format!("/v1/keys/{}/revoke", stranger.public().id()), &json!({}), true),
        post("/v1/sessions/end", &json!({}), true),
        post("/v1/registrations", &register, false),
    ];
    let mut all: Vec<_> = std::iter::repeat_n(common, 4).flatten().collect();
    all.push(post("/v1/sessions", &sign_in, false));
    let template = |(method, target, body, keyed)| Template { method, target, body, keyed };
    all.into_iter().map(template).collect()
}
