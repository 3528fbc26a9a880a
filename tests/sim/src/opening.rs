//! What is there before the first order: institutions, shops, their keys and contracts.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use pos_institution::InProcess;
use pos_institution::house::House;
use pos_protocol::id::{ContractId, ContractNumber, PosId, ShopId, UserId};
use pos_protocol::key::SigningKey;
use pos_protocol::succession::Fingerprint;
use pos_protocol::wire::KeyRole;
use pos_server::app::App;
use pos_server::pos::institutions::{self, NewInstitution};
use pos_server::store::rows::{ContractRow, KeyRow, PosRow, ShopRow};
use pos_server::store::verbs::{AddContract, AddPos, Register, SetEnrolment};

use crate::SimulationError;
use crate::chance::Chance;
use crate::clock::WorldClock;
use crate::network::{Site, Sites, port_of};
use crate::server::Server;
use crate::shop::ShopKit;
use crate::world::{Part, World};

/// How long after its begin an operation may still arrive at an institution.
const PROCESSING_LIMIT_MS: u32 = 10_000;

/// Shops of a world.
const SHOPS: u64 = 3;

/// A world before the first order.
pub struct Opened {
    /// The server, running.
    pub server: Arc<Server>,
    /// The institutions.
    pub sites: Vec<Arc<Site>>,
    /// The shops.
    pub kits: Arc<Vec<ShopKit>>,
}

/// Makes the world.
///
/// # Errors
/// [`SimulationError`].
pub async fn open(world: &Arc<World>, folder: &Path) -> Result<Opened, SimulationError> {
    let chance = world.chance(Part::Institutions);
    let failed = |cause: Box<dyn Error + Send + Sync>| SimulationError::Opening(cause);
    let mut sites = Vec::new();
    for (at, house) in House::ALL.into_iter().enumerate() {
        let ahead = i64::try_from(chance.below(4_000)).unwrap_or_default().saturating_sub(2_000);
        let clock = WorldClock::steady(world.begun, ahead);
        let authority = format!("127.0.0.1:{}", port_of(at));
        let made = InProcess::new(house, &authority, PROCESSING_LIMIT_MS, clock, &chance);
        let institution = made.map_err(|cause| failed(cause.into()))?;
        sites.push(Site::new(house, institution, Arc::clone(world)));
    }
    let network = Arc::new(Sites(sites.clone()));
    let server = Server::new(Arc::clone(world), folder.join("data"), network);
    server.start().await?;
    let app = server.app().ok_or(SimulationError::Gone)?;
    for (at, site) in sites.iter().enumerate() {
        let call_key = app.keys.institution_call.public();
        site.institution.add_operator(call_key).await.map_err(|cause| failed(cause.into()))?;
        let (verify_key, seal_root) = site.institution.proved_by();
        let new = NewInstitution {
            id: site.house.id(),
            url: format!("http://127.0.0.1:{}", port_of(at)),
            ca_pem: None,
            verify_key,
            seal_root,
        };
        institutions::add(&app, new).await.map_err(|cause| failed(cause.into()))?;
    }
    let chance = world.chance(Part::Shops);
    let mut kits = Vec::new();
    for n in 0..SHOPS {
        kits.push(shop(&app, &sites, n, &chance).await?);
    }
    Ok(Opened { server, sites, kits: Arc::new(kits) })
}

async fn shop(
    app: &App,
    sites: &[Arc<Site>],
    n: u64,
    chance: &Chance,
) -> Result<ShopKit, SimulationError> {
    let now = app.clock.now();
    let row = ShopRow {
        id: ShopId::fresh(now, chance.octets()),
        name: format!("shop {n}").into(),
        email: None,
        user_id: UserId::fresh(now, chance.octets()),
        created_at: now,
    };
    let shop = row.id;
    app.store.add_shop(row).await?;
    let enrolment_key = SigningKey::from_seed(&chance.octets()).public();
    let expires_at = now.plus(std::time::Duration::from_secs(600));
    app.store.set_enrolment(SetEnrolment { shop, enrolment_key, expires_at, now }).await?;
    let seed = chance.octets();
    let key = KeyRow {
        shop,
        public: SigningKey::from_seed(&seed).public(),
        role: KeyRole::Module,
        pos: None,
        created_at: now,
        ends_at: None,
        idle_at: None,
        first_used_at: None,
        ended_at: None,
    };
    let register = Register {
        shop,
        enrolment_key,
        key,
        password_hash: "no person signs in".into(),
        recovery_codes: Vec::new(),
        panic_code: chance.octets(),
        now,
    };
    app.store.register(register).await?;
    let pos = PosRow {
        id: PosId::fresh(now, chance.octets()),
        name: "web".into(),
        purpose: "web".into(),
        created_at: now,
    };
    let pos_id = pos.id;
    app.store.add_pos(AddPos { shop, pos }).await?;
    let mut contracts = Vec::new();
    for site in sites {
        let number: ContractNumber =
            format!("498{n:07}").parse().expect("digits make a contract number");
        let contract = ContractRow {
            id: ContractId::fresh(now, chance.octets()),
            pos: pos_id,
            institution: site.house.id(),
            number: number.clone(),
            enabled: true,
            created_at: now,
        };
        contracts.push((contract.id, number.clone()));
        app.store.add_contract(AddContract { shop, contract }).await?;
        let added = site.institution.add_contract(number).await;
        added.map_err(|cause| SimulationError::Opening(cause.into()))?;
    }
    let pin = Fingerprint::of(&app.keys.answer.public());
    Ok(ShopKit { id: shop, seed, pin, contracts })
}
