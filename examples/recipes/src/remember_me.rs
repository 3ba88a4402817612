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
    use crate::browser::{Browser, site};

    #[tokio::test]
    async fn only_a_cookie_that_is_to_last_has_an_end() {
        for (form, lasts) in [("name=ann", false), ("name=ann&remember=on", true)] {
            let mut browser = Browser::of(&site());
            // Ten minutes, until the client has come back once: whoever never does is soon forgotten.
            for end in ["Max-Age=600", "Max-Age=1209600"] {
                let page = browser.post("/remember-me", form).await;
                let cookie = page.headers["set-cookie"].to_str().expect("ascii");
                assert_eq!(cookie.ends_with(end), lasts, "{form}: {end}");
                assert_eq!(cookie.contains("Max-Age"), lasts, "{form}");
            }
        }
    }
}
