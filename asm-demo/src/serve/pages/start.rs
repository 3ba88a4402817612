//! Where one begins.

use askama::Template;
use axum::{Router, response::Response, routing::get};

use crate::serve::{frame::Frame, site::Site, words::html};

pub(super) fn routes() -> Router<Site> {
    Router::new().route("/", get(page))
}

#[derive(Template)]
#[template(path = "start.html")]
struct Page {
    frame: Frame,
}

async fn page(frame: Frame) -> Response {
    html(&Page { frame })
}
