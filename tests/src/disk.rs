//! A disk that fails when a test says so, under a program that knows nothing of it: a small library is
//! loaded before the C library and stands between the program and its writes.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::BedError;

/// The library's source; it says at its head what it does.
const SOURCE: &str = include_str!("disk/faults.c");

/// What the disk does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no room: every write fails.
    Full,
    /// It takes no writes.
    ReadOnly,
    /// The n-th write from now on fails, counted from 1, and no other.
    NthWrite(u64),
    /// The n-th sync from now on fails, counted from 1, and no other.
    NthSync(u64),
}

/// The disk below one folder.
#[derive(Debug)]
pub struct FaultyDisk {
    library: PathBuf,
    folder: PathBuf,
    path: PathBuf,
    control: File,
}

impl FaultyDisk {
    /// For what lies below `data`; what it needs itself is put into `folder`.
    ///
    /// # Errors
    /// [`BedError::System`], also where there is no C compiler.
    pub fn new(folder: &Path, data: &Path) -> Result<Self, BedError> {
        let failed = |what: &str| BedError::system(format!("a disk that fails: {what}"));
        let (source, library) = (folder.join("faults.c"), folder.join("faults.so"));
        fs::write(&source, SOURCE).map_err(failed("its source"))?;
        let mut compile = Command::new("cc");
        compile.args(["-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", "-o"]);
        let status = compile.arg(&library).arg(&source).arg("-ldl").status();
        let status = status.map_err(failed("the compiler `cc`"))?;
        if !status.success() {
            return Err(BedError::Unknown(format!("library of {}: {status}", source.display())));
        }
        let path = folder.join("faults.control");
        let mut options = OpenOptions::new();
        let control = options.read(true).write(true).create(true).truncate(true).open(&path);
        let control = control.map_err(failed("its control file"))?;
        control.write_all_at(&[0; 24], 0).map_err(failed("its control file"))?;
        Ok(Self { library, folder: data.into(), path, control })
    }

    /// The variables under which a program is started on this disk.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("LD_PRELOAD", self.library.clone().into()),
            ("POS_DISK_FOLDER", self.folder.clone().into()),
            ("POS_DISK_CONTROL", self.path.clone().into()),
        ]
    }

    /// From now on it fails so.
    ///
    /// # Errors
    /// [`BedError::System`].
    pub fn fail(&self, fault: Fault) -> Result<(), BedError> {
        let (mode, left) = match fault {
            Fault::Full => (1, 0),
            Fault::ReadOnly => (2, 0),
            Fault::NthWrite(n) => (3, n),
            Fault::NthSync(n) => (4, n),
        };
        // The mode last: what counts must be there before anybody looks.
        self.set(1, left)?;
        self.set(2, 0)?;
        self.set(0, mode)
    }

    /// It works again. Answers how many writes or syncs have failed.
    ///
    /// # Errors
    /// [`BedError::System`].
    pub fn heal(&self) -> Result<u64, BedError> {
        self.set(0, 0)?;
        self.hits()
    }

    /// How many writes or syncs have failed since it was told to.
    ///
    /// # Errors
    /// [`BedError::System`].
    pub fn hits(&self) -> Result<u64, BedError> {
        let mut word = [0; 8];
        let read = self.control.read_exact_at(&mut word, 16);
        read.map_err(BedError::system("reading a disk's control file"))?;
        Ok(u64::from_ne_bytes(word))
    }

    fn set(&self, word: u64, value: u64) -> Result<(), BedError> {
        let written = self.control.write_all_at(&value.to_ne_bytes(), word.saturating_mul(8));
        written.map_err(BedError::system("writing a disk's control file"))
    }
}
