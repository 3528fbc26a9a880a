//! The suite of all engines, and what only this one can show.

use std::path::Path;

use tempfile::TempDir;

use super::{SqliteOptions, open};
use crate::store::conformance::bed::Opened;

fn fresh() -> Opened {
    let folder = TempDir::new().unwrap();
    let engine = open(&database(folder.path()), SqliteOptions::default()).unwrap();
    Opened { engine, keep: Box::new(folder) }
}

fn database(folder: &Path) -> std::path::PathBuf {
    folder.join("shop.sqlite")
}

mod suite {
    use crate::store::conformance::conformance_suite;
    conformance_suite!(super::fresh);
}
