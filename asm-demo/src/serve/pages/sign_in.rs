//! Log in and log out.

use askama::Template;
use asm_tower::{FlashLevel, Result, Rotation, Session};
use axum::{
    Form, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::serve::{
    frame::{Frame, USER},
    site::Site,
    words::{Told, html, told},
};

/// The entry with the print of the id that was replaced.
const BEFORE: &str = "id_before";

const LONGEST_NAME: usize = 40;

pub(super) fn routes() -> Router<Site> {
    Router::new()
        .route("/sign-in", get(page).post(sign_in))
        .route("/sign-out", post(sign_out))
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct Page {
    frame: Frame,
    /// What led here.
    why: Option<&'static str>,
    /// The print of the id before the login, and of the one now.
    prints: Option<(String, String)>,
}

#[derive(Deserialize)]
struct Why {
    first: Option<String>,
    out: Option<String>,
}

async fn page(
    State(site): State<Site>,
    mut frame: Frame,
    session: Session,
    headers: HeaderMap,
    Query(why): Query<Why>,
) -> Result<Response> {
    let why = if why.out.is_some() {
        // It is told here already.
        frame.ended = None;
        Some(
            "You are logged out: the session is gone from the store, and the cookie from this browser.",
        )
    } else if why.first.is_some() {
        Some("Sign in first: what you were about to see is done with a session of yours.")
    } else {
        None
    };
    let now = print(&site, &headers);
    let prints = match (&frame.user, session.get(BEFORE)?, now) {
        (Some(_), Some(before), Some(now)) => Some((before, now)),
        _ => None,
    };
    Ok(html(&Page { frame, why, prints }))
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

async fn sign_in(
    State(site): State<Site>,
    session: Session,
    headers: HeaderMap,
    Form(Name { name }): Form<Name>,
) -> Result<Response> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > LONGEST_NAME {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        let sentence = format!("A name has 1 to {LONGEST_NAME} characters.");
        return Ok(told(&headers, &Told { status, sentence }));
    }
    let before = print(&site, &headers);
    session.regenerate(Rotation::Authenticate)?;
    session.insert(USER, name)?;
    let said = match &before {
        Some(before) => {
            session.insert(BEFORE, before)?;
            format!(
                "You are signed in as {name}: the id was replaced, and every earlier one ended."
            )
        }
        None => {
            session.remove(BEFORE)?;
            format!(
                "You are signed in as {name}: a session was stored, under an id that nobody chose for you."
            )
        }
    };
    session.flash(FlashLevel::Success, said)?;
    session.bind_subject(&Site::account(name)).await?;
    Ok(Redirect::to("/sign-in").into_response())
}

async fn sign_out(session: Session) -> Result<Redirect> {
    session.delete().await?;
    Ok(Redirect::to("/sign-in?out=yes"))
}

/// Some digits of the digest of the id that a request brought: enough to see that it changes, and of
/// no use to anybody.
fn print(site: &Site, headers: &HeaderMap) -> Option<String> {
    let digest = Sha256::digest(site.brought(headers)?);
    Some(
        digest[..4]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    )
}
