//! Writes `tests/vectors/seal.json` anew: `cargo run -p pos-protocol --example write_seal_vectors`.
//! A test builds the same and compares, so a difference in the file is a difference in the protocol.

use std::path::Path;

#[path = "../tests/support/seal_vectors.rs"]
mod seal_vectors;

fn main() -> std::io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/seal.json");
    std::fs::write(path, format!("{:#}\n", seal_vectors::build()))
}
