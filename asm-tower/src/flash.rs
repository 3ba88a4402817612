//! Messages for the next page.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Result, Session};

/// The entry in which messages wait.
const KEY: &str = "_flash";

/// A message for the next page that the user sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flash {
    /// How it is meant.
    #[serde(rename = "l")]
    pub level: FlashLevel,
    /// What it says. It is text: whoever shows it in HTML escapes it.
    #[serde(rename = "t")]
    pub text: String,
}

/// How a message is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FlashLevel {
    /// For developers.
    Debug,
    /// For information.
    Info,
    /// Something was done.
    Success,
    /// Something is to be looked at.
    Warning,
    /// Something failed.
    Error,
}

impl fmt::Display for FlashLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Success => "success",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// Messages for the next page.
impl Session {
    /// Leaves a message for the next page. However many requests do so at the same time, each
    /// message is shown once.
    ///
    /// ```
    /// use asm_tower::{FlashLevel, Result, Session};
    ///
    /// async fn save(session: Session) -> Result<()> {
    ///     session.flash(FlashLevel::Success, "Your settings were saved.")
    /// }
    ///
    /// async fn page(session: Session) -> Result<String> {
    ///     let messages = session.flashes().await?;
    ///     Ok(messages.into_iter().map(|message| message.text).collect())
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn flash(&self, level: FlashLevel, text: impl Into<String>) -> Result<()> {
        let message = Flash {
            level,
            text: text.into(),
        };
        self.update(KEY, move |messages: Option<Vec<Flash>>| {
            let mut messages = messages.unwrap_or_default();
            messages.push(message.clone());
            Some(messages)
        })?;
        Ok(())
    }

    /// Takes all messages out, in the order in which they were left. Of several pages that are asked
    /// for at the same time, one shows them. Without a message it costs no call of the store.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub async fn flashes(&self) -> Result<Vec<Flash>> {
        if !self.contains_key(KEY)? {
            return Ok(Vec::new());
        }
        Ok(self.take(KEY).await?.unwrap_or_default())
    }
}
