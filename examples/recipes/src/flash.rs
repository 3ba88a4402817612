//! A message for the next page: it is shown once, whichever page comes first.

use asm_tower::{FlashLevel, Result, Session};
use axum::{
    Router,
    response::Redirect,
    routing::{get, post},
};

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/", get(page))
        .route("/save", post(save))
}

async fn save(session: Session) -> Result<Redirect> {
    session.flash(FlashLevel::Success, "Your settings were saved.")?;
    Ok(Redirect::to("/flash"))
}

async fn page(session: Session) -> Result<String> {
    let messages = session.flashes().await?;
    let lines = messages
        .iter()
        .map(|message| format!("{}: {}\n", message.level, message.text));
    Ok(lines.collect())
}

#[cfg(test)]
mod tests {
    use crate::browser::{Browser, site};

    #[tokio::test]
    async fn it_is_shown_once() {
        let mut browser = Browser::of(&site());
        assert_eq!(browser.get("/flash").await.text, "");
        let saved = browser.post("/flash/save", "").await;
        assert_eq!(saved.headers["location"], "/flash");
        let shown = browser.get("/flash").await.text;
        assert_eq!(shown, "success: Your settings were saved.\n");
        assert_eq!(browser.get("/flash").await.text, "");
    }
}
