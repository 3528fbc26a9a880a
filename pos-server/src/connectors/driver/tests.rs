//! The driver against a line that says what it is told to say.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::body::Bytes;
use hyper::{HeaderMap, Method};
use pos_protocol::id::OperationId;
use pos_protocol::key::Signature;
use pos_protocol::money::{Currency, Money};
use pos_protocol::payment::OperationKind;
use pos_protocol::time::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::connectors::record::tests::record;
use crate::connectors::registry::tests::call_key;
use crate::env::{Clock, SystemClock};

/// Answers every request on every connection with the same octets, and counts connections.
struct Parrot {
    url: String,
    accepted: Arc<AtomicUsize>,
}

impl Parrot {
    async fn saying(answer: Vec<u8>, hangs_up: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let accepted = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&accepted);
        tokio::spawn(async move {
            while let Ok((mut tcp, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let answer = answer.clone();
                tokio::spawn(async move {
                    let mut head = [0; 4096];
                    while tcp.read(&mut head).await.is_ok_and(|read| read > 0) {
                        if tcp.write_all(&answer).await.is_err() || hangs_up {
                            return;
                        }
                    }
                });
            }
        });
        Self { url, accepted }
    }

    fn institution(&self) -> Institution {
        Institution::new(record(&self.url, None), &call_key()).unwrap()
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

fn request() -> Request {
    Request {
        method: Method::GET,
        target: "/v1/institution".into(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        signature: Signature::from_octets([0; 64]),
    }
}

fn driver(settings: DriverSettings) -> Driver {
    Driver::new(settings, Arc::new(SystemClock))
}

const FINE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

#[tokio::test]
async fn a_line_is_used_again_until_it_has_been_idle_too_long() {
    let parrot = Parrot::saying(FINE.to_vec(), false).await;
    let institution = parrot.institution();
    let patient = driver(DriverSettings::default());
    for _ in 0..3 {
        let reply = patient.exchange(&institution, &request(), None).await.unwrap();
        assert_eq!((reply.status, &reply.body[..]), (200, &b"{}"[..]));
    }
    assert_eq!(parrot.accepted(), 1);
    let hasty = driver(DriverSettings { idle: Duration::ZERO, ..DriverSettings::default() });
    hasty.exchange(&institution, &request(), None).await.unwrap();
    assert_eq!(parrot.accepted(), 2);
}

#[tokio::test]
async fn a_line_that_the_other_side_ends_is_not_used_again() {
    let bye = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
    let parrot = Parrot::saying(bye.to_vec(), true).await;
    let institution = parrot.institution();
    let driver = driver(DriverSettings::default());
    for round in 1..=3 {
        driver.exchange(&institution, &request(), None).await.unwrap();
        assert_eq!(parrot.accepted(), round);
    }
}

#[tokio::test]
async fn an_answer_has_an_end() {
    let driver = driver(DriverSettings { answer_octets: 10, ..DriverSettings::default() });
    let exactly = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789";
    let announced = b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n01234567890";
    let chunked =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\n012345\r\n6\r\n678901\r\n0\r\n\r\n";
    let parrot = Parrot::saying(exactly.to_vec(), false).await;
    let reply = driver.exchange(&parrot.institution(), &request(), None).await.unwrap();
    assert_eq!(&reply.body[..], b"0123456789");
    for too_long in [&announced[..], chunked] {
        let parrot = Parrot::saying(too_long.to_vec(), false).await;
        let failure = driver.exchange(&parrot.institution(), &request(), None).await.unwrap_err();
        assert!(matches!(failure, Failure::Lost(Fault::TooLarge { most: 10 })), "{failure}");
    }
}

/// Once a byte may have left, nothing that goes wrong can make it unsent.
#[tokio::test]
async fn half_an_answer_is_lost() {
    let driver = driver(DriverSettings::default());
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n01234";
    for cut in [&half[..], b"", b"HTTP/1.1 2", b"SSH-2.0-OpenSSH_9.9\r\n"] {
        let parrot = Parrot::saying(cut.to_vec(), true).await;
        let failure = driver.exchange(&parrot.institution(), &request(), None).await.unwrap_err();
        assert!(matches!(failure, Failure::Lost(Fault::Line(_))), "{failure}");
    }
}

/// An institution that no machine can ask: nothing is sent, and a person is told at once.
#[tokio::test]
async fn where_nobody_can_be_asked_a_person_is_needed() {
    let parrot = Parrot::saying(FINE.to_vec(), false).await;
    let mut silent = record(&parrot.url, None);
    silent.capabilities.way_out = WayOut::Person;
    let institution = Institution::new(silent, &call_key()).unwrap();
    let order = OperationOrder {
        institution: institution.record().id.clone(),
        operation_id: OperationId::from_octets([1; 16]),
        kind: OperationKind::Capture,
        original: Some(OperationId::from_octets([2; 16])),
        contract_number: "498".parse().unwrap(),
        order_id: "order-1".parse().unwrap(),
        money: Money::new(1, Currency::JPY).unwrap(),
        not_after: Timestamp::from_ms(1),
        allow_partial: false,
        sent_before: true,
        envelope: None,
    };
    let answer = driver(DriverSettings::default()).inquire(&institution, &order).await;
    assert_eq!(answer.outcome, Outcome::NeedsHuman);
    assert!(matches!(answer.fault, Some(Fault::NoInquiry)), "{answer:?}");
    assert_eq!(parrot.accepted(), 0);
}

#[test]
fn the_longest_processing_limit_is_waited_for() {
    let longest = Duration::from_secs(60).saturating_add(GRACE);
    assert!(DriverSettings::default().answer >= longest);
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let gone = Institution::new(record(&url, None), &call_key()).unwrap();
    let driver = driver(DriverSettings::default());
    let failure = driver.exchange(&gone, &request(), None).await.unwrap_err();
    assert!(matches!(failure, Failure::Unsent(Fault::Connect(_))), "{failure}");
}

/// Stands still.
struct At {
    wall_s: u64,
    boot_s: u64,
}

impl Clock for At {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.wall_s)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.boot_s)
    }
}

#[tokio::test]
async fn no_first_byte_leaves_when_either_clock_is_past_the_end() {
    let parrot = Parrot::saying(FINE.to_vec(), false).await;
    let institution = parrot.institution();
    let permit = SendPermit {
        not_after: Duration::from_secs(20),
        expires: Timestamp::from_secs(1_020),
        lease_until: Duration::from_secs(30),
    };
    for (wall_s, boot_s, passes) in [(1_019, 19, true), (1_019, 20, false), (1_020, 19, false)] {
        let clock = Arc::new(At { wall_s, boot_s });
        let driver = Driver::new(DriverSettings::default(), clock);
        match driver.exchange(&institution, &request(), Some(permit)).await {
            Ok(_) => assert!(passes, "{wall_s} {boot_s}"),
            Err(failure) => {
                assert!(matches!(failure, Failure::Unsent(Fault::Expired)), "{failure}");
                assert!(!passes, "{wall_s} {boot_s}");
            }
        }
    }
}
