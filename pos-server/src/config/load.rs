//! Reading a settings file: every refusal names file, line, setting and what to write.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use toml::de::{DeTable, DeValue};

use super::{Config, check};

/// One refused setting.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, as the operator named it; none for the command line and for defaults.
    pub file: Option<PathBuf>,
    /// The line, counted from 1, where the file has one for it.
    pub line: Option<usize>,
    /// The setting as `section.name`; empty when the file as a whole is at fault.
    pub setting: String,
    /// What is wrong and what to do, as a sentence.
    pub problem: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
        }
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if self.file.is_some() || self.line.is_some() {
            f.write_str(" ")?;
        }
        if !self.setting.is_empty() {
            write!(f, "{}: ", self.setting)?;
        }
        f.write_str(&self.problem)
    }
}

/// Everything that is wrong with a configuration; never empty. Prints one line for each.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

/// Reads and checks the file, or takes the defaults when none is named. `data_folder` is what the
/// command line says; it wins over the file.
///
/// # Errors
/// Every unknown, malformed, out of range or contradictory setting, with its line.
pub fn load(file: Option<&Path>, data_folder: Option<&Path>) -> Result<Config, ConfigErrors> {
    let text = match file {
        None => String::new(),
        Some(path) => std::fs::read_to_string(path).map_err(|cause| {
            let problem = format!("cannot be read: {cause}");
            let file = Some(path.into());
            ConfigErrors(vec![ConfigError { file, line: None, setting: String::new(), problem }])
        })?,
    };
    let mut config = parse(&text, file)?;
    if let Some(folder) = data_folder {
        config.data_folder = folder.into();
    }
    Ok(config)
}

/// Reads and checks the text of a settings file; `file` is only named in errors.
///
/// # Errors
/// As [`load`].
pub fn parse(text: &str, file: Option<&Path>) -> Result<Config, ConfigErrors> {
    let at = |setting: String, span: Option<usize>, problem: String| ConfigError {
        file: file.map(Into::into),
        line: span.map(|offset| line_of(text, offset)),
        setting,
        problem,
    };
    let one = |error| ConfigErrors(vec![error]);
    let start = |error: &toml::de::Error| error.span().map(|span| span.start);

    let table = DeTable::parse(text)
        .map_err(|e| one(at(String::new(), start(&e), e.message().trim_end().into())))?;
    let document = toml::Deserializer::from(table.clone());
    let mut track = serde_path_to_error::Track::new();
    let config = Config::deserialize(serde_path_to_error::Deserializer::new(document, &mut track))
        .map_err(|e| {
            let path = track.path().to_string();
            let setting = if path == "." { String::new() } else { path };
            one(at(setting, start(&e), e.message().trim_end().into()))
        })?;

    let findings = check::findings(&config);
    if findings.is_empty() {
        return Ok(config);
    }
    let errors = findings.into_iter().map(|finding| {
        let span = span_of(table.get_ref(), finding.setting);
        at(finding.setting.into(), span, finding.problem)
    });
    Err(ConfigErrors(errors.collect()))
}

/// A refusal of a setting that was found later, when what it names was looked at; with its line.
pub fn refusal(file: Option<&Path>, setting: &str, problem: String) -> ConfigError {
    let text = file.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    let table = DeTable::parse(&text).ok();
    let span = table.and_then(|table| span_of(table.get_ref(), setting));
    ConfigError {
        file: file.map(Into::into),
        line: span.map(|offset| line_of(&text, offset)),
        setting: setting.into(),
        problem,
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count().saturating_add(1)
}

/// Where the file sets `setting`, or else where it opens its section.
fn span_of(table: &DeTable<'_>, setting: &str) -> Option<usize> {
    let (name, rest) = match setting.split_once('.') {
        Some((section, rest)) => (section, Some(rest)),
        None => (setting, None),
    };
    let (key, value) = table.get_key_value(name)?;
    let inner = match (rest, value.get_ref()) {
        (Some(rest), DeValue::Table(inner)) => span_of(inner, rest),
        _ => None,
    };
    inner.or_else(|| Some(key.span().start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusals(text: &str) -> Vec<String> {
        let errors = parse(text, Some(Path::new("pos.toml"))).unwrap_err().0;
        errors.iter().map(ToString::to_string).collect()
    }

    #[track_caller]
    fn refused(text: &str, begins: &str, contains: &str) {
        let all = refusals(text);
        assert!(all[0].starts_with(begins) && all[0].contains(contains), "{all:#?}");
        assert_eq!(all.len(), 1, "{all:#?}");
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        assert_eq!(parse("", None), Ok(Config::default()));
    }

    /// Takes the comment marks off every setting of the default file.
    fn uncommented() -> String {
        super::super::DEFAULT_FILE
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase()) => setting,
                _ => line,
            })
            .fold(String::new(), |text, line| text + line + "\n")
    }

    #[test]
    fn the_default_file_says_what_the_defaults_are() {
        assert_eq!(parse(super::super::DEFAULT_FILE, None), Ok(Config::default()));
        assert_eq!(parse(&uncommented(), None), Ok(Config::default()));
    }

    #[test]
    fn the_default_file_names_every_setting() {
        // An unknown name makes serde list all that a section knows.
        let known = |header: &str| {
            let refusal = refusals(&format!("{header}\nno_such_setting = 1\n")).remove(0);
            let names = refusal.split_once("expected").unwrap().1.to_owned();
            names.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()
        };
        let text = uncommented();
        let table: toml::Table = text.parse().unwrap();
        let mut settings = 0;
        for name in known("") {
            let value = table.get(&name).unwrap_or_else(|| panic!("{name} is not documented"));
            let Some(section) = value.as_table() else {
                settings += 1;
                continue;
            };
            for inner in known(&format!("[{name}]")) {
                assert!(section.contains_key(&inner), "{name}.{inner} is not documented");
                settings += 1;
            }
        }
        assert!(settings >= 25, "{settings}");
    }

    #[test]
    fn unknown_and_malformed_settings_are_refused_with_their_line() {
        refused("\n\nlisten_on = \"x\"\n", "pos.toml:3: listen_on: ", "unknown field `listen_on`");
        refused("[limits]\nbody_byte = 1", "pos.toml:2: limits.body_byte: ", "`body_bytes`");
        refused(
            "[limits]\n\nbody_bytes = \"1\"",
            "pos.toml:3: limits.body_bytes: ",
            "invalid type",
        );
        refused(
            "[limits]\nhead_seconds = -1",
            "pos.toml:2: limits.head_seconds: ",
            "invalid value",
        );
        refused("[limits]\nthreads = 1025", "pos.toml:2: limits.threads: ", "1024");
        refused("a = 1\n[limits\n", "pos.toml:2: ", "");
        refused(
            "listen = \"127.0.0.1:1\"\nlisten = \"127.0.0.1:2\"",
            "pos.toml:2: ",
            "duplicate key",
        );
        refused("listen = \"localhost:1\"", "pos.toml:1: listen: ", "socket address");
        refused("[logs]\nlevel = \"loud\"", "pos.toml:2: logs.level: ", "expected one of `error`");
        refused(
            "authority = \"https://pay.example.jp\"",
            "pos.toml:1: authority: ",
            "such as \"pay.example.jp\"",
        );
        refused(
            "\ndatabase = \"mysql://db/pos\"",
            "pos.toml:2: database: ",
            "postgres://pos@db.example.jp/pos",
        );
        refused(
            "\ndatabase = \"postgres://pos:secret@db/pos\"",
            "pos.toml:2: database: ",
            "postgres.password_file",
        );
        refused(
            "\ndatabase = \"postgres://pos@db/pos?sslmode=disable\"",
            "pos.toml:2: database: ",
            "must be encrypted",
        );
        refused(
            "[postgres]\nconnections = 0",
            "pos.toml:2: postgres.connections: ",
            "between 1 and 200",
        );
    }

    #[test]
    fn plain_http_away_from_loopback_is_refused() {
        refused("listen = \"0.0.0.0:8443\"\nauthority = \"a.jp\"", "pos.toml:1: listen: ", "[tls]");
        refused(
            "[tls]\ncertificate = \"c\"\nkey = \"k\"\n[metrics]\nlisten = \"192.0.2.1:9\"\n",
            "pos.toml:5: metrics.listen: ",
            "loopback",
        );
        // Beside a TLS address the first one stays plain, so it stays on loopback.
        refused(
            "authority = \"a.jp\"\ntls_listen = \"192.0.2.1:443\"\nlisten = \"192.0.2.1:80\"\n\
             [tls]\ncertificate = \"c\"\nkey = \"k\"\n",
            "pos.toml:3: listen: ",
            "loopback",
        );
        let tls = "listen = \"192.0.2.1:8443\"\n[tls]\ncertificate = \"c\"\nkey = \"k\"\n";
        let config = parse(tls, None).unwrap();
        assert_eq!(config.plain_address(), None);
        assert_eq!(config.tls_address().unwrap().0.to_string(), "192.0.2.1:8443");
        assert!(parse("listen = \"[::1]:8443\"", None).is_ok());
    }

    #[test]
    fn contradictions_are_refused_with_their_line() {
        let lonely = "tls_listen = \"127.0.0.1:1\"\nauthority = \"a.jp\"";
        refused(lonely, "pos.toml:1: tls_listen: ", "tls.certificate");
        refused("\n[tls]\nkey = \"k\"", "pos.toml:3: tls.key: ", "tls.certificate");
        refused("\n[tls]\ncertificate = \"c\"", "pos.toml:3: tls.certificate: ", "tls.key");
        let tls = "[tls]\ncertificate = \"c\"\nkey = \"k\"";
        refused(
            &format!("tls_listen = \"192.0.2.1:8443\"\n{tls}"),
            "pos.toml: authority: ",
            "callers by TLS",
        );
        refused(
            &format!("authority = \"pay.example.jp:443\"\n{tls}"),
            "pos.toml:1: authority: ",
            "leave the port out",
        );
        refused("authority = \"a.jp:80\"", "pos.toml:1: authority: ", "leave the port out");
        refused("authority = \"a.jp:443\"", "pos.toml:1: authority: ", "leave the port out");
        assert!(parse(&format!("authority = \"a.jp:80\"\n{tls}"), None).is_ok());
        assert!(parse("authority = \"a.jp:8443\"", None).is_ok());
        refused("data_folder = \"\"", "pos.toml:1: data_folder: ", "names nothing");
        refused("[keys]\npepper = \"\"", "pos.toml:2: keys.pepper: ", "names nothing");
        refused(
            "[limits]\nbody_seconds = 70",
            "pos.toml:2: limits.body_seconds: ",
            "less than limits.request_seconds",
        );
        refused(
            "listen = \"0.0.0.0:8443\"\n[tls]\ncertificate = \"c\"\nkey = \"k\"",
            "pos.toml: authority: ",
            "pay.example.jp",
        );
        refused(
            "listen = \"127.0.0.1:9000\"\n[metrics]\nlisten = \"127.0.0.1:9000\"",
            "pos.toml:3: metrics.listen: ",
            "already",
        );
        refused("[limits]\nbody_bytes = 0", "pos.toml:2: limits.body_bytes: ", "between 4096 and");
        refused(
            "[limits]\nin_flight = 9000000",
            "pos.toml:2: limits.in_flight: ",
            "between 1 and 100000",
        );
        assert!(
            parse("listen = \"127.0.0.1:0\"\n[metrics]\nlisten = \"127.0.0.1:0\"", None).is_ok()
        );
    }

    #[test]
    fn every_contradiction_is_reported_at_once() {
        let all = refusals("[limits]\nconnections = 0\n[worker]\nlease_seconds = 0\n");
        assert_eq!(all.len(), 2);
        assert!(all[0].starts_with("pos.toml:2: limits.connections: "), "{all:#?}");
        assert!(all[1].starts_with("pos.toml:4: worker.lease_seconds: "), "{all:#?}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load(Some(Path::new("/no/such/pos.toml")), None).unwrap_err().to_string();
        assert!(error.starts_with("/no/such/pos.toml: cannot be read: "), "{error}");
    }
}
