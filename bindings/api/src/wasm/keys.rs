//! A host's text as the module's key store.

use pos_connect::env::Task;
use pos_connect::keys::{Change, KeyStore, KeyStoreError, StoredKeys};
use wasm_bindgen::prelude::JsValue;

use super::host::{Host, Thrown, of_json, settled, text, tried};
use crate::records::json;

pub(super) struct HostKeys(pub(super) Host);

impl HostKeys {
    async fn text(&self) -> Result<Option<String>, KeyStoreError> {
        Ok(text(&settled(self.0.load()).await?)?)
    }

    async fn replaced(
        &self,
        old: Option<String>,
        keys: &StoredKeys,
    ) -> Result<bool, KeyStoreError> {
        let old = old.map_or(JsValue::NULL, JsValue::from);
        let told = settled(self.0.replace(old, &json(keys))).await?;
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
            tried(async || {
                let old = self.text().await?.ok_or(KeyStoreError::Empty)?;
                let mut keys = keys_of(&old)?;
                keys.apply(change.clone());
                // Somebody else wrote between: their change comes first, and this one on top of it.
                let is_kept = json(&keys) == old || self.replaced(Some(old), &keys).await?;
                Ok(is_kept.then_some(keys))
            })
            .await
        })
    }

    fn remove(&self) -> Task<'_, Result<(), KeyStoreError>> {
        // No verb of this surface forgets keys: a shop deletes its own storage.
        Box::pin(async { Err(Thrown::because("not offered").into()) })
    }
}

fn keys_of(text: &str) -> Result<StoredKeys, KeyStoreError> {
    // The parser's own words would hold what it read: the keys.
    of_json(text).map_err(|_| Thrown::because("the JSON that is stored holds no keys").into())
}

impl From<Thrown> for KeyStoreError {
    fn from(cause: Thrown) -> Self {
        Self::Host(Box::new(cause))
    }
}
