//! Whose seal keys are passed on: those of the root key that the shop has set, or else that was
//! named first, and none of it older than what was seen before.

use std::sync::Arc;

use pos_protocol::seal::SignedSealKeySet;
use pos_protocol::wire::{ContractView, MethodsAnswer, QuoteAnswer};

use super::Connection;
use crate::error::{Cause, Error, ModuleCode};
use crate::keys::{Change, SealPin};

impl Connection {
    pub(super) async fn check_quote(&self, answer: &QuoteAnswer) -> Result<(), Error> {
        let Some(contract) = &answer.contract else { return Ok(()) };
        self.check_root(contract)?;
        let Some(keys) = &answer.seal_keys else { return Ok(()) };
        self.check_set(contract, keys).await
    }

    /// Takes contracts out whose institution has another root key than the one known, and sets that
    /// no contract of the answer vouches for: one institution's fault must not keep the shop from
    /// all others.
    pub(super) async fn check_methods(&self, answer: &mut MethodsAnswer) {
        answer.contracts.retain(|contract| self.check_root(contract).is_ok());
        let mut good = Vec::with_capacity(answer.seal_keys.len());
        for set in std::mem::take(&mut answer.seal_keys) {
            for contract in &answer.contracts {
                if self.check_set(contract, &set).await.is_ok() {
                    good.push(set);
                    break;
                }
            }
        }
        answer.seal_keys = good;
    }

    fn check_root(&self, contract: &ContractView) -> Result<(), Error> {
        let institution = &contract.institution;
        let configured = self.0.setup.config.seal_roots.get(institution).copied();
        let known = configured.or_else(|| Some(self.state().seals.get(institution)?.root));
        match known {
            Some(root) if root != contract.seal_root => {
                Err(self.told(Error::module(ModuleCode::SealRootChanged, None)))
            }
            _ => Ok(()),
        }
    }

    /// Verifies a set, and remembers its root and version.
    async fn check_set(&self, of: &ContractView, set: &SignedSealKeySet) -> Result<(), Error> {
        let now = self.server_time()?;
        let known = self.state().seals.get(&of.institution).copied();
        let of_root = known.filter(|known| known.root == of.seal_root);
        let version = of_root.map_or(0, |known| known.version);
        let told = |cause| self.told(Error::without_answer(Cause::KeySet(cause)));
        let claim = set.claim(&of.seal_root).map_err(told)?;
        let signer = Arc::clone(&self.state().signer);
        let payload = signer.prove(claim).await.map_err(|cause| told(cause.into()))?;
        let verified = payload.read(&of.institution, now, version).map_err(told)?;
        let seen = SealPin { root: of.seal_root, version: verified.version };
        if known != Some(seen) {
            self.state().seals.insert(of.institution.clone(), seen);
            let change = match known {
                // The check before has let it through, so the shop has set this root itself.
                Some(known) if known.root != seen.root => Change::ReplaceSeal,
                _ => Change::Seal,
            };
            // Where nothing can be stored (a session without a key store) it lives in memory.
            let _ = self.keys().change(change(of.institution.clone(), seen)).await;
        }
        Ok(())
    }
}
