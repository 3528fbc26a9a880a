//! The documents hold together: every relative link leads somewhere, headings included; the decisions are
//! all listed; and the README's example is the one that is compiled.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

#[test]
fn every_relative_link_resolves() {
    let root = root();
    let pages = pages(&root);
    assert!(pages.len() >= 10, "only {} pages were found", pages.len());
    let mut dead = Vec::new();
    for page in &pages {
        let text = fs::read_to_string(root.join(page)).unwrap();
        for link in links(&text) {
            if let Some(why) = fault(&root, page, &link) {
                dead.push(format!("{}: {link}: {why}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

#[test]
fn every_decision_is_listed() {
    let folder = root().join("docs/adr");
    let list = fs::read_to_string(folder.join("README.md")).unwrap();
    let names = fs::read_dir(&folder).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let missing: Vec<_> = names
        .filter(|name| name.ends_with(".md") && name != "README.md")
        .filter(|name| !list.contains(&format!("({name})")))
        .collect();
    assert!(missing.is_empty(), "docs/adr/README.md does not list {missing:?}");
}

#[test]
fn the_example_of_the_readme_is_the_compiled_one() {
    let example = |page: &str, fence: &str| -> Vec<String> {
        let text = fs::read_to_string(root().join(page)).unwrap();
        let (_, behind) = text.split_once(fence).unwrap();
        let (code, _) = behind.split_once("\n```").unwrap();
        // rustdoc hides lines that begin with `# `.
        code.lines().filter(|line| !line.starts_with("# ")).map(str::to_owned).collect()
    };
    let compiled = example("pos-connect/README.md", "```rust,no_run\n");
    assert!(compiled.len() >= 10);
    assert_eq!(example("README.md", "```rust\n"), compiled);
}

/// The Markdown files of the repository, build folders and hidden ones left out.
fn pages(root: &Path) -> Vec<PathBuf> {
    let (mut pages, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
            if name.starts_with('.') || name == "target" {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if name.ends_with(".md") {
                pages.push(path.strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    pages
}

/// The targets of the links in a page; code is passed over.
fn links(page: &str) -> Vec<String> {
    let mut links = Vec::new();
    for line in outside_of_fences(page) {
        // What stands between backticks is code: every other piece.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        links.extend(targets.map(|(target, _)| target.to_owned()));
    }
    links
}

fn outside_of_fences(page: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    page.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !inside && !fence
    })
}

/// What is wrong with a link, if anything is.
fn fault(root: &Path, page: &Path, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") || is_a_name_in_rust(link) {
        return None;
    }
    let (path, heading) = link.split_once('#').unwrap_or((link, ""));
    let here = root.join(page);
    let target = if path.is_empty() { here } else { here.parent()?.join(path) };
    let Ok(target) = target.canonicalize() else {
        return Some("there is no such file".into());
    };
    if !target.starts_with(root) {
        return Some("it leads out of the repository".into());
    }
    if heading.is_empty() {
        return None;
    }
    let text = fs::read_to_string(&target).ok()?;
    let known = anchors(&text).contains(heading);
    (!known).then(|| "there is no such heading".into())
}

/// A crate's front page may link to its items; rustdoc checks those.
fn is_a_name_in_rust(link: &str) -> bool {
    link.contains("::") && !link.contains('/')
}

/// The anchors that a page's headings get: lower case, punctuation dropped, hyphens for spaces.
fn anchors(page: &str) -> HashSet<String> {
    let headings = outside_of_fences(page).filter_map(|line| {
        let text = line.trim_start_matches('#');
        (text.len() < line.len()).then(|| text.strip_prefix(' ')).flatten()
    });
    headings
        .map(|heading| {
            let kept = heading.trim().to_lowercase();
            let kept = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn a_dead_link_is_seen() {
    let root = root();
    let page = Path::new("docs/PROTOCOL.md");
    assert_eq!(fault(&root, page, "ERRORS.md#codes"), None);
    assert_eq!(fault(&root, page, "#signed-calls"), None);
    assert!(fault(&root, page, "NO_SUCH.md").is_some());
    assert!(fault(&root, page, "ERRORS.md#no-such-heading").is_some());
    assert!(fault(&root, page, "../../../etc/passwd").is_some());
    let text = "[a](b.md) `[c](d.md)` [`e`](f.md)\n```\n[g](h.md)\n```\n[i](j.md#k)";
    assert_eq!(links(text), ["b.md", "f.md", "j.md#k"]);
}
