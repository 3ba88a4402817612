//! Who holds the locks of an account's sessions, and how they are freed by force.

use std::{pin::pin, time::Duration};

use askama::Template;
use asm_session::{Broken, Fence, Key, SessionError as Inner};
use asm_tower::{FlashLevel, LockedSession, ReadSession, Result, Session, SessionError};
use axum::{
    Form, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use futures_util::{StreamExt, stream};
use serde::Deserialize;

use super::{MERGING, replace, sign_in_first, streamed};
use crate::serve::{
    frame::{Frame, USER},
    site::Site,
    words::{Told, html, sentence, told},
};

/// How often a holder asks whether the lock is still its own, and the inspector who holds it.
const LOOK: Duration = Duration::from_millis(250);

/// The longest that a visitor may hold the lock, in seconds.
const LONGEST: u64 = 60;

pub(super) fn routes() -> Router<Site> {
    Router::new()
        .route("/locks", get(page))
        .route("/locks/live", get(live))
        .route("/locks/hold", post(hold))
        // Who frees a lock waits for none: it may be the own one.
        .route("/locks/free", post(free).layer(MERGING))
}

#[derive(Template)]
#[template(path = "locks.html")]
struct Page {
    frame: Frame,
    table: Table,
}

/// The sessions of the account, and their locks.
#[derive(Clone, Debug, PartialEq, Eq, Template)]
#[template(path = "lock_table.html")]
struct Table {
    rows: Vec<Row>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    handle: String,
    here: bool,
    holder: Option<Holder>,
    waiters: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Holder {
    label: String,
    fence: u64,
}

async fn page(State(site): State<Site>, frame: Frame, session: ReadSession) -> Result<Response> {
    let rows = match &frame.user {
        Some(user) => rows(&site, user, session.handle()?).await?,
        None => Vec::new(),
    };
    let table = Table { rows };
    Ok(html(&Page { frame, table }))
}

/// The table whenever it changes, for as long as its visitor is signed in.
async fn live(State(site): State<Site>, session: ReadSession) -> Result<Response> {
    let Some(user) = session.get::<String>(USER)? else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let here = session.handle()?;
    let looks = stream::unfold((site.clone(), user, None), move |state| async move {
        let (site, user, mut last) = state;
        loop {
            // What cannot be read now is perhaps read the next time.
            if let Ok(rows) = rows(&site, &user, here).await {
                if !rows.iter().any(|row| row.here) {
                    return None;
                }
                let table = Table { rows };
                if last.as_ref() != Some(&table) {
                    last = Some(table.clone());
                    return Some((replace(&table), (site, user, last)));
                }
            }
            site.sessions.sleep(LOOK).await;
        }
    });
    Ok(streamed(&site, looks.boxed()))
}

async fn rows(site: &Site, user: &str, here: Key) -> Result<Vec<Row>, Inner> {
    let mut rows = Vec::new();
    for listed in site.sessions.subject(&Site::account(user)).list().await? {
        let lock = site.sessions.by_handle(listed.handle).inspect().await?;
        rows.push(Row {
            handle: listed.handle.to_string(),
            here: listed.handle == here,
            holder: lock.holder.map(|holder| Holder {
                label: holder.label.as_str().to_owned(),
                fence: holder.fence.get(),
            }),
            waiters: lock
                .waiters
                .iter()
                .map(|waiter| waiter.label.as_str().to_owned())
                .collect(),
        });
    }
    Ok(rows)
}

#[derive(Deserialize)]
struct Hold {
    seconds: u64,
}

/// Holds the lock until the time is over, the visitor hangs up, the site ends, or the lock is lost.
async fn hold(
    State(site): State<Site>,
    session: LockedSession,
    headers: HeaderMap,
    Form(Hold { seconds }): Form<Hold>,
) -> Result<Response> {
    if !session.contains_key(USER)? {
        return Ok(sign_in_first());
    }
    session.insert("held", &seconds)?;
    let time = Duration::from_secs(seconds.clamp(1, LONGEST));
    let ended = {
        let over = pin!(async {
            tokio::select! {
                () = site.sessions.sleep(time) => {}
                () = site.stopped() => {}
            }
        });
        tokio::select! {
            () = over => Ok(()),
            error = lost(&site, &session) => Err(error),
        }
    };
    let told_as = match ended {
        Ok(()) => Told {
            status: StatusCode::OK,
            sentence: format!(
                "This request held the lock for {} s and saved what it wanted to; the lock is free.",
                time.as_secs()
            ),
        },
        Err(error) => {
            session.discard()?;
            Told {
                status: error.status(),
                sentence: sentence(&error),
            }
        }
    };
    Ok(told(&headers, &told_as))
}

/// Asks now and then whether the lock is still held; answers why it is not.
async fn lost(site: &Site, session: &Session) -> SessionError {
    loop {
        site.sessions.sleep(LOOK).await;
        match session.validate_lock().await {
            Ok(()) => {}
            // The store did not answer, so nothing is known: it is asked again.
            Err(SessionError::Session(Inner::Store(error))) if error.is_retryable() => {}
            Err(error) => return error,
        }
    }
}

#[derive(Deserialize)]
struct Free {
    handle: String,
    fence: u64,
}

/// Frees one grant of a lock by force.
async fn free(
    State(site): State<Site>,
    session: Session,
    Form(Free { handle, fence }): Form<Free>,
) -> Result<Response> {
    let Some(user) = session.get::<String>(USER)? else {
        return Ok(sign_in_first());
    };
    let said = match site.of_account(&user, &handle).await? {
        None => "That session is not one of this account, or has ended already.".to_owned(),
        Some(mine) => {
            let lock = site.sessions.by_handle(mine);
            match lock.break_lock(Some(Fence::new(fence))).await? {
                Broken::Done { fence, label } => format!(
                    "Grant {fence} of the lock was ended by force; \"{}\" had it, and can save nothing \
                     under it any more.",
                    label.as_str()
                ),
                _ => format!("Grant {fence} had ended already, so nothing was freed."),
            }
        }
    };
    session.flash(FlashLevel::Info, said)?;
    Ok(Redirect::to("/locks").into_response())
}
