//! Sizes that the product promises to keep small: the module in a browser, the server.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{build, child::Children, failure::Failure, parts::Figures, setup};

/// The crate that exports every verb of the module, so that nothing is left out of its size.
const PROBE: &str = "pos-wasm-probe";

/// The server's goal, stripped.
const SERVER_MAX_BYTES: u64 = 15_000_000;

/// Builds the connection module for browsers and measures it.
pub(crate) fn wasm(children: &Children<'_>) -> Result<Figures, Failure> {
    setup::wasm_target(children)?;
    let mut build = children.cargo(&["build", "--locked", "--profile", "wasm", "-p", PROBE]);
    children.run(build.args(["--target", setup::WASM]))?;
    let name = format!("{}.wasm", PROBE.replace('-', "_"));
    let path = children
        .workspace
        .target
        .join(setup::WASM)
        .join("wasm")
        .join(name);
    let raw = bytes_in(&path)?;
    let gzipped = children.read(children.command("gzip").args(["-9", "-n", "-c"]).arg(&path))?;
    Ok(vec![format!(
        "module as wasm: raw {raw} bytes, gzip -9 {} bytes",
        gzipped.len()
    )])
}

/// Measures the server's binary.
pub(crate) fn server(children: &Children<'_>) -> Result<Figures, Failure> {
    build::everything(children)?;
    let built = children.workspace.program("pos-server");
    let stripped: PathBuf = children.workspace.scratch("sizes")?.join("pos-server");
    children.run(
        children
            .command("strip")
            .arg("-o")
            .arg(&stripped)
            .arg(&built),
    )?;
    let (raw, small) = (bytes_in(&built)?, bytes_in(&stripped)?);
    if small > SERVER_MAX_BYTES {
        return Err(Failure::Check(format!(
            "the stripped server has {small} bytes; its goal is at most {SERVER_MAX_BYTES}"
        )));
    }
    Ok(vec![format!(
        "pos-server: {raw} bytes with line tables, {small} bytes stripped"
    )])
}

fn bytes_in(path: &Path) -> Result<u64, Failure> {
    let found = fs::metadata(path);
    found
        .map(|found| found.len())
        .map_err(|source| Failure::Path {
            action: "measure",
            path: path.to_owned(),
            source,
        })
}
