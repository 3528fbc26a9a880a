//! Who may depend on whom, what may lie at the top of the tree, and what must never be linked into
//! the two small crates. The rules are those of `docs/ARCHITECTURE.md`, "Allowed arrows".

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

#[test]
fn every_arrow_is_allowed() {
    let metadata = json_of(&["metadata", "--format-version", "1", "--no-deps", "--locked"]);
    let members = members_of(&metadata);
    assert!(members.len() >= 9, "cargo told of {} members only", members.len());
    let offences = forbidden_arrows(&members);
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}

#[test]
fn the_top_level_holds_only_what_is_prescribed() {
    let entries = fs::read_dir(root()).expect("the root can be read").map(|entry| {
        let entry = entry.expect("an entry of the root can be read");
        let name = entry.file_name().to_string_lossy().into_owned();
        (name, entry.file_type().expect("an entry has a type").is_dir())
    });
    let offences: Vec<_> = entries.filter_map(|(name, folder)| misplaced(&name, folder)).collect();
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}

/// A browser's module brings no runtime, no HTTP client and no TLS of its own.
#[test]
fn the_module_for_browsers_stays_small() {
    let tree = linked_into(&["-p", "pos-connect", "--target", "wasm32-unknown-unknown"]);
    assert!(tree.contains(&"pos-protocol".to_owned()), "not the module's tree: {tree:?}");
    assert_eq!(among(&tree, &["hyper", "mio", "reqwest", "ring", "rustls", "tokio"]), NOTHING);
}

/// The protocol has no I/O, no clock and no randomness, whichever of its features are on.
#[test]
fn the_protocol_reaches_neither_network_nor_randomness() {
    let banned = ["getrandom", "hyper", "mio", "rand", "reqwest", "rusqlite", "rustls", "tokio"];
    for features in ["--no-default-features", "--all-features"] {
        let tree = linked_into(&["-p", "pos-protocol", "--target", "all", features]);
        assert!(tree.contains(&"hpke".to_owned()), "not the protocol's tree: {tree:?}");
        assert_eq!(among(&tree, &banned), NOTHING, "with {features}");
    }
}

const NOTHING: [&str; 0] = [];

/// What a member is for; its folder tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Binding,
    Example,
    Module,
    Protocol,
    Server,
    Set,
    Test,
}

/// A member of the workspace, and the members that its manifest names in any kind of dependency.
struct Member {
    folder: String,
    needs: Vec<String>,
}

/// The folder's role, or none for a folder in which no member may lie.
fn role_of(folder: &str) -> Option<Role> {
    let role = match folder {
        "pos-connect" => Role::Module,
        "pos-connect/protocol" => Role::Protocol,
        "pos-connect/set" => Role::Set,
        "pos-server" => Role::Server,
        "tests" => Role::Test,
        _ => match folder.split_once('/')?.0 {
            "bindings" => Role::Binding,
            "examples" => Role::Example,
            "tests" => Role::Test,
            _ => return None,
        },
    };
    Some(role)
}

/// Whether `from` may depend on `to`.
fn is_allowed(from: Role, to: Role) -> bool {
    match from {
        Role::Protocol | Role::Set => false,
        Role::Module => to == Role::Protocol,
        Role::Server => matches!(to, Role::Protocol | Role::Set),
        // One surface below the languages; the wallet, which speaks SET, is one of them. What signs for a
        // browser that cannot is a file of its own, and needs the protocol's keys without the module.
        Role::Binding => matches!(to, Role::Binding | Role::Module | Role::Protocol | Role::Set),
        // They see everything, but nothing depends on bindings.
        Role::Example | Role::Test => to != Role::Binding,
    }
}

fn forbidden_arrows(members: &[Member]) -> Vec<String> {
    let mut offences = Vec::new();
    for member in members {
        let Some(from) = role_of(&member.folder) else {
            offences.push(format!("no member may lie in {}", member.folder));
            continue;
        };
        for needed in &member.needs {
            if !role_of(needed).is_some_and(|to| is_allowed(from, to)) {
                offences.push(format!("{} may not depend on {needed}", member.folder));
            }
        }
    }
    offences
}

/// The members in `cargo metadata --no-deps`, their folders relative to the root. A dependency that
/// has a path is a member; every kind of dependency (normal, build, development) is an arrow.
fn members_of(metadata: &Value) -> Vec<Member> {
    let root = Path::new(text(&metadata["workspace_root"]));
    let relative = |path: &Path| {
        let inside = path.strip_prefix(root).unwrap_or(path);
        inside.to_string_lossy().replace('\\', "/")
    };
    let packages = metadata["packages"].as_array().expect("cargo lists packages");
    let member = |package: &Value| Member {
        folder: relative(Path::new(text(&package["manifest_path"])).parent().expect("a folder")),
        needs: package["dependencies"]
            .as_array()
            .expect("cargo lists dependencies")
            .iter()
            .filter_map(|dependency| dependency["path"].as_str())
            .map(|path| relative(Path::new(path)))
            .collect(),
    };
    packages.iter().map(member).collect()
}

/// Why an entry may not lie at the top of the tree, if so.
fn misplaced(name: &str, is_folder: bool) -> Option<String> {
    const FOLDERS: [&str; 7] =
        ["bindings", "docs", "examples", "pos-connect", "pos-server", "target", "tests"];
    const FILES: [&str; 12] = [
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "SECURITY.md",
        "clippy.toml",
        "deny.toml",
        "rust-toolchain.toml",
        "rustfmt.toml",
    ];
    // Hidden ones belong to version control, editors and CI, and hold no code of the product.
    if name.starts_with('.') {
        return None;
    }
    let known = if is_folder { FOLDERS.contains(&name) } else { FILES.contains(&name) };
    let kind = if is_folder { "folder" } else { "file" };
    (!known).then(|| format!("{kind} {name} does not belong at the top of the tree"))
}

/// The names of the crates that end up in a build: no build scripts' needs, no macros.
fn linked_into(selection: &[&str]) -> Vec<String> {
    let listing = ["tree", "--locked", "--prefix", "none", "--format", "{p}"];
    let edges = ["--edges", "normal,no-proc-macro"];
    let output = cargo(&[listing.as_slice(), &edges, selection].concat());
    let first_words = output.lines().filter_map(|line| line.split(' ').next());
    first_words.map(str::to_owned).collect()
}

fn among<'a>(tree: &'a [String], banned: &[&str]) -> Vec<&'a str> {
    let mut found: Vec<_> = tree.iter().map(String::as_str).collect();
    found.retain(|name| banned.contains(name));
    found.sort_unstable();
    found.dedup();
    found
}

fn json_of(arguments: &[&str]) -> Value {
    serde_json::from_str(&cargo(arguments)).expect("cargo prints JSON")
}

fn cargo(arguments: &[&str]) -> String {
    // Set by cargo when it runs a test; the same version as built us.
    let program = env::var_os("CARGO").expect("this test is run by cargo");
    let output =
        Command::new(program).args(arguments).current_dir(root()).output().expect("cargo starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {}: {errors}", arguments.join(" "));
    String::from_utf8(output.stdout).expect("cargo prints UTF-8")
}

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("this package lies below the root").to_owned()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("cargo gives text here")
}

/// The judges themselves, with what they must refuse.
mod judges {
    use serde_json::json;

    use super::*;

    fn offences(folder: &str, needs: &[&str]) -> Vec<String> {
        let needs = needs.iter().map(|&needed| needed.to_owned()).collect();
        forbidden_arrows(&[Member { folder: folder.to_owned(), needs }])
    }

    #[test]
    fn the_arrows_of_the_architecture_pass() {
        for (folder, needs) in [
            ("pos-connect", vec!["pos-connect/protocol"]),
            ("pos-server", vec!["pos-connect/protocol", "pos-connect/set"]),
            ("bindings/python", vec!["bindings/api"]),
            ("bindings/api", vec!["pos-connect"]),
            ("bindings/wallet", vec!["pos-connect/set"]),
            ("examples/demo", vec!["pos-connect", "pos-server", "tests", "pos-connect/set"]),
            ("tests/bench", vec!["tests", "pos-server", "examples/institution"]),
        ] {
            assert_eq!(offences(folder, &needs), NOTHING, "{folder}");
        }
    }

    #[test]
    fn every_other_arrow_is_named() {
        for (folder, needed) in [
            ("pos-connect/protocol", "pos-connect"),
            ("pos-connect/protocol", "pos-connect/set"),
            ("pos-connect/set", "pos-connect/protocol"),
            ("pos-connect", "pos-server"),
            ("pos-connect", "pos-connect/set"),
            ("pos-connect", "tests"),
            ("pos-server", "pos-connect"),
            ("pos-server", "examples/institution"),
            ("bindings/python", "pos-server"),
            ("examples/demo", "bindings/api"),
            ("tests", "bindings/api"),
            ("tests", "/elsewhere/on/the/disk"),
        ] {
            assert_eq!(
                offences(folder, &[needed]),
                [format!("{folder} may not depend on {needed}")]
            );
        }
        assert_eq!(offences("tools/x", &[]), ["no member may lie in tools/x"]);
    }

    #[test]
    fn arrows_are_read_from_what_cargo_prints() {
        let metadata = json!({
            "workspace_root": "/r",
            "packages": [{
                "manifest_path": "/r/pos-connect/Cargo.toml",
                "dependencies": [
                    { "name": "serde", "kind": null },
                    { "name": "pos-server", "kind": "dev", "path": "/r/pos-server" },
                ],
            }],
        });
        let offences = forbidden_arrows(&members_of(&metadata));
        assert_eq!(offences, ["pos-connect may not depend on pos-server"]);
    }

    #[test]
    fn the_top_level_is_closed() {
        assert_eq!(misplaced("docs", true), None);
        assert_eq!(misplaced("README.md", false), None);
        assert_eq!(misplaced(".ci", true), None);
        for (name, is_folder) in [("scripts", true), ("README.md", true), ("build.rs", false)] {
            assert!(misplaced(name, is_folder).is_some(), "{name}");
        }
    }

    #[test]
    fn a_banned_crate_in_a_tree_is_found_once() {
        let tree = ["tokio", "serde", "tokio", "ring"].map(str::to_owned);
        assert_eq!(among(&tree, &["ring", "tokio"]), ["ring", "tokio"]);
        assert_eq!(among(&tree, &["reqwest"]), NOTHING);
    }

    /// The server's tree does hold what the small crates must not, so the listing is not just empty.
    #[test]
    fn the_tree_of_the_server_shows_tokio() {
        let tree = linked_into(&["-p", "pos-server"]);
        assert_eq!(among(&tree, &["hyper", "tokio"]), ["hyper", "tokio"]);
    }
}
