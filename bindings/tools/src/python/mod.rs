//! What UniFFI's generator leaves out of the Python package: the package's own module with its names,
//! and the types that mypy and pyright read.

mod facade;
mod spelling;
mod stub;

use std::fs;

use anyhow::Context as _;
use camino::Utf8Path;
use pos_connect_tools::surface;

use crate::secrets;

/// Writes `__init__.py` and `__init__.pyi` into the folder of the package.
pub(crate) fn write(library: &Utf8Path, package: &Utf8Path) -> anyhow::Result<()> {
    let surface = surface::read(library)?;
    secrets::check(&surface)?;
    for (name, text) in
        [("__init__.py", facade::of(&surface)), ("__init__.pyi", stub::of(&surface)?)]
    {
        let path = package.join(name);
        fs::write(&path, text).with_context(|| format!("writing {path}"))?;
    }
    Ok(())
}
