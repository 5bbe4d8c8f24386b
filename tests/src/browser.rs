//! A real browser that looks at a page: Chromium without a window, driven over its DevTools protocol.
//!
//! The protocol goes over two named pipes, which the browser gets as its descriptors 3 and 4.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{self, Signal};
use crate::wait;

/// A page renders in milliseconds; a browser on a loaded machine starts in seconds.
const LIMIT: Duration = Duration::from_secs(30);

/// A running browser with one page.
pub struct Browser {
    child: Child,
    requests: File,
    answers: BufReader<File>,
    session: String,
    next_id: u64,
    /// What the page complained about: errors of scripts, and what its policy forbids.
    complaints: Vec<String>,
    _directory: TempDir,
}

impl Browser {
    /// Opens a page in a window of this size.
    pub fn open(url: &str, width: u32, height: u32) -> Browser {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let (requests, answers) = (directory.path().join("requests"), directory.path().join("answers"));
        let made = Command::new("mkfifo").args([&requests, &answers]).status().expect("mkfifo is installed");
        assert!(made.success());
        let child = Command::new("sh")
            .args(["-c", r#"requests=$1 answers=$2; shift 2; exec "$@" 3<"$requests" 4>"$answers""#, "sh"])
            .args([&requests, &answers])
            .arg("chromium")
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"])
            .args(["--disable-dev-shm-usage", "--remote-debugging-pipe", "--no-proxy-server"])
            .arg(format!("--user-data-dir={}", directory.path().join("profile").display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(directory.path().join("log")).expect("the directory is writable"))
            .spawn()
            .expect("sh is installed");
        // Where chromium is missing the shell opens the pipes all the same and ends, so nothing waits for ever here.
        let requests = OpenOptions::new().write(true).open(requests).expect("a pipe");
        let answers = BufReader::new(File::open(answers).expect("a pipe"));
        let mut browser = Browser {
            child,
            requests,
            answers,
            session: String::new(),
            next_id: 0,
            complaints: Vec::new(),
            _directory: directory,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attached =
            browser.call("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true }));
        browser.session = attached["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser.resize(width, height);
        browser.go(url);
        browser
    }

    /// Opens another page.
    #[track_caller]
    pub fn go(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url }));
        let there = json!(url);
        self.wait("the page", &format!("location.href == {there} && document.readyState == 'complete'"));
    }

    /// Changes the size of the window; a narrow one is a phone.
    pub fn resize(&mut self, width: u32, height: u32) {
        let phone = width < 600;
        let scale = if phone { 2 } else { 1 };
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": scale, "mobile": phone });
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// Prefers dark colours, or light ones.
    pub fn set_dark(&mut self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.call("Emulation.setEmulatedMedia", features);
    }

    /// Lets pages run their scripts, or not.
    pub fn set_scripts(&mut self, run: bool) {
        self.call("Emulation.setScriptExecutionDisabled", json!({ "value": !run }));
    }

    /// The value of an expression in the page.
    #[track_caller]
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let mut answer = self
            .call("Runtime.evaluate", json!({ "expression": expression, "returnByValue": true, "awaitPromise": true }));
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].take()
    }

    /// The text that an element shows.
    #[track_caller]
    pub fn text(&mut self, selector: &str) -> String {
        let value = self.evaluate(&format!("document.querySelector('{selector}').innerText"));
        value.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an expression in the page holds.
    #[track_caller]
    pub fn wait(&mut self, what: &str, expression: &str) {
        let found = wait::find(LIMIT, || {
            // Between two pages there is nothing to look at, and the browser says so.
            let guarded = format!("(() => {{ try {{ return {expression} }} catch {{ return false }} }})()");
            let answer = self.try_call("Runtime.evaluate", json!({ "expression": guarded, "returnByValue": true }));
            answer.ok().filter(|answer| answer["result"]["value"] == true)
        });
        if found.is_none() {
            let body = self.text("body");
            panic!("{what}: not within {LIMIT:?}; the page shows: {body}");
        }
    }

    /// Keeps a picture of the whole page below `target/` and tells where.
    pub fn screenshot(&mut self, name: &str) -> PathBuf {
        let answer = self.call("Page.captureScreenshot", json!({ "format": "png", "captureBeyondViewport": true }));
        let picture = decode_base64(answer["data"].as_str().expect("a picture"));
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/screenshots");
        fs::create_dir_all(&directory).expect("target/ is writable");
        let path = directory.join(format!("{name}.png"));
        fs::write(&path, picture).expect("target/ is writable");
        path
    }

    /// What the page complained about so far.
    pub fn complaints(&mut self) -> &[String] {
        // Whatever was said before the answer to this call has been read with it.
        self.call("Runtime.evaluate", json!({ "expression": "1" }));
        &self.complaints
    }

    #[track_caller]
    fn call(&mut self, method: &str, params: Value) -> Value {
        self.try_call(method, params).unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_call(&mut self, method: &str, params: Value) -> Result<Value, String> {
        self.next_id += 1;
        let mut request = json!({ "id": self.next_id, "method": method, "params": params });
        if !self.session.is_empty() {
            request["sessionId"] = self.session.clone().into();
        }
        let sent = self.requests.write_all(format!("{request}\0").as_bytes());
        assert!(sent.is_ok(), "chromium does not run: `make test` installs it");
        loop {
            let mut message = self.read();
            if message["id"] == self.next_id {
                return match message.get("error") {
                    Some(error) => Err(format!("{method}: {error}")),
                    None => Ok(message["result"].take()),
                };
            }
            match message["method"].as_str() {
                Some("Runtime.exceptionThrown") => self.complaints.push(message["params"].to_string()),
                Some("Log.entryAdded") if message["params"]["entry"]["level"] == "error" => {
                    self.complaints.push(message["params"]["entry"]["text"].to_string());
                }
                _ => {}
            }
        }
    }

    fn read(&mut self) -> Value {
        let mut message = Vec::new();
        let read = self.answers.read_until(0, &mut message);
        assert!(matches!(read, Ok(1..)), "chromium does not run: `make test` installs it");
        message.pop();
        serde_json::from_slice(&message).expect("the protocol is JSON")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        process::signal(self.child.id(), Signal::TERM);
        if wait::find(Duration::from_secs(5), || self.child.try_wait().ok().flatten()).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Standard base64, as the browser writes it.
fn decode_base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => u32::from(byte - b'A'),
        b'a'..=b'z' => u32::from(byte - b'a') + 26,
        b'0'..=b'9' => u32::from(byte - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let word = group.iter().fold(0, |word, byte| word << 6 | digit(*byte)) << (6 * (4 - group.len()));
        bytes.extend(&word.to_be_bytes()[1..group.len()]);
    }
    bytes
}
