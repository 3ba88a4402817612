//! Who sends a request.

use std::{
    fmt::{self, Debug},
    hash::{DefaultHasher, Hash, Hasher},
    net::{IpAddr, SocketAddr},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use asm_session::{Client, ClientKind};
use http::{Extensions, HeaderMap, HeaderValue, header};
use ipnet::IpNet;
use parse_net::{ClientAddress, ForwardedSource};

/// The address at the other end of the connection, for servers that are not axum's: put it into the
/// extensions of each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer(pub IpAddr);

/// The header in which proxies say for whom they ask. Only one is looked at: a proxy that writes
/// one passes the other on as its client sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `Forwarded` of RFC 7239.
    Forwarded,
}

/// How many proxies a request may have come through: more are not believed.
const MOST_HOPS: u8 = 16;

type Classify = dyn Fn(&Client) -> ClientKind + Send + Sync;
type Extra = dyn Fn(&HeaderMap) -> Option<String> + Send + Sync;

/// How clients are told apart.
#[derive(Clone, Default)]
pub(crate) struct ClientSettings {
    pub(crate) proxies: Option<(ForwardedHeader, Vec<IpNet>)>,
    pub(crate) bots: Bots,
    pub(crate) extra: Option<Arc<Extra>>,
}

/// Who says what a bot is.
#[derive(Clone, Default)]
pub(crate) enum Bots {
    /// The names that bots give themselves.
    #[default]
    ByName,
    /// Nobody.
    Unknown,
    /// The application.
    Asked(Arc<Classify>),
}

/// What a request says about its client, kept until a session is opened.
#[derive(Clone, Default)]
pub(crate) struct Hints {
    peer: Option<IpAddr>,
    forwarded: Vec<HeaderValue>,
    user_agent: Option<HeaderValue>,
    extra: Option<String>,
}

impl ClientSettings {
    /// Takes from a request what will be needed.
    pub(crate) fn hints(&self, headers: &HeaderMap, extensions: &Extensions) -> Hints {
        let forwarded = self.proxies.as_ref().map(|(header, _)| match header {
            ForwardedHeader::XForwardedFor => "x-forwarded-for",
            ForwardedHeader::Forwarded => "forwarded",
        });
        let forwarded = forwarded.into_iter().flat_map(|name| headers.get_all(name));
        Hints {
            peer: peer(extensions),
            forwarded: forwarded.cloned().collect(),
            user_agent: headers.get(header::USER_AGENT).cloned(),
            extra: self
                .extra
                .as_ref()
                .and_then(|extra| guarded(|| extra(headers)).flatten()),
        }
    }

    pub(crate) fn client(&self, hints: &Hints) -> Client {
        let agent = hints.user_agent.as_ref();
        let mut client = Client {
            ip: self.address(hints),
            user_agent: agent.map(|agent| String::from_utf8_lossy(agent.as_bytes()).into_owned()),
            kind: ClientKind::Unknown,
            extra: hints.extra.clone(),
        };
        client.kind = self.bots.kind(&client);
        client
    }

    /// The address behind all proxies that are trusted. When they say something that is none, it is
    /// not known.
    fn address(&self, hints: &Hints) -> Option<IpAddr> {
        let peer = hints.peer?;
        let Some((header, trusted)) = &self.proxies else {
            return Some(peer);
        };
        let lines: Vec<&[u8]> = hints.forwarded.iter().map(HeaderValue::as_bytes).collect();
        let source = match header {
            ForwardedHeader::XForwardedFor => ForwardedSource::XForwardedFor(&lines),
            ForwardedHeader::Forwarded => ForwardedSource::Forwarded(&lines),
        };
        let trusts = |ip: IpAddr| {
            let ip = ip.to_canonical();
            trusted.iter().any(|net| net.contains(&ip))
        };
        match parse_net::client_address(peer, source, &trusts, MOST_HOPS) {
            Ok(ClientAddress::Peer(ip) | ClientAddress::Forwarded { addr: ip, .. }) => Some(ip),
            Ok(_) => None,
            Err(_) => {
                tracing::debug!("a trusted proxy forwarded what is no list of addresses");
                None
            }
        }
    }
}

impl Bots {
    fn kind(&self, client: &Client) -> ClientKind {
        match self {
            Self::ByName => kind_by_name(client.user_agent.as_deref()),
            Self::Unknown => ClientKind::Unknown,
            Self::Asked(classify) => guarded(|| classify(client)).unwrap_or(ClientKind::Unknown),
        }
    }
}

/// What the name that a client gives itself says of it: a bot's or a browser's. Without a name
/// nobody knows.
///
/// ```
/// use asm_tower::{ClientKind, kind_by_name};
///
/// assert_eq!(kind_by_name(Some("curl/8.5.0")), ClientKind::Bot);
/// assert_eq!(kind_by_name(None), ClientKind::Unknown);
/// ```
#[must_use]
pub fn kind_by_name(user_agent: Option<&str>) -> ClientKind {
    let Some(name) = user_agent else {
        return ClientKind::Unknown;
    };
    // The classifier remembers its answers by address, length and both ends of the text. Buffers are
    // used again, and browsers end alike: a number made of the whole text tells them apart.
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    if iscrawl::is_crawler(&format!("{:020} {name}", hasher.finish())) {
        ClientKind::Bot
    } else {
        ClientKind::Human
    }
}

/// What the application's own function answers; nothing when it panics.
pub(crate) fn guarded<T>(ask: impl FnOnce() -> T) -> Option<T> {
    let answer = catch_unwind(AssertUnwindSafe(ask));
    if answer.is_err() {
        tracing::error!("a function that the application gave to the session layer panicked");
    }
    answer.ok()
}

fn peer(extensions: &Extensions) -> Option<IpAddr> {
    if let Some(Peer(ip)) = extensions.get() {
        return Some(ip.to_canonical());
    }
    #[cfg(feature = "axum")]
    if let Some(axum::extract::ConnectInfo(peer)) =
        extensions.get::<axum::extract::ConnectInfo<SocketAddr>>()
    {
        return Some(peer.ip().to_canonical());
    }
    let peer: Option<&SocketAddr> = extensions.get();
    peer.map(|peer| peer.ip().to_canonical())
}

impl Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSettings")
            .field("proxies", &self.proxies)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(header: ForwardedHeader) -> ClientSettings {
        ClientSettings {
            proxies: Some((header, vec!["10.0.0.0/8".parse().unwrap()])),
            ..ClientSettings::default()
        }
    }

    fn seen(settings: &ClientSettings, peer: &str, headers: &[(&'static str, &str)]) -> Client {
        let mut extensions = Extensions::new();
        extensions.insert(Peer(peer.parse().unwrap()));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        settings.client(&settings.hints(&map, &extensions))
    }

    fn address(settings: &ClientSettings, peer: &str, headers: &[(&'static str, &str)]) -> String {
        let ip = seen(settings, peer, headers).ip;
        ip.map_or_else(|| "none".into(), |ip| ip.to_string())
    }

    #[test]
    fn forwarded_headers_count_only_from_proxies_that_are_trusted() {
        let xff = behind(ForwardedHeader::XForwardedFor);
        let say = |value| [("x-forwarded-for", value)];
        assert_eq!(
            address(&xff, "192.0.2.9", &say("198.51.100.1")),
            "192.0.2.9"
        );
        assert_eq!(
            address(&xff, "10.0.0.1", &say("198.51.100.1")),
            "198.51.100.1"
        );
        assert_eq!(
            address(
                &xff,
                "::ffff:10.0.0.1",
                &say("203.0.113.5, 198.51.100.1, 10.0.0.2")
            ),
            "198.51.100.1",
            "what the client itself wrote is further left"
        );
        assert_eq!(address(&xff, "10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(address(&xff, "10.0.0.1", &say("nonsense")), "none");
        assert_eq!(
            address(&xff, "10.0.0.1", &[("forwarded", "for=198.51.100.1")]),
            "10.0.0.1",
            "the other header is the client's"
        );
        let none = ClientSettings::default();
        assert_eq!(address(&none, "10.0.0.1", &say("198.51.100.1")), "10.0.0.1");
    }

    #[test]
    fn the_forwarded_header_of_the_standard_is_understood() {
        let standard = behind(ForwardedHeader::Forwarded);
        let say = |value| [("forwarded", value)];
        assert_eq!(
            address(
                &standard,
                "10.0.0.1",
                &say("for=\"[2001:db8::7]:80\";proto=https, for=10.1.1.1")
            ),
            "2001:db8::7"
        );
        assert_eq!(address(&standard, "10.0.0.1", &say("for=unknown")), "none");
    }

    #[test]
    fn bots_name_themselves_and_the_application_may_know_better() {
        let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
        let google =
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Googlebot/2.1)";
        let kind = |settings: &ClientSettings, agent| {
            seen(settings, "192.0.2.1", &[("user-agent", agent)]).kind
        };
        let mut settings = ClientSettings::default();
        assert_eq!(kind(&settings, firefox), ClientKind::Human);
        assert_eq!(kind(&settings, google), ClientKind::Bot);
        assert_eq!(kind(&settings, "curl/8.5.0"), ClientKind::Bot);
        assert_eq!(seen(&settings, "192.0.2.1", &[]).kind, ClientKind::Unknown);
        settings.bots = Bots::Asked(Arc::new(|client| {
            assert!(client.ip.is_some());
            ClientKind::Human
        }));
        assert_eq!(kind(&settings, google), ClientKind::Human);
        settings.bots = Bots::Asked(Arc::new(|_| panic!("a bug of the application")));
        assert_eq!(kind(&settings, google), ClientKind::Unknown);
        settings.bots = Bots::Unknown;
        assert_eq!(kind(&settings, google), ClientKind::Unknown);
    }

    #[test]
    fn names_that_begin_and_end_alike_are_told_apart() {
        // The same length, the same ends, and, one after the other, perhaps the same place.
        for round in 0..1_000 {
            let agent = |inner: &str| format!("Mozilla/5.0 Gecko {inner} Safari/537.36 {round:04}");
            assert_eq!(kind_by_name(Some(&agent("xxx"))), ClientKind::Human);
            assert_eq!(kind_by_name(Some(&agent("bot"))), ClientKind::Bot);
        }
    }
}
