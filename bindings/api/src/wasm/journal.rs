//! A host's texts, one for each call under way, as the module's journal.

use std::cell::RefCell;
use std::collections::HashSet;

use js_sys::Array;
use pos_connect::IdempotencyKey;
use pos_connect::env::Task;
use pos_connect::journal::{
    Attempt, Begun, Entries, Entry, Finished, Journal, JournalError, Known, UnreadableEntry,
};
use wasm_bindgen::prelude::JsValue;

use super::host::{Host, Thrown, of_json, settled, text, tried};
use crate::records::json;

pub(super) struct HostJournal {
    host: Host,
    /// What this instance entered.
    ours: RefCell<HashSet<IdempotencyKey>>,
}

impl HostJournal {
    pub(super) fn new(host: Host) -> Self {
        Self { host, ours: RefCell::default() }
    }

    async fn text(&self, key: &IdempotencyKey) -> Result<Option<String>, JournalError> {
        Ok(text(&settled(self.host.load_call(key.as_str())).await?)?)
    }

    /// Writes `new` where `old` is; none is no entry. Says whether it was there.
    async fn replaced(
        &self,
        key: &IdempotencyKey,
        old: Option<String>,
        new: Option<String>,
    ) -> Result<bool, JournalError> {
        let value = |text: Option<String>| text.map_or(JsValue::NULL, JsValue::from);
        let asked = self.host.replace_call(key.as_str(), value(old), value(new));
        Ok(settled(asked).await?.is_truthy())
    }

    fn known(&self, text: &str) -> Result<Known, JournalError> {
        let entry = entry(text)?;
        let ours = self.ours.borrow().contains(&entry.key);
        Ok(Known { entry, ours })
    }
}

impl Journal for HostJournal {
    fn begin(&self, entry: Entry) -> Task<'_, Result<Begun, JournalError>> {
        Box::pin(async move {
            tried(async || {
                if self.replaced(&entry.key, None, Some(json(&entry))).await? {
                    self.ours.borrow_mut().insert(entry.key.clone());
                    return Ok(Some(Begun::New));
                }
                Ok(match self.text(&entry.key).await? {
                    Some(text) => Some(Begun::Known(self.known(&text)?)),
                    None => None,
                })
            })
            .await
        })
    }

    fn attempt(&self, key: IdempotencyKey, attempt: Attempt) -> Task<'_, Result<(), JournalError>> {
        Box::pin(async move {
            tried(async || {
                let old = self.text(&key).await?.ok_or(JournalError::NoEntry)?;
                let mut entry = entry(&old)?;
                entry.attempts.push(attempt);
                let is_noted = self.replaced(&key, Some(old), Some(json(&entry))).await?;
                Ok(is_noted.then_some(()))
            })
            .await
        })
    }

    fn finish(
        &self,
        key: IdempotencyKey,
        attempts: Vec<Attempt>,
    ) -> Task<'_, Result<Finished, JournalError>> {
        Box::pin(async move {
            tried(async || {
                let Some(old) = self.text(&key).await? else { return Ok(Some(Finished::Removed)) };
                let entry = entry(&old)?;
                if !entry.beyond(&attempts).is_empty() {
                    return Ok(Some(Finished::Grown(entry)));
                }
                if !self.replaced(&key, Some(old), None).await? {
                    return Ok(None);
                }
                self.ours.borrow_mut().remove(&key);
                Ok(Some(Finished::Removed))
            })
            .await
        })
    }

    fn get(&self, key: IdempotencyKey) -> Task<'_, Result<Option<Known>, JournalError>> {
        Box::pin(async move {
            let text = self.text(&key).await?;
            text.map(|text| self.known(&text)).transpose()
        })
    }

    fn entries(&self) -> Task<'_, Result<Entries, JournalError>> {
        Box::pin(async {
            let mut entries = Entries::default();
            for key in Array::from(&settled(self.host.calls()).await?) {
                let Some(Ok(key)) = key.as_string().map(|key| key.parse()) else { continue };
                match self.text(&key).await {
                    // It was settled meanwhile.
                    Ok(None) => {}
                    Ok(Some(text)) => match entry(&text) {
                        Ok(entry) => entries.readable.push(entry),
                        Err(cause) => unreadable(&mut entries, key, cause),
                    },
                    Err(cause) => unreadable(&mut entries, key, cause),
                }
            }
            Ok(entries)
        })
    }

    fn remove(&self, key: IdempotencyKey) -> Task<'_, Result<(), JournalError>> {
        Box::pin(async move {
            let removed: Result<(), JournalError> = tried(async || {
                let Some(old) = self.text(&key).await? else { return Ok(Some(())) };
                Ok(self.replaced(&key, Some(old), None).await?.then_some(()))
            })
            .await;
            removed?;
            self.ours.borrow_mut().remove(&key);
            Ok(())
        })
    }
}

fn unreadable(entries: &mut Entries, key: IdempotencyKey, cause: JournalError) {
    entries.unreadable.push(UnreadableEntry { key: Some(key), cause });
}

fn entry(text: &str) -> Result<Entry, JournalError> {
    of_json(text).map_err(|wrong| JournalError::Host(Box::new(wrong)))
}

impl From<Thrown> for JournalError {
    fn from(cause: Thrown) -> Self {
        Self::Host(Box::new(cause))
    }
}
