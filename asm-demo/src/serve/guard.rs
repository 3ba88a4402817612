//! What a request must be before anything looks at it, and what every response says.
//!
//! - It names this site as its host, by an address of this machine: a page elsewhere whose name was
//!   made to lead here (DNS rebinding) is refused.
//! - What changes something comes from a page of this very site, as its `Origin` says. Browsers send
//!   it with every form and script that posts. The cookie's `SameSite=Lax` alone would not do: to it
//!   all ports of a host are one site.
//! - Responses allow scripts and styles of this site and nothing else, and not to be framed.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::Response,
};

use super::{
    lane,
    site::Site,
    visitor::Part,
    words::{Told, told},
};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Lets pass what may, and gives each request of a run its lane.
pub(super) async fn guard(State(site): State<Site>, request: Request, next: Next) -> Response {
    let mut response = match check(site.port, request.method(), request.headers()) {
        Err(refusal) => told(request.headers(), &refusal),
        Ok(()) => match Part::of(&site, request.headers()) {
            Some(part) => lane::watched(Arc::clone(part.lane()), next.run(request)).await,
            None => next.run(request).await,
        },
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn check(port: u16, method: &Method, headers: &HeaderMap) -> Result<(), Told> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    if !is_ours(port, host) {
        return Err(Told {
            status: StatusCode::MISDIRECTED_REQUEST,
            sentence: "This site answers under its address on this machine only.".into(),
        });
    }
    let safe = [Method::GET, Method::HEAD].contains(method);
    let origin = text(header::ORIGIN).and_then(|origin| origin.strip_prefix("http://"));
    if !safe && origin != Some(host) {
        return Err(Told {
            status: StatusCode::FORBIDDEN,
            sentence: "The form was refused, because it does not come from a page of this site."
                .into(),
        });
    }
    Ok(())
}

fn is_ours(port: u16, host: &str) -> bool {
    let names = ["127.0.0.1", "localhost", "[::1]"];
    match host.rsplit_once(':') {
        Some((name, given)) if given.parse() == Ok(port) => names.contains(&name),
        // The port that is not said.
        _ => port == 80 && names.contains(&host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(method: &Method, headers: &[(&'static str, &'static str)]) -> u16 {
        let headers = headers.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        match check(7000, method, &headers.collect()) {
            Ok(()) => 200,
            Err(refusal) => refusal.status.as_u16(),
        }
    }

    #[test]
    fn only_this_machine_is_our_host() {
        for (host, status) in [
            ("127.0.0.1:7000", 200),
            ("localhost:7000", 200),
            ("[::1]:7000", 200),
            ("localhost:7001", 421),
            ("localhost", 421),
            ("evil.example:7000", 421),
            ("localhost.evil.example:7000", 421),
            ("", 421),
        ] {
            assert_eq!(checked(&Method::GET, &[("host", host)]), status, "{host}");
        }
        assert_eq!(checked(&Method::GET, &[]), 421);
    }

    #[test]
    fn what_changes_something_comes_from_this_site() {
        let host = ("host", "localhost:7000");
        for (origin, status) in [
            ("http://localhost:7000", 200),
            ("http://localhost:7001", 403),
            ("http://127.0.0.1:7000", 403),
            ("https://localhost:7000", 403),
            ("http://evil.example", 403),
            ("null", 403),
        ] {
            let headers = [host, ("origin", origin)];
            assert_eq!(checked(&Method::POST, &headers), status, "{origin}");
            assert_eq!(checked(&Method::GET, &headers), 200, "{origin}");
        }
        assert_eq!(checked(&Method::POST, &[host]), 403);
        assert_eq!(checked(&Method::DELETE, &[host]), 403);
    }
}
