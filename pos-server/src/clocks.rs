//! Whether wall time can be believed: against the time since boot, and against the latest wall time
//! that a server on this data folder has seen. Freshness of calls is judged by it, so that a clock
//! that was set back would let calls of then count again.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pos_protocol::Timestamp;
use tracing::{info, warn};

use crate::app::App;
use crate::data_folder::{DataFolder, private_file};
use crate::readiness::{DRIFT_LIMIT, DriftWatch, Fault};
use crate::shutdown::Shutdown;

/// How often the clocks are compared, and after how many looks the mark is raised.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const RAISE_EVERY: u32 = 5;

/// The time mark cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TimeMarkError {
    /// The file holds something else.
    #[error(
        "{} holds no time: look at the clock, then run `pos-server lower-time-mark`",
        path.display()
    )]
    Broken {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("{} cannot be read or written: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
}

/// The latest wall time that was believed on a data folder; it outlives the process.
#[derive(Clone, Debug)]
struct TimeMark {
    path: PathBuf,
    at: Timestamp,
}

impl TimeMark {
    /// The mark of this folder; the beginning of time where there is none.
    fn read(folder: &Path) -> Result<Self, TimeMarkError> {
        let path = folder.join("time-mark");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => "0".into(),
            Err(cause) if cause.kind() == io::ErrorKind::InvalidData => String::new(),
            Err(cause) => return Err(TimeMarkError::File { path, cause }),
        };
        match text.trim_end().parse() {
            Ok(ms) => Ok(Self { path, at: Timestamp::from_ms(ms) }),
            Err(_) => Err(TimeMarkError::Broken { path }),
        }
    }

    /// Replaces the file whole or not at all. Were the new name lost in a crash, the mark before it
    /// would stand.
    fn write(&self) -> Result<(), TimeMarkError> {
        let draft = self.path.with_extension("new");
        let replace = || {
            let mut file: File =
                private_file::options().create(true).truncate(true).open(&draft)?;
            writeln!(file, "{}", self.at.as_ms())?;
            file.sync_all()?;
            fs::rename(&draft, &self.path)
        };
        replace().map_err(|cause| TimeMarkError::File { path: self.path.clone(), cause })
    }
}

/// Takes the present wall time as right, after a wrong clock has raised the mark.
///
/// # Errors
/// [`TimeMarkError::File`].
pub fn lower_mark(folder: &DataFolder, now: Timestamp) -> Result<(), TimeMarkError> {
    TimeMark { path: folder.path().join("time-mark"), at: now }.write()
}

/// Takes the process out of service while wall time cannot be believed.
pub(crate) struct ClockWatch {
    mark: TimeMark,
    /// None until wall time is no longer behind the mark: a machine may start on a wrong clock that
    /// is then set right.
    drift: Option<DriftWatch>,
}

impl ClockWatch {
    /// Reads the mark and looks for the first time.
    ///
    /// # Errors
    /// [`TimeMarkError`].
    pub(crate) fn begin(app: &App) -> Result<Self, TimeMarkError> {
        let mut watch = Self { mark: TimeMark::read(app.folder.path())?, drift: None };
        watch.look(app);
        Ok(watch)
    }

    /// Looks on until `shutdown` is asked for, and raises the mark while all is well.
    pub(crate) async fn run(mut self, app: Arc<App>, mut shutdown: Shutdown) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        let mut good: u32 = 0;
        loop {
            tokio::select! {
                () = shutdown.asked() => return,
                _ = ticks.tick() => {}
            }
            if !self.look(&app) {
                good = 0;
                continue;
            }
            if good.is_multiple_of(RAISE_EVERY) {
                self.raise(&app).await;
            }
            good = good.wrapping_add(1);
        }
    }

    /// Whether wall time can be believed at this moment; raises and clears the fault.
    fn look(&mut self, app: &App) -> bool {
        let (wall, monotonic) = (app.clock.now(), app.clock.monotonic());
        let behind = self.mark.at.since(wall);
        let problem = if behind > DRIFT_LIMIT {
            Some((
                behind,
                "wall time is behind what this data folder has seen: not ready until it is right",
            ))
        } else {
            let drift = self.drift.get_or_insert_with(|| DriftWatch::begin(wall, monotonic));
            let drift = drift.drift(wall, monotonic);
            (drift > DRIFT_LIMIT).then_some((
                drift,
                "wall time jumped: not ready until it is back or the server restarts",
            ))
        };
        match problem {
            Some((apart, message)) => {
                if app.readiness.raise(Fault::Clock) {
                    warn!(seconds = apart.as_secs(), "{message}");
                }
                false
            }
            None => {
                if app.readiness.clear(Fault::Clock) {
                    info!("wall time is back");
                }
                true
            }
        }
    }

    async fn raise(&mut self, app: &App) {
        let now = app.clock.now();
        if now <= self.mark.at {
            return;
        }
        self.mark.at = now;
        let mark = self.mark.clone();
        // A sync may take long; nothing else waits for this one.
        match app.executor.apart(move || mark.write()).await {
            Some(Ok(())) => {}
            Some(Err(cause)) => warn!(cause = %cause, "the time mark was not kept"),
            None => warn!("the time mark was not kept"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_folder::Purpose;

    #[test]
    fn a_mark_is_kept_lowered_and_never_taken_for_what_it_is_not() {
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(&root.path().join("data"), Purpose::Command).unwrap();
        let mut mark = TimeMark::read(folder.path()).unwrap();
        assert_eq!(mark.at, Timestamp::from_ms(0));
        mark.at = Timestamp::from_ms(1_795_000_000_123);
        mark.write().unwrap();
        let file = folder.path().join("time-mark");
        assert_eq!(fs::read_to_string(&file).unwrap(), "1795000000123\n");
        lower_mark(&folder, Timestamp::from_ms(1_794_000_000_000)).unwrap();
        assert_eq!(
            TimeMark::read(folder.path()).unwrap().at,
            Timestamp::from_ms(1_794_000_000_000)
        );
        for broken in [&b""[..], b"yesterday", b"\xff"] {
            fs::write(&file, broken).unwrap();
            let refused = TimeMark::read(folder.path()).unwrap_err().to_string();
            assert!(refused.contains("holds no time") && refused.contains("lower-time-mark"));
        }
    }
}
