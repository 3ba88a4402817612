//! The chapters of the manual.

use crate::{Client, IdUpdate, Result, SessionError, Sessions};

macro_rules! chapters {
    ($($name:ident,)*) => {
        $(
            #[doc = include_str!(concat!("../docs/", stringify!($name), ".md"))]
            pub mod $name {}
        )*
    };
}

chapters! {
    locking,
    merging,
    ids,
    lifetimes,
    bytes,
    presets,
    faq,
}

/// What the examples of the chapters begin with: a stored session in which `n` is 0; its id.
///
/// # Errors
/// Those of a save.
#[doc(hidden)]
pub async fn example(sessions: &Sessions) -> Result<String> {
    let mut session = sessions.create(&Client::default())?;
    session.write().await?.insert("n", &0)?;
    session.close().await?;
    match session.id_update() {
        IdUpdate::Issue(id) => Ok(id.expose().to_string()),
        _ => Err(SessionError::Usage("this session is not stored")),
    }
}
