//! The institutions, and the lines on which the server reaches them: real HTTP over pipes in memory, so
//! that the server's own kept-alive lines are part of the play.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use pos_institution::InProcess;
use pos_institution::house::House;
use pos_server::env::{Connecting, Network, Socket};
use tokio::io::{DuplexStream, duplex};
use tokio::time::sleep;

use crate::line::{Broken, Taker, carry, while_alive};
use crate::world::World;

/// The port of the first institution; the others follow.
const FIRST_PORT: u16 = 7_001;

/// What a pipe holds at most.
const PIPE_OCTETS: usize = 256 * 1024;

/// One institution and the way to it.
pub struct Site {
    /// Which one.
    pub house: House,
    /// Its books and answers.
    pub institution: InProcess,
    name: String,
    world: Arc<World>,
    away: AtomicBool,
}

impl Site {
    /// A place where this institution answers.
    pub fn new(house: House, institution: InProcess, world: Arc<World>) -> Arc<Self> {
        let name = house.id().to_string();
        Arc::new(Self { house, institution, name, world, away: AtomicBool::new(false) })
    }

    /// Takes it off the network, or brings it back.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::Relaxed);
    }

    fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }
}

/// The port at which the `at`th institution answers.
pub fn port_of(at: usize) -> u16 {
    u16::try_from(at).map_or(u16::MAX, |at| FIRST_PORT.saturating_add(at))
}

impl Taker for Site {
    async fn take(self: Arc<Self>, message: Request<Bytes>) -> Result<Response<Bytes>, Broken> {
        if self.is_away() {
            return Err(Broken);
        }
        let (method, target) = (message.method().clone(), message.uri().clone());
        self.world.may_strike("before the institution");
        let answer = self.institution.answer(message).await.ok_or(Broken)?;
        let status = answer.status().as_u16();
        self.world.trace.tell(format_args!("{} {method} {target} {status}", self.name));
        self.world.may_strike("behind the institution");
        Ok(answer)
    }
}

/// All ways to institutions.
pub struct Sites(pub Vec<Arc<Site>>);

impl Network for Sites {
    fn connect<'a>(&'a self, _: &'a str, port: u16) -> Connecting<'a> {
        let at = usize::from(port.saturating_sub(FIRST_PORT));
        let site = self.0.get(at).cloned();
        Box::pin(async move {
            while_alive().await;
            let site = site.ok_or(io::ErrorKind::HostUnreachable)?;
            sleep(Duration::from_millis(1)).await;
            if site.is_away() {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (ours, theirs) = duplex(PIPE_OCTETS);
            tokio::spawn(serve(theirs, site));
            Ok(Box::new(ours) as Box<dyn Socket>)
        })
    }
}

/// One line, until the server lets it go or a message on it is cut.
async fn serve(line: DuplexStream, site: Arc<Site>) {
    let service = service_fn(|request: Request<Incoming>| {
        let site = Arc::clone(&site);
        async move {
            while_alive().await;
            let (head, body) = request.into_parts();
            let body = body.collect().await.map_err(|_| Broken)?.to_bytes();
            let message = Request::from_parts(head, body);
            let world = &site.world;
            let answer = carry(&world.weather, &world.trace, &site.name, &site, message).await?;
            Ok::<_, Broken>(answer.map(Full::new))
        }
    });
    // How it ends shows at the other side.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(line), service).await;
}
