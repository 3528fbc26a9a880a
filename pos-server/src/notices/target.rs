//! Where webhooks may go: `https`, port 443, a public address. The shop writes the URL, and the
//! server calls it from inside the operator's network, so everything else is refused (`security.md`
//! T19). A name is resolved once, every address that it has is looked at, and the connection goes to
//! one of those.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::{fmt, io};

use hyper::Uri;
use hyper::http::uri::PathAndQuery;

/// The longest URL.
pub const MAX_URL: usize = 500;

/// A URL that webhooks may be sent to, as far as its text tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookUrl {
    host: String,
    port: u16,
    authority: String,
    path: PathAndQuery,
    /// The operator has named it: its addresses need not be public.
    trusted: bool,
}

/// Why a URL is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// It is not an absolute URL in plain form.
    #[error(
        "must be a URL such as `https://shop.example/pos/webhook`, of at most 500 ASCII characters, without user, password or fragment"
    )]
    Form,
    /// The host is a number, or a name that never is public.
    #[error(
        "must name a public host: not an address of a private network, nor a name without a dot"
    )]
    Host,
    /// Another port.
    #[error("must use port 443, which is the one of https")]
    Port,
    /// Another scheme.
    #[error("must begin with `https://`")]
    Scheme,
}

/// Finds the addresses of a name.
pub trait Names: fmt::Debug + Send + Sync {
    /// Every address, each with this port.
    fn look_up<'a>(&'a self, host: &'a str, port: u16) -> Looking<'a>;
}

/// What a look-up comes to.
pub type Looking<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// As the system finds them.
#[derive(Clone, Copy, Debug)]
pub struct SystemNames;

impl Names for SystemNames {
    fn look_up<'a>(&'a self, host: &'a str, port: u16) -> Looking<'a> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// Why a host cannot be connected to.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Nothing was resolved.
    #[error("the name cannot be resolved")]
    Name(#[source] io::Error),
    /// One of the addresses is not public.
    #[error("the name leads to an address that is not public")]
    NotPublic,
    /// The name has no address.
    #[error("the name has no address")]
    Nothing,
}

impl WebhookUrl {
    /// Reads a URL. `trusted` lists receivers, `host:port` each, that the operator lets be anywhere.
    ///
    /// # Errors
    /// [`InvalidUrl`] says what to write instead.
    pub fn parse(text: &str, trusted: &[String]) -> Result<Self, InvalidUrl> {
        if text.len() > MAX_URL || !text.bytes().all(|c| c.is_ascii_graphic()) {
            return Err(InvalidUrl::Form);
        }
        // What URL parsers disagree about is not taken at all.
        let (_, after) = text.split_once("://").ok_or(InvalidUrl::Form)?;
        let authority = after.split(['/', '?']).next().unwrap_or_default();
        if text.contains(['\\', '#']) || authority.contains(['@', '%']) {
            return Err(InvalidUrl::Form);
        }
        let uri: Uri = text.parse().map_err(|_| InvalidUrl::Form)?;
        match uri.scheme_str() {
            Some("https") => {}
            Some(_) => return Err(InvalidUrl::Scheme),
            None => return Err(InvalidUrl::Form),
        }
        let authority = uri.authority().ok_or(InvalidUrl::Form)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let host = host.to_ascii_lowercase();
        let port = match authority.port() {
            None => 443,
            Some(port) => port.as_str().parse().map_err(|_| InvalidUrl::Form)?,
        };
        let is_trusted = trusted.contains(&format!("{host}:{port}"));
        if !is_trusted {
            check_host(&host)?;
            if port != 443 {
                return Err(InvalidUrl::Port);
            }
        }
        // `https://shop.example?of=shop` has a query and no path.
        let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let path = PathAndQuery::try_from(path).map_err(|_| InvalidUrl::Form)?;
        let shown = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let authority = if port == 443 { shown } else { format!("{shown}:{port}") };
        Ok(Self { host, port, authority, path, trusted: is_trusted })
    }

    /// The host, for the certificate.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// What stands in `Host`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Path and query.
    pub fn path(&self) -> &PathAndQuery {
        &self.path
    }

    /// The addresses to connect to, all of them public.
    ///
    /// # Errors
    /// [`ResolveError`]; one bad address among good ones is enough, because who mixes them means
    /// no good.
    pub async fn resolve(&self, names: &dyn Names) -> Result<Vec<SocketAddr>, ResolveError> {
        self.checked(names.look_up(&self.host, self.port).await.map_err(ResolveError::Name)?)
    }

    fn checked(&self, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, ResolveError> {
        if found.is_empty() {
            return Err(ResolveError::Nothing);
        }
        if !self.trusted && !found.iter().all(|address| is_public(address.ip())) {
            return Err(ResolveError::NotPublic);
        }
        Ok(found)
    }
}

/// What the host's text tells. A name is looked at again once it is resolved.
fn check_host(host: &str) -> Result<(), InvalidUrl> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return if is_public(address) { Ok(()) } else { Err(InvalidUrl::Host) };
    }
    let labels: Vec<_> = host.trim_end_matches('.').split('.').collect();
    let is_name = labels.iter().all(|label| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
    });
    // `127.1`, `0x7f.0.0.1` and `2130706433` are addresses to some resolvers: a public name's last
    // label has a letter in it and does not begin with a digit (RFC 3696 section 2).
    let last = labels.last().copied().unwrap_or_default();
    let is_numeric = last.starts_with(|c: char| c.is_ascii_digit());
    // RFC 6761, RFC 6762, RFC 8375, RFC 9476, and what private networks call themselves.
    const LOCAL: [&str; 13] = [
        "alt",
        "arpa",
        "corp",
        "home",
        "internal",
        "intranet",
        "invalid",
        "lan",
        "local",
        "localdomain",
        "localhost",
        "onion",
        "private",
    ];
    if !is_name || host.len() > 253 || labels.len() < 2 || is_numeric || LOCAL.contains(&last) {
        return Err(InvalidUrl::Host);
    }
    Ok(())
}

/// Whether an address is anybody's on the internet: none of the special-purpose ones (RFC 6890 and
/// its registries), and none that carries another address inside that is not public.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b)) // shared between carriers, RFC 6598
        || (a == 192 && b == 0 && c == 0) // protocol assignments, RFC 6890
        || (a == 192 && b == 88 && c == 99) // relays to 6to4, RFC 7526
        || (a == 198 && (18..20).contains(&b))) // measurements, RFC 2544
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let [a, b, c, d, e, f, ..] = segments;
    let low = address.octets();
    let inner = |at: usize| {
        Ipv4Addr::new(
            low[at],
            low[at.saturating_add(1)],
            low[at.saturating_add(2)],
            low[at.saturating_add(3)],
        )
    };
    // An IPv4 address that is mapped, or behind a translator (RFC 4291, 6052).
    if (a, b, c, d, e, f) == (0, 0, 0, 0, 0, 0xffff)
        || (a, b, c, d, e, f) == (0x64, 0xff9b, 0, 0, 0, 0)
    {
        return is_public_v4(inner(12));
    }
    // 6to4 (RFC 3056).
    if a == 0x2002 {
        return is_public_v4(inner(2));
    }
    // Only 2000::/3 is given out, without Teredo, ORCHID, benchmarks and other protocols' blocks
    // (2001::/23), documentation (2001:db8::/32, 3fff::/20).
    (0x2000..0x4000).contains(&a)
        && !(a == 0x2001 && b < 0x200)
        && !(a == 0x2001 && b == 0xdb8)
        && !(a == 0x3fff && b < 0x1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_to_a_public_host_is_taken() {
        let parse = |text: &str| WebhookUrl::parse(text, &[]).map(|url| url.authority);
        for (good, authority) in [
            ("https://shop.example/pos", "shop.example"),
            ("https://SHOP.example:443/pos?a=%41#", ""),
            ("https://shop.example", "shop.example"),
            ("https://shop.example?of=shop", "shop.example"),
            ("https://xn--fsq.example/a?b=c@d", "xn--fsq.example"),
            ("https://93.184.216.34/x", "93.184.216.34"),
            ("https://[2606:2800:220:1::1]/x", "[2606:2800:220:1::1]"),
        ] {
            match authority {
                "" => assert_eq!(parse(good), Err(InvalidUrl::Form), "{good}"),
                _ => assert_eq!(parse(good).as_deref(), Ok(authority), "{good}"),
            }
        }
    }

    #[test]
    fn what_leads_inside_is_refused_in_every_spelling() {
        use InvalidUrl::{Form, Host, Port, Scheme};
        let table = [
            ("http://shop.example/", Scheme),
            ("ftp://shop.example/", Scheme),
            ("file:///etc/passwd", Form),
            ("gopher://shop.example/", Scheme),
            ("//shop.example/", Form),
            ("shop.example/pos", Form),
            ("https://", Form),
            ("https:///x", Form),
            ("", Form),
            ("https://shop.example:8443/", Port),
            ("https://shop.example:0/", Port),
            ("https://shop.example:80/", Port),
            ("https://user@shop.example/", Form),
            ("https://user:pass@shop.example/", Form),
            ("https://shop.example@127.0.0.1/", Form),
            ("https://127.0.0.1\\@shop.example/", Form),
            ("https://shop.example#@127.0.0.1/", Form),
            ("https://shop.example%00.evil.example/", Form),
            ("https://%31%32%37.0.0.1/", Form),
            ("https://shop .example/", Form),
            ("https://shop.example/\u{661f}", Form),
            ("https://127.0.0.1/", Host),
            ("https://127.1/", Host),
            ("https://127.0.1/", Host),
            ("https://2130706433/", Host),
            ("https://0x7f000001/", Host),
            ("https://0x7f.0.0.1/", Host),
            ("https://0177.0.0.1/", Host),
            ("https://017700000001/", Host),
            ("https://127.0.0.1./", Host),
            ("https://0/", Host),
            ("https://0.0.0.0/", Host),
            ("https://10.0.0.1/", Host),
            ("https://172.16.0.1/", Host),
            ("https://172.31.255.255/", Host),
            ("https://192.168.1.1/", Host),
            ("https://169.254.169.254/", Host),
            ("https://100.64.0.1/", Host),
            ("https://192.0.0.170/", Host),
            ("https://192.0.2.1/", Host),
            ("https://198.18.0.1/", Host),
            ("https://198.51.100.1/", Host),
            ("https://203.0.113.1/", Host),
            ("https://224.0.0.1/", Host),
            ("https://240.0.0.1/", Host),
            ("https://255.255.255.255/", Host),
            ("https://192.88.99.1/", Host),
            ("https://[::1]/", Host),
            ("https://[::]/", Host),
            ("https://[::ffff:127.0.0.1]/", Host),
            ("https://[::ffff:7f00:1]/", Host),
            ("https://[::127.0.0.1]/", Host),
            ("https://[64:ff9b::7f00:1]/", Host),
            ("https://[64:ff9b:1::1]/", Host),
            ("https://[2002:7f00:1::]/", Host),
            ("https://[2001::1]/", Host),
            ("https://[2001:db8::1]/", Host),
            ("https://[3fff::1]/", Host),
            ("https://[fe80::1]/", Host),
            ("https://[fec0::1]/", Host),
            ("https://[fc00::1]/", Host),
            ("https://[fd12::1]/", Host),
            ("https://[ff02::1]/", Host),
            ("https://[100::1]/", Host),
            ("https://localhost/", Host),
            ("https://localhost./", Host),
            ("https://shop.localhost/", Host),
            ("https://metadata.google.internal/", Host),
            ("https://printer.local/", Host),
            ("https://router.lan/", Host),
            ("https://intranet/", Host),
            ("https://a.b.arpa/", Host),
            ("https://-a.example/", Host),
            ("https://a..example/", Host),
            ("https://a_b.example/", Host),
            ("https://shop.example.1/", Host),
            ("https://shop.0x1/", Host),
        ];
        assert!(table.len() >= 60, "{}", table.len());
        for (bad, why) in table {
            assert_eq!(WebhookUrl::parse(bad, &[]).map(|url| url.host), Err(why), "{bad}");
        }
    }

    #[test]
    fn a_receiver_that_the_operator_named_may_be_anywhere() {
        let bare = WebhookUrl::parse("https://shop.example?of=shop", &[]).unwrap();
        assert_eq!(bare.path(), "/?of=shop");
        let trusted = ["localhost:8444".to_owned()];
        let url = WebhookUrl::parse("https://localhost:8444/hook", &trusted).unwrap();
        assert_eq!((url.authority(), url.path().as_str()), ("localhost:8444", "/hook"));
        assert!(url.checked(vec![SocketAddr::from(([127, 0, 0, 1], 8444))]).is_ok());
        assert_eq!(
            WebhookUrl::parse("https://localhost:8445/hook", &trusted),
            Err(InvalidUrl::Host)
        );
        assert_eq!(
            WebhookUrl::parse("http://localhost:8444/hook", &trusted),
            Err(InvalidUrl::Scheme)
        );
    }

    #[test]
    fn a_name_that_leads_inside_is_not_connected_to() {
        let url = WebhookUrl::parse("https://shop.example/", &[]).unwrap();
        let (good, bad) =
            (SocketAddr::from(([93, 184, 216, 34], 443)), SocketAddr::from(([10, 0, 0, 1], 443)));
        assert_eq!(url.checked(vec![good]).unwrap(), [good]);
        assert!(matches!(url.checked(vec![good, bad]), Err(ResolveError::NotPublic)));
        assert!(matches!(url.checked(Vec::new()), Err(ResolveError::Nothing)));
    }
}
