//! Sizes that the product promises to keep small: the server's. Those of the packages are their parts'.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{child::Children, failure::Failure, parts::Figures};

/// What the stripped server may have. Its goal is 15,000,000, which it has missed since it speaks
/// PostgreSQL and SMTP (`docs/adr/0291-the-server-has-outgrown-its-size.md`): this keeps it from growing on.
const SERVER_MAX_BYTES: u64 = 18_000_000;

/// The goal for the memory of a server that has nothing to do.
const IDLE_MAX_BYTES: u64 = 30_000_000;

/// Measures the server as it was last built: its binary, and its memory before the first call.
pub(crate) fn server(children: &Children<'_>) -> Result<Figures, Failure> {
    let built = children.workspace.program("pos-server");
    let stripped: PathBuf = children.workspace.scratch("sizes")?.join("pos-server");
    children.run(children.command("strip").arg("-o").arg(&stripped).arg(&built))?;
    let raw = bytes_in(&built)?;
    let small = at_most(SERVER_MAX_BYTES, "the stripped server", bytes_in(&stripped)?)?;
    let idle = at_most(IDLE_MAX_BYTES, "the idle server's memory", idle_bytes(children, &built)?)?;
    Ok(vec![
        format!("pos-server: {raw} bytes with line tables, {small} bytes stripped"),
        format!("pos-server idle: {idle} bytes resident"),
    ])
}

pub(crate) fn at_most(goal: u64, what: &str, bytes: u64) -> Result<u64, Failure> {
    if bytes <= goal {
        return Ok(bytes);
    }
    Err(Failure::Check(format!("{what}: {bytes} bytes; the goal is at most {goal}")))
}

/// What a server occupies that has just started on an empty data folder.
fn idle_bytes(children: &Children<'_>, server: &Path) -> Result<u64, Failure> {
    let folder = children.workspace.scratch("idle")?;
    let used = |action, source| Failure::Path { action, path: folder.clone(), source };
    fs::remove_dir_all(&folder).map_err(|source| used("empty", source))?;
    fs::create_dir(&folder).map_err(|source| used("create", source))?;
    let settings = folder.join("settings.toml");
    fs::write(&settings, "listen = \"127.0.0.1:0\"\n").map_err(|source| used("write", source))?;
    let mut serve = children.command(server);
    serve.arg("serve").arg("--config").arg(&settings).arg("--data-folder").arg(folder.join("data"));
    let running = children.start(&mut serve)?;
    resident_bytes(running.id())
}

/// `VmRSS` of proc_pid_status(5), which counts in units of 1,024 bytes.
fn resident_bytes(id: u32) -> Result<u64, Failure> {
    let path = PathBuf::from(format!("/proc/{id}/status"));
    let status = fs::read_to_string(&path).map_err(|source| Failure::Path {
        action: "read",
        path: path.clone(),
        source,
    })?;
    resident_in(&status).ok_or_else(|| Failure::Check(format!("no VmRSS in {}", path.display())))
}

fn resident_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

pub(crate) fn bytes_in(path: &Path) -> Result<u64, Failure> {
    let found = fs::metadata(path);
    found.map(|found| found.len()).map_err(|source| Failure::Path {
        action: "measure",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_in_bytes() {
        let status = "Name:\tpos-server\nVmHWM:\t   9000 kB\nVmRSS:\t   7252 kB\nThreads:\t3\n";
        assert_eq!(resident_in(status), Some(7_426_048));
        assert_eq!(resident_in("Name:\tkthreadd\n"), None);
    }

    #[test]
    fn a_goal_that_is_missed_is_named() {
        assert_eq!(at_most(10, "it", 10).ok(), Some(10));
        let failure = at_most(10, "it", 11).expect_err("eleven is too many");
        assert_eq!(failure.to_string(), "it: 11 bytes; the goal is at most 10");
    }
}
