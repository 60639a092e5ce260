//! The smallest HTTP client: one request on one connection, every byte under the test's control.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Taken apart as far as tests need it.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(candidate, _)| candidate == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The `code` of a refusal.
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().expect("a refusal has a code").to_owned()
    }
}

/// Sends `line` (method and target), `headers` and `body`; adds `Connection` and `Content-Length`, nothing else.
pub async fn send(address: SocketAddr, line: &str, headers: &[(&str, &str)], body: &str) -> Response {
    let mut text = format!("{line} HTTP/1.1\r\nConnection: close\r\n");
    headers.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
    if !line.starts_with("GET") && !line.starts_with("HEAD") {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    text.push_str(body);
    tokio::task::spawn_blocking(move || exchange(address, &text)).await.expect("the client does not panic")
}

/// A `GET` with our own name in `Host`.
pub async fn get(address: SocketAddr, target: &str) -> Response {
    send(address, &format!("GET {target}"), &[("Host", &address.to_string())], "").await
}

fn exchange(address: SocketAddr, request: &str) -> Response {
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout can be set");
    // A server that refuses early may close before it has read everything; its answer counts.
    let _ = stream.write_all(request.as_bytes());
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert!(!bytes.is_empty(), "no answer: {error}");
    }
    parse(&String::from_utf8(bytes).expect("text"))
}

fn parse(text: &str) -> Response {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text}"));
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line");
    let headers = lines.filter_map(|line| line.split_once(": "));
    Response {
        status: status.parse().expect("a number"),
        headers: headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect(),
        body: body.to_owned(),
    }
}
