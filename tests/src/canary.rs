//! Secrets that were planted, in every form in which they could leak, and the places to look for them.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use pos_protocol::text::base64;

use crate::error::BedError;

/// How much of a process's memory is looked at in one piece.
const PIECE: usize = 1 << 20;

/// A secret that must be found nowhere.
#[derive(Clone, Debug)]
pub struct Canary {
    /// What it is, for the message.
    pub name: String,
    /// It, as octets.
    pub octets: Vec<u8>,
}

/// Where one was found, and in which form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The canary's name.
    pub name: String,
    /// How it was written there.
    pub form: &'static str,
    /// A file, or a mapping of memory.
    pub place: String,
}

impl Canary {
    /// A secret that is a text.
    pub fn text(name: impl Into<String>, text: &str) -> Self {
        Self { name: name.into(), octets: text.as_bytes().to_vec() }
    }

    /// The octets themselves and every other way to write them: digits in groups, hexadecimal, both
    /// alphabets of base64 at each of the three alignments that a longer text can give them.
    pub fn forms(&self) -> Vec<(&'static str, Vec<u8>)> {
        let octets = &self.octets;
        let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        let mut forms = vec![
            ("raw", octets.clone()),
            ("hex", hex.clone().into_bytes()),
            ("HEX", hex.to_uppercase().into_bytes()),
        ];
        if octets.iter().all(u8::is_ascii_alphanumeric) {
            let groups: Vec<&[u8]> = octets.chunks(4).collect();
            forms.push(("spaced", groups.join(&b' ')));
            forms.push(("dashed", groups.join(&b'-')));
        }
        for before in 0..3 {
            let inner = base64_inside(octets, before);
            let url = inner.replace('+', "-").replace('/', "_");
            if url != inner {
                forms.push(("base64url", url.into_bytes()));
            }
            forms.push(("base64", inner.into_bytes()));
        }
        forms
    }

    /// Where it stands among `octets`.
    pub fn sought_in(&self, octets: &[u8], place: &str) -> Vec<Found> {
        let forms = self.forms().into_iter().filter(|(_, form)| contains(octets, form));
        forms
            .map(|(form, _)| Found { name: self.name.clone(), form, place: place.into() })
            .collect()
    }
}

/// The characters of base64 that depend on `octets` alone when `before` octets stand before them.
fn base64_inside(octets: &[u8], before: usize) -> String {
    let text = base64(&[&vec![0; before][..], octets].concat());
    let text = text.trim_end_matches('=');
    // A character holds six bits; those that share any with what stands around are left out.
    let first = before.saturating_mul(8).div_ceil(6);
    let whole = before.saturating_add(octets.len()).saturating_mul(8) / 6;
    text[first..whole.min(text.len())].to_owned()
}

fn contains(octets: &[u8], wanted: &[u8]) -> bool {
    let Some((first, rest)) = wanted.split_first() else { return false };
    let mut from = 0;
    while let Some(at) = octets[from..].iter().position(|octet| octet == first) {
        from = from.saturating_add(at).saturating_add(1);
        if octets[from..].starts_with(rest) {
            return true;
        }
    }
    false
}

/// Every file below a folder, but `except`.
///
/// # Errors
/// [`BedError::System`].
pub fn in_files(
    folder: &Path,
    except: &[PathBuf],
    canaries: &[Canary],
) -> Result<Vec<Found>, BedError> {
    let mut found = Vec::new();
    for path in files(folder)? {
        if except.contains(&path) {
            continue;
        }
        let octets = fs::read(&path).map_err(BedError::system(path.display().to_string()))?;
        let place = path.display().to_string();
        found.extend(canaries.iter().flat_map(|canary| canary.sought_in(&octets, &place)));
    }
    Ok(found)
}

/// The files below a folder.
///
/// # Errors
/// [`BedError::System`].
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, BedError> {
    let failed = || BedError::system(folder.display().to_string());
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed())? {
        let path = entry.map_err(failed())?.path();
        if path.is_dir() {
            all.extend(files(&path)?);
        } else if path.is_file() {
            all.push(path);
        }
    }
    Ok(all)
}

/// What of `canaries` stands raw in the memory of a process, in all that it can read itself.
///
/// # Errors
/// [`BedError::System`]: reading another's memory takes root, the more so where it is not dumpable.
pub fn in_memory(process: u32, canaries: &[Canary]) -> Result<Vec<Found>, BedError> {
    let maps = format!("/proc/{process}/maps");
    let maps = fs::read_to_string(&maps).map_err(BedError::system(maps))?;
    let path = format!("/proc/{process}/mem");
    let mut memory = File::open(&path).map_err(BedError::system(path))?;
    let longest = canaries.iter().map(|canary| canary.octets.len()).max().unwrap_or(1);
    let mut found = Vec::new();
    for (start, end, name) in maps.lines().filter_map(mapping) {
        let mut at = start;
        let mut window = Vec::new();
        while at < end && memory.seek(SeekFrom::Start(at)).is_ok() {
            let rest = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
            let mut piece = vec![0; rest.min(PIECE)];
            // A page that went meanwhile, or that is a device's.
            let Ok(length @ 1..) = memory.read(&mut piece) else { break };
            window.extend_from_slice(&piece[..length]);
            for canary in canaries.iter().filter(|canary| contains(&window, &canary.octets)) {
                let place = format!("memory, {name}");
                found.push(Found { name: canary.name.clone(), form: "raw", place });
            }
            // What began at the end of this piece is found with the next.
            window.drain(..window.len().saturating_sub(longest));
            at = at.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        }
    }
    Ok(found)
}

/// A readable mapping of proc_pid_maps(5).
fn mapping(line: &str) -> Option<(u64, u64, &str)> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    if !words.next()?.starts_with('r') {
        return None;
    }
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some((number(start)?, number(end)?, words.nth(3).unwrap_or("of its own")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_found_wherever_it_stands() {
        let canary = Canary::text("card", "4980123412341234");
        let told = |text: &str| -> Vec<_> {
            canary.sought_in(text.as_bytes(), "").into_iter().map(|found| found.form).collect()
        };
        assert_eq!(told("4980123412341234"), ["raw"]);
        assert_eq!(told("xx4980-1234-1234-1234x"), ["dashed"]);
        assert_eq!(told("4980 1234 1234 1234"), ["spaced"]);
        assert_eq!(told("34393830313233343132333431323334"), ["hex", "HEX"]);
        for before in ["", "a", "ab", "abc", "abcd"] {
            let text = base64(format!("{before}4980123412341234 and more").as_bytes());
            assert!(told(&text).contains(&"base64"), "{before}");
        }
        assert_eq!(told("498012341234123 4980"), [""; 0]);
    }

    #[test]
    fn both_alphabets_are_known() {
        let canary =
            Canary { name: "key".into(), octets: vec![0xfb, 0xff, 0xbf, 0xfe, 0xff, 0xfb] };
        let text = base64(&canary.octets);
        assert!(text.contains('+') || text.contains('/'), "{text}");
        let url = text.replace('+', "-").replace('/', "_");
        let forms = |text: &str| canary.sought_in(text.as_bytes(), "").len();
        assert_eq!((forms(&text), forms(&url)), (1, 1));
    }

    #[test]
    fn what_this_process_holds_is_found_in_its_memory() {
        // Made at run time, so that it stands on the heap and not in the program.
        let here: Vec<u8> = (0..24).map(|at| b'a'.wrapping_add(at % 7)).collect();
        let nowhere = Canary::text("nowhere", "a text of which a copy is needed to look for it");
        let planted = Canary { name: "planted".into(), octets: here };
        let found = in_memory(std::process::id(), &[planted, nowhere]).expect("it is our own");
        assert!(found.iter().any(|found| found.name == "planted"), "{found:?}");
    }
}
