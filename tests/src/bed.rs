//! The bed: server, institutions, shops.

pub mod institution;
pub mod server;
pub mod shop;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use pos_connect::journal::MemoryJournal;
use pos_connect::keys::{KeyStore as _, MemoryKeyStore, StoredKeys};
use pos_connect::{Config, Connection, EnrolmentCode, Setup};
use pos_protocol::id::InstitutionId;
use pos_protocol::key::SigningKey;
use pos_protocol::seal::{Binding, Envelope, Instrument, SealKeySet, SignedSealKeySet};
use pos_protocol::secret::SecretText;
use pos_protocol::wire::MethodsAnswer;

use crate::error::BedError;
use crate::folder::Folder;
use crate::raw::{self, Caller};

pub use institution::{Institution, Institutions, Ledger, LedgerOperation, TestInstrument};
pub use server::{Address, Server, ServerOptions};
pub use shop::{ContractKit, Enrolment, PASSWORD, PosKit, ShopKit};

/// How a bed is made.
#[derive(Clone, Debug)]
pub struct BedOptions {
    /// Shops that are registered.
    pub shops: usize,
    /// Shops that were admitted and have not used their code.
    pub unregistered: usize,
    /// What the server is configured with.
    pub server: ServerOptions,
    /// How long after its begin an operation may still arrive at an institution, in milliseconds.
    pub processing_limit_ms: u32,
}

impl Default for BedOptions {
    fn default() -> Self {
        Self {
            shops: 1,
            unregistered: 0,
            server: ServerOptions::default(),
            processing_limit_ms: 5_000,
        }
    }
}

/// A running server with institutions and shops. Everything ends when it is dropped.
#[derive(Debug)]
pub struct Bed {
    /// The operator's server.
    pub server: Server,
    /// The institutions.
    pub institutions: Institutions,
    /// The registered shops. Each has a web POS with a contract at every institution, and a phone
    /// POS with one at the card acquirer.
    pub shops: Vec<ShopKit>,
    /// Shops whose code is unused. Each has a web POS with a contract at every institution.
    pub unregistered: Vec<Enrolment>,
    /// Every test instrument.
    pub instruments: Vec<TestInstrument>,
    /// What the institutions' keys are, signed by their roots, as the server delivered them.
    pub seal_keys: Vec<(InstitutionId, SignedSealKeySet, SealKeySet)>,
    // The last: its guard ends what is left.
    folder: Arc<Folder>,
}

impl Bed {
    /// Starts everything and registers the shops, by the operator's real commands and the real
    /// module.
    ///
    /// # Errors
    /// What did not come up, with the end of its log.
    pub async fn start(options: &BedOptions) -> Result<Self, BedError> {
        let folder = Arc::new(Folder::new()?);
        let starting = Institutions::start(Arc::clone(&folder), options.processing_limit_ms);
        let institutions = starting.await?;
        let server = Server::start(Arc::clone(&folder), &options.server).await?;
        let mut bed = Self {
            server,
            institutions,
            shops: Vec::new(),
            unregistered: Vec::new(),
            instruments: Vec::new(),
            seal_keys: Vec::new(),
            folder,
        };
        bed.register_institutions().await?;
        bed.instruments = bed.institutions.instruments().await?;
        for number in 1..=options.shops {
            let shop = bed.open_shop(&format!("Shop {number}")).await?;
            bed.add_shop(shop).await?;
        }
        for number in 1..=options.unregistered {
            let (enrolment, _) = bed.admit(&format!("Unregistered shop {number}")).await?;
            bed.unregistered.push(enrolment);
        }
        Ok(bed)
    }

    /// Takes in a registered shop, and learns what is needed to seal for it.
    ///
    /// # Errors
    /// [`BedError::Connection`], or [`BedError::Unknown`] for a key set of an unknown root.
    pub async fn add_shop(&mut self, shop: ShopKit) -> Result<(), BedError> {
        if self.seal_keys.is_empty() {
            let methods = self.connection(&shop).await?.methods(None).await?;
            self.seal_keys = self.verified(methods)?;
        }
        self.shops.push(shop);
        Ok(())
    }

    /// Where logs, settings and data lie.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The first shop.
    ///
    /// # Panics
    /// In a bed without shops.
    pub fn shop(&self) -> &ShopKit {
        self.shops.first().expect("the bed was made with a shop")
    }

    /// The settings of a module that calls the server over TLS.
    ///
    /// # Errors
    /// [`BedError::Connection`].
    pub fn config(&self) -> Result<Config, BedError> {
        self.config_at(&self.server.address().tls_url)
    }

    /// The settings of a module that calls the server at `url`, which may be a proxy's.
    ///
    /// # Errors
    /// [`BedError::Connection`].
    pub fn config_at(&self, url: &str) -> Result<Config, BedError> {
        let config = Config::new(url).map_err(pos_connect::Error::from)?;
        let config = config.with_authority(&self.server.address().authority);
        Ok(config.map_err(pos_connect::Error::from)?.with_ca_pem(self.server.ca_pem()))
    }

    /// A line of the real module for a registered shop, with nothing in its journal.
    ///
    /// # Errors
    /// [`BedError::Connection`].
    pub async fn connection(&self, shop: &ShopKit) -> Result<Connection, BedError> {
        Ok(Connection::open(self.setup(shop, self.config()?)).await?)
    }

    /// What such a line is made of, with settings of the test's own.
    pub fn setup(&self, shop: &ShopKit, config: Config) -> Setup {
        self.setup_with(shop, config, MemoryJournal::default())
    }

    /// The same with a journal that may hold calls already.
    pub fn setup_with(&self, shop: &ShopKit, config: Config, journal: MemoryJournal) -> Setup {
        let pin = pos_protocol::succession::Fingerprint::of(&self.server.address().answer_key);
        let seed = pos_connect::keys::Seed::new(shop.key.seed());
        let mut keys = StoredKeys::new(seed, pin);
        keys.shop_id = Some(shop.enrolment.shop_id);
        let keys = Arc::new(MemoryKeyStore::holding(keys));
        Setup::new(config, keys, Arc::new(journal))
    }

    /// One who signs bare calls with a registered shop's module key.
    pub fn caller(&self, shop: &ShopKit) -> Caller {
        self.caller_with(SigningKey::from_seed(&shop.key.seed()))
    }

    /// One who signs bare calls with any key.
    pub fn caller_with(&self, key: SigningKey) -> Caller {
        shop::caller(&self.server, key)
    }

    /// Admits a shop with a web POS that has a contract at every institution. It is not registered.
    ///
    /// # Errors
    /// [`BedError::Command`].
    pub async fn admit(&self, name: &str) -> Result<(Enrolment, PosKit), BedError> {
        let enrolment = shop::admit(&self.server, name).await?;
        let ids = self.institutions.ids();
        let web = self.equip(enrolment.shop_id, "web", &ids).await?;
        Ok((enrolment, web))
    }

    /// Gives a shop one more POS with a contract at each of these institutions.
    ///
    /// # Errors
    /// [`BedError::Command`].
    pub async fn equip(
        &self,
        shop: pos_protocol::id::ShopId,
        purpose: &str,
        ids: &[InstitutionId],
    ) -> Result<PosKit, BedError> {
        shop::equip(&self.server, &self.institutions, shop, purpose, ids).await
    }

    /// Admits a shop, equips it and registers it through the real module.
    ///
    /// # Errors
    /// [`BedError::Command`] or [`BedError::Connection`].
    pub async fn open_shop(&self, name: &str) -> Result<ShopKit, BedError> {
        let (enrolment, web) = self.admit(name).await?;
        let card = self.institutions.ids().into_iter().take(1).collect::<Vec<_>>();
        let phone = self.equip(enrolment.shop_id, "phone", &card).await?;
        let keys = Arc::new(MemoryKeyStore::default());
        let setup =
            Setup::new(self.config()?, Arc::clone(&keys) as _, Arc::new(MemoryJournal::default()));
        let code = EnrolmentCode::parse(enrolment.enrolment_code.expose())
            .map_err(|cause| BedError::Unknown(format!("enrolment code: {cause}")))?;
        let password = SecretText::new(PASSWORD.to_owned());
        let registered = Connection::register(setup, enrolment.user_id, password, &code).await;
        let (_, registration) = registered?;
        let stored = keys.load().await.ok().flatten();
        let key = stored.ok_or_else(|| BedError::Unknown("module key".into()))?.module_key.key();
        Ok(ShopKit { enrolment, poses: vec![web, phone], key, registration })
    }

    /// The test instrument of this name: `approve`, a decline reason, `small_balance`, `pending`,
    /// `fault:…`.
    ///
    /// # Errors
    /// [`BedError::Unknown`].
    pub fn instrument(&self, institution: &str, name: &str) -> Result<Instrument, BedError> {
        let mut all = self.instruments.iter();
        let found = all.find(|one| one.institution.as_str() == institution && one.name == name);
        let json = found.map(|one| one.instrument.to_string());
        json.and_then(|json| Instrument::from_json(json.as_bytes()).ok())
            .ok_or_else(|| BedError::Unknown(format!("instrument {name} at {institution}")))
    }

    /// Seals a test instrument to its institution for what the binding says.
    ///
    /// # Errors
    /// [`BedError::Unknown`].
    pub fn seal(&self, name: &str, binding: &Binding) -> Result<Envelope, BedError> {
        let institution = binding.institution.as_str();
        let instrument = self.instrument(institution, name)?;
        let keys = self.seal_keys_of(institution)?;
        let now = raw::now();
        let not_after = now.plus(pos_connect::ENVELOPE_LIFE);
        let key = keys.key_for(now, not_after);
        let key = key.map_err(|_| BedError::Unknown(format!("seal key of {institution}")))?;
        let sealed = pos_protocol::seal::seal(&instrument, binding, not_after, key, &raw::random());
        sealed.map_err(|cause| BedError::Unknown(cause.to_string()))
    }

    /// The verified seal key set of an institution.
    ///
    /// # Errors
    /// [`BedError::Unknown`].
    pub fn seal_keys_of(&self, institution: &str) -> Result<&SealKeySet, BedError> {
        let mut all = self.seal_keys.iter();
        let found = all.find(|(id, _, _)| id.as_str() == institution);
        let (_, _, keys) =
            found.ok_or_else(|| BedError::Unknown(format!("seal keys of {institution}")))?;
        Ok(keys)
    }

    /// The ends of all logs, for a test that failed.
    pub async fn logs(&self) -> String {
        let (server, institutions) = (self.server.tail().await, self.institutions.tail().await);
        format!("pos-server:\n{server}\npos-institution:\n{institutions}")
    }

    /// What the server's whole log says of its own faults ([`Server::faults_in_log`]).
    ///
    /// # Errors
    /// [`BedError::System`].
    pub fn faults_in_log(&self) -> Result<Vec<String>, BedError> {
        self.server.faults_in_log()
    }

    async fn register_institutions(&self) -> Result<(), BedError> {
        self.institutions.add_operator(&self.server.address().institution_call_key).await?;
        for one in self.institutions.all() {
            let ca = self.folder.path().join(format!("{}.pem", one.id));
            fs::write(&ca, &one.ca_pem).map_err(BedError::system("writing a CA"))?;
            let ca = ca.to_string_lossy();
            let words = ["institution", "add", one.id.as_str(), "--url", &one.url, "--ca", &ca];
            let keys = ["--verify-key", &one.verify_key, "--seal-root", &one.seal_root];
            let answer = self.server.operate(&[&words[..], &keys[..]].concat()).await?;
            if let Some(fault) = answer["untested"].as_str() {
                return Err(BedError::Command {
                    command: format!("institution add {}", one.id),
                    answer: format!("it is not live: {fault}"),
                });
            }
        }
        Ok(())
    }

    fn verified(
        &self,
        methods: MethodsAnswer,
    ) -> Result<Vec<(InstitutionId, SignedSealKeySet, SealKeySet)>, BedError> {
        let mut all = Vec::new();
        for signed in methods.seal_keys {
            let mut institutions = self.institutions.all().iter();
            let found = institutions.find_map(|one| {
                let root = one.root().ok()?;
                let set = signed.verify(&root, &one.id, raw::now(), 0).ok()?;
                Some((one.id.clone(), signed.clone(), set))
            });
            all.push(found.ok_or_else(|| BedError::Unknown("such root of a key set".into()))?);
        }
        Ok(all)
    }
}
