//! Prometheus metrics: plain methods for those who count, one text for those who read.

use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::process::Process;

/// Every metric of the server. Labels hold routes, states and institutions, never a shop.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<RouteLabel, Histogram>,
    open_connections: Gauge,
    requests_in_flight: Gauge,
    hashes_in_flight: Gauge,
    signature_refusals: Family<CauseLabel, Counter>,
    clock_offset: Histogram,
    store_group_size: Histogram,
    store_group_seconds: Histogram,
    operations: Family<StateLabel, Gauge>,
    oldest_unknown_seconds: Gauge,
    open_tasks: Gauge,
    institution_calls: Family<CallLabels, Counter>,
    institution_seconds: Family<InstitutionLabel, Histogram>,
    notices: Family<NoticeLabels, Counter>,
    notices_waiting: Gauge,
    notices_given_up: Gauge,
    oldest_notice_seconds: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NoticeLabels {
    channel: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabel {
    cause: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    institution: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InstitutionLabel {
    institution: String,
}

/// 0.5 ms to 65 s in doublings: from a read to the longest deadline of a call.
fn latency() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 2.0, 18))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Mutex::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(latency),
            open_connections: Gauge::default(),
            requests_in_flight: Gauge::default(),
            hashes_in_flight: Gauge::default(),
            signature_refusals: Family::default(),
            clock_offset: Histogram::new([-60.0, -10.0, -2.0, -0.5, 0.5, 2.0, 10.0, 60.0]),
            store_group_size: Histogram::new(exponential_buckets(1.0, 2.0, 11)),
            store_group_seconds: Histogram::new(exponential_buckets(0.0001, 2.0, 16)),
            operations: Family::default(),
            oldest_unknown_seconds: Gauge::default(),
            open_tasks: Gauge::default(),
            institution_calls: Family::default(),
            institution_seconds: Family::new_with_constructor(latency),
            notices: Family::default(),
            notices_waiting: Gauge::default(),
            notices_given_up: Gauge::default(),
            oldest_notice_seconds: Gauge::default(),
        };
        let mut registry = Registry::with_prefix("pos");
        metrics.register(&mut registry);
        registry.register_collector(Box::new(Process));
        metrics.registry = Mutex::new(registry);
        metrics
    }
}

impl Metrics {
    fn register(&self, to: &mut Registry) {
        let seconds = || Unit::Seconds;
        to.register("requests", "Answered requests", self.requests.clone());
        to.register_with_unit(
            "request",
            "Time from head to answer",
            seconds(),
            self.request_seconds.clone(),
        );
        to.register("open_connections", "Open connections", self.open_connections.clone());
        to.register("requests_in_flight", "Requests worked on", self.requests_in_flight.clone());
        to.register("hashes_in_flight", "Password hashes worked on", self.hashes_in_flight.clone());
        to.register(
            "signature_refusals",
            "Calls refused for their signature, by cause",
            self.signature_refusals.clone(),
        );
        to.register_with_unit(
            "clock_offset",
            "Callers' clocks against ours, from verified calls",
            seconds(),
            self.clock_offset.clone(),
        );
        to.register("store_group_size", "Verbs in one commit", self.store_group_size.clone());
        to.register_with_unit(
            "store_group",
            "Time of one commit, sync included",
            seconds(),
            self.store_group_seconds.clone(),
        );
        to.register("operations", "Operations by state", self.operations.clone());
        to.register_with_unit(
            "oldest_unknown",
            "Age of the oldest operation of unknown outcome; 0 when there is none",
            seconds(),
            self.oldest_unknown_seconds.clone(),
        );
        to.register("open_tasks", "Tasks that wait for a person", self.open_tasks.clone());
        to.register(
            "institution_calls",
            "Calls to institutions by outcome",
            self.institution_calls.clone(),
        );
        to.register_with_unit(
            "institution",
            "Time of calls to institutions",
            seconds(),
            self.institution_seconds.clone(),
        );
        to.register("notices", "Tries to tell shops, by channel", self.notices.clone());
        to.register("notices_waiting", "Notices not yet told", self.notices_waiting.clone());
        to.register(
            "notices_given_up",
            "Notices given up in the last 30 days",
            self.notices_given_up.clone(),
        );
        to.register_with_unit(
            "oldest_notice",
            "Age of the oldest notice not yet told; 0 when there is none",
            seconds(),
            self.oldest_notice_seconds.clone(),
        );
    }

    /// Counts an answered request. `route` is the pattern, never the path.
    pub fn request(&self, route: &str, method: &str, status: u16, took: Duration) {
        let labels = RequestLabels { route: route.into(), method: method.into(), status };
        self.requests.get_or_create(&labels).inc();
        let label = RouteLabel { route: labels.route };
        self.request_seconds.get_or_create(&label).observe(took.as_secs_f64());
    }

    /// The gauge in which listeners count their open connections.
    pub fn open_connections(&self) -> Gauge {
        self.open_connections.clone()
    }

    /// The gauge of requests that hold a place among those worked on at once.
    pub fn requests_in_flight(&self) -> Gauge {
        self.requests_in_flight.clone()
    }

    /// The gauge of password hashes that hold a place among those computed at once.
    pub fn hashes_in_flight(&self) -> Gauge {
        self.hashes_in_flight.clone()
    }

    /// Counts a call that was refused for its signature.
    pub fn signature_refused(&self, cause: &'static str) {
        self.signature_refusals.get_or_create(&CauseLabel { cause }).inc();
    }

    /// Notes how far a verified caller's clock is ahead of ours, in milliseconds.
    pub fn clock_offset_ms(&self, ahead: i64) {
        let seconds = f64::from(i32::try_from(ahead).unwrap_or(i32::MAX)) / 1000.0;
        self.clock_offset.observe(seconds);
    }

    /// Notes one commit of the store: how many verbs it grouped, and how long it took with its
    /// sync.
    pub fn store_group(&self, verbs: usize, took: Duration) {
        self.store_group_size.observe(f64::from(u32::try_from(verbs).unwrap_or(u32::MAX)));
        self.store_group_seconds.observe(took.as_secs_f64());
    }

    /// Sets how many operations are in `state` now.
    pub fn operations_in(&self, state: &'static str, count: u64) {
        self.operations
            .get_or_create(&StateLabel { state })
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Sets the age of the oldest operation of unknown outcome; none when there is none.
    pub fn oldest_unknown(&self, age: Option<Duration>) {
        let seconds = age.map_or(0, |age| i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
        self.oldest_unknown_seconds.set(seconds);
    }

    /// Sets how many tasks wait for a person.
    pub fn open_tasks(&self, count: u64) {
        self.open_tasks.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Counts a try to tell a shop.
    pub fn notice(&self, channel: &'static str, outcome: &'static str) {
        self.notices.get_or_create(&NoticeLabels { channel, outcome }).inc();
    }

    /// Sets how many notices wait, the age of the oldest, and how many were given up.
    pub fn notices_waiting(&self, waiting: u64, oldest: Option<Duration>, given_up: u64) {
        let whole = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.notices_waiting.set(whole(waiting));
        self.notices_given_up.set(whole(given_up));
        self.oldest_notice_seconds.set(whole(oldest.unwrap_or_default().as_secs()));
    }

    /// Counts a call to an institution with its outcome in one word.
    pub fn institution_call(&self, institution: &str, outcome: &'static str, took: Duration) {
        let labels = CallLabels { institution: institution.into(), outcome };
        self.institution_calls.get_or_create(&labels).inc();
        let label = InstitutionLabel { institution: labels.institution };
        self.institution_seconds.get_or_create(&label).observe(took.as_secs_f64());
    }

    /// Everything in the OpenMetrics text form, for [`CONTENT_TYPE`].
    ///
    /// # Errors
    /// When a collector cannot encode itself, which is a fault of this crate.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut out = String::new();
        let registry = self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        text::encode(&mut out, &registry)?;
        Ok(out)
    }
}

/// The media type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_read() {
        let metrics = Metrics::default();
        metrics.request("/v1/payments", "POST", 200, Duration::from_millis(3));
        metrics.request("/v1/payments", "POST", 200, Duration::from_millis(5));
        metrics.store_group(17, Duration::from_micros(900));
        metrics.operations_in("unknown", 2);
        metrics.oldest_unknown(Some(Duration::from_secs(61)));
        metrics.institution_call("sakura-card", "approved", Duration::from_millis(50));
        metrics.clock_offset_ms(-1500);
        metrics.open_connections().inc();
        let text = metrics.text().unwrap();
        for line in [
            "pos_requests_total{route=\"/v1/payments\",method=\"POST\",status=\"200\"} 2",
            "pos_request_seconds_count{route=\"/v1/payments\"} 2",
            "pos_store_group_size_sum 17.0",
            "pos_store_group_seconds_bucket{le=\"0.0016\"} 1",
            "pos_operations{state=\"unknown\"} 2",
            "pos_oldest_unknown_seconds 61",
            "pos_institution_calls_total{institution=\"sakura-card\",outcome=\"approved\"} 1",
            "pos_clock_offset_seconds_sum -1.5",
            "pos_open_connections 1",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
        }
        let resident =
            text.lines().find_map(|it| it.strip_prefix("pos_process_resident_memory_bytes "));
        assert!(resident.unwrap().parse::<f64>().unwrap() > 100_000.0, "{text}");
        assert!(text.contains("pos_process_cpu_seconds_total "), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }
}
