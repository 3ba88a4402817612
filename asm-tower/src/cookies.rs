//! The session's cookie: what it looks like, and how it is found among others.

use std::time::Duration;

use cookie::{Cookie, SameSite, time};
use http::HeaderValue;

use crate::{ConfigError, Result, SessionError, sealing::Sealing};

/// The longest cookie that browsers keep, with its name and attributes, in bytes.
pub(crate) const MOST_BYTES: usize = 4096;

/// Longer than browsers keep any cookie: 400 days.
const LONGEST: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// How the cookie is set.
#[derive(Clone, Debug)]
pub(crate) struct CookieSettings {
    /// `None` is the default that fits to the rest.
    pub(crate) name: Option<String>,
    pub(crate) path: String,
    pub(crate) domain: Option<String>,
    pub(crate) secure: bool,
    pub(crate) http_only: bool,
    pub(crate) same_site: SameSite,
    pub(crate) partitioned: bool,
    pub(crate) persistent: bool,
    pub(crate) sealing: Sealing,
}

impl Default for CookieSettings {
    fn default() -> Self {
        Self {
            name: None,
            path: "/".to_owned(),
            domain: None,
            secure: true,
            http_only: true,
            same_site: SameSite::Lax,
            partitioned: false,
            persistent: false,
            sealing: Sealing::default(),
        }
    }
}

/// What a client brought under one name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    Nothing,
    One(&'a str),
    /// Whoever plants a second cookie of this name would choose which one counts.
    Several,
}

impl CookieSettings {
    /// The name: that of the settings, or the strictest prefix that the rest allows.
    pub(crate) fn name(&self) -> &str {
        match &self.name {
            Some(name) => name,
            None if !self.secure => "sid",
            None if self.domain.is_none() && self.path == "/" => "__Host-sid",
            None => "__Secure-sid",
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let name = self.name();
        let prefixed = |prefix: &str| {
            // Browsers compare prefixes without regard to case.
            let start = name.get(..prefix.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(ConfigError::CookieName);
        }
        if !self.path.starts_with('/') || !self.path.bytes().all(is_attribute) {
            return Err(ConfigError::CookiePath);
        }
        if let Some(domain) = &self.domain
            && (domain.is_empty() || !domain.bytes().all(is_domain))
        {
            return Err(ConfigError::CookieDomain);
        }
        if !self.secure && (prefixed("__Host-") || prefixed("__Secure-")) {
            return Err(ConfigError::PrefixNeedsSecure);
        }
        if prefixed("__Host-") && (self.domain.is_some() || self.path != "/") {
            return Err(ConfigError::HostPrefix);
        }
        if !self.secure && self.same_site == SameSite::None {
            return Err(ConfigError::SameSiteNoneNeedsSecure);
        }
        if !self.secure && self.partitioned {
            return Err(ConfigError::PartitionedNeedsSecure);
        }
        let sample = "0".repeat(asm_session::SessionId::LEN);
        let issued = self.issue(&sample, Some(LONGEST));
        issued.map(drop).map_err(|_| ConfigError::CookieTooLong)
    }

    /// The cookie of this name among all that a client sent.
    pub(crate) fn find<'a>(&self, headers: impl IntoIterator<Item = &'a HeaderValue>) -> Found<'a> {
        let name = self.name();
        let mut found = Found::Nothing;
        for header in headers {
            // Cookies of others may hold anything; ours is ASCII.
            for pair in header.as_bytes().split(|byte| *byte == b';') {
                let Some(value) = value_of(pair.trim_ascii(), name.as_bytes()) else {
                    continue;
                };
                if found != Found::Nothing {
                    return Found::Several;
                }
                found = Found::One(std::str::from_utf8(value).unwrap_or_default());
            }
        }
        found
    }

    /// The header that gives the client this id. A cookie without a life ends with the browser.
    pub(crate) fn issue(&self, id: &str, life: Option<Duration>) -> Result<HeaderValue> {
        let value = self.sealing.seal(self.name(), id)?;
        let mut cookie = self.cookie(&value);
        if let Some(life) = life {
            let seconds = i64::try_from(life.min(LONGEST).as_secs()).unwrap_or(i64::MAX);
            cookie.set_max_age(time::Duration::seconds(seconds));
        }
        header(&cookie)
    }

    /// The header that takes the cookie away.
    pub(crate) fn removal(&self) -> Result<HeaderValue> {
        let mut cookie = self.cookie("");
        cookie.make_removal();
        header(&cookie)
    }

    fn cookie<'a>(&'a self, value: &'a str) -> Cookie<'a> {
        let mut cookie = Cookie::new(self.name(), value);
        cookie.set_path(&self.path);
        if let Some(domain) = &self.domain {
            cookie.set_domain(domain);
        }
        cookie.set_secure(self.secure);
        cookie.set_http_only(self.http_only);
        cookie.set_same_site(self.same_site);
        cookie.set_partitioned(self.partitioned);
        cookie
    }
}

fn value_of<'a>(pair: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let value = pair.strip_prefix(name)?.trim_ascii_start();
    Some(value.strip_prefix(b"=")?.trim_ascii_start())
}

fn header(cookie: &Cookie<'_>) -> Result<HeaderValue> {
    let text = zeroize::Zeroizing::new(cookie.to_string());
    if text.len() > MOST_BYTES {
        return Err(SessionError::CookieTooLong);
    }
    let mut header = HeaderValue::from_str(&text).map_err(|_| SessionError::CookieTooLong)?;
    // Neither a log of headers nor a compression table of HTTP/2 is to hold it.
    header.set_sensitive(true);
    Ok(header)
}

/// A letter of a token of RFC 9110, section 5.6.2.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

const fn is_attribute(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b';'
}

const fn is_domain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(settings: &CookieSettings, headers: &[&[u8]]) -> Option<Option<String>> {
        let headers: Vec<_> = headers
            .iter()
            .map(|header| HeaderValue::from_bytes(header).unwrap())
            .collect();
        match settings.find(&headers) {
            Found::Nothing => Some(None),
            Found::One(value) => Some(Some(value.to_owned())),
            Found::Several => None,
        }
    }

    #[test]
    fn the_default_is_as_strict_as_can_be() {
        let settings = CookieSettings::default();
        let issued = settings.issue("abc", None).unwrap();
        assert_eq!(
            issued,
            "__Host-sid=abc; HttpOnly; SameSite=Lax; Secure; Path=/"
        );
        assert!(issued.is_sensitive());
        assert_eq!(
            settings
                .issue("abc", Some(Duration::from_millis(90_500)))
                .unwrap(),
            "__Host-sid=abc; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=90"
        );
    }

    #[test]
    fn a_removal_has_the_same_attributes() {
        let settings = CookieSettings {
            name: Some("id".into()),
            path: "/shop".into(),
            domain: Some("example.org".into()),
            partitioned: true,
            same_site: SameSite::None,
            ..CookieSettings::default()
        };
        let removal = settings.removal().unwrap();
        let removal = removal.to_str().unwrap();
        let same = "HttpOnly; SameSite=None; Partitioned; Secure; Path=/shop; Domain=example.org";
        assert!(
            removal.starts_with(&format!("id=; {same}; Max-Age=0; Expires=")),
            "{removal}"
        );
    }

    #[test]
    fn names_follow_what_the_rest_allows() {
        let mut settings = CookieSettings::default();
        assert_eq!(settings.name(), "__Host-sid");
        settings.path = "/shop".into();
        assert_eq!(settings.name(), "__Secure-sid");
        settings.secure = false;
        assert_eq!(settings.name(), "sid");
    }

    #[test]
    fn what_browsers_would_drop_is_refused() {
        let good = CookieSettings::default;
        let name = |name: &str| Some(name.to_owned());
        for (settings, error) in [
            (
                CookieSettings {
                    name: name("a b"),
                    ..good()
                },
                ConfigError::CookieName,
            ),
            (
                CookieSettings {
                    name: name(""),
                    ..good()
                },
                ConfigError::CookieName,
            ),
            (
                CookieSettings {
                    name: name("a=b"),
                    ..good()
                },
                ConfigError::CookieName,
            ),
            (
                CookieSettings {
                    path: "shop".into(),
                    ..good()
                },
                ConfigError::CookiePath,
            ),
            (
                CookieSettings {
                    path: "/;x".into(),
                    ..good()
                },
                ConfigError::CookiePath,
            ),
            (
                CookieSettings {
                    path: "/\n".into(),
                    ..good()
                },
                ConfigError::CookiePath,
            ),
            (
                CookieSettings {
                    domain: name(""),
                    ..good()
                },
                ConfigError::CookieDomain,
            ),
            (
                CookieSettings {
                    domain: name("a;b"),
                    ..good()
                },
                ConfigError::CookieDomain,
            ),
            (
                CookieSettings {
                    name: name("__host-x"),
                    path: "/x".into(),
                    ..good()
                },
                ConfigError::HostPrefix,
            ),
            (
                CookieSettings {
                    name: name("__Host-x"),
                    domain: name("example.org"),
                    ..good()
                },
                ConfigError::HostPrefix,
            ),
            (
                CookieSettings {
                    name: name("__Secure-x"),
                    secure: false,
                    ..good()
                },
                ConfigError::PrefixNeedsSecure,
            ),
            (
                CookieSettings {
                    same_site: SameSite::None,
                    secure: false,
                    ..good()
                },
                ConfigError::SameSiteNoneNeedsSecure,
            ),
            (
                CookieSettings {
                    partitioned: true,
                    secure: false,
                    ..good()
                },
                ConfigError::PartitionedNeedsSecure,
            ),
            (
                CookieSettings {
                    name: name(&"x".repeat(4000)),
                    ..good()
                },
                ConfigError::CookieTooLong,
            ),
        ] {
            assert_eq!(settings.check(), Err(error), "{settings:?}");
        }
        assert_eq!(good().check(), Ok(()));
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let sid = CookieSettings {
            secure: false,
            ..CookieSettings::default()
        };
        let one = |value: &str| Some(Some(value.to_owned()));
        assert_eq!(found(&sid, &[]), Some(None));
        assert_eq!(found(&sid, &[b"a=1; sid=x; b=2"]), one("x"));
        assert_eq!(found(&sid, &[b"a=1", b"sid = x"]), one("x"));
        assert_eq!(found(&sid, &[b"asid=1; sidb=2; SID=3; sid"]), Some(None));
        assert_eq!(found(&sid, &[b"other=\xff\xfe; sid=x"]), one("x"));
        assert_eq!(found(&sid, &[b"sid="]), one(""));
        assert_eq!(found(&sid, &[b"sid=\xff"]), one(""));
    }

    #[test]
    fn two_of_our_name_are_several() {
        let sid = CookieSettings {
            secure: false,
            ..CookieSettings::default()
        };
        assert_eq!(found(&sid, &[b"sid=x; sid=x"]), None);
        assert_eq!(found(&sid, &[b"sid=x", b"a=1; sid=y"]), None);
    }
}
