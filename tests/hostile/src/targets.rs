//! The bodies of the fuzz targets. Each takes any octets, and panics where a promise is broken.

mod bodies;
mod codes;
mod connector;
mod envelope;
mod institution;
mod settlement;
mod signature;

/// A target by its name, which is that of its program and of its corpus.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const ALL: &[Target] = &[
    ("signature", signature::signature),
    ("bodies", bodies::bodies),
    ("envelope", envelope::envelope),
    ("institution", institution::institution),
    ("connector", connector::connector),
    ("codes", codes::codes),
    ("settlement", settlement::settlement),
];

/// The target of this name.
///
/// # Panics
/// When there is none.
pub fn named(name: &str) -> fn(&[u8]) {
    let found = ALL.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("there is no target {name}")).1
}
