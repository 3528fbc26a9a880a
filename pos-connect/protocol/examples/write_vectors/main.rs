//! Writes the golden vectors of the signing profile and its neighbours to `tests/vectors`.
//!
//! `cargo run -p pos-protocol --example write_vectors` after a change of the protocol; the tests
//! make the same texts again and compare, so the committed files cannot drift from this source.

mod accepted;
mod answers;
mod bodies;
mod draft;
mod enrolment;
mod model;
mod refused;
mod signatures;
mod succession;
mod webhooks;

pub(crate) use model::{
    AnswerVector, CallVector, Header, Key, ReceivedAnswer, ReceivedCall, Signatures,
};

fn main() -> std::io::Result<()> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors");
    for (name, text) in files() {
        std::fs::write(format!("{folder}/{name}"), text)?;
    }
    Ok(())
}

/// Every file this program writes: its name and its text.
pub(crate) fn files() -> [(&'static str, String); 4] {
    [
        ("signatures.json", pretty(&signatures::all())),
        ("enrolment.json", pretty(&enrolment::all())),
        ("succession.json", pretty(&succession::all())),
        ("webhooks.json", pretty(&webhooks::all())),
    ]
}

fn pretty(value: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("the model has only string keys");
    text.push('\n');
    text
}
