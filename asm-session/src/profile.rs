//! From where and with what a session is used.

use std::{
    fmt::{self, Debug},
    net::IpAddr,
};

use asm_core::{Error, ErrorKind, Result};
use base64ct::{Base64UrlUnpadded, Encoding};
use sha2::{Digest, Sha256};

use crate::{Client, wire::Reader, wire::corrupt, wire::put_option};

/// From where and with what a session is used: address, user agent, and whatever else the
/// application put into [`Client::extra`].
///
/// A session keeps those that it has seen, by value and at most [`Profile::KEPT`] of them, the
/// oldest going first. Texts that are very long are cut and carry their digest, so that two that
/// differ still differ.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Profile {
    ip: Option<IpAddr>,
    user_agent: Option<Box<str>>,
    extra: Option<Box<str>>,
}

impl Profile {
    /// How many profiles a session keeps at most.
    pub const KEPT: usize = 8;

    /// The longest text of a profile in bytes.
    pub const LONGEST: usize = 255;

    /// The profile of a client. An IPv4 address that came in IPv6's clothes is the IPv4 address.
    ///
    /// ```
    /// use asm_session::{Client, Profile};
    ///
    /// let client = Client { user_agent: Some("x".repeat(64 * 1024)), ..Client::default() };
    /// let profile = Profile::of(&client);
    /// assert_eq!(profile.user_agent().map(str::len), Some(Profile::LONGEST));
    /// ```
    #[must_use]
    pub fn of(client: &Client) -> Self {
        Self {
            ip: client.ip.map(|ip| ip.to_canonical()),
            user_agent: client.user_agent.as_deref().map(shortened),
            extra: client.extra.as_deref().map(shortened),
        }
    }

    /// The address.
    #[must_use]
    pub const fn ip(&self) -> Option<IpAddr> {
        self.ip
    }

    /// The user agent.
    #[must_use]
    pub fn user_agent(&self) -> Option<&str> {
        self.user_agent.as_deref()
    }

    /// What the application added.
    #[must_use]
    pub fn extra(&self) -> Option<&str> {
        self.extra.as_deref()
    }

    pub(crate) fn encoded_len(&self) -> usize {
        let ip = match self.ip {
            None => 0,
            Some(IpAddr::V4(_)) => 4,
            Some(IpAddr::V6(_)) => 16,
        };
        let text = |text: &Option<Box<str>>| 1 + text.as_ref().map_or(0, |text| 1 + text.len());
        1 + ip + text(&self.user_agent) + text(&self.extra)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self.ip {
            None => out.push(0),
            Some(IpAddr::V4(ip)) => {
                out.push(4);
                out.extend_from_slice(&ip.octets());
            }
            Some(IpAddr::V6(ip)) => {
                out.push(16);
                out.extend_from_slice(&ip.octets());
            }
        }
        for text in [self.user_agent(), self.extra()] {
            put_option(out, text, |out, text| {
                out.push(text.len() as u8);
                out.extend_from_slice(text.as_bytes());
            });
        }
    }

    pub(crate) fn decode(from: &mut Reader<'_>) -> Result<Self> {
        let ip = match from.u8()? {
            0 => None,
            4 => Some(IpAddr::from(from.array::<4>()?)),
            16 => Some(IpAddr::from(from.array::<16>()?)),
            _ => return Err(corrupt("an address is of no known kind")),
        };
        let text = |from: &mut Reader<'_>| {
            from.option(|from| {
                let len = from.u8()?;
                from.str(len.into()).map(Box::from)
            })
        };
        Ok(Self {
            ip,
            user_agent: text(from)?,
            extra: text(from)?,
        })
    }
}

impl Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Profile(..)")
    }
}

/// Which new profiles a session accepts without being asked to: the ready-made answers for
/// `Decisions::profile_changed`.
///
/// ```
/// use asm_session::{Client, Profile, ProfilePolicy};
///
/// let from = |ip: [u8; 4]| Profile::of(&Client { ip: Some(ip.into()), ..Client::default() });
/// let seen = [from([192, 0, 2, 7])];
///
/// assert!(ProfilePolicy::NEARBY.accepts(&from([192, 0, 2, 99]), &seen));
/// assert!(!ProfilePolicy::NEARBY.accepts(&from([198, 51, 100, 1]), &seen));
/// assert!(ProfilePolicy::Lenient.accepts(&from([198, 51, 100, 1]), &seen));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProfilePolicy {
    /// Any.
    Lenient,
    /// Those whose user agent was seen before, wherever they come from.
    SameUserAgent,
    /// Those whose address shares a network with one seen before, whatever their user agent.
    /// Without an address: those that had none before.
    SameNetwork(Networks),
    /// None.
    Strict,
}

impl ProfilePolicy {
    /// [`SameNetwork`](Self::SameNetwork) with the usual sizes: /24 for IPv4, /48 for IPv6.
    pub const NEARBY: Self = Self::SameNetwork(Networks { v4: 24, v6: 48 });

    /// Whether a profile that is not among those seen is accepted. A session that has seen none
    /// yet accepts any.
    #[must_use]
    pub fn accepts(self, new: &Profile, seen: &[Profile]) -> bool {
        let like = |same: &dyn Fn(&Profile) -> bool| seen.is_empty() || seen.iter().any(same);
        match self {
            Self::Lenient => true,
            Self::SameUserAgent => like(&|old| old.user_agent == new.user_agent),
            Self::SameNetwork(networks) => {
                like(&|old| networks.network(old.ip) == networks.network(new.ip))
            }
            Self::Strict => like(&|old| old == new),
        }
    }
}

/// How large a network is taken to be one place, as the lengths of its prefixes in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Networks {
    v4: u8,
    v6: u8,
}

impl Networks {
    /// Networks of these prefix lengths in bits.
    ///
    /// # Errors
    /// `Invalid` above 32 for IPv4 or 128 for IPv6.
    ///
    /// ```
    /// use asm_session::Networks;
    ///
    /// assert!(Networks::new(16, 32).is_ok());
    /// assert!(Networks::new(33, 48).is_err());
    /// ```
    pub fn new(v4: u8, v6: u8) -> Result<Self> {
        if v4 > 32 || v6 > 128 {
            return Err(Error::new(
                ErrorKind::Invalid,
                "a prefix has at most 32 bits in IPv4 and 128 in IPv6",
            ));
        }
        Ok(Self { v4, v6 })
    }

    fn network(self, ip: Option<IpAddr>) -> Option<IpAddr> {
        Some(match ip? {
            IpAddr::V4(ip) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.v4)).unwrap_or(0);
                IpAddr::V4((ip.to_bits() & mask).into())
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.v6)).unwrap_or(0);
                IpAddr::V6((ip.to_bits() & mask).into())
            }
        })
    }
}

/// The text itself, or its beginning and the digest of all of it.
fn shortened(text: &str) -> Box<str> {
    if text.len() <= Profile::LONGEST {
        return text.into();
    }
    let digest = Base64UrlUnpadded::encode_string(&Sha256::digest(text));
    let mut end = Profile::LONGEST - digest.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{digest}", &text[..end]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(ip: &str, user_agent: &str) -> Profile {
        Profile::of(&Client {
            ip: ip.parse().ok(),
            user_agent: Some(user_agent.to_owned()),
            ..Client::default()
        })
    }

    #[test]
    fn each_policy_accepts_what_it_says() {
        let network = |v4, v6| ProfilePolicy::SameNetwork(Networks::new(v4, v6).unwrap());
        let seen = [profile("192.0.2.7", "a"), profile("2001:db8:1:2::1", "b")];
        let cases = [
            (ProfilePolicy::Lenient, "203.0.113.1", "z", true),
            (ProfilePolicy::SameUserAgent, "203.0.113.1", "b", true),
            (ProfilePolicy::SameUserAgent, "192.0.2.7", "z", false),
            (ProfilePolicy::NEARBY, "192.0.2.255", "z", true),
            (ProfilePolicy::NEARBY, "192.0.3.7", "a", false),
            (ProfilePolicy::NEARBY, "::ffff:192.0.2.9", "z", true),
            (ProfilePolicy::NEARBY, "2001:db8:1:ffff::", "z", true),
            (ProfilePolicy::NEARBY, "2001:db8:2::", "b", false),
            (ProfilePolicy::NEARBY, "nowhere", "a", false),
            (network(16, 32), "192.0.3.7", "z", true),
            (network(16, 32), "2001:db8:ffff::", "z", true),
            (network(32, 128), "192.0.2.8", "a", false),
            (network(32, 128), "192.0.2.7", "z", true),
            (network(0, 0), "203.0.113.1", "z", true),
            (ProfilePolicy::Strict, "192.0.2.7", "b", false),
            (ProfilePolicy::Strict, "192.0.2.7", "a", true),
        ];
        for (policy, ip, user_agent, accepted) in cases {
            let new = profile(ip, user_agent);
            assert_eq!(
                policy.accepts(&new, &seen),
                accepted,
                "{policy:?} {ip} {user_agent}"
            );
            assert!(policy.accepts(&new, &[]), "{policy:?}: the first one");
        }
    }

    #[test]
    fn networks_of_the_two_families_are_never_the_same() {
        let all = ProfilePolicy::SameNetwork(Networks::new(0, 0).unwrap());
        assert!(!all.accepts(&profile("2001:db8::", "a"), &[profile("192.0.2.7", "a")]));
    }

    #[test]
    fn a_profile_is_what_the_client_was() {
        let client = Client {
            ip: "::ffff:192.0.2.7".parse().ok(),
            user_agent: Some("agent".into()),
            extra: Some("extra".into()),
            ..Client::default()
        };
        let profile = Profile::of(&client);
        assert_eq!(profile.ip(), Some([192, 0, 2, 7].into()));
        assert_eq!(profile.user_agent(), Some("agent"));
        assert_eq!(profile.extra(), Some("extra"));
        let none = Profile::of(&Client::default());
        assert_eq!(
            (none.ip(), none.user_agent(), none.extra()),
            (None, None, None)
        );
    }

    #[test]
    fn long_texts_that_differ_stay_different() {
        let long = |end: &str| profile("::1", &format!("{}{end}", "é".repeat(1000)));
        assert_eq!(long("a"), long("a"));
        assert_ne!(long("a"), long("b"));
        // As much of it as there is room for before the digest, which has 43 letters.
        for (text, letters) in [("é", 106), ("aé", 141), ("a", 212)] {
            let kept = profile("::1", &text.repeat(1000)).user_agent.unwrap();
            assert!(kept.len() <= Profile::LONGEST, "{}", kept.len());
            let beginning: String = text.repeat(1000).chars().take(letters).collect();
            assert!(kept.starts_with(&beginning), "{kept}");
        }
    }

    #[test]
    fn a_profile_is_read_as_it_was_stored() {
        for ip in ["192.0.2.7", "2001:db8:1:2::1", "nowhere"] {
            let stored = profile(ip, "agent");
            let mut bytes = Vec::new();
            stored.encode(&mut bytes);
            let read = Profile::decode(&mut Reader::new(&bytes)).unwrap();
            assert_eq!(read, stored, "{ip}");
        }
    }

    #[test]
    fn what_is_personal_is_not_shown() {
        let client = Client {
            ip: Some([192, 0, 2, 7].into()),
            user_agent: Some("agent".into()),
            extra: Some("extra".into()),
            ..Client::default()
        };
        let shown = format!("{client:?} {:?}", Profile::of(&client));
        assert_eq!(shown, "Client { kind: Unknown, .. } Profile(..)");
    }
}
