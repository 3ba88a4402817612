//! Log in, log out, log out everywhere, and who may see a page.

use std::time::Duration;

use asm_tower::{ReadSession, Result, Rotation, Session, SessionError, StatusCode};
use axum::{
    Form, Router,
    extract::FromRequestParts,
    http::request::Parts,
    response::Redirect,
    routing::{get, post},
};
use serde::Deserialize;

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/", get(home))
        .route("/log-in", post(log_in))
        .route("/log-out", post(log_out))
        .route("/log-out-everywhere", post(log_out_everywhere))
        .route("/password", post(change_password))
}

#[derive(Deserialize)]
struct Credentials {
    name: String,
    password: String,
}

/// Whoever logged in. A handler that asks for one is shown to nobody else.
struct User(String);

impl<S: Send + Sync> FromRequestParts<S> for User {
    type Rejection = SessionError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        // For reading: it waits for no lock, whatever the mode of the route.
        let session = ReadSession::from_request_parts(parts, state).await?;
        let name = session.get("user")?;
        name.map(Self)
            .ok_or(SessionError::Rejected(StatusCode::UNAUTHORIZED))
    }
}

async fn home(User(name): User) -> String {
    format!("Hello, {name}.")
}

async fn log_in(session: Session, Form(form): Form<Credentials>) -> Result<Redirect> {
    if !is_right(&form) {
        return Err(SessionError::Rejected(StatusCode::FORBIDDEN));
    }
    // A new id, at once: whoever planted the old one, or still runs on it, is refused from now on.
    session.regenerate(Rotation::Authenticate)?;
    session.insert("user", &form.name)?;
    // To be listed, and revoked, together with this user's other sessions.
    session.bind_subject(&format!("user:{}", form.name)).await?;
    Ok(Redirect::to("/login"))
}

async fn log_out(session: Session) -> Result<Redirect> {
    // For everybody and at once; requests that still run bring nothing back.
    session.delete().await?;
    Ok(Redirect::to("/"))
}

async fn log_out_everywhere(User(name): User, session: Session) -> Result<String> {
    let user = session.sessions().subject(&format!("user:{name}"));
    let others = user.revoke_others(session.handle()?).await?;
    session.delete().await?;
    Ok(format!("{others} other devices were logged out, too."))
}

/// Only shortly after a login: a thief of an open browser cannot.
async fn change_password(User(name): User, session: Session) -> Result<String> {
    session.require_fresh(Duration::from_secs(5 * 60))?;
    Ok(format!("A new password for {name}."))
}

/// Your own way to tell: a hash of the password in a database, say.
fn is_right(form: &Credentials) -> bool {
    ["ann", "bob"].contains(&&*form.name) && form.password == "secret"
}

#[cfg(test)]
mod tests {
    use crate::browser::{Browser, site};

    const ANN: &str = "name=ann&password=secret";

    #[tokio::test]
    async fn who_logged_in_sees_the_page_until_the_log_out() {
        let mut browser = Browser::of(&site());
        assert_eq!(browser.get("/login").await.status, 401);
        let wrong = browser
            .post("/login/log-in", "name=ann&password=guess")
            .await;
        assert_eq!(wrong.status, 403);
        assert_eq!(browser.post("/login/log-in", ANN).await.status, 303);
        assert_eq!(browser.get("/login").await.text, "Hello, ann.");
        assert_eq!(browser.post("/login/password", "").await.status, 200);

        let stolen = browser.cookie.clone();
        assert_eq!(browser.post("/login/log-in", ANN).await.status, 303);
        let mut thief = Browser::of(&site());
        thief.cookie = stolen;
        assert_eq!(thief.get("/login").await.status, 401);

        assert_eq!(browser.post("/login/log-out", "").await.status, 303);
        assert_eq!(browser.cookie, None);
        assert_eq!(browser.get("/login").await.status, 401);
    }

    #[tokio::test]
    async fn a_user_logs_out_all_devices_and_nobody_else() {
        let site = site();
        let [mut phone, mut laptop, mut other] = [(); 3].map(|()| Browser::of(&site));
        phone.post("/login/log-in", ANN).await;
        laptop.post("/login/log-in", ANN).await;
        other
            .post("/login/log-in", "name=bob&password=secret")
            .await;
        let said = phone.post("/login/log-out-everywhere", "").await;
        assert_eq!(said.text, "1 other devices were logged out, too.");
        assert_eq!(laptop.get("/login").await.status, 401);
        assert_eq!(other.get("/login").await.text, "Hello, bob.");
    }
}
