//! A login elsewhere, by OAuth 2 or OpenID Connect: its state comes back, and counts once.

use asm_tower::{Entry, Result, Rotation, Session, SessionError, StatusCode, Typed};
use axum::{Router, extract::Query, response::Redirect, routing::get};
use serde::{Deserialize, Serialize};

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/begin", get(begin))
        .route("/callback", get(callback))
}

/// What is remembered while the user is at the provider's.
#[derive(Serialize, Deserialize)]
struct Pending {
    state: String,
    return_to: String,
}

impl Entry for Pending {
    const KEY: &'static str = "oauth";
}

#[derive(Deserialize)]
struct Wish {
    return_to: Option<String>,
}

async fn begin(pending: Typed<Pending>, Query(wish): Query<Wish>) -> Result<Redirect> {
    let state = random().map_err(|_| SessionError::Rejected(StatusCode::SERVICE_UNAVAILABLE))?;
    let provider = format!("https://login.example/authorize?client_id=recipes&state={state}");
    // Only a path of ours: else anybody could send our users anywhere.
    let ours = |path: &String| path.starts_with('/') && !path.starts_with("//");
    let return_to = wish.return_to.filter(ours).unwrap_or_else(|| "/".into());
    pending.set(&Pending { state, return_to })?;
    Ok(Redirect::to(&provider))
}

#[derive(Deserialize)]
struct Callback {
    state: String,
    code: String,
}

async fn callback(
    session: Session,
    pending: Typed<Pending>,
    Query(callback): Query<Callback>,
) -> Result<Redirect> {
    // Of all callbacks that come, however many at once, exactly one gets it.
    let pending = pending.take().await?;
    let pending = pending.filter(|pending| pending.state == callback.state);
    let Some(pending) = pending else {
        return Err(SessionError::Rejected(StatusCode::BAD_REQUEST));
    };
    let user = exchange(&callback.code).await;
    session.regenerate(Rotation::Authenticate)?;
    session.insert("user", &user)?;
    Ok(Redirect::to(&pending.return_to))
}

/// Asks the provider who brought this code.
async fn exchange(code: &str) -> String {
    format!("the owner of {code}")
}

/// 256 bits from the operating system.
fn random() -> std::result::Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use crate::browser::{Browser, site};

    #[tokio::test]
    async fn a_state_counts_once_and_in_its_own_browser() {
        let site = site();
        let mut browser = Browser::of(&site);
        let begun = browser.get("/oauth/begin?return_to=/cart").await;
        let provider = begun.headers["location"]
            .to_str()
            .expect("ascii")
            .to_owned();
        let (_, state) = provider.split_once("&state=").expect("a state");
        assert_eq!(state.len(), 64);
        let callback = format!("/oauth/callback?code=abc&state={state}");
        let stranger = Browser::of(&site).get(&callback).await;
        assert_eq!(stranger.status, 400);
        let before = browser.cookie.clone();
        let back = browser.get(&callback).await;
        assert_eq!(back.headers["location"], "/cart");
        assert_ne!(browser.cookie, before, "a login gives a new id");
        assert_eq!(browser.get(&callback).await.status, 400, "once");
    }

    #[tokio::test]
    async fn a_wrong_state_ends_the_attempt_and_no_page_elsewhere_is_gone_to() {
        let mut browser = Browser::of(&site());
        let begun = browser.get("/oauth/begin?return_to=//evil.example").await;
        let provider = begun.headers["location"]
            .to_str()
            .expect("ascii")
            .to_owned();
        let (_, state) = provider.split_once("&state=").expect("a state");
        let right = format!("/oauth/callback?code=abc&state={state}");
        let mut other = Browser::of(&site());
        let begun = other.get("/oauth/begin?return_to=//evil.example").await;
        assert_eq!(begun.status, 303);
        let forged = other.get("/oauth/callback?code=abc&state=forged").await;
        assert_eq!(forged.status, 400);
        assert_eq!(browser.get(&right).await.headers["location"], "/");
    }
}
