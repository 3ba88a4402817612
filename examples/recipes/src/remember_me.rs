//! Remember me: for those who want it, the session and its cookie outlive the browser.

use std::time::Duration;

use asm_tower::{Result, Rotation, Session};
use axum::{Form, Router, routing::post};
use serde::Deserialize;

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/", post(log_in))
        .route("/forget", post(forget))
}

/// Fourteen days without a visit. The absolute lifetime of the application still holds.
const LONG: Duration = Duration::from_secs(14 * 24 * 60 * 60);

#[derive(Deserialize)]
struct Login {
    name: String,
    /// Browsers send a box only when it is ticked.
    remember: Option<String>,
}

async fn log_in(session: Session, Form(form): Form<Login>) -> Result<String> {
    session.regenerate(Rotation::Authenticate)?;
    session.insert("user", &form.name)?;
    session.set_lifetime(form.remember.map(|_| LONG))?;
    Ok("logged in".into())
}

/// From now on it ends with the browser, as usual.
async fn forget(session: Session) -> Result<String> {
    session.set_lifetime(None)?;
    Ok("forgotten".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::browser::{Browser, site};

    #[tokio::test]
    async fn only_a_cookie_that_is_to_last_has_an_end() {
        for (form, lasts) in [("name=ann", false), ("name=ann&remember=on", true)] {
            let mut browser = Browser::of(&site());
            let page = browser.post("/remember-me", form).await;
            let cookie = page.headers["set-cookie"].to_str().expect("ascii");
            let end = cookie.split_once("Max-Age=");
            let end = end.map(|(_, end)| end.parse::<u64>().expect("a number"));
            assert_eq!(end.is_some(), lasts, "{form}");
            // By the second, of which a part is over.
            assert!(
                end.is_none_or(|end| end.abs_diff(LONG.as_secs()) < 60),
                "{end:?}"
            );
        }
    }
}
