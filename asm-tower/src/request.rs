//! What is kept of a request until a session is opened for it, if one is.

use asm_session::Client;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use zeroize::Zeroizing;

use crate::{
    Result,
    client::Hints,
    cookies::Found,
    layer::Config,
    sealing::Unsealed,
    transport::{Carrier, Transport},
};

/// What a request says, as far as a session may be asked of it.
pub(crate) struct Arriving {
    method: Method,
    uri: Uri,
    cookies: Values,
    authorizations: Values,
    referrers: Option<Box<Referrers>>,
    hints: Hints,
}

/// The values of one header. There is hardly ever more than one, which costs no allocation.
#[derive(Default)]
struct Values {
    first: Option<HeaderValue>,
    others: Vec<HeaderValue>,
}

struct Referrers {
    referrer: Option<HeaderValue>,
    host: Option<HeaderValue>,
}

/// The id that a client brought.
#[derive(Debug)]
pub(crate) enum Brought {
    Nothing,
    Id {
        id: Zeroizing<String>,
        /// Whether its cookie is to be sealed anew.
        again: bool,
    },
    /// A cookie whose seal is not ours, or is broken.
    Broken,
    /// More than one, and so none.
    Several,
    /// It followed a link of a site that is not ours: whatever it brought is not looked at.
    Foreign,
}

impl Arriving {
    pub(crate) fn of<B>(request: &Request<B>, config: &Config) -> Self {
        Self::parts(
            request.method(),
            request.uri(),
            request.headers(),
            request.extensions(),
            config,
        )
    }

    fn parts(
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        extensions: &Extensions,
        config: &Config,
    ) -> Self {
        let all = |wanted: bool, name| match wanted {
            true => Values::of(headers, name),
            false => Values::default(),
        };
        let transport = config.transport;
        Self {
            method: method.clone(),
            uri: uri.clone(),
            cookies: all(transport != Transport::Header, header::COOKIE),
            authorizations: all(transport != Transport::Cookie, header::AUTHORIZATION),
            referrers: config.own_hosts.as_ref().map(|_| {
                Box::new(Referrers {
                    referrer: headers.get(header::REFERER).cloned(),
                    host: headers.get(header::HOST).cloned(),
                })
            }),
            hints: config.client.hints(headers, extensions),
        }
    }

    pub(crate) const fn method(&self) -> &Method {
        &self.method
    }

    /// What operators see of a request that holds a lock: no query, which may hold anything.
    pub(crate) fn label(&self) -> String {
        format!("{} {}", self.method, self.uri.path())
    }

    pub(crate) fn client(&self, config: &Config) -> Client {
        config.client.client(&self.hints)
    }

    /// The id, and what carried it; a client that has none yet is answered by the same carrier.
    ///
    /// # Errors
    /// `Seal` when the cookie was sealed with a key that is not known here.
    pub(crate) fn brought(&self, config: &Config) -> (Carrier, Result<Brought>) {
        let by_header = Carrier::authorized(self.authorizations.iter());
        let (carrier, found) = match (config.transport, by_header) {
            (Transport::Cookie, _) | (Transport::CookieOrHeader, None) => {
                (Carrier::Cookie, config.cookie.find(self.cookies.iter()))
            }
            (_, by_header) => (Carrier::Header, by_header.unwrap_or(Found::Nothing)),
        };
        let brought = match found {
            Found::Nothing => Ok(Brought::Nothing),
            _ if self.is_foreign(config) => Ok(Brought::Foreign),
            Found::One(value) if carrier == Carrier::Cookie => unsealed(config, value),
            Found::One(id) => Ok(Brought::Id {
                id: Zeroizing::new(id.to_owned()),
                again: false,
            }),
            Found::Several => Ok(Brought::Several),
        };
        (carrier, brought)
    }

    /// Whether a page of another site led here. Who does not say where they come from is not.
    fn is_foreign(&self, config: &Config) -> bool {
        let (Some(own), Some(said)) = (&config.own_hosts, &self.referrers) else {
            return false;
        };
        let Referrers { referrer, host } = &**said;
        let Some(referrer) = referrer else {
            return false;
        };
        let uri = std::str::from_utf8(referrer.as_bytes());
        let uri = uri.ok().and_then(|uri| uri.parse::<Uri>().ok());
        let Some(from) = uri.as_ref().and_then(Uri::host) else {
            return true;
        };
        let host = host.as_ref().and_then(|host| host.to_str().ok());
        let host = self.uri.host().or_else(|| host.map(without_port));
        let is = |ours: &str| ours.eq_ignore_ascii_case(from);
        !host.is_some_and(is) && !own.iter().any(|ours| is(ours))
    }
}

impl Values {
    fn of(headers: &HeaderMap, name: HeaderName) -> Self {
        let mut all = headers.get_all(name).iter().cloned();
        Self {
            first: all.next(),
            others: all.collect(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &HeaderValue> {
        self.first.iter().chain(&self.others)
    }
}

fn unsealed(config: &Config, value: &str) -> Result<Brought> {
    let unsealed = config.cookie.sealing.open(config.name(), value)?;
    Ok(match unsealed {
        Some(Unsealed { id, again }) => Brought::Id { id, again },
        None => Brought::Broken,
    })
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}
