//! Starting and stopping.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pos_protocol::id::{ContractNumber, InstitutionId};
use pos_protocol::institution::InstitutionInfo;
use pos_protocol::key::PublicKey;
use pos_protocol::sign::call::authority;
use pos_server::env::Clock;
use pos_server::http::listener::{self, Limits, ListenError, Listener};
use pos_server::shutdown::{self, Shutdown, Trigger};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::clock::SteadyClock;
use crate::control;
use crate::house::House;
use crate::instrument::{Instruments, currencies};
use crate::keys::{KeyError, Keys, x_of};
use crate::ledger::{Ledger, LedgerError, Opening};
use crate::line;
use crate::service::Institution;
use crate::tls::{Tls, TlsError, TlsFiles};

/// How to serve.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder with keys and ledgers.
    pub data: PathBuf,
    /// Which houses, and where each listens.
    pub houses: Vec<(House, SocketAddr)>,
    /// Where the control address listens: loopback.
    pub control: SocketAddr,
    /// Operators' call keys.
    pub operator_keys: Vec<PublicKey>,
    /// Shops' contract numbers.
    pub contracts: Vec<ContractNumber>,
    /// Certificate files; made where none are given.
    pub tls_files: Option<TlsFiles>,
    /// Plain HTTP in place of TLS.
    pub plain: bool,
    /// How long after its begin an operation may still arrive.
    pub processing_limit_ms: u32,
}

impl Options {
    /// Every house on free ports of this machine.
    pub fn local(data: &Path) -> Self {
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            data: data.into(),
            houses: House::ALL.map(|house| (house, anywhere)).to_vec(),
            control: anywhere,
            operator_keys: Vec::new(),
            contracts: Vec::new(),
            tls_files: None,
            plain: false,
            processing_limit_ms: 10_000,
        }
    }
}

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A folder cannot be made.
    #[error("{} cannot be made: {cause}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// An address is taken.
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The control address is taken.
    #[error(transparent)]
    Control(#[from] ListenError),
    /// Faults can be switched from the control address, so nobody else may reach it; and plain
    /// HTTP is for one machine.
    #[error("{0} must be a loopback address")]
    NotLoopback(SocketAddr),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// What a service that listens says, as one line of JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Announcement {
    /// Every institution served.
    pub institutions: Vec<Announced>,
    /// Where faults are switched and ledgers read.
    pub control_url: String,
}

/// One institution, as an operator needs it for `pos-server institution add`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Announced {
    /// The id that it expects to be given.
    pub id: InstitutionId,
    /// `card`, `bank` or `prepaid`.
    pub kind: String,
    /// Where it listens.
    pub url: String,
    /// What its certificate leads to; absent where it speaks plain HTTP.
    pub ca_pem: Option<String>,
    /// The key that its answers are signed with: the `x` of its JWK.
    pub verify_key: String,
    /// The key that its seal key sets are signed with.
    pub seal_root: String,
    /// What it says of itself: names, methods, currencies with limits, operations, capabilities.
    #[serde(flatten)]
    pub info: InstitutionInfo,
}

/// A service that runs until it is stopped.
#[derive(Debug)]
pub struct Running {
    announcement: Announcement,
    trigger: Trigger,
    tasks: JoinSet<()>,
}

impl Running {
    /// Where everything listens.
    pub const fn announcement(&self) -> &Announcement {
        &self.announcement
    }

    /// Lets calls under way finish, writes what is queued, and ends.
    pub async fn stop(&mut self) {
        self.trigger.pull();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Starts to serve. Returns once every address listens.
///
/// # Errors
/// [`StartError`] says what is in the way.
pub async fn start(options: Options) -> Result<Running, StartError> {
    let (trigger, shutdown) = shutdown::channel();
    let clock = Arc::new(SteadyClock::start());
    let tls = if options.plain {
        None
    } else {
        Some(Tls::open(&options.data.join("tls"), options.tls_files.as_ref())?)
    };
    let mut tasks = JoinSet::new();
    let mut served = BTreeMap::new();
    let mut institutions = Vec::new();
    for (house, address) in &options.houses {
        if options.plain && !address.ip().is_loopback() {
            return Err(StartError::NotLoopback(*address));
        }
        let listen = |cause| StartError::Listen { address: *address, cause };
        let tcp = TcpListener::bind(address).await.map_err(listen)?;
        let bound = tcp.local_addr().map_err(listen)?;
        let institution = open(&options, *house, bound, Arc::clone(&clock)).await?;
        institutions.push(announce(&institution, bound, tls.as_ref()));
        let institution = Arc::new(institution);
        served.insert(house.id(), Arc::clone(&institution));
        let acceptor = tls.as_ref().map(|tls| tls.acceptor.clone());
        tasks.spawn(line::serve(tcp, acceptor, institution, shutdown.clone()));
    }
    let control_url = serve_control(&mut tasks, &options, served, shutdown).await?;
    Ok(Running { announcement: Announcement { institutions, control_url }, trigger, tasks })
}

async fn open(
    options: &Options,
    house: House,
    bound: SocketAddr,
    clock: Arc<SteadyClock>,
) -> Result<Institution, StartError> {
    let id = house.id();
    let folder = options.data.join(id.as_str());
    std::fs::create_dir_all(&folder)
        .map_err(|cause| StartError::Folder { path: folder.clone(), cause })?;
    let keys = Keys::open(&folder, &id, clock.now())?;
    let ledger = Ledger::open(&folder.join("ledger.sqlite3"), &openings(house, &keys))?;
    clock.not_before(ledger.run(|books| Ok(books.latest_time())).await?);
    let port = if options.plain { 80 } else { 443 };
    let authority = authority(&bound.to_string(), port).expect("an address can be signed");
    let limit = options.processing_limit_ms;
    let institution = Institution::new(house, authority, keys, ledger, limit, clock);
    institution.load_operators().await?;
    for key in &options.operator_keys {
        institution.add_operator(*key).await?;
    }
    for number in &options.contracts {
        institution.add_contract(number.clone()).await?;
    }
    Ok(institution)
}

/// The accounts of the test instruments, in every currency of the house.
pub(crate) fn openings(house: House, keys: &Keys) -> Vec<Opening> {
    let instruments = Instruments::of(house);
    let mut openings = Vec::new();
    for one in instruments.all() {
        for currency in currencies(house) {
            openings.push(Opening {
                reference: Institution::reference(keys, &one.number),
                currency,
                balance: one.opening_balance(),
            });
        }
    }
    openings
}

fn announce(institution: &Institution, bound: SocketAddr, tls: Option<&Tls>) -> Announced {
    let scheme = if tls.is_some() { "https" } else { "http" };
    Announced {
        id: institution.house.id(),
        kind: institution.house.word().into(),
        url: format!("{scheme}://{bound}"),
        ca_pem: tls.map(|tls| tls.ca_pem.clone()),
        verify_key: x_of(&institution.keys.answer.public()),
        seal_root: x_of(&institution.keys.seal_root),
        info: institution.house.info(institution.processing_limit_ms, institution.clock.now()),
    }
}

async fn serve_control(
    tasks: &mut JoinSet<()>,
    options: &Options,
    served: BTreeMap<InstitutionId, Arc<Institution>>,
    shutdown: Shutdown,
) -> Result<String, StartError> {
    if !options.control.ip().is_loopback() {
        return Err(StartError::NotLoopback(options.control));
    }
    let listener = Listener::bind(options.control, None).await?;
    let url = listener.url();
    let router = control::router(served);
    tasks.spawn(async move {
        listener::serve(listener, router, Limits::default(), shutdown).await;
    });
    Ok(url)
}
