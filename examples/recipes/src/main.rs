//! Serves all recipes, each below its name.

#[cfg(test)]
mod browser;
mod flash;
mod job;
mod live;
mod login;
mod oauth;
mod remember_me;

use asm_memory::MemoryDriver;
use asm_tower::{SessionLayer, Sessions};
use axum::Router;

fn app(sessions: Sessions) -> Result<Router, Box<dyn std::error::Error>> {
    let layer = SessionLayer::new(sessions).build()?;
    Ok(Router::new()
        .nest("/login", login::routes())
        .nest("/remember-me", remember_me::routes())
        .nest("/flash", flash::routes())
        .nest("/oauth", oauth::routes())
        .nest("/live", live::routes())
        .layer(layer))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions = Sessions::builder(MemoryDriver::new()).build()?;
    println!("the job counted to {}", job::run(&sessions, None).await?.1);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://{}/login", listener.local_addr()?);
    axum::serve(listener, app(sessions)?).await?;
    Ok(())
}
