//! What libFuzzer found worth keeping, and what it began with, played to the same functions on the stable
//! compiler.

use std::fs;
use std::path::Path;

use pos_hostile::targets::ALL;

#[test]
fn every_target_withstands_its_corpus() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (name, target) in ALL {
        let folder = corpora.join(name);
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut played = 0;
        for entry in entries {
            let path = entry.expect("a corpus can be listed").path();
            let octets = fs::read(&path).expect("a file of a corpus can be read");
            // A panic does not say which file it was.
            eprintln!("{name} {}", path.display());
            target(&octets);
            played += 1;
        }
        assert!(played >= 12, "{name} has {played} files only");
    }
}

/// Each program of the fuzzer calls one target, by its own name.
#[test]
fn every_target_has_a_program() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    for (name, _) in ALL {
        let program = fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs")));
        let program = program.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(program.contains(&format!("named(\"{name}\")")), "{program}");
    }
    let programs = fs::read_dir(fuzz.join("fuzz_targets")).expect("the programs can be listed");
    assert_eq!(programs.count(), ALL.len());
}
