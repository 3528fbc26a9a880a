//! Institutions as the operator enters and tests them (L8): only a tested one goes live.

use std::sync::Arc;

use pos_protocol::id::InstitutionId;
use pos_protocol::institution::Names;
use pos_protocol::key::PublicKey;

use crate::app::App;
use crate::connectors::{
    Capabilities, ConnectionTest, Fault, Institution, InstitutionRecord, RecordError,
};
use crate::store::StoreError;
use crate::store::rows::InstitutionRow;
use crate::store::verbs::{AddInstitution, RecordTest, SetInstitutionEnabled};

/// Why an institution was not entered or not switched.
#[derive(Debug, thiserror::Error)]
pub enum InstitutionError {
    /// What the database keeps of it cannot be read.
    #[error("what is kept of this institution cannot be read: enter it anew")]
    Damaged,
    /// There is one of this name.
    #[error("there is an institution of this name already: choose another name")]
    Exists,
    /// There is none.
    #[error("there is no institution of this name; `pos-server institution list` shows them")]
    NotFound,
    /// The URL or the CA cannot be used.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It did not pass the connection test, so it does not go live.
    #[error("the connection test failed: {0}")]
    Untested(#[from] Fault),
}

/// What an operator says of an institution; what it can do it says itself.
#[derive(Debug)]
pub struct NewInstitution {
    /// The operator's name for it.
    pub id: InstitutionId,
    /// Where it answers.
    pub url: String,
    /// What its TLS certificate must lead to.
    pub ca_pem: Option<String>,
    /// Verifies its answers.
    pub verify_key: PublicKey,
    /// Verifies its seal key sets.
    pub seal_root: PublicKey,
}

/// Enters an institution and tests the connection. It goes live when the test passes; else it is
/// kept switched off, and [`switch`] tests it again.
///
/// # Errors
/// [`InstitutionError`]; with `Untested` it was entered and is off.
pub async fn add(app: &App, new: NewInstitution) -> Result<(), InstitutionError> {
    let row = InstitutionRow {
        name: new.id.as_str().into(),
        name_ja: new.id.as_str().into(),
        id: new.id,
        url: new.url.into(),
        ca_pem: new.ca_pem.map(Into::into),
        verify_key: new.verify_key,
        seal_root: new.seal_root,
        seal_key_version: 0,
        capabilities: "".into(),
        enabled: false,
    };
    // A URL or CA that can never be used is not entered at all.
    Institution::new(record(&row)?, app.institutions.call_key())?;
    let id = row.id.clone();
    if !app.store.add_institution(AddInstitution { institution: row, now: app.clock.now() }).await?
    {
        return Err(InstitutionError::Exists);
    }
    switch(app, &id, true).await
}

/// Switches an institution on, after testing the connection to it, or off, at once.
///
/// # Errors
/// [`InstitutionError`].
pub async fn switch(app: &App, id: &InstitutionId, on: bool) -> Result<(), InstitutionError> {
    let rows = app.store.read(|reader| reader.institutions()).await?;
    let row = rows.into_iter().find(|row| row.id == *id).ok_or(InstitutionError::NotFound)?;
    let found = if on {
        let tested = test(app, &row).await?;
        let capabilities =
            serde_json::to_string(&tested.capabilities).map_err(|_| InstitutionError::Damaged)?;
        let test = RecordTest {
            institution: id.clone(),
            name: tested.names.en.to_string().into(),
            name_ja: tested.names.ja.to_string().into(),
            capabilities: capabilities.into(),
            seal_key_version: tested.seal_key_version,
            now: app.clock.now(),
        };
        app.store.record_test(test).await?
    } else {
        let now = app.clock.now();
        let off = SetInstitutionEnabled { institution: id.clone(), enabled: false, now };
        app.store.set_institution_enabled(off).await?
    };
    if !found {
        return Err(InstitutionError::NotFound);
    }
    Ok(app.load_institutions().await?)
}

async fn test(app: &App, row: &InstitutionRow) -> Result<ConnectionTest, InstitutionError> {
    let institution = match app.institutions.get(&row.id) {
        Some(live) => live,
        None => Arc::new(Institution::new(record(row)?, app.institutions.call_key())?),
    };
    Ok(app.driver.test_connection(&institution).await?)
}

/// The record that connectors are made from.
///
/// # Errors
/// [`InstitutionError::Damaged`].
pub fn record(row: &InstitutionRow) -> Result<InstitutionRecord, InstitutionError> {
    let capabilities = if row.capabilities.is_empty() {
        Capabilities::none()
    } else {
        serde_json::from_str(&row.capabilities).map_err(|_| InstitutionError::Damaged)?
    };
    let text = |name: &str| name.parse().map_err(|_| InstitutionError::Damaged);
    Ok(InstitutionRecord {
        id: row.id.clone(),
        names: Names { en: text(&row.name)?, ja: text(&row.name_ja)? },
        url: row.url.to_string(),
        ca_pem: row.ca_pem.as_deref().map(str::to_owned),
        verify_key: row.verify_key,
        seal_root: row.seal_root,
        seal_key_version: row.seal_key_version,
        enabled: row.enabled,
        capabilities,
    })
}
