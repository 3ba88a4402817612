use asm_memory::MemoryDriver;
use asm_tower::{Result, Session, SessionLayer, Sessions};
use axum::{Router, routing::get};

/// Counts the visits of each browser.
async fn visits(session: Session) -> Result<String> {
    let visits = session.add("visits", 1)?;
    Ok(format!("This is your visit number {visits}."))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions = Sessions::builder(MemoryDriver::new()).build()?;
    let layer = SessionLayer::new(sessions).build()?;
    let app = Router::new().route("/", get(visits)).layer(layer);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn each_browser_has_its_own_count() -> Result<(), Box<dyn std::error::Error>> {
        let sessions = Sessions::builder(MemoryDriver::new()).build()?;
        let layer = SessionLayer::new(sessions).build()?;
        let app = Router::new().route("/", get(visits)).layer(layer);
        for _browser in 0..2 {
            let mut cookie = "none=1".to_owned();
            for visit in 1..=3 {
                let request = Request::get("/").header("cookie", &cookie);
                let response = app.clone().oneshot(request.body(Body::empty())?).await?;
                if let Some(set) = response.headers().get("set-cookie") {
                    assert_eq!(visit, 1, "it is set once");
                    cookie = set.to_str()?.split(';').next().unwrap_or_default().into();
                }
                let text = response.into_body().collect().await?.to_bytes();
                assert_eq!(text, format!("This is your visit number {visit}."));
            }
        }
        Ok(())
    }
}
