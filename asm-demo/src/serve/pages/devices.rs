//! All sessions of one account.

use askama::Template;
use asm_session::{Key, Profile, SubjectSession};
use asm_tower::{FlashLevel, Result, Session};
use axum::{
    Form, Router,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use serde::Deserialize;

use super::sign_in_first;
use crate::serve::{
    frame::{Frame, USER},
    site::Site,
    words::html,
};

pub(super) fn routes() -> Router<Site> {
    Router::new()
        .route("/devices", get(page))
        .route("/devices/end", post(end))
        .route("/devices/others", post(others))
        .route("/devices/all", post(all))
}

#[derive(Template)]
#[template(path = "devices.html")]
struct Page {
    frame: Frame,
    devices: Vec<Device>,
    /// This site under its other name, which has cookies of its own.
    elsewhere: String,
}

/// A session of the account.
struct Device {
    handle: String,
    agent: String,
    address: String,
    age: String,
    here: bool,
}

async fn page(
    State(site): State<Site>,
    frame: Frame,
    session: Session,
    headers: HeaderMap,
) -> Result<Response> {
    let mut devices = Vec::new();
    if let Some(user) = &frame.user {
        let here = session.handle()?;
        for listed in site.sessions.subject(&Site::account(user)).list().await? {
            devices.extend(device(&site, listed, here).await?);
        }
    }
    let host = headers.get("host").and_then(|host| host.to_str().ok());
    let name = match host {
        Some(host) if host.starts_with("localhost") => "127.0.0.1",
        _ => "localhost",
    };
    let elsewhere = format!("http://{name}:{}/sign-in", site.port);
    Ok(html(&Page {
        frame,
        devices,
        elsewhere,
    }))
}

async fn device(site: &Site, listed: SubjectSession, here: Key) -> Result<Option<Device>> {
    // It may have ended since it was listed.
    let Some(info) = site.sessions.by_handle(listed.handle).info().await? else {
        return Ok(None);
    };
    let profile = info.profiles().last();
    let agent = profile.and_then(|profile| profile.user_agent());
    let ip = profile.and_then(Profile::ip);
    Ok(Some(Device {
        handle: listed.handle.to_string(),
        agent: agent.map_or_else(|| "a browser that does not say".to_owned(), browser),
        address: ip.map_or_else(|| "unknown".to_owned(), |ip| ip.to_string()),
        age: ago(info.age().as_secs()),
        here: listed.handle == here,
    }))
}

/// The browser, and what it runs on, of a user agent: as much as people know.
fn browser(agent: &str) -> String {
    let named = |names: &[(&str, &'static str)]| {
        let found = names.iter().find(|(sign, _)| agent.contains(sign));
        found.map(|(_, name)| *name)
    };
    let program = named(&[
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("HeadlessChrome/", "Chrome without a screen"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ]);
    let system = named(&[
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
    ]);
    match (program, system) {
        (Some(program), Some(system)) => format!("{program} on {system}"),
        (Some(program), None) => program.to_owned(),
        _ => agent.chars().take(60).collect(),
    }
}

fn ago(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        _ => format!("{} h ago", seconds / 3600),
    }
}

#[derive(Deserialize)]
struct One {
    handle: String,
}

/// Ends one session of the account.
async fn end(
    State(site): State<Site>,
    session: Session,
    Form(One { handle }): Form<One>,
) -> Result<Response> {
    let Some(user) = session.get::<String>(USER)? else {
        return Ok(sign_in_first());
    };
    let said = match site.of_account(&user, &handle).await? {
        None => "That session is not one of this account, or has ended already.",
        Some(mine) if mine == session.handle()? => {
            session.delete().await?;
            return Ok(Redirect::to("/sign-in?out=yes").into_response());
        }
        Some(mine) => {
            site.sessions.by_handle(mine).delete().await?;
            "That session has ended: its browser is logged out with its next request."
        }
    };
    session.flash(FlashLevel::Info, said)?;
    Ok(Redirect::to("/devices").into_response())
}

/// Ends all other sessions of the account.
async fn others(State(site): State<Site>, session: Session) -> Result<Response> {
    let Some(user) = session.get::<String>(USER)? else {
        return Ok(sign_in_first());
    };
    let account = site.sessions.subject(&Site::account(&user));
    let ended = account.revoke_others(session.handle()?).await?;
    let ended = match ended {
        0 => "there was no other session".to_owned(),
        1 => "one other session has ended".to_owned(),
        ended => format!("{ended} other sessions have ended"),
    };
    session.flash(
        FlashLevel::Success,
        format!("You are logged out everywhere else: {ended}, and this one lives."),
    )?;
    Ok(Redirect::to("/devices").into_response())
}

/// Ends all sessions of the account, this one included.
async fn all(State(site): State<Site>, session: Session) -> Result<Response> {
    let Some(user) = session.get::<String>(USER)? else {
        return Ok(sign_in_first());
    };
    site.sessions
        .subject(&Site::account(&user))
        .revoke_all()
        .await?;
    // Its cookie goes, too.
    session.delete().await?;
    Ok(Redirect::to("/sign-in?out=yes").into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_have_names() {
        let chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
                      Chrome/140.0.0.0 Safari/537.36";
        assert_eq!(browser(chrome), "Chrome on Linux");
        let safari = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 \
                      Version/18.0 Mobile/15E148 Safari/604.1";
        assert_eq!(browser(safari), "Safari on iPhone");
        assert_eq!(browser("curl/8.5.0"), "curl/8.5.0");
        assert_eq!(browser(&"x".repeat(500)).len(), 60);
    }
}
