//! Records as the store has them.

use askama::Template;
use asm_tower::Result;
use axum::{
    Form, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::get,
};
use serde::Deserialize;

use crate::serve::{
    frame::Frame,
    site::Site,
    vault::Stored,
    words::{Told, html, told},
};

/// What stands in the form at first.
const NOTE: &str = "Two tickets to Lisbon, two tickets to Porto, two tickets to Lisbon again, and the \
                    hotel in Lisbon for two nights, two breakfasts included.";

/// How long a note may be, in characters.
const LONGEST: usize = 2000;

pub(super) fn routes() -> Router<Site> {
    Router::new().route("/stored", get(page).post(show))
}

#[derive(Template)]
#[template(path = "stored.html")]
struct Page {
    frame: Frame,
    note: String,
    longest: usize,
    stored: Vec<Stored>,
}

async fn page(frame: Frame) -> Response {
    html(&Page {
        frame,
        note: NOTE.into(),
        longest: LONGEST,
        stored: Vec::new(),
    })
}

#[derive(Deserialize)]
struct Note {
    note: String,
}

async fn show(
    State(site): State<Site>,
    frame: Frame,
    headers: HeaderMap,
    Form(Note { note }): Form<Note>,
) -> Result<Response> {
    if note.trim().is_empty() || note.chars().count() > LONGEST {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        let sentence = format!("A note has 1 to {LONGEST} characters.");
        return Ok(told(&headers, &Told { status, sentence }));
    }
    let stored = site.vault.show(&note).await?;
    Ok(html(&Page {
        frame,
        note,
        longest: LONGEST,
        stored,
    }))
}
