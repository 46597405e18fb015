//! Access logs of registries as data, whatever form each writes.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// One request a registry answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) status: u16,
}

/// What one registry has written until now.
#[derive(Default)]
pub(crate) struct Log {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    entries: Vec<Access>,
    /// Method and path of those that tests have sent themselves.
    own: Vec<(String, String)>,
    text: String,
    port: Option<u16>,
    readers: usize,
    markers: usize,
}

/// The query that tells our own requests for the log apart.
const MARKER: &str = "/v2/?marker=";
/// What tests call themselves in their requests, for logs to show.
pub(crate) const OWN_AGENT: &str = "test-of-hoist";
const PATIENCE: Duration = Duration::from_secs(30);

impl Log {
    pub(crate) fn add(&self, access: Access) {
        self.state().entries.push(access);
        self.changed.notify_all();
    }

    pub(crate) fn entries(&self) -> Vec<Access> {
        let mut entries = self.state().entries.clone();
        entries.retain(|access| !access.target.starts_with(MARKER));
        entries
    }

    /// Everything written, for a failing test to show.
    pub(crate) fn text(&self) -> String {
        self.state().text.clone()
    }

    /// The target of a request that no other request has.
    pub(crate) fn marker(&self) -> String {
        let mut state = self.state();
        state.markers += 1;
        format!("{MARKER}{}", state.markers)
    }

    pub(crate) fn wait_for(&self, target: &str) {
        let seen = self.wait(|state| state.entries.iter().any(|entry| entry.target == target));
        assert!(seen, "no line for {target} in the log:\n{}", self.text());
    }

    /// Returns when there are as many lines of tests' own for each method and path as in `requests`.
    pub(crate) fn wait_for_all(&self, requests: &[(String, String)]) {
        let mut missing: HashMap<(&str, &str), isize> = HashMap::new();
        for (method, path) in requests {
            *missing.entry((method, path)).or_default() += 1;
        }
        let is_there = |state: &State| {
            let mut left = missing.clone();
            for (method, path) in &state.own {
                if let Some(count) = left.get_mut(&(method.as_str(), path.as_str())) {
                    *count -= 1;
                }
            }
            left.values().all(|count| *count <= 0)
        };
        assert!(
            self.wait(is_there),
            "not all of {requests:?} in the log:\n{}",
            self.text()
        );
    }

    /// The port the process says it listens on; none when it ended before.
    pub(crate) fn wait_for_port(&self) -> Option<u16> {
        self.wait(|state| state.port.is_some() || state.readers == 0);
        self.state().port.take()
    }

    /// Reads a stream of log lines on a thread of its own, until its other end is closed.
    pub(crate) fn follow(self: &Arc<Self>, stream: impl Read + Send + 'static) {
        self.state().readers += 1;
        let log = Arc::clone(self);
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stream);
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                log.take(&String::from_utf8_lossy(&line));
                line.clear();
            }
            log.state().readers -= 1;
            log.changed.notify_all();
        });
    }

    fn take(&self, line: &str) {
        let mut state = self.state();
        state.text += line;
        let access = combined(line).or_else(|| zot(line));
        if let Some(own) = access.as_ref().filter(|_| line.contains(OWN_AGENT)) {
            let path = own.target.split('?').next().unwrap();
            state.own.push((own.method.clone(), path.to_string()));
        }
        state.entries.extend(access);
        state.port = state.port.or_else(|| listening(line));
        drop(state);
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn wait(&self, until: impl Fn(&State) -> bool) -> bool {
        let (state, _) = self
            .changed
            .wait_timeout_while(self.state(), PATIENCE, |state| !until(state))
            .unwrap();
        until(&state)
    }
}

/// The combined log format of Apache, which distribution writes.
fn combined(line: &str) -> Option<Access> {
    let mut quoted = line.split('"');
    let peer = quoted.next()?;
    if !peer.ends_with("] ") {
        return None;
    }
    let mut request = quoted.next()?.split(' ');
    let mut after = quoted.next()?.split_whitespace();
    Some(Access {
        method: request.next()?.to_string(),
        target: request.next()?.to_string(),
        status: after.next()?.parse().ok()?,
    })
}

/// The lines of zot are JSON.
fn zot(line: &str) -> Option<Access> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let text = |key: &str| line.get(key)?.as_str().map(str::to_string);
    let status = line.get("statusCode")?.as_u64()?;
    Some(Access {
        method: text("method")?,
        target: text("path")?,
        status: u16::try_from(status).ok()?,
    })
}

fn listening(line: &str) -> Option<u16> {
    if let Ok(line) = serde_json::from_str::<serde_json::Value>(line) {
        let said = line.get("message")?.as_str()?;
        let port = line.get("port").filter(|_| said.contains("listening"))?;
        return u16::try_from(port.as_u64()?).ok();
    }
    let (_, rest) = line.split_once("listening on 127.0.0.1:")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[test]
fn every_form_of_log_is_understood() {
    let access = |method: &str, target: &str, status| Access {
        method: method.into(),
        target: target.into(),
        status,
    };
    assert_eq!(
        combined(
            "127.0.0.1 - - [20/Nov/2026:10:33:35 +0000] \"GET /v2/?x=1 HTTP/1.1\" 200 2 \"\" \"c\""
        ),
        Some(access("GET", "/v2/?x=1", 200))
    );
    assert_eq!(combined("time=\"x\" level=info msg=\"GET a\""), None);
    assert_eq!(
        zot(r#"{"component":"session","method":"HEAD","path":"/v2/a","statusCode":404}"#),
        Some(access("HEAD", "/v2/a", 404))
    );
    assert_eq!(
        listening("time=\"…\" msg=\"listening on 127.0.0.1:43549, tls\" go.version=go1.19.8"),
        Some(43549)
    );
    assert_eq!(
        listening(
            r#"{"port":40101,"address":"127.0.0.1","message":"port is unspecified, listening on kernel chosen port"}"#
        ),
        Some(40101)
    );
}
