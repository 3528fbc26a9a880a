//! Writes `docs/ERRORS.md` anew: `cargo run -p pos-connect --example write_errors_page`. A test makes
//! the same and compares.

use std::path::Path;

#[path = "../tests/support/errors_page.rs"]
mod errors_page;

fn main() -> std::io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ERRORS.md");
    std::fs::write(path, errors_page::page())
}
