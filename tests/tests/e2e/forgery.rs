//! A proxy between shop and server that forges, withholds and cuts. The module believes nothing that
//! the server has not signed: it calls the outcome unknown and finds the truth by the key.

use std::time::Duration;

use pos_connect::wire::WireOperationState as State;
use pos_connect::{Connection, EnrolmentCode, ErrorKind, Setup};
use pos_protocol::secret::SecretText;
use pos_tests::Bed;
use pos_tests::bed::PASSWORD;
use pos_tests::forge::{Forge, Forgery};
use pos_tests::pay::Pay;
use pos_tests::raw::fresh_key;
use tokio::task::JoinSet;

use crate::BED;

async fn forge(bed: &Bed) -> Forge {
    Forge::start(bed.server.place().unwrap()).await.unwrap()
}

/// A line of the module through the proxy, with its own journal.
async fn through(bed: &Bed, forge: &Forge, total: u64) -> Connection {
    let config = bed.config_at(forge.url()).unwrap();
    let config = config.with_attempt_timeout(Duration::from_secs(5)).unwrap();
    let config = config.with_total_timeout(Duration::from_secs(total)).unwrap();
    let line = Connection::open(bed.setup(bed.shop(), config)).await.unwrap();
    // It has met the server's answer key, and the proxy an answer that it could replay.
    line.methods(None).await.unwrap();
    line
}

/// The answer to the payment, and to `more` of the questions after it, are spoilt.
async fn the_truth_is_found(bed: &Bed, forgery: Forgery, more: usize) {
    let forge = forge(bed).await;
    let line = through(bed, &forge, 40).await;
    for (instrument, expected, moved) in
        [("approve", State::Done, 1_000), ("expired_card", State::Declined, 0)]
    {
        let pay = Pay::sale("sakura-card", instrument, 1_000);
        let order = pay.module_order(bed, bed.shop()).unwrap();
        (0..=more).for_each(|_| forge.plan(forgery));
        let told = line.pay(&order, None).await.unwrap();
        assert_eq!(told.state, expected, "{forgery:?}");
        assert_eq!(forge.left(), 0, "{forgery:?}: the module did not ask");
        let effect = u64::from(moved > 0);
        assert_eq!(pay.effects(bed).await, [(moved, effect)], "{forgery:?}");
        assert!(line.in_flight().await.unwrap().open.is_empty());
    }
}

#[test]
fn whatever_a_proxy_does_to_an_answer_the_truth_is_found_by_the_key() {
    BED.run(async |bed| {
        let mut all = JoinSet::new();
        for forgery in Forgery::ALL {
            for more in [0, 1, 2] {
                all.spawn(the_truth_is_found(bed, forgery, more));
            }
        }
        all.join_all().await;
    });
}

#[test]
fn a_proxy_that_never_lets_the_truth_through_makes_it_unknown_and_not_failed() {
    BED.run(async |bed| {
        for forgery in [Forgery::BadGateway, Forgery::ForeignKey, Forgery::Altered] {
            let forge = forge(bed).await;
            let line = through(bed, &forge, 6).await;
            let pay = Pay::sale("sakura-card", "approve", 600);
            let order = pay.module_order(bed, bed.shop()).unwrap();
            (0..1_000).for_each(|_| forge.plan(forgery));
            let key = fresh_key();
            let unknown = line.pay(&order, Some(key.clone())).await.unwrap_err();
            assert_eq!(unknown.kind(), ErrorKind::AskForStatus, "{forgery:?} {unknown:?}");
            assert_eq!(unknown.idempotency_key(), Some(&key));
            assert_eq!(line.in_flight().await.unwrap().open.len(), 1);
            forge.clear();
            let found = line.resume(&key).await.unwrap();
            assert_eq!(found.state, State::Done, "{forgery:?}");
            assert_eq!(pay.effects(bed).await, [(600, 1)]);
        }
    });
}

#[test]
fn a_call_that_was_withheld_is_not_made_only_when_it_cannot_arrive_any_more() {
    BED.run(async |bed| {
        let forge = forge(bed).await;
        let line = through(bed, &forge, 40).await;
        let impatient = through(bed, &forge, 6).await;
        let pay = Pay::sale("sakura-card", "approve", 800);
        let order = pay.module_order(bed, bed.shop()).unwrap();
        let key = fresh_key();
        (0..1_000).for_each(|_| forge.plan(Forgery::Lost));
        let began = pos_tests::raw::now();
        let unknown = impatient.pay(&order, Some(key.clone())).await.unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::AskForStatus);
        forge.clear();
        // The honest answer "nothing under this key" is no proof yet.
        let mut told = impatient.resume(&key).await.unwrap_err();
        while told.kind() == ErrorKind::AskForStatus {
            told = impatient.resume(&key).await.unwrap_err();
        }
        assert_eq!((told.kind(), told.code().as_str()), (ErrorKind::Wait, "not_made"));
        let waited = pos_tests::raw::now().since(began);
        assert!(waited >= Duration::from_secs(15), "not made after {waited:?}");
        assert!(pay.effects(bed).await.is_empty());
        // Now a new try may be made, under a new key.
        let again = Pay::sale("sakura-card", "approve", 800).order(pay.order_id.clone());
        let order = again.module_order(bed, bed.shop()).unwrap();
        assert_eq!(line.pay(&order, None).await.unwrap().state, State::Done);
        assert_eq!(pay.effects(bed).await, [(800, 1)]);
    });
}

#[test]
fn nobody_can_stand_in_for_the_server_at_registration() {
    BED.run(async |bed| {
        let (enrolment, _) = bed.admit("Registering").await.unwrap();
        let code = EnrolmentCode::parse(enrolment.enrolment_code.expose()).unwrap();
        let forge = forge(bed).await;
        let config = bed.config_at(forge.url()).unwrap();
        let config = config.with_attempt_timeout(Duration::from_secs(5)).unwrap();
        let config = config.with_total_timeout(Duration::from_secs(6)).unwrap();
        let keys = std::sync::Arc::new(pos_connect::keys::MemoryKeyStore::default());
        let journal = std::sync::Arc::new(pos_connect::journal::MemoryJournal::default());
        let setup = Setup::new(config, keys, journal);
        let password = || SecretText::new(PASSWORD.to_owned());
        (0..1_000).for_each(|_| forge.plan(Forgery::ForeignKey));
        let refused =
            Connection::register(setup.clone(), enrolment.user_id, password(), &code).await;
        let refused = refused.unwrap_err();
        assert!([ErrorKind::GiveUp, ErrorKind::Wait].contains(&refused.kind()), "{refused:?}");
        // The stored key is used again, and the server repeats its answer.
        forge.clear();
        let (line, answer) =
            Connection::register(setup, enrolment.user_id, password(), &code).await.unwrap();
        assert_eq!(answer.shop_id, enrolment.shop_id);
        assert_eq!(line.methods(None).await.unwrap().contracts.len(), 3);
    });
}
