//! A cart.

use std::collections::BTreeMap;

use askama::Template;
use asm_tower::{FlashLevel, ReadSession, Result, Session};
use axum::{
    Form, Router,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use serde::Deserialize;

use super::MERGING;
use crate::serve::{
    frame::Frame,
    site::Site,
    words::{Told, html, told},
};

const CART: &str = "cart";

const GOODS: [&str; 4] = ["Book", "Lamp", "Chair", "Teapot"];

pub(super) fn routes() -> Router<Site> {
    Router::new()
        .route("/cart", get(page))
        .route("/cart/add", post(add).layer(MERGING))
        .route("/cart/empty", post(empty))
}

type Cart = BTreeMap<String, u32>;

#[derive(Template)]
#[template(path = "cart.html")]
struct Page {
    frame: Frame,
    goods: &'static [&'static str],
    cart: Cart,
}

async fn page(frame: Frame, session: ReadSession) -> Result<Response> {
    let cart = session.get_or(CART, Cart::new())?;
    let goods = &GOODS;
    Ok(html(&Page { frame, goods, cart }))
}

#[derive(Deserialize)]
struct Item {
    item: String,
}

async fn add(
    session: Session,
    headers: HeaderMap,
    Form(Item { item }): Form<Item>,
) -> Result<Response> {
    if !GOODS.contains(&item.as_str()) {
        let sentence = "There is no such thing in this shop.".to_owned();
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        return Ok(told(&headers, &Told { status, sentence }));
    }
    let said = if session.is_new()? {
        format!(
            "One {item} is in the cart: with it a session was stored, and this browser got its cookie."
        )
    } else {
        format!("One {item} more is in the cart, whatever other tabs put there at the same time.")
    };
    session.update(CART, move |cart: Option<Cart>| {
        let mut cart = cart.unwrap_or_default();
        let number = cart.entry(item.clone()).or_default();
        *number = number.saturating_add(1);
        Some(cart)
    })?;
    session.flash(FlashLevel::Success, said)?;
    Ok(Redirect::to("/cart").into_response())
}

async fn empty(session: Session) -> Result<Redirect> {
    if session.remove(CART)? {
        session.flash(
            FlashLevel::Success,
            "The cart is empty; the session lives on.",
        )?;
    }
    Ok(Redirect::to("/cart"))
}
