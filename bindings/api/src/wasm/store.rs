//! Where a shop's keys and open payments are kept: by the host.

use std::sync::Arc;

use pos_connect::{IdempotencyKey, Stores};

use crate::error::Error;
use crate::wasm::Host;

/// What the host has brought.
pub struct Store(Stores);

impl Store {
    pub(crate) fn new(host: &Host) -> Arc<Self> {
        Arc::new(Self(host.stores()))
    }

    #[expect(clippy::unnecessary_wraps, reason = "elsewhere a folder may not be usable")]
    pub(crate) const fn stores(&self) -> Result<&Stores, Error> {
        Ok(&self.0)
    }

    /// Whether a payment call under this key may be open: only a journal that can be read says no.
    pub(crate) async fn may_be_open(&self, key: &IdempotencyKey) -> bool {
        !matches!(self.0.journal().get(key.clone()).await, Ok(None))
    }
}
