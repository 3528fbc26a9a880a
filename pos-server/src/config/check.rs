//! What settings must be beyond their own form: in range, and not against each other.

use std::net::SocketAddr;

use super::{Config, MailTls};

/// The longest honest bodies, a payment with its envelope and a registration with a long password
/// written in escapes, have about half as many octets.
const LEAST_BODY: u64 = 4096;

/// One setting that cannot stand, and what to do.
pub(super) struct Finding {
    pub(super) setting: &'static str,
    pub(super) problem: String,
}

/// All that is wrong, in the order of the default file.
pub(super) fn findings(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut refuse = |setting, problem: &str| {
        found.push(Finding { setting, problem: problem.into() });
    };
    check_tls(config, &mut refuse);
    check_addresses(config, &mut refuse);
    check_paths(config, &mut refuse);
    check_mail(config, &mut refuse);
    let limits = &config.limits;
    if limits.body >= limits.request {
        refuse("limits.body_seconds", "must be less than limits.request_seconds");
    }
    for (setting, value, least, most) in ranges(config) {
        if !(least..=most).contains(&value) {
            refuse(setting, &format!("must be between {least} and {most}, and is {value}"));
        }
    }
    found
}

fn check_tls(config: &Config, refuse: &mut impl FnMut(&'static str, &str)) {
    match (&config.tls.certificate, &config.tls.key) {
        (Some(_), None) => {
            refuse("tls.certificate", "needs its private key: write tls.key too");
        }
        (None, Some(_)) => {
            refuse("tls.key", "needs its certificate chain: write tls.certificate too");
        }
        (None, None) if config.tls_listen.is_some() => {
            refuse("tls_listen", "needs a certificate: write tls.certificate and tls.key");
        }
        _ => {}
    }
}

fn check_addresses(config: &Config, refuse: &mut impl FnMut(&'static str, &str)) {
    if config.plain_address().is_some_and(|address| !address.ip().is_loopback()) {
        let problem = if config.tls_listen.is_some() {
            "is plain HTTP beside tls_listen, and plain HTTP is spoken on loopback only: write \
             \"127.0.0.1:8443\", or leave tls_listen out so that this address speaks TLS"
        } else {
            "plain HTTP is spoken on loopback only: write certificate and key under [tls], or \
             \"127.0.0.1:8443\" here"
        };
        refuse("listen", problem);
    }
    if config.metrics.listen.is_some_and(|address| !address.ip().is_loopback()) {
        refuse(
            "metrics.listen",
            "plain HTTP is spoken on loopback only: write an address such as \"127.0.0.1:9464\"",
        );
    }
    check_authority(config, refuse);
    let same = |a: SocketAddr, b: Option<SocketAddr>| a.port() != 0 && Some(a) == b;
    if same(config.listen, config.tls_listen) {
        refuse("tls_listen", "is the address of listen already: write another port");
    }
    if config.metrics.listen.is_some_and(|metrics| {
        same(metrics, Some(config.listen)) || same(metrics, config.tls_listen)
    }) {
        refuse("metrics.listen", "is an address of shops already: write another port");
    }
}

fn check_authority(config: &Config, refuse: &mut impl FnMut(&'static str, &str)) {
    let Some(authority) = &config.authority else {
        let public = config.tls_address().map(|(address, ..)| address);
        if config.tls_listen.is_some() {
            let problem = "must be set beside tls_listen, or the address of listen would be the \
                           name that callers by TLS have to sign: write the name that shops call, \
                           such as \"pay.example.jp\"";
            refuse("authority", problem);
        } else if public.is_some_and(|address| address.ip().is_unspecified()) {
            let problem = "must be set when the server listens on every address: write the name \
                           that shops call, such as \"pay.example.jp\"";
            refuse("authority", problem);
        }
        return;
    };
    // A default port is not part of what is signed (RFC 9421 section 2.2.3), so that no call could
    // fit a name with one. Behind a proxy that ends TLS it is the proxy's scheme that counts.
    let defaults: &[&str] =
        if config.tls_address().is_some() { &[":443"] } else { &[":443", ":80"] };
    if defaults.iter().any(|port| authority.as_str().ends_with(port)) {
        refuse(
            "authority",
            "ends in the default port, which callers do not sign: leave the port out",
        );
    }
}

fn check_paths(config: &Config, refuse: &mut impl FnMut(&'static str, &str)) {
    let keys = &config.keys;
    for (setting, path) in [
        ("data_folder", &config.data_folder),
        ("keys.answer_key", &keys.answer_key),
        ("keys.institution_call_key", &keys.institution_call_key),
        ("keys.pepper", &keys.pepper),
        ("keys.webhook_seed", &keys.webhook_seed),
    ] {
        if path.as_os_str().is_empty() {
            refuse(setting, "names nothing: write a path, or leave the setting out");
        }
    }
}

fn check_mail(config: &Config, refuse: &mut impl FnMut(&'static str, &str)) {
    let mail = &config.mail;
    match (&mail.server, &mail.from) {
        (Some(_), None) => {
            refuse("mail.server", "needs a sender: write mail.from too");
        }
        (None, Some(_)) => {
            refuse("mail.from", "needs a server that takes mail: write mail.server too");
        }
        _ => {}
    }
    if mail.user.is_some() != mail.password_file.is_some() {
        let setting = if mail.user.is_some() { "mail.user" } else { "mail.password_file" };
        refuse(setting, "goes with the other one: write mail.user and mail.password_file");
    }
    let is_loopback = |host: &str| {
        let address = host.parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    };
    if mail.tls == MailTls::None
        && mail.server.as_ref().is_some_and(|server| !is_loopback(&server.host))
    {
        let problem = "mail goes in the clear to a server on this machine only: write \"implicit\" \
                       or \"starttls\"";
        refuse("mail.tls", problem);
    }
    for receiver in &config.webhooks.also_allow {
        let port = receiver.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        if port.is_none_or(|(_, port)| port.parse::<u16>().is_err())
            || receiver.chars().any(|c| c.is_ascii_uppercase())
        {
            let problem = "must list receivers as \"host:port\" in lower case, such as \
                           \"hooks.internal:8443\"";
            refuse("webhooks.also_allow", problem);
            break;
        }
    }
}

/// Every numeric setting with its least and greatest value.
fn ranges(config: &Config) -> [(&'static str, u64, u64, u64); 15] {
    let limits = &config.limits;
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    [
        ("postgres.connections", count(config.postgres.connections), 1, 200),
        ("limits.threads", count(limits.threads), 0, 1024),
        ("limits.connections", count(limits.connections), 1, 100_000),
        ("limits.in_flight", count(limits.in_flight), 1, 100_000),
        // A caller's deadline is at most 60 s away, and its answer takes a moment more.
        ("limits.request_seconds", limits.request.as_secs(), 61, 600),
        // 8192 is the least buffer that the HTTP parser takes.
        ("limits.header_bytes", count(limits.header_bytes), 8192, 1 << 20),
        ("limits.body_bytes", count(limits.body_bytes), LEAST_BODY, 16 << 20),
        ("limits.handshake_seconds", limits.handshake.as_secs(), 1, 120),
        ("limits.head_seconds", limits.head.as_secs(), 1, 600),
        ("limits.body_seconds", limits.body.as_secs(), 1, 600),
        ("limits.stall_seconds", limits.stall.as_secs(), 1, 600),
        ("limits.drain_seconds", limits.drain.as_secs(), 1, 600),
        ("worker.lease_seconds", config.worker.lease.as_secs(), 1, 3600),
        ("passwords.hashes_at_once", count(config.passwords.hashes_at_once), 1, 64),
        ("passwords.hashes_waiting", count(config.passwords.hashes_waiting), 0, 10_000),
    ]
}
