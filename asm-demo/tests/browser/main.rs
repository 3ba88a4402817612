//! Every step of the site in Chromium, on each driver: what it shows, in both themes, by keyboard, and
//! to those who do not see it.

#[path = "../site/mod.rs"]
mod site;
mod steps;
mod walker;

use std::{future::Future, time::Duration};

use asm_browser::Browser;
use asm_servers::Server;
use site::Site;
use tokio::sync::Mutex;
use walker::Walker;

/// Two browsers are enough at a time.
static TURN: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Chromium and its driver: ./test browser"]
async fn every_step_works_on_memory() {
    walk("memory", true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Chromium and its driver: ./test browser"]
async fn every_step_works_on_files() {
    let root = tempfile::tempdir().expect("a directory");
    let driver = format!("file:{}", root.path().display());
    walk(&driver, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Chromium and its driver, and a server: ./test browser"]
async fn every_step_works_on_redis() {
    let server = tokio::task::spawn_blocking(Server::start).await;
    let server = server.expect("no panic").expect("a server");
    walk(&server.url(), false).await;
}

/// Takes all steps with two browsers. No page shows which driver it is, so that it is enough to look
/// closely at those of one.
async fn walk(driver: &str, looks: bool) {
    let _turn = TURN.lock().await;
    let site = Site::start(&["serve", "--driver", driver]);
    let (one, other) = tokio::join!(Browser::start(), Browser::start());
    let ada = Walker::new(one, &site, looks);
    let also_ada = Walker::new(other, &site, looks);
    let all = async {
        steps::looking_around(&ada).await;
        steps::cart(&ada).await;
        steps::sign_in(&ada).await;
        steps::burst(&ada).await;
        steps::rotation(&ada).await;
        steps::tabs(&ada).await;
        steps::devices(&ada, &also_ada).await;
        steps::fields(&ada).await;
        steps::locks(&ada, &also_ada).await;
        steps::stored(&ada).await;
        steps::feed(&ada).await;
    };
    watched(all).await;
    ada.end().await;
    also_ada.end().await;
    drop(site);
}

/// Ends a test that hangs.
async fn watched<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(300), work)
        .await
        .expect("it hangs")
}
