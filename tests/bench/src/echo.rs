//! The echo: what any HTTPS service costs on this machine. The same listener and the same TLS as the
//! server's, an axum handler that answers the small JSON body it was sent, nothing else.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::routing::post;
use pos_server::config::LimitSettings;
use pos_server::http::listener::{Limits, Listener, serve};
use pos_server::http::tls::TlsIdentity;
use pos_server::shutdown;
use pos_tests::folder::Folder;
use pos_tests::line::{Place, Request, Response};
use pos_tests::process::Process;
use pos_tests::tls::Certificates;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::error::BenchError;
use crate::load::Work;

const PATH: &str = "/echo";
const CERTIFICATE: &str = "echo.pem";
const KEY: &str = "echo.key";

/// The echo as a process of its own.
pub(crate) struct Echo {
    process: Process,
    pub(crate) place: Place,
    /// The last: its guard ends what is left.
    _folder: Folder,
}

impl Echo {
    /// Starts this same program with the subcommand `echo`.
    pub(crate) async fn start() -> Result<Self, BenchError> {
        let folder = Folder::new()?;
        let certificates = Certificates::new()?;
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).map_err(BenchError::system(name))
        };
        write(CERTIFICATE, &certificates.certificate_pem)?;
        write(KEY, &certificates.key_pem)?;
        let (process, announced): (_, Value) =
            Process::start("pos-bench", &["echo"], &folder).await?;
        let url = announced["url"].as_str().unwrap_or_default();
        let place = Place::new(url, &certificates.ca_pem)?;
        Ok(Self { process, place, _folder: folder })
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.process.id()
    }
}

/// Serves in the current folder, which holds the certificate, until SIGTERM.
pub(crate) async fn run() -> Result<(), BenchError> {
    let identity = TlsIdentity::load(Path::new(CERTIFICATE), Path::new(KEY))?;
    let address = (Ipv4Addr::LOCALHOST, 0).into();
    let listener = Listener::bind(address, Some(Arc::new(identity))).await?;
    let announcement = json!({ "url": listener.url() });
    writeln!(std::io::stdout(), "{announcement}").map_err(BenchError::system("announcing"))?;

    let (trigger, shutdown) = shutdown::channel();
    let mut terminate = signal(SignalKind::terminate()).map_err(BenchError::system("SIGTERM"))?;
    tokio::spawn(async move {
        terminate.recv().await;
        trigger.pull();
    });
    let answer = async |body: Bytes| ([(header::CONTENT_TYPE, "application/json")], body);
    let router = Router::new().route(PATH, post(answer));
    serve(listener, router, Limits::from(&LimitSettings::default()), shutdown).await;
    Ok(())
}

/// Calls of the echo: an order in JSON, small and every time another.
#[derive(Debug)]
pub(crate) struct Echoes;

impl Work for Echoes {
    /// What must come back.
    type Ticket = Vec<u8>;

    fn prepare(&self, number: usize) -> (Request, Vec<u8>) {
        let order = format!("echo-{number}");
        let request = Request::post(PATH, &json!({ "order_id": order, "amount": 1980 }));
        let body = request.body.clone();
        (request, body)
    }

    fn judge(&self, _: usize, sent: Vec<u8>, answer: Response) -> Result<(), BenchError> {
        if answer.status == 200 && answer.body == sent {
            return Ok(());
        }
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        Err(BenchError::Answer { what: "the echo", status: answer.status, body })
    }
}
