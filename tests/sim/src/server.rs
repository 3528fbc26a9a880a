//! The server's lives: each one is built on what the disk holds, and ends when it is struck, or when it
//! stops itself.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{Request, Response, Uri};
use pos_server::app::{App, Environment, StartError};
use pos_server::config::Config;
use pos_server::data_folder::{DataFolder, Purpose};
use pos_server::env::{Begun, Executor, Network};
use pos_server::http;
use pos_server::readiness::Readiness;
use pos_server::shutdown::{self, Trigger};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinSet, yield_now};
use tokio::time::sleep;
use tower::ServiceExt as _;

use crate::chance::Chance;
use crate::disk::{self, End};
use crate::line::{Broken, Taker, while_alive};
use crate::world::{Part, World};

/// The name that calls are signed for.
pub const AUTHORITY: &str = "127.0.0.1:8443";

/// The server, whichever life it is in.
pub struct Server {
    world: Arc<World>,
    folder: PathBuf,
    network: Arc<dyn Network>,
    entropy: Arc<Chance>,
    chance: Chance,
    life: Mutex<Option<Life>>,
}

/// One process.
struct Life {
    app: Arc<App>,
    router: Router,
    begun: Begun,
    /// Dropped with it.
    background: JoinSet<()>,
    _trigger: Trigger,
}

impl Server {
    /// A server with its data in this folder, but for the database, which is on the disk of the thread.
    pub fn new(world: Arc<World>, folder: PathBuf, network: Arc<dyn Network>) -> Arc<Self> {
        let entropy = Arc::new(world.chance(Part::Server));
        let chance = world.chance(Part::Disk);
        Arc::new(Self { world, folder, network, entropy, chance, life: Mutex::default() })
    }

    /// Begins a life.
    ///
    /// # Errors
    /// [`StartError`], as where the disk fails meanwhile.
    pub async fn start(&self) -> Result<(), StartError> {
        disk::start();
        let begun = Begun::default();
        let environment = Environment {
            clock: self.world.server_clock.clone(),
            entropy: self.entropy.clone(),
            network: Arc::clone(&self.network),
            executor: Executor::OneThread(begun.clone()),
            disk: Some(disk::NAME),
        };
        let config = Config { data_folder: self.folder.clone(), ..Config::default() };
        let folder = DataFolder::open(&self.folder, Purpose::Serve)?;
        let app = App::build(config, folder, Some(AUTHORITY.into()), environment).await?;
        let (trigger, shutdown) = shutdown::channel();
        let background = app.begin(&shutdown)?;
        let router = http::routes(&app);
        *self.lock() = Some(Life { app, router, begun, background, _trigger: trigger });
        self.world.trace.tell(format_args!("server starts"));
        Ok(())
    }

    /// Keeps the server alive: whenever a life has ended, another one begins some time later.
    pub async fn supervise(self: Arc<Self>, mut ends: mpsc::UnboundedReceiver<End>) {
        loop {
            let running = self.app().map(|app| (app.halt.clone(), Arc::clone(&app.readiness)));
            let end = match running {
                None => None,
                Some((halt, readiness)) => tokio::select! {
                    biased;
                    end = ends.recv() => end,
                    reason = halt.asked() => {
                        self.world.trace.tell(format_args!("server stops itself: {reason}"));
                        Some(End::Killed)
                    }
                    () = unready(&readiness) => {
                        self.world.trace.tell(format_args!("server is not ready: restarted"));
                        Some(End::Killed)
                    }
                },
            };
            if let Some(end) = end {
                self.end(end).await;
                // Nothing was left to be struck by whatever else came.
                while ends.try_recv().is_ok() {}
            }
            let downtime = if self.world.weather.is_calm() { (50, 200) } else { (50, 4_000) };
            sleep(self.chance.span(downtime.0, downtime.1)).await;
            if let Err(cause) = self.start().await {
                // The sentence names the folder, which is another one each time.
                drop(cause);
                self.world.trace.tell(format_args!("server does not start"));
                self.wait_for_the_end_of(None).await;
            }
        }
    }

    /// The server as it runs at the moment.
    pub fn app(&self) -> Option<Arc<App>> {
        self.lock().as_ref().map(|life| Arc::clone(&life.app))
    }

    /// Ends the present life as it is.
    async fn end(&self, end: End) {
        disk::end(end, &self.chance);
        let life = self.lock().take();
        let app = life.map(|life| {
            let Life { app, router, begun, mut background, _trigger } = life;
            begun.cut();
            background.abort_all();
            drop((router, background));
            app
        });
        self.wait_for_the_end_of(app).await;
    }

    /// Until nothing of a life holds the data folder any more: its tasks are dropped as they come to
    /// their turn.
    async fn wait_for_the_end_of(&self, app: Option<Arc<App>>) {
        let app = app.map(|app| Arc::downgrade(&app));
        for _ in 0..1_000 {
            if app.as_ref().is_some_and(|app| app.strong_count() == 0) {
                return;
            }
            yield_now().await;
        }
        assert!(app.is_none(), "something of the server outlived its end");
    }

    fn lock(&self) -> MutexGuard<'_, Option<Life>> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taker for Server {
    async fn take(self: Arc<Self>, message: Request<Bytes>) -> Result<Response<Bytes>, Broken> {
        self.world.may_strike("before the server");
        let (tell, told) = oneshot::channel();
        {
            let life = self.lock();
            let Some(life) = &*life else { return Err(Broken) };
            let router = life.router.clone();
            Executor::OneThread(life.begun.clone()).spawn(async move {
                let answer = answer(router, message).await;
                while_alive().await;
                let _ = tell.send(answer);
            });
        }
        let answer = told.await.map_err(|_| Broken);
        self.world.may_strike("behind the server");
        answer
    }
}

/// As the listener hands a request to the routes.
async fn answer(router: Router, message: Request<Bytes>) -> Response<Bytes> {
    let (mut head, body) = message.into_parts();
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    head.uri = Uri::try_from(target).unwrap_or_default();
    let request = Request::from_parts(head, Body::from(body));
    let answer = match router.oneshot(request).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    };
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_or_else(|_| Bytes::new(), |body| body.to_bytes());
    Response::from_parts(head, body)
}

/// Until the server has not been ready for so long that whoever watches over it starts it again.
async fn unready(readiness: &Readiness) {
    const PATIENCE: u32 = 10;
    let mut looks: u32 = 0;
    while looks < PATIENCE {
        sleep(Duration::from_secs(1)).await;
        looks = if readiness.faults().is_empty() { 0 } else { looks.saturating_add(1) };
    }
}
