//! One browser.

use std::{
    fs,
    io::{self, BufRead, BufReader, Lines, Write},
    net,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use base64ct::{Base64, Encoding};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;

/// How long the driver may take to end a browser that nobody waits for.
const PATIENCE: Duration = Duration::from_secs(5);

/// A browser with a profile of its own, and the program that drives it.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    /// Kept open: it may say more.
    _said: Lines<BufReader<ChildStdout>>,
    _profile: TempDir,
}

/// What a browser says its user likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Scheme {
    /// Its name in CSS.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

impl Browser {
    /// Starts one.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start() -> Self {
        let program = std::env::var("CHROMEDRIVER").unwrap_or_else(|_| "chromedriver".into());
        let started = Command::new(&program)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut driver = started.unwrap_or_else(|error| panic!("{program}: {error}"));
        let mut said = BufReader::new(driver.stdout.take().expect("piped")).lines();
        let port = said.find_map(|line| {
            let line = line.expect("it says where it listens");
            let (_, port) = line.rsplit_once("started successfully on port ")?;
            port.trim_end_matches('.').parse().ok()
        });
        let profile = tempfile::tempdir().expect("a directory");
        let mut browser = Self {
            driver,
            port: port.expect("it listens"),
            session: String::new(),
            _said: said,
            _profile: profile,
        };
        let folder = format!("--user-data-dir={}", browser._profile.path().display());
        let options = json!({ "args": [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-dev-shm-usage", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--window-size=1280,1000", folder,
        ]});
        let wish = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
        }}});
        let opened = browser.call(Method::POST, "/session", &wish).await;
        browser.session = opened["sessionId"].as_str().expect("an id").to_owned();
        browser
    }

    /// Goes there, and answers the text of the page once it is loaded.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn visit(&self, url: &str) -> String {
        self.ask(Method::POST, "/url", &json!({ "url": url })).await;
        self.run("return document.body.innerText").await
    }

    /// Runs a script in the page. A promise is waited for. What is no text is answered as JSON.
    ///
    /// # Panics
    /// When it fails.
    pub async fn run(&self, script: &str) -> String {
        match self.run_with(script, &json!([])).await {
            Value::String(text) => text,
            other => other.to_string(),
        }
    }

    /// Runs a script in the page, which finds its arguments in `arguments`.
    ///
    /// # Panics
    /// When it fails.
    pub async fn run_with(&self, script: &str, arguments: &Value) -> Value {
        let call = json!({ "script": script, "args": arguments });
        self.ask(Method::POST, "/execute/sync", &call).await
    }

    /// Waits until a script answers `true`, also while pages are left and loaded.
    ///
    /// # Panics
    /// When it answers something else for so long that nobody believes in it any more.
    pub async fn until(&self, script: &str) {
        // Each try is waited for in the page, so that nothing here spins.
        let patient = format!(
            "const holds = () => {{ try {{ return (() => {{ {script} }})() === true; }} catch {{ return false; }} }};
            return new Promise(done => {{
                const end = Date.now() + 1000;
                const look = () => holds() ? done(true) : Date.now() > end ? done(false) : setTimeout(look, 15);
                look();
            }})"
        );
        let call = json!({ "script": patient, "args": [] });
        for _ in 0..60 {
            // A page that is left in the middle ends its scripts: that is no answer.
            let answer = self.try_ask(Method::POST, "/execute/sync", &call).await;
            if answer.is_ok_and(|answer| answer == json!(true)) {
                return;
            }
        }
        let text = self.run("return document.body.innerText").await;
        panic!("it never held: {script}\n{text}");
    }

    /// Clicks the element that a CSS selector finds first.
    ///
    /// # Panics
    /// When there is none, or it cannot be clicked.
    pub async fn click(&self, selector: &str) {
        let element = self.element(selector).await;
        let what = format!("/element/{element}/click");
        self.ask(Method::POST, &what, &json!({})).await;
    }

    /// Clicks an element of the page that leads to another one, and waits for that.
    ///
    /// # Panics
    /// When there is none, or it leads nowhere.
    pub async fn follow(&self, selector: &str) {
        self.run("window.isLeft = false; return 1").await;
        self.click(selector).await;
        self.until("return window.isLeft === undefined && document.readyState === 'complete'")
            .await;
    }

    /// Types into the element that a CSS selector finds first, in place of what stands there.
    ///
    /// # Panics
    /// When there is none, or it takes no text.
    pub async fn fill(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        let clear = format!("/element/{element}/clear");
        self.ask(Method::POST, &clear, &json!({})).await;
        let value = format!("/element/{element}/value");
        self.ask(Method::POST, &value, &json!({ "text": text }))
            .await;
    }

    /// Presses Tab so often, and ends where that leads.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn tab(&self, times: usize) {
        let pressed = [
            json!({ "type": "keyDown", "value": "\u{e004}" }),
            json!({ "type": "keyUp", "value": "\u{e004}" }),
        ];
        let strokes: Vec<&Value> = pressed.iter().cycle().take(2 * times).collect();
        let actions = json!({ "actions": [{ "type": "key", "id": "keys", "actions": strokes }]});
        self.ask(Method::POST, "/actions", &actions).await;
    }

    /// The text of the element that a CSS selector finds first.
    ///
    /// # Panics
    /// When there is none.
    pub async fn text(&self, selector: &str) -> String {
        let script = "return document.querySelector(arguments[0]).innerText";
        let text = self.run_with(script, &json!([selector])).await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// The cookies that the page at hand would send.
    ///
    /// # Panics
    /// When it cannot say.
    pub async fn cookies(&self) -> Vec<Value> {
        let cookies = self.ask(Method::GET, "/cookie", &Value::Null).await;
        cookies.as_array().expect("a list").clone()
    }

    /// What pages and scripts complained of since this was last asked: errors of scripts, what a
    /// policy forbade, what could not be loaded.
    ///
    /// # Panics
    /// When it cannot say.
    pub async fn complaints(&self) -> Vec<String> {
        let wish = json!({ "type": "browser" });
        let entries = self.ask(Method::POST, "/se/log", &wish).await;
        let entries = entries.as_array().expect("a list");
        let text = |entry: &Value| entry["message"].as_str().unwrap_or_default().to_owned();
        entries.iter().map(text).collect()
    }

    /// Says that its user likes these colours.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn prefer(&self, scheme: Scheme) {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme.name() });
        let call = json!({
            "cmd": "Emulation.setEmulatedMedia",
            "params": { "features": [feature] },
        });
        self.ask(Method::POST, "/goog/cdp/execute", &call).await;
    }

    /// A picture of the whole page, as PNG in this file.
    ///
    /// # Panics
    /// When it cannot be made or written.
    pub async fn picture(&self, file: &Path) {
        let call = json!({
            "cmd": "Page.captureScreenshot",
            "params": { "captureBeyondViewport": true, "format": "png" },
        });
        let answer = self.ask(Method::POST, "/goog/cdp/execute", &call).await;
        let data = answer["data"].as_str().expect("a picture");
        let bytes = Base64::decode_vec(data).expect("base64");
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).expect("a directory");
        }
        fs::write(file, bytes).expect("it is written");
    }

    /// Opens another window with the same cookies, goes there, and answers its name.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn open_window(&self) -> String {
        let wish = json!({ "type": "tab" });
        let opened = self.ask(Method::POST, "/window/new", &wish).await;
        let name = opened["handle"].as_str().expect("a name").to_owned();
        self.switch_window(&name).await;
        name
    }

    /// The name of the window at hand.
    ///
    /// # Panics
    /// When it cannot say.
    pub async fn window(&self) -> String {
        let name = self.ask(Method::GET, "/window", &Value::Null).await;
        name.as_str().expect("a name").to_owned()
    }

    /// Goes to the window of this name.
    ///
    /// # Panics
    /// When there is none.
    pub async fn switch_window(&self, name: &str) {
        let wish = json!({ "handle": name });
        self.ask(Method::POST, "/window", &wish).await;
    }

    /// Closes the window at hand, and goes to that of this name.
    ///
    /// # Panics
    /// When there is none.
    pub async fn close_window(&self, then: &str) {
        self.ask(Method::DELETE, "/window", &Value::Null).await;
        self.switch_window(then).await;
    }

    /// Asks the driver something about this browser, by the protocol of the W3C.
    ///
    /// # Panics
    /// When it answers with an error.
    pub async fn ask(&self, method: Method, what: &str, with: &Value) -> Value {
        match self.try_ask(method, what, with).await {
            Ok(answer) => answer,
            Err(error) => panic!("{what}: {error}"),
        }
    }

    /// Ends it.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn quit(mut self) {
        self.ask(Method::DELETE, "", &Value::Null).await;
        self.call(Method::GET, "/shutdown", &Value::Null).await;
        self.driver.wait().expect("it ends");
    }

    /// Without a runtime, which may be about to end.
    fn end_session(&self) -> io::Result<()> {
        let mut stream = net::TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "DELETE /session/{} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            self.session
        )?;
        // It answers when the browser has ended.
        io::copy(&mut stream, &mut io::sink())?;
        Ok(())
    }

    async fn element(&self, selector: &str) -> String {
        let wish = json!({ "using": "css selector", "value": selector });
        let found = self.ask(Method::POST, "/element", &wish).await;
        let element = found.as_object().and_then(|found| found.values().next());
        let element = element.and_then(Value::as_str);
        element.expect("an element").to_owned()
    }

    async fn try_ask(&self, method: Method, what: &str, with: &Value) -> Result<Value, Value> {
        let path = format!("/session/{}{what}", self.session);
        self.try_call(method, &path, with).await
    }

    async fn call(&self, method: Method, path: &str, with: &Value) -> Value {
        match self.try_call(method, path, with).await {
            Ok(answer) => answer,
            Err(error) => panic!("{path}: {error}"),
        }
    }

    async fn try_call(&self, method: Method, path: &str, with: &Value) -> Result<Value, Value> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await;
        let stream = TokioIo::new(stream.expect("it listens"));
        let (mut send, connection) = http1::handshake(stream).await.expect("http");
        tokio::spawn(connection);
        let body = match with {
            Value::Null => Bytes::new(),
            with => with.to_string().into(),
        };
        let request = Request::builder().method(method).uri(path);
        let request = request
            .header("host", "localhost")
            .header("content-type", "application/json");
        let request = request.body(Full::new(body)).expect("a request");
        let response = send.send_request(request).await.expect("answered");
        let body = response.into_body().collect().await.expect("a body");
        let answer: Value = serde_json::from_slice(&body.to_bytes()).expect("json");
        if answer["value"]["error"].is_null() {
            Ok(answer["value"].clone())
        } else {
            Err(answer["value"].clone())
        }
    }
}

impl Drop for Browser {
    /// Of a test that failed: the driver is told to end its browser, which would outlive it.
    fn drop(&mut self) {
        if let Ok(None) = self.driver.try_wait() {
            let _ = self.end_session();
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
