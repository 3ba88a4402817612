//! What a session does to the headers of a response.

use std::time::Duration;

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CACHE_CONTROL, EXPIRES, VARY},
};

/// What caches are told of responses for which a session was opened.
///
/// Whatever it says, each such response has a `Vary` with the header that brought the id, and each
/// that sets a cookie has `Cache-Control: no-store`; but for [`Skip`](Self::Skip), which leaves both
/// to the application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CachePolicy {
    /// Nothing but `Vary`: what the handler says stands.
    #[default]
    Vary,
    /// Nothing at all: the application sees to it.
    Skip,
    /// Every cache may keep it for so long.
    Public(Duration),
    /// The client's own cache may keep it for so long.
    Private(Duration),
    /// A cache that keeps it asks each time whether it is still good.
    NoCache,
    /// No cache keeps it.
    NoStore,
}

impl CachePolicy {
    /// Changes the headers of a response for which a session was opened by an id in `brought_by`.
    pub(crate) fn apply(
        self,
        headers: &mut HeaderMap,
        brought_by: &HeaderName,
        client_changes: bool,
    ) {
        if self == Self::Skip {
            return;
        }
        vary(headers, brought_by);
        if client_changes {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            headers.remove(EXPIRES);
            return;
        }
        let Some(control) = self.control() else {
            return;
        };
        // What the handler says of its own response is not ours to change.
        headers.entry(CACHE_CONTROL).or_insert(control);
    }

    fn control(self) -> Option<HeaderValue> {
        let aged = |who: &str, age: Duration| {
            HeaderValue::from_str(&format!("{who}, max-age={}", age.as_secs())).ok()
        };
        match self {
            Self::Vary | Self::Skip => None,
            Self::Public(age) => aged("public", age),
            Self::Private(age) => aged("private", age),
            Self::NoCache => Some(HeaderValue::from_static("no-cache")),
            Self::NoStore => Some(HeaderValue::from_static("no-store")),
        }
    }
}

fn vary(headers: &mut HeaderMap, by: &HeaderName) {
    let named = headers.get_all(VARY).iter().any(|value| {
        let fields = value.as_bytes().split(|byte| *byte == b',');
        fields
            .map(<[u8]>::trim_ascii)
            .any(|field| field == b"*" || field.eq_ignore_ascii_case(by.as_str().as_bytes()))
    });
    if !named {
        headers.append(VARY, HeaderValue::from(by.clone()));
    }
}

#[cfg(test)]
mod tests {
    use http::header::{AUTHORIZATION, COOKIE};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn after(policy: CachePolicy, before: &[(HeaderName, &'static str)], sets: bool) -> HeaderMap {
        let mut headers: HeaderMap = before
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect();
        policy.apply(&mut headers, &COOKIE, sets);
        headers
    }

    #[test]
    fn a_response_varies_by_what_brought_the_id_and_says_so_once() {
        let headers = after(CachePolicy::Vary, &[], false);
        assert_eq!(headers[VARY], "cookie");
        for there in ["Cookie", "accept, COOKIE", "*"] {
            let headers = after(CachePolicy::Vary, &[(VARY, there)], false);
            assert_eq!(headers.get_all(VARY).iter().count(), 1, "{there}");
        }
        let headers = after(CachePolicy::Vary, &[(VARY, "Accept, Cookie2")], false);
        assert_eq!(headers.get_all(VARY).iter().count(), 2);
        let mut headers = HeaderMap::new();
        CachePolicy::Vary.apply(&mut headers, &AUTHORIZATION, false);
        assert_eq!(headers[VARY], "authorization");
    }

    #[test]
    fn a_response_that_sets_a_cookie_is_stored_by_nobody() {
        for policy in [
            CachePolicy::Vary,
            CachePolicy::Public(HOUR),
            CachePolicy::Private(HOUR),
            CachePolicy::NoCache,
        ] {
            let handler = [(CACHE_CONTROL, "public, max-age=60"), (EXPIRES, "soon")];
            let headers = after(policy, &handler, true);
            assert_eq!(headers[CACHE_CONTROL], "no-store", "{policy:?}");
            assert!(!headers.contains_key(EXPIRES));
        }
        assert!(after(CachePolicy::Skip, &[], true).is_empty());
    }

    #[test]
    fn a_policy_fills_in_what_the_handler_does_not_say() {
        for (policy, control) in [
            (CachePolicy::Public(HOUR), "public, max-age=3600"),
            (CachePolicy::Private(HOUR), "private, max-age=3600"),
            (CachePolicy::NoCache, "no-cache"),
            (CachePolicy::NoStore, "no-store"),
        ] {
            assert_eq!(after(policy, &[], false)[CACHE_CONTROL], control);
            let own = after(policy, &[(CACHE_CONTROL, "immutable")], false);
            assert_eq!(own[CACHE_CONTROL], "immutable");
        }
        assert!(!after(CachePolicy::Vary, &[], false).contains_key(CACHE_CONTROL));
    }
}
