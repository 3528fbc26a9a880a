//! The surface has every verb of the module: one that the module gains does not come over by itself.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as expected")]

use std::collections::BTreeSet;
use std::fs;

use pos_connect_api::BlockingConnection;

/// What the module has and the surface has not, or under another name, and why.
const NOT_HERE: [(&str, &str); 4] = [
    ("open", "A connection opens itself at its first verb."),
    ("pages", "It is `history` in a loop, and no host has its type."),
    ("after_fork", "A connection does it by itself."),
    ("server_time", "A time is a number here: `server_time_ms`."),
];

/// The public functions of every `impl Connection` of the module, of the source as rustfmt leaves it.
fn of_the_module() -> BTreeSet<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../pos-connect/src/client");
    let mut verbs = BTreeSet::new();
    for file in fs::read_dir(folder).unwrap() {
        let source = fs::read_to_string(file.unwrap().path()).unwrap();
        for rest in source.split("\nimpl Connection {\n").skip(1) {
            let (body, _) = rest.split_once("\n}\n").unwrap();
            let public = body.lines().filter_map(|line| line.strip_prefix("    pub "));
            verbs.extend(public.filter_map(|line| {
                let (_, rest) = line.split_once("fn ")?;
                Some(rest.split(['(', '<']).next().unwrap().to_owned())
            }));
        }
    }
    verbs
}

#[test]
fn every_verb_of_the_module_is_a_verb_of_the_surface() {
    let mut wanted = of_the_module();
    for (name, why) in NOT_HERE {
        assert!(wanted.remove(name), "the module has no {name} any more: {why}");
    }
    wanted.insert("server_time_ms".into());
    let here: BTreeSet<_> = BlockingConnection::VERBS.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(here, wanted);
}
