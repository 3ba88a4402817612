//! What the tests' sites do.

use asm_session::Rotation;
use asm_tower::{Result, Session};

/// Counts.
pub(crate) async fn count(session: Session) -> Result<String> {
    Ok(session.add("n", 1)?.to_string())
}

/// Tells how far it is counted.
pub(crate) async fn show(session: Session) -> Result<String> {
    Ok(session.get_or("n", 0)?.to_string())
}

pub(crate) async fn renew(session: Session) -> Result<()> {
    session.regenerate(Rotation::renew())
}

pub(crate) async fn log_in(session: Session) -> Result<()> {
    session.regenerate(Rotation::Authenticate)?;
    session.insert("user", &42)
}

pub(crate) async fn log_out(session: Session) -> Result<()> {
    session.delete().await
}
