//! The surface as the library tells it.

use anyhow::Context as _;
use camino::Utf8Path;
use uniffi_bindgen::{BindgenLoader, BindgenPaths, ComponentInterface, GlobalConfig};

/// Reads it from a library that is not stripped of its symbols.
pub(crate) fn read(library: &Utf8Path) -> anyhow::Result<ComponentInterface> {
    let loader = BindgenLoader::new(BindgenPaths::default(), GlobalConfig::default());
    let mut told = loader.load_cis(loader.load_metadata(library)?)?;
    let one = told.pop().context("the library exports nothing")?;
    anyhow::ensure!(told.is_empty(), "the library exports more than the one surface");
    Ok(one)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::ComponentInterface;

    /// A small one, from UDL.
    pub(crate) fn of(definitions: &str) -> ComponentInterface {
        let written = format!("namespace shop {{}};\n{definitions}");
        ComponentInterface::from_webidl(&written, "shop").expect("the test's UDL is right")
    }
}
