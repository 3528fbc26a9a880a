//! What is to be known of a language beside the protocol: `runners.json`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::HarnessError;

/// One runner.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What `--runner` calls it.
    pub name: String,
    /// The head of its column.
    pub title: String,
    /// What it rightly cannot do, by the word of a scenario's `needs`, and why.
    #[serde(default)]
    pub cannot: BTreeMap<String, String>,
    /// The classes by which the language refuses an argument, by the word of `refused`.
    #[serde(default)]
    pub refuses: BTreeMap<String, Vec<String>>,
    /// Whether it reaches the server by plain HTTP: a browser takes no certificate from us.
    #[serde(default)]
    pub plain_http: bool,
}

impl Profile {
    /// The profile of this name.
    ///
    /// # Errors
    /// [`HarnessError::Data`].
    pub fn find(file: &Path, name: &str) -> Result<Self, HarnessError> {
        let all = Self::all(file)?;
        all.into_iter().find(|one| one.name == name).ok_or_else(|| {
            HarnessError::data(file.display())(&format!("no runner is called {name}"))
        })
    }

    /// Every profile, in the order of the table's columns.
    ///
    /// # Errors
    /// [`HarnessError::Data`].
    pub fn all(file: &Path) -> Result<Vec<Self>, HarnessError> {
        let wrong = || HarnessError::data(file.display().to_string());
        let text = fs::read(file).map_err(|cause| wrong()(&cause))?;
        serde_json::from_slice(&text).map_err(|cause| wrong()(&cause))
    }

    /// Why this scenario is not there in this language, if so.
    pub fn lacks(&self, needs: &[String]) -> Option<&str> {
        needs.iter().find_map(|need| self.cannot.get(need)).map(String::as_str)
    }
}
