//! The echo: what any HTTPS service costs on this machine. An axum handler on hyper and rustls that
//! answers the small JSON body it was sent. Nothing of the product is in it: what the product's own
//! listener adds must count against the product.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::routing::post;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use pos_tests::folder::Folder;
use pos_tests::line::{Place, Request, Response};
use pos_tests::process::Process;
use pos_tests::tls::{self, Certificates};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;

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
    let read = |name: &str| std::fs::read_to_string(name).map_err(BenchError::system(name));
    let identity = tls::server_config(&read(CERTIFICATE)?, &read(KEY)?);
    let identity = TlsAcceptor::from(identity.map_err(BenchError::Certificate)?);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = TcpListener::bind(address).await.map_err(BenchError::system("listening"))?;
    let address = listener.local_addr().map_err(BenchError::system("listening"))?;
    let announcement = json!({ "url": format!("https://{address}") });
    writeln!(std::io::stdout(), "{announcement}").map_err(BenchError::system("announcing"))?;

    let answer = async |body: Bytes| ([(header::CONTENT_TYPE, "application/json")], body);
    let router = Router::new().route(PATH, post(answer));
    let mut terminate = signal(SignalKind::terminate()).map_err(BenchError::system("SIGTERM"))?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        failed = serve(listener, identity, router) => failed,
    }
}

async fn serve(
    listener: TcpListener,
    identity: TlsAcceptor,
    router: Router,
) -> Result<(), BenchError> {
    loop {
        let (tcp, _) = listener.accept().await.map_err(BenchError::system("accepting"))?;
        tcp.set_nodelay(true).map_err(BenchError::system("accepting"))?;
        let (identity, router) = (identity.clone(), TowerToHyperService::new(router.clone()));
        tokio::spawn(async move {
            let Ok(line) = identity.accept(tcp).await else { return };
            // However it ends, the load saw it.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(line), router).await;
        });
    }
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
