//! Somebody who walks through the site with a browser, and looks closely at each page.

use std::path::PathBuf;

use asm_browser::{Browser, Scheme};
use serde_json::{Value, json};

use crate::site::Site;

/// A browser on a site.
pub(crate) struct Walker {
    pub(crate) browser: Browser,
    site: String,
    /// Where pictures go. Without, nothing is looked at closely.
    pictures: Option<PathBuf>,
}

impl Walker {
    pub(crate) fn new(browser: Browser, site: &Site, looks: bool) -> Self {
        let pictures = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("site");
        Self {
            browser,
            site: site.url.clone(),
            pictures: looks.then_some(pictures),
        }
    }

    /// Goes to a page of the site.
    pub(crate) async fn go(&self, path: &str) -> String {
        let url = format!("{}{path}", self.site.trim_end_matches('/'));
        self.browser.visit(&url).await
    }

    /// Goes to the page, signed in under this name.
    pub(crate) async fn sign_in(&self, name: &str) {
        self.go("/sign-in").await;
        self.browser.fill("#name", name).await;
        self.follow("form[action='/sign-in'] button").await;
        self.reads(&format!("You are signed in as {name}")).await;
    }

    /// Clicks what leads to another page.
    pub(crate) async fn follow(&self, selector: &str) {
        self.browser.follow(selector).await;
    }

    /// The page shows this text.
    pub(crate) async fn reads(&self, text: &str) {
        let script = "return document.querySelector('main').innerText";
        let page = self.browser.run(script).await;
        assert!(page.contains(text), "{text:?} is not in:\n{page}");
    }

    /// The page does not show this text.
    pub(crate) async fn does_not_read(&self, text: &str) {
        let page = self.browser.run("return document.body.innerText").await;
        assert!(!page.contains(text), "{text:?} is in:\n{page}");
    }

    /// The run that the page shows is over; answers what it says happened.
    pub(crate) async fn verdict(&self) -> String {
        let over = "
            const stream = document.querySelector('.run [data-stream]');
            return document.querySelector('.verdict') !== null &&
                (stream === null || stream.dataset.over === 'yes')";
        self.browser.until(over).await;
        self.browser.text(".verdict").await
    }

    /// How many elements a selector finds.
    pub(crate) async fn count(&self, selector: &str) -> u64 {
        let script = "return document.querySelectorAll(arguments[0]).length";
        let count = self.browser.run_with(script, &json!([selector])).await;
        count.as_u64().expect("a number")
    }

    /// The value of the site's cookie.
    pub(crate) async fn cookie(&self) -> Option<String> {
        let cookies = self.browser.cookies().await;
        assert!(cookies.len() < 2, "one is enough");
        let value = cookies.first()?["value"].as_str()?;
        Some(value.to_owned())
    }

    /// Looks at the page at hand: in both themes axe finds nothing, and a picture is taken; each
    /// control is reached by Tab.
    pub(crate) async fn look(&self, name: &str) {
        let Some(pictures) = &self.pictures else {
            return;
        };
        for scheme in [Scheme::Light, Scheme::Dark] {
            self.browser.prefer(scheme).await;
            let shown = format!(
                "const root = document.documentElement;
                return root.dataset.theme === {0:?} && getComputedStyle(root).colorScheme === {0:?}",
                scheme.name()
            );
            self.browser.until(&shown).await;
            self.is_accessible(&format!("{name}, {scheme:?}")).await;
            let file = pictures.join(format!("{name}-{}.png", scheme.name()));
            self.browser.picture(&file).await;
        }
        self.is_reached_by_keyboard(name).await;
        self.needs_no_network(name).await;
    }

    async fn is_accessible(&self, what: &str) {
        let there = self.browser.run("return typeof axe").await;
        if there != "object" {
            self.browser.run(include_str!("axe.min.js")).await;
        }
        let script = "return axe.run(document, { resultTypes: ['violations', 'incomplete'] }).then(found => ({
            passes: found.passes.length,
            violations: found.violations.map(one => one.id + ': ' + one.help + ' ' +
                one.nodes.map(node => node.html + ' ' + node.failureSummary).join(' ; ')),
        }))";
        let found = self.browser.run_with(script, &json!([])).await;
        assert_eq!(found["violations"], json!([]), "{what}");
        assert!(found["passes"].as_u64() > Some(10), "{what}: {found}");
    }

    /// Tab visits every control before it comes to the first one again.
    async fn is_reached_by_keyboard(&self, name: &str) {
        let begin = "
            const seen = window.reached = new Set();
            document.addEventListener('focusin', event => seen.add(event.target), true);
            document.activeElement?.blur();
            window.scrollTo(0, 0);
            const shown = one => one.checkVisibility() && !one.disabled && one.type !== 'hidden';
            window.controls = [...document.querySelectorAll(
                'a[href], button, input, select, textarea, [tabindex=\"0\"]')].filter(shown)
                // Of radio buttons the chosen one stands for all: arrows lead to the others.
                .filter(one => one.type !== 'radio' || one.checked);
            return window.controls.length";
        let controls = self.browser.run_with(begin, &json!([])).await;
        let controls = controls.as_u64().expect("a number");
        self.browser.tab(controls as usize + 2).await;
        let missed = "return window.controls.filter(one => !window.reached.has(one)).map(one => one.outerHTML)";
        let missed = self.browser.run_with(missed, &json!([])).await;
        assert_eq!(missed, json!([]), "{name}: Tab does not lead there");
        assert!(controls > 10, "{name}: {controls} controls are not all");
    }

    /// All that was loaded came from the site itself.
    async fn needs_no_network(&self, name: &str) {
        let script = "return performance.getEntriesByType('resource').map(one => one.name)
            .filter(one => !one.startsWith(location.origin + '/'))";
        let foreign = self.browser.run_with(script, &json!([])).await;
        assert_eq!(foreign, Value::Array(Vec::new()), "{name}");
    }

    /// No page did what its policy forbids, and no script failed.
    pub(crate) async fn end(self) {
        let complaints = self.browser.complaints().await;
        let serious: Vec<&String> = complaints
            .iter()
            .filter(|complaint| {
                complaint.contains("Content Security Policy") || complaint.contains("Uncaught")
            })
            .collect();
        assert!(serious.is_empty(), "{serious:?}");
        self.browser.quit().await;
    }
}
