//! An institution without sockets, threads, files or a clock of its own: for whoever brings it calls by
//! another way, and takes its ledger as the judge.

use std::sync::Arc;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Request, Response};
use pos_protocol::id::ContractNumber;
use pos_protocol::key::PublicKey;
use pos_protocol::seal::SignedSealKeySet;
use pos_server::env::{Clock, Entropy};

use crate::house::House;
use crate::instrument::Instruments;
use crate::keys::Keys;
use crate::ledger::{Books, Ledger, LedgerError};
use crate::line::OnLine;
use crate::running::openings;
use crate::service::Institution;

/// One institution. Its clock must never run backwards (`docs/INSTITUTION.md` 4.4).
pub struct InProcess(Arc<Institution>);

impl InProcess {
    /// An institution whose ledger is in memory, and whose calls are signed for `authority`.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn new(
        house: House,
        authority: &str,
        processing_limit_ms: u32,
        clock: Arc<dyn Clock>,
        entropy: &dyn Entropy,
    ) -> Result<Self, LedgerError> {
        let keys = Keys::drawn(entropy, &house.id(), clock.now());
        let ledger = Ledger::in_memory(&openings(house, &keys))?;
        let authority = authority.to_owned();
        let limit = processing_limit_ms;
        Ok(Self(Arc::new(Institution::new(house, authority, keys, ledger, limit, clock))))
    }

    /// Takes calls that are signed with this key from now on.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn add_operator(&self, key: PublicKey) -> Result<(), LedgerError> {
        self.0.add_operator(key).await
    }

    /// Takes operations of this shop from now on.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn add_contract(&self, number: ContractNumber) -> Result<(), LedgerError> {
        self.0.add_contract(number).await
    }

    /// Answers a call; `None` where a fault of the instrument keeps the answer back.
    pub async fn answer(&self, request: Request<Bytes>) -> Option<Response<Bytes>> {
        let answered = self.0.answer_to(request.map(Full::new)).await;
        match answered.on_line {
            OnLine::Written | OnLine::Twice => {
                let (head, body) = answered.response.into_parts();
                let body = body.collect().await.ok()?.to_bytes();
                Some(Response::from_parts(head, body))
            }
            OnLine::Garbage | OnLine::Silent | OnLine::Cut => None,
        }
    }

    /// Reads the books.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn books<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Books) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LedgerError> {
        self.0.ledger.run(read).await
    }

    /// The keys by which its answers and its seal keys are proved.
    pub fn proved_by(&self) -> (PublicKey, PublicKey) {
        (self.0.keys.answer.public(), self.0.keys.seal_root)
    }

    /// The keys that instruments are sealed to.
    pub fn seal_keys(&self) -> &SignedSealKeySet {
        &self.0.keys.set
    }

    /// Its test instruments.
    pub fn instruments(&self) -> &Instruments {
        &self.0.instruments
    }
}
