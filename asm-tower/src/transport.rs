//! What carries the id between a client and the application.

use http::{HeaderName, HeaderValue, header};

use crate::cookies::Found;

/// What carries the id between a client and the application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// A cookie.
    #[default]
    Cookie,
    /// `Authorization: Session <id>` on the way in, and `Session-Id: <id>` on the way out, for
    /// clients of an API. An empty `Session-Id` takes the id away.
    Header,
    /// The header for clients that send it, the cookie for all others. A client that wants the
    /// header and has no id yet sends `Authorization: Session`.
    CookieOrHeader,
}

/// The header by which clients of an API are given their id.
pub(crate) const SESSION_ID: HeaderName = HeaderName::from_static("session-id");

const SCHEME: &[u8] = b"session";

/// What carries the id of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    Cookie,
    Header,
}

impl Carrier {
    /// The header that brings the id.
    pub(crate) const fn brought_by(self) -> HeaderName {
        match self {
            Self::Cookie => header::COOKIE,
            Self::Header => header::AUTHORIZATION,
        }
    }

    /// What a client says in its `Authorization` of our scheme; `None` when it uses another one.
    pub(crate) fn authorized<'a>(
        headers: impl IntoIterator<Item = &'a HeaderValue>,
    ) -> Option<Found<'a>> {
        let mut found = None;
        for header in headers {
            let Some(credentials) = credentials(header.as_bytes()) else {
                continue;
            };
            found = Some(match (found, credentials) {
                (None, b"") => Found::Nothing,
                (None, id) => Found::One(std::str::from_utf8(id).unwrap_or_default()),
                (Some(_), _) => Found::Several,
            });
        }
        found
    }
}

fn credentials(header: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = header.trim_ascii().split_at_checked(SCHEME.len())?;
    let ours = scheme.eq_ignore_ascii_case(SCHEME);
    let ends = rest.first().is_none_or(|byte| *byte == b' ');
    (ours && ends).then(|| rest.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authorized(headers: &[&'static str]) -> Option<Result<Option<String>, ()>> {
        let headers: Vec<_> = headers
            .iter()
            .copied()
            .map(HeaderValue::from_static)
            .collect();
        Carrier::authorized(&headers).map(|found| match found {
            Found::Nothing => Ok(None),
            Found::One(id) => Ok(Some(id.to_owned())),
            Found::Several => Err(()),
        })
    }

    #[test]
    fn our_scheme_is_told_from_others() {
        assert_eq!(authorized(&[]), None);
        assert_eq!(authorized(&["Bearer x", "Sessions x", "Sess"]), None);
        assert_eq!(authorized(&["Session"]), Some(Ok(None)));
        assert_eq!(
            authorized(&["Basic x", "session  abc"]),
            Some(Ok(Some("abc".into())))
        );
        assert_eq!(authorized(&["Session a", "Session a"]), Some(Err(())));
    }
}
