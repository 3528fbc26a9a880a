use std::sync::Mutex;

use axum::http::StatusCode;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::super::body::{self, BodyError};
use super::*;
use crate::shutdown::{self, Trigger};

/// A started listener, and what ends it.
struct Bed {
    address: SocketAddr,
    open: Gauge,
    trigger: Trigger,
    task: JoinHandle<Drained>,
}

impl Bed {
    async fn start(router: Router, limits: Limits) -> Self {
        let open = Gauge::default();
        let any = "127.0.0.1:0".parse().unwrap();
        let listener = Listener::bind(any, None).await.unwrap().counted_in(open.clone());
        let address = listener.address();
        let (trigger, shutdown) = shutdown::channel();
        let task = tokio::spawn(serve(listener, router, limits, shutdown));
        Self { address, open, trigger, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends `request` on a connection of its own and reads until the server closes it.
    async fn exchange(&self, request: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request).await.unwrap();
        read_to_close(&mut stream).await
    }
}

async fn read_to_close(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A server that closes while octets of ours are unread resets the connection; what came
    // before that is the answer.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

/// Reads one answer that ends with `end` from a connection that stays open.
async fn read_answer(stream: &mut TcpStream, end: &str) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(end.as_bytes()) {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "closed before the end");
    }
    String::from_utf8(answer).unwrap()
}

fn echo() -> Router {
    Router::new().route("/hello", get(|| async { "hello" })).route(
        "/echo",
        post(|request: axum::extract::Request| async move {
            match body::read(request.into_body()).await {
                Ok(octets) => (StatusCode::OK, octets.len().to_string()),
                Err(BodyError::TooLarge { limit }) => {
                    (StatusCode::PAYLOAD_TOO_LARGE, format!("over {limit}"))
                }
                Err(BodyError::TooSlow { .. }) => (StatusCode::REQUEST_TIMEOUT, "slow".into()),
                Err(BodyError::Broken(_)) => (StatusCode::BAD_REQUEST, "broken".into()),
            }
        }),
    )
}

/// Waits of a second, which the paused clock of a test passes as soon as nothing else happens.
fn short() -> Limits {
    let second = Duration::from_secs(1);
    Limits { head: second, body: second, stall: second, drain: second, ..Limits::default() }
}

#[tokio::test]
async fn a_kept_alive_connection_serves_request_after_request() {
    let bed = Bed::start(echo(), Limits::default()).await;
    let mut stream = bed.connect().await;
    for _ in 0..3 {
        stream.write_all(b"GET /hello HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let answer = read_answer(&mut stream, "hello").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    assert_eq!(bed.open.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_trickled_request_head_is_cut_off_by_the_timer() {
    let bed = Bed::start(echo(), short()).await;
    let began = Instant::now();
    let answer = bed.exchange(b"GET /hello HTTP/1.1\r\nhost").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!((1..3).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_silent_kept_alive_connection_is_closed() {
    let bed = Bed::start(echo(), short()).await;
    let began = Instant::now();
    let answer = bed.exchange(b"GET /hello HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
    assert!((1..3).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_in_time_is_refused() {
    let bed = Bed::start(echo(), Limits { head: Duration::from_secs(600), ..short() }).await;
    let began = Instant::now();
    let request = b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhalf";
    let answer = bed.exchange(request).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!((1..3).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let bed = Bed::start(echo(), Limits { body_bytes: 1024, ..Limits::default() }).await;
    // Announced: not one octet of it is sent, so the answer did not wait for any.
    let announced = b"POST /echo HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n\
                      content-length: 1025\r\n\r\n";
    let answer = bed.exchange(announced).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.ends_with("over 1024"), "{answer}");
    // Not announced: cut at the limit.
    let mut chunked =
        b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..3 {
        chunked.extend_from_slice(b"200\r\n");
        chunked.extend_from_slice(&[b'x'; 512]);
        chunked.extend_from_slice(b"\r\n");
    }
    let answer = bed.exchange(&chunked).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    // At the limit it is taken.
    let mut whole =
        b"POST /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 1024\r\n\r\n"
            .to_vec();
    whole.extend_from_slice(&[b'x'; 1024]);
    let answer = bed.exchange(&whole).await;
    assert!(answer.ends_with("\r\n\r\n1024"), "{answer}");
}

#[tokio::test]
async fn who_still_sends_a_body_that_is_refused_gets_the_answer() {
    let bed = Bed::start(echo(), Limits { body_bytes: 1024, ..Limits::default() }).await;
    let mut stream = bed.connect().await;
    let length = 8 << 20;
    let head = format!("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // More than the sockets hold between them: all of it is taken, though nobody asked for it.
    stream.write_all(&vec![b'x'; length]).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("no reset");
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_was_left_is_forgotten_with_the_next_request() {
    let unread = Router::new()
        .route("/left", post(|| async { "left" }))
        .route("/hello", get(|| async { "hello" }));
    let bed = Bed::start(unread, Limits { body: Duration::from_secs(600), ..short() }).await;
    let mut stream = bed.connect().await;
    stream
        .write_all(b"POST /left HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody")
        .await
        .unwrap();
    read_answer(&mut stream, "left").await;
    stream.write_all(b"GET /hello HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    read_answer(&mut stream, "hello").await;
    let began = Instant::now();
    bed.trigger.pull();
    // This side stays open: a server that lingers would wait for it.
    assert_eq!(bed.task.await.unwrap(), Drained { cut: 0 });
    assert!(began.elapsed().as_secs() < 1, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_goes_on_sending_after_an_answer_is_cut_off() {
    let bed = Bed::start(echo(), Limits { body_bytes: 1024, ..short() }).await;
    let (began, mut stream) = (Instant::now(), bed.connect().await);
    // The clock does not wait for what the system holds back.
    stream.set_nodelay(true).unwrap();
    stream
        .write_all(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 2000\r\n\r\n")
        .await
        .unwrap();
    while stream.write_all(b"x").await.is_ok() {
        sleep(Duration::from_millis(100)).await;
    }
    assert!((1..3).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn headers_over_the_limits_are_refused() {
    let bed = Bed::start(echo(), Limits { header_bytes: 8192, ..Limits::default() }).await;
    let long = format!("GET /hello HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(8192));
    assert!(bed.exchange(long.as_bytes()).await.starts_with("HTTP/1.1 431 "));
    let many = format!("GET /hello HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(100));
    assert!(bed.exchange(many.as_bytes()).await.starts_with("HTTP/1.1 431 "));
    let fits = format!(
        "GET /hello HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx: {}\r\n\r\n",
        "y".repeat(8000)
    );
    assert!(bed.exchange(fits.as_bytes()).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_take_its_answer_is_cut_off() {
    let flood = Router::new().route("/flood", get(|| async { vec![b'x'; 64 << 20] }));
    let bed = Bed::start(flood, short()).await;
    let mut stream = bed.connect().await;
    stream.write_all(b"GET /flood HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut first = [0; 1];
    stream.read_exact(&mut first).await.unwrap();
    // Nothing is read meanwhile. The server's timer is the next thing to happen, and its end of
    // the connection shows as an answer that is cut short.
    for _ in 0..100 {
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    assert_eq!(bed.open.get(), 0);
    let mut taken = Vec::new();
    let _ = stream.read_to_end(&mut taken).await;
    assert!(taken.len() < 64 << 20, "{}", taken.len());
}

#[tokio::test]
async fn connections_over_the_cap_wait_until_one_closes() {
    let bed = Bed::start(echo(), Limits { connections: 1, ..Limits::default() }).await;
    let mut first = bed.connect().await;
    first.write_all(b"GET /hello HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    read_answer(&mut first, "hello").await;

    let mut second = bed.connect().await;
    second.write_all(b"GET /hello HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    // The first is still served, the second not even accepted.
    first.write_all(b"GET /hello HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    read_answer(&mut first, "hello").await;
    assert_eq!(bed.open.get(), 1);
    drop(first);
    read_answer(&mut second, "hello").await;
}

/// A route that reports when it has begun and answers when it is let go.
fn held() -> (Router, oneshot::Receiver<()>, Arc<Notify>) {
    let (begun, has_begun) = oneshot::channel();
    let (begun, go) = (Arc::new(Mutex::new(Some(begun))), Arc::new(Notify::new()));
    let released = Arc::clone(&go);
    let handler = move || {
        let (begun, go) = (begun.lock().unwrap().take().unwrap(), Arc::clone(&go));
        async move {
            begun.send(()).unwrap();
            go.notified().await;
            "done"
        }
    };
    (Router::new().route("/held", get(handler)), has_begun, released)
}

#[tokio::test]
async fn a_shutdown_lets_requests_finish_and_takes_no_new_ones() {
    let (router, has_begun, go) = held();
    let bed = Bed::start(router, Limits::default()).await;
    let idle = bed.connect().await;
    let mut busy = bed.connect().await;
    busy.write_all(b"GET /held HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    has_begun.await.unwrap();

    bed.trigger.pull();
    // The idle one is closed at once, and with the listener gone nobody else comes in.
    let mut idle = idle;
    assert_eq!(read_to_close(&mut idle).await, "");
    assert!(TcpStream::connect(bed.address).await.is_err());

    go.notify_one();
    let answer = read_to_close(&mut busy).await;
    assert!(answer.contains("connection: close") && answer.ends_with("done"), "{answer}");
    assert_eq!(bed.task.await.unwrap(), Drained { cut: 0 });
    assert_eq!(bed.open.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_cuts_what_outlasts_its_limit() {
    let (router, has_begun, _go) = held();
    let bed = Bed::start(router, short()).await;
    let mut busy = bed.connect().await;
    busy.write_all(b"GET /held HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    has_begun.await.unwrap();
    bed.trigger.pull();
    assert_eq!(bed.task.await.unwrap(), Drained { cut: 1 });
    assert_eq!(read_to_close(&mut busy).await, "");
    assert_eq!(bed.open.get(), 0);
}
