//! Where a shop's keys and open payments are kept: by the host.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use pos_connect::{IdempotencyKey, Stores};
use wasm_bindgen::prelude::JsValue;

use crate::error::Error;
use crate::wasm::Host;

/// What the host has brought.
pub struct Store {
    texts: JsValue,
    stores: Stores,
}

thread_local! {
    /// Those that a connection uses. What was entered by one connection, and is under way by it, the
    /// others with the same open calls must know.
    static IN_USE: RefCell<Vec<Weak<Store>>> = const { RefCell::new(Vec::new()) };
}

impl Store {
    /// The one of this host's.
    pub(crate) fn new(host: &Host) -> Arc<Self> {
        IN_USE.with_borrow_mut(|in_use| {
            in_use.retain(|store| store.strong_count() > 0);
            let texts = host.texts();
            let others = in_use.iter().filter_map(Weak::upgrade).find(|store| store.texts == texts);
            let stores = host.stores(others.as_deref().map(|others| &others.stores));
            let store = Arc::new(Self { texts, stores });
            in_use.push(Arc::downgrade(&store));
            store
        })
    }

    #[expect(clippy::unnecessary_wraps, reason = "elsewhere a folder may not be usable")]
    pub(crate) const fn stores(&self) -> Result<&Stores, Error> {
        Ok(&self.stores)
    }

    /// Whether a payment call under this key may be open: only a journal that can be read says no.
    pub(crate) async fn may_be_open(&self, key: &IdempotencyKey) -> bool {
        !matches!(self.stores.journal().get(key.clone()).await, Ok(None))
    }
}
