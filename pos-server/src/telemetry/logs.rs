//! JSON lines from an allow-list of fields.
//!
//! A field whose name is not in [`FIELDS`] does not get out, at any level and from any crate; its
//! name is listed under `withheld` so that the omission shows. Messages are constant texts: what
//! varies goes into fields. See `docs/OPERATIONS.md`.

use std::fmt;
use std::io::Write as _;
use std::panic::PanicHookInfo;

use serde::Serializer as _;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::set_global_default;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Registry, Scope};

/// The fields that may be logged, sorted. Nothing that a shopper, a shop or an institution must
/// keep to itself has a name here: no card data, envelope, password, code, key or signature.
pub const FIELDS: &[&str] = &[
    "address",
    "attempt",
    "authority",
    "cause",
    "channel",
    "code",
    "contract_id",
    "count",
    "duration_us",
    "fault",
    "file",
    "institution_id",
    "key_id",
    "kind",
    "line",
    "message",
    "method",
    "milliseconds",
    "notice_id",
    "operation_id",
    "outcome",
    "payment_id",
    "peer",
    "pid",
    "pos_id",
    "raw_code",
    "reason",
    "request_id",
    "route",
    "seconds",
    "setting",
    "shop_id",
    "size",
    "state",
    "status",
    "task_id",
    "user_id",
    "version",
];

/// Starts logging on standard error for the whole process, panics included. Our own crates log
/// from `level` on, others only warnings. Does nothing in a process that logs already.
pub fn start(level: Level) {
    if set_global_default(subscriber(level, std::io::stderr)).is_ok() {
        std::panic::set_hook(Box::new(log_panic));
    }
}

/// The subscriber behind [`start`], writing elsewhere.
pub fn subscriber<W>(level: Level, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let ours = ["pos_server", "pos_protocol", "pos_institution"].map(|target| (target, level));
    let filter = Targets::new().with_default(Level::WARN.min(level)).with_targets(ours);
    Registry::default().with(filter).with(JsonLines { writer })
}

/// A panic's payload may have been formatted from anything, so only a constant text is shown.
fn log_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let text = info.payload().downcast_ref::<&'static str>().copied().unwrap_or("(formatted)");
    tracing::error!(line = %place, cause = text, "a task panicked");
}

struct JsonLines<W> {
    writer: W,
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        let mut time = String::new();
        if SystemTime.format_time(&mut Writer::new(&mut time)).is_ok() {
            fields.show("time", time.into());
        }
        let about = event.metadata();
        fields.show("level", about.level().as_str().to_ascii_lowercase().into());
        fields.show("target", about.target().into());
        for span in context.event_scope(event).into_iter().flat_map(Scope::from_root) {
            if let Some(outer) = span.extensions().get::<Fields>() {
                outer.shown.iter().for_each(|(name, value)| fields.show(name, value.clone()));
                fields.withheld.extend(&outer.withheld);
            }
        }
        event.record(&mut fields);
        if !fields.withheld.is_empty() {
            let withheld = std::mem::take(&mut fields.withheld);
            fields.show("withheld", withheld.into());
        }
        let mut text = Vec::with_capacity(LINE_OCTETS);
        // A line that cannot be written has nowhere to be reported to.
        if serde_json::Serializer::new(&mut text).collect_map(fields.shown).is_ok() {
            text.push(b'\n');
            let _ = self.writer.make_writer_for(about).write_all(&text);
        }
    }
}

/// What most lines have room in.
const LINE_OCTETS: usize = 512;

/// The members of one line, in the order in which they came.
#[derive(Default)]
struct Fields {
    shown: Vec<(&'static str, Value)>,
    withheld: Vec<&'static str>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: impl FnOnce() -> Value) {
        if FIELDS.binary_search(&field.name()).is_ok() {
            self.show(field.name(), value());
        } else {
            self.withheld.push(field.name());
        }
    }

    /// What came later, or from further inside, says it last.
    fn show(&mut self, name: &'static str, value: Value) {
        match self.shown.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.shown.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, || value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, || value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, || value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, || value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, || value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, || chain(value).into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, || format!("{value:?}").into());
    }
}

/// An error and its causes on one line. For a `cause` field: `cause = chain(&error)`.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // Many of our sentences end with their cause already.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(octets)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(level: Level, act: impl FnOnce()) -> (String, Vec<Value>) {
        let captured = Captured::default();
        let writer = captured.clone();
        tracing::subscriber::with_default(subscriber(level, move || writer.clone()), act);
        let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (text, lines)
    }

    #[test]
    fn fields_outside_the_allow_list_never_get_out() {
        let (text, lines) = lines(Level::TRACE, || {
            let span = tracing::info_span!("request", request_id = "req_1", password = "hunter2");
            let _entered = span.enter();
            tracing::trace!(password = "hunter2", pan = 4_111_111_111_111_111_u64, "signing in");
            tracing::error!(body = ?"4111111111111111", status = 500, "failed");
        });
        assert!(!text.contains("hunter2") && !text.contains("411111111111"), "{text}");
        assert_eq!(lines[0]["message"], "signing in");
        assert_eq!(lines[0]["level"], "trace");
        assert_eq!(lines[0]["request_id"], "req_1");
        assert_eq!(lines[0]["withheld"], serde_json::json!(["password", "password", "pan"]));
        assert_eq!(lines[1]["status"], 500);
        assert_eq!(lines[1]["withheld"], serde_json::json!(["password", "body"]));
    }

    #[test]
    fn a_name_stands_once_and_the_event_has_the_last_word() {
        let (text, lines) = lines(Level::INFO, || {
            let span = tracing::info_span!("outer", state = "of the span", shop_id = "shop_1");
            let _entered = span.enter();
            tracing::info!(state = "of the event", "told");
        });
        assert_eq!(lines[0]["state"], "of the event");
        assert_eq!(lines[0]["shop_id"], "shop_1");
        assert_eq!(text.matches("\"state\"").count(), 1, "{text}");
        assert!(text.starts_with("{\"time\":"), "{text}");
    }

    #[test]
    fn values_keep_their_kind_and_cannot_break_the_line() {
        let (_, lines) = lines(Level::INFO, || {
            tracing::info!(count = 3_u64, cause = "a\n\"b\"", reason = %"x", "told\napart");
            tracing::debug!("below the level");
            tracing::info!(target: "hyper::proto", "another crate's talk");
        });
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["count"], 3);
        assert_eq!(lines[0]["cause"], "a\n\"b\"");
        assert_eq!(lines[0]["reason"], "x");
        assert_eq!(lines[0]["message"], "told\napart");
        assert!(lines[0]["time"].as_str().unwrap().ends_with('Z'));
    }

    /// The messages at info and above that the files of this crate write, tests aside.
    fn messages_in(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                messages_in(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let source = std::fs::read_to_string(&path).unwrap();
                let shipped = source.split("#[cfg(test)]").next().unwrap();
                let words: Vec<_> = shipped.split_whitespace().collect();
                // The message is the last word of its call.
                let flat = words.join(" ").replace("\" )", "\")").replace("\", )", "\")");
                for call in ["info!(", "warn!(", "error!("] {
                    let calls =
                        flat.split(call).skip(1).filter_map(|rest| rest.split("\")").next());
                    let texts = calls.filter_map(|call| call.rsplit('"').next());
                    found.extend(texts.filter(|text| *text != "{message}").map(str::to_owned));
                }
            }
        }
    }

    #[test]
    fn the_page_for_operators_tells_of_every_message() {
        const PAGE: &str = include_str!("../../../docs/OPERATIONS.md");
        let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
        let told: Vec<_> = rows
            .flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2))
            .collect();
        // On the page an ellipsis stands for the rest, and for the words of the name before.
        let is_told = |message: &str| {
            told.iter().any(|told| match told.split_once('…') {
                Some((start, end)) => message.starts_with(start) && message.ends_with(end),
                None => *told == message,
            })
        };
        let mut messages = Vec::new();
        messages_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut messages);
        assert!(messages.len() > 30, "{messages:?}");
        let untold: Vec<_> = messages.iter().filter(|message| !is_told(message)).collect();
        assert!(untold.is_empty(), "OPERATIONS.md does not tell of {untold:#?}");
    }

    #[test]
    fn the_allow_list_is_sorted_and_names_no_secret() {
        assert!(FIELDS.is_sorted());
        for secret in ["password", "pan", "envelope", "enrolment_code", "signature", "body", "url"]
        {
            assert!(!FIELDS.contains(&secret), "{secret}");
        }
    }
}
