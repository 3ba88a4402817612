//! Chromium without a screen, for tests: driven by its own driver over the WebDriver protocol of the
//! W3C.
//!
//! ```no_run
//! use asm_browser::Browser;
//!
//! # async fn example() {
//! let browser = Browser::start().await;
//! browser.visit("http://localhost:3000/").await;
//! assert_eq!(browser.run("return document.title").await, "A page");
//! browser.quit().await;
//! # }
//! ```
//!
//! It is for tests, so whatever goes wrong is a panic that says so. A browser that is dropped is
//! ended.
//!
//! # What must be installed
//!
//! `chromium` and `chromedriver`; `CHROMEDRIVER` names another program.

mod browser;

pub use browser::{Browser, Scheme};
