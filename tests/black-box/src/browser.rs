//! A real browser: Chromium, driven through `chromedriver` over plain HTTP (W3C WebDriver).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{DEADLINE, Log, Response, TempDir};

/// The driver's process. Dropping it ends it, and every Chromium that it has started.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    address: SocketAddr,
    opened: AtomicU32,
    profiles: TempDir,
}

impl Browser {
    /// Starts the driver on a free port.
    #[must_use]
    pub fn start() -> Self {
        let mut child = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver runs: it is in Debian's chromium-driver");
        let log = Log::of(child.stdout.take().unwrap());
        let line = log.wait_for("started successfully on port ");
        let port = line.as_deref().and_then(|line| line.rsplit(' ').next());
        let port = port.and_then(|port| port.trim_end_matches('.').parse::<u16>().ok());
        let mut browser = Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            opened: AtomicU32::new(0),
            profiles: TempDir::new(),
        };
        let port = port.unwrap_or_else(|| panic!("no port in {:#?}", log.lines()));
        browser.address.set_port(port);
        browser
    }

    /// A Chromium of its own with one empty tab, which takes the server's own certificate.
    #[must_use]
    pub fn open(&self) -> Tab<'_> {
        let profile = self.opened.fetch_add(1, Ordering::Relaxed).to_string();
        let profile = self.profiles.path().join(profile);
        let data = format!("--user-data-dir={}", profile.display());
        let args = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--ignore-certificate-errors",
            "--window-size=1000,800",
            &data,
        ];
        let wish = json!({ "capabilities": { "alwaysMatch": {
            "acceptInsecureCerts": true,
            "timeouts": { "script": DEADLINE.as_millis() },
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "args": args },
        } } });
        let session = self.command("POST", "/session", &wish).unwrap();
        let id = session["sessionId"].as_str().expect("a session").to_owned();
        let process = session["capabilities"]["goog:processID"].as_i64();
        Tab {
            browser: self,
            path: format!("/session/{id}"),
            process: process.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)),
        }
    }

    /// What the driver answers to a command.
    fn command(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let body = match method {
            "POST" => body.to_string(),
            _ => String::new(),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let mut stream = TcpStream::connect(self.address).map_err(|error| error.to_string())?;
        // The driver itself gives up before that.
        let timeout = Some(DEADLINE * 2);
        stream.set_read_timeout(timeout).unwrap();
        let answer =
            exchange(&mut stream, request.as_bytes()).map_err(|error| error.to_string())?;
        let response = Response::parse(&answer);
        let mut answer: Value =
            serde_json::from_str(response.text()).map_err(|error| error.to_string())?;
        match response.status {
            200 => Ok(answer["value"].take()),
            _ => Err(answer["value"]["message"].to_string()),
        }
    }
}

/// The driver's answer to a request. (It keeps the connection, whatever is asked for.)
fn exchange(stream: &mut TcpStream, request: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(request)?;
    let mut stream = BufReader::new(stream);
    let (mut answer, mut length) = (Vec::new(), 0);
    loop {
        let mut line = Vec::new();
        stream.read_until(b'\n', &mut line)?;
        answer.extend_from_slice(&line);
        let line = String::from_utf8_lossy(&line).to_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        if line.trim().is_empty() {
            break;
        }
    }
    stream.take(length).read_to_end(&mut answer)?;
    Ok(answer)
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.command("GET", "/shutdown", &Value::Null));
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A page in a Chromium of its own. Dropping it ends that.
#[derive(Debug)]
pub struct Tab<'a> {
    browser: &'a Browser,
    path: String,
    process: Option<Pid>,
}

impl Tab<'_> {
    fn command(&self, name: &str, body: &Value) -> Value {
        let path = format!("{}/{name}", self.path);
        match self.browser.command("POST", &path, body) {
            Ok(value) => value,
            Err(error) => panic!("{name} {body}: {error}"),
        }
    }

    /// Goes to an address and waits until it is loaded.
    pub fn go(&self, address: &str) {
        self.command("url", &json!({ "url": address }));
    }

    /// Loads the page anew.
    pub fn reload(&self) {
        self.command("refresh", &json!({}));
    }

    /// Runs JavaScript, a function's body, and gives what it returns.
    pub fn run(&self, script: &str, args: &[&str]) -> Value {
        self.command("execute/sync", &json!({ "script": script, "args": args }))
    }

    /// The value of a JavaScript expression.
    #[must_use]
    pub fn value(&self, expression: &str) -> Value {
        self.run(&format!("return {expression}"), &[])
    }

    /// Waits until a JavaScript expression is true, looking whenever the document changes.
    pub fn wait_for(&self, expression: &str) {
        let script = format!(
            "const done = arguments[0];
             const check = () => {{
               if (!({expression})) return;
               observer.disconnect();
               document.removeEventListener('load', check, true);
               done();
             }};
             const observer = new MutationObserver(check);
             observer.observe(document, {{ subtree: true, childList: true, attributes: true, characterData: true }});
             document.addEventListener('load', check, true);
             check();"
        );
        let path = format!("{}/execute/async", self.path);
        let body = json!({ "script": script, "args": [] });
        if let Err(error) = self.browser.command("POST", &path, &body) {
            let shown = self.value("document.body.innerText");
            panic!("waited for {expression}: {error}\nThe page: {shown}");
        }
    }

    /// Types into the element that a selector finds, as a user does; for a file field, the path of a file.
    pub fn type_into(&self, selector: &str, text: &str) {
        let by = json!({ "using": "css selector", "value": selector });
        let element = self.command("element", &by);
        let id = element
            .as_object()
            .and_then(|element| element.values().next());
        let id = id.and_then(Value::as_str).expect("an element");
        self.command(&format!("element/{id}/value"), &json!({ "text": text }));
    }

    /// What the page and the browser have written to the console since this was asked last.
    #[must_use]
    pub fn console(&self) -> Vec<String> {
        let entries = self.command("se/log", &json!({ "type": "browser" }));
        let entries = entries.as_array().expect("a list").iter();
        entries
            .map(|entry| format!("{}: {}", entry["level"], entry["message"]))
            .collect()
    }
}

impl Drop for Tab<'_> {
    fn drop(&mut self) {
        let ended = self.browser.command("DELETE", &self.path, &Value::Null);
        if let (Err(_), Some(process)) = (ended, self.process) {
            let _ = kill_process(process, Signal::KILL);
        }
    }
}
