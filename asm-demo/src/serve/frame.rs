//! What every page has: the steps, who is signed in, what happened last.

use asm_session::{InvalidReason, Origin};
use asm_tower::{Flash, LazySession, SessionError};
use axum::{extract::FromRequestParts, http::request::Parts};

use super::site::Site;

/// The entry with the name of who is signed in.
pub(super) const USER: &str = "asm-demo.user";

/// One thing to see on the site.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) path: &'static str,
    pub(super) name: &'static str,
    /// What it shows.
    pub(super) shows: &'static str,
}

/// All that there is to see, in the order in which to look at it.
pub(super) const STEPS: [Step; 10] = [
    Step {
        path: "/sign-in",
        name: "Sign in",
        shows: "The id is replaced at every login, so an id that somebody planted dies there.",
    },
    Step {
        path: "/cart",
        name: "A cart",
        shows: "A new session stores nothing before there is something to keep.",
    },
    Step {
        path: "/burst",
        name: "20 at once",
        shows: "One visitor sends 20 requests at the same moment: who waits, who merges, what is lost.",
    },
    Step {
        path: "/rotation",
        name: "New id under fire",
        shows: "The id is renewed while requests run on the old one, and nobody is logged out.",
    },
    Step {
        path: "/tabs",
        name: "Log out while saving",
        shows: "One tab logs out while another one saves, and the session stays ended.",
    },
    Step {
        path: "/devices",
        name: "Two browsers",
        shows: "All sessions of one account, and how to log out everywhere.",
    },
    Step {
        path: "/fields",
        name: "Counter and list",
        shows: "Values beside the entries that are changed without any lock.",
    },
    Step {
        path: "/feed",
        name: "Live changes",
        shows: "A page is told of each save as it happens, and of the end.",
    },
    Step {
        path: "/locks",
        name: "Locks",
        shows: "Who holds a lock, who waits for it, and how an operator frees it.",
    },
    Step {
        path: "/stored",
        name: "As stored",
        shows: "What stands in the store: plain, compressed, and sealed.",
    },
];

/// What every page has.
#[derive(Clone, Debug, Default)]
pub(super) struct Frame {
    /// The driver, as it was named on the command line.
    pub(super) driver: String,
    pub(super) here: Option<&'static Step>,
    /// Who is signed in.
    pub(super) user: Option<String>,
    /// The public half of the session's id, if it is stored.
    pub(super) handle: Option<String>,
    /// What happened last.
    pub(super) flashes: Vec<Flash>,
    /// Why the id that the browser brought opens nothing.
    pub(super) ended: Option<&'static str>,
}

impl Frame {
    pub(super) fn steps(&self) -> &'static [Step] {
        &STEPS
    }

    pub(super) fn is_here(&self, step: &Step) -> bool {
        self.here == Some(step)
    }

    pub(super) fn title(&self) -> &'static str {
        self.here.map_or("Start", |step| step.name)
    }

    pub(super) fn shows(&self) -> &'static str {
        self.here.map_or("", |step| step.shows)
    }
}

impl FromRequestParts<Site> for Frame {
    type Rejection = SessionError;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, SessionError> {
        let lazy = LazySession::from_request_parts(parts, site).await?;
        let session = lazy.open().await?;
        let path = parts.uri.path();
        Ok(Self {
            driver: site.driver.clone(),
            here: STEPS.iter().find(|step| step.path == path),
            user: session.get(USER)?,
            handle: if session.is_new()? {
                None
            } else {
                Some(session.handle()?.to_string())
            },
            flashes: session.flashes().await?,
            ended: match session.origin()? {
                Origin::Replaced(reason) => Some(ended(reason)),
                _ => None,
            },
        })
    }
}

const fn ended(reason: InvalidReason) -> &'static str {
    match reason {
        InvalidReason::Stale => {
            "The id that this browser brought was replaced by a newer one, and opens nothing any more."
        }
        InvalidReason::Tampered => {
            "The record of this browser's session was changed by somebody else, and is not opened."
        }
        _ => {
            "The session of this browser has ended: it was logged out elsewhere, or its time is over."
        }
    }
}
