//! The commands of a language's page that lead from its package to a first payment, taken literally: what a
//! reader is told to type is what is run, and timed.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::bindings::{failed, make, pays_at_a_bed, read, remove};
use crate::{child::Children, failure::Failure};

/// The heading below which a page has them, as its first block for a shell.
const HEADING: &str = "\n## From a checkout\n";

/// Does what the page says, with the test bed running; how long that took.
pub(super) fn first_payment(children: &Children<'_>, page: &str) -> Result<Duration, Failure> {
    let text = read(&children.workspace.root.join(page))?;
    let text = String::from_utf8_lossy(&text);
    let commands = commands(&text).ok_or_else(|| {
        Failure::Check(format!("{page} has no block ```sh below `{}`", HEADING.trim()))
    })?;
    let mut shell = children.command("sh");
    shell.args(["-e", "-c", commands]).current_dir(checkout(children)?);
    // What is installed comes from the packages alone, and never from a stranger's of the same name.
    shell.envs([
        ("PIP_NO_INDEX", "1"),
        ("COMPOSER_DISABLE_NETWORK", "1"),
        ("npm_config_offline", "true"),
    ]);
    shell.env("COMPOSER_HOME", children.workspace.scratch("composer-home")?);
    pays_at_a_bed(children, shell.env("COMPOSER_ALLOW_SUPERUSER", "1"))
}

fn commands(page: &str) -> Option<&str> {
    let (_, section) = page.split_once(HEADING)?;
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let (_, behind) = section.split_once("```sh\n")?;
    Some(behind.split_once("```")?.0)
}

/// A folder that looks like the root of a checkout, wherever cargo builds: the pages say `target`.
fn checkout(children: &Children<'_>) -> Result<PathBuf, Failure> {
    let workspace = children.workspace;
    let checkout = workspace.target.join("xtask/checkout");
    remove(&checkout)?;
    make(&checkout)?;
    let link = |to: &Path, name: &str| {
        let path = checkout.join(name);
        symlink(to, &path).map_err(failed("make", &path))
    };
    link(&workspace.root.join("bindings"), "bindings")?;
    link(&workspace.target, "target")?;
    Ok(checkout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_block_of_the_section_is_taken_and_no_other() {
        let block = |words: &str| format!("```sh\n{words}\n```\n");
        let (before, wanted, after) = (block("pip"), block("cd shop\npay"), block("rm"));
        let page =
            format!("# Page\n{before}\n## From a checkout\n\n{wanted}{after}## More\n{after}");
        assert_eq!(commands(&page), Some("cd shop\npay\n"));
        assert_eq!(commands(&page.replace(&format!("{wanted}{after}"), "")), None);
        assert_eq!(commands(&page.replace("From", "To")), None);
    }
}
