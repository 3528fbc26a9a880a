//! A host's text as the module's key store.

use pos_connect::env::Task;
use pos_connect::keys::{Change, KeyStore, KeyStoreError, StoredKeys};
use wasm_bindgen::prelude::JsValue;

use super::host::{Host, Thrown, settled, text};
use crate::records::json;

pub(super) struct HostKeys(pub(super) Host);

impl HostKeys {
    async fn text(&self) -> Result<Option<String>, KeyStoreError> {
        text(&settled(self.0.load()).await.map_err(failed)?).map_err(failed)
    }

    async fn replaced(
        &self,
        old: Option<String>,
        keys: &StoredKeys,
    ) -> Result<bool, KeyStoreError> {
        let old = old.map_or(JsValue::NULL, JsValue::from);
        let told = settled(self.0.replace(old, &json(keys))).await.map_err(failed)?;
        Ok(told.is_truthy())
    }
}

impl KeyStore for HostKeys {
    fn load(&self) -> Task<'_, Result<Option<StoredKeys>, KeyStoreError>> {
        Box::pin(async { self.text().await?.map(|text| keys_of(&text)).transpose() })
    }

    fn create(&self, keys: StoredKeys) -> Task<'_, Result<(), KeyStoreError>> {
        Box::pin(async move {
            if self.replaced(None, &keys).await? { Ok(()) } else { Err(KeyStoreError::Occupied) }
        })
    }

    fn change(&self, change: Change) -> Task<'_, Result<StoredKeys, KeyStoreError>> {
        Box::pin(async move {
            loop {
                let old = self.text().await?.ok_or(KeyStoreError::Empty)?;
                let mut keys = keys_of(&old)?;
                keys.apply(change.clone());
                // Somebody else wrote between: their change comes first, and this one on top of it.
                if json(&keys) == old || self.replaced(Some(old), &keys).await? {
                    return Ok(keys);
                }
            }
        })
    }

    fn remove(&self) -> Task<'_, Result<(), KeyStoreError>> {
        // No verb of this surface forgets keys: a shop deletes its own storage.
        Box::pin(async { Err(failed(Thrown::new(&JsValue::from_str("not offered")))) })
    }
}

fn keys_of(text: &str) -> Result<StoredKeys, KeyStoreError> {
    // The parser's own words would hold what it read: the keys.
    serde_json::from_str(text).map_err(|_| {
        failed(Thrown::new(&JsValue::from_str("the JSON that is stored holds no keys")))
    })
}

fn failed(cause: Thrown) -> KeyStoreError {
    KeyStoreError::Host(Box::new(cause))
}
