//! The page of errors is what this build makes.

use std::path::Path;

#[path = "support/errors_page.rs"]
mod errors_page;

#[test]
fn the_page_of_errors_is_what_this_build_makes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ERRORS.md");
    assert!(
        std::fs::read_to_string(path).expect("the page is there") == errors_page::page(),
        "make docs/ERRORS.md anew: cargo run -p pos-connect --example write_errors_page"
    );
}
