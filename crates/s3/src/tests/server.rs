//! A small HTTP/1.1 server that records requests and answers by script, byte for byte.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// A request as it came over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub method: String,
    /// Path and query, undecoded.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn is_sts(&self) -> bool {
        self.body.contains("Action=AssumeRole")
    }
}

/// An answer; the connection is closed after it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub bytes: Vec<u8>,
    /// Leave the connection open and silent; the test is told through [`Server::hanging`].
    pub hang: bool,
    /// Do not answer before the test says so.
    pub wait_for: Option<Arc<Notify>>,
}

impl Answer {
    /// A whole answer with `content-length`.
    pub fn new(status: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let length = body.len().to_string();
        let mut all = vec![("content-length", length.as_str())];
        all.extend_from_slice(headers);
        Self::raw(status, &all, body)
    }

    /// An answer without a length: the end of the connection is the end of the body.
    pub fn until_close(status: &str, body: impl AsRef<[u8]>) -> Self {
        Self::raw(status, &[], body.as_ref())
    }

    /// Just these headers, whether they fit the body or not.
    pub fn raw(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let mut bytes = format!("HTTP/1.1 {status}\r\nconnection: close\r\n").into_bytes();
        for (name, value) in headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        Self { bytes, ..Self::default() }
    }

    /// Closes the connection without a word.
    pub fn nothing() -> Self {
        Self::default()
    }

    pub fn xml(status: &str, headers: &[(&str, &str)], body: &str) -> Self {
        let mut all = vec![("content-type", "application/xml")];
        all.extend_from_slice(headers);
        Self::new(status, &all, format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{body}"))
    }

    /// An error document of S3.
    pub fn s3_error(status: &str, code: &str, message: &str) -> Self {
        Self::s3_error_with(status, &[], code, message, "")
    }

    pub fn s3_error_with(status: &str, headers: &[(&str, &str)], code: &str, message: &str, more: &str) -> Self {
        let body = format!("<Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>");
        Self::xml(status, headers, &body)
    }

    /// An error document of STS.
    pub fn sts_error(status: &str, code: &str, message: &str) -> Self {
        let body = format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
             <Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
        );
        Self::xml(status, &[], &body)
    }

    /// A session that expires at `expiration`.
    pub fn session(access_key_id: &str, expiration: &str) -> Self {
        let body = format!(
            "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
             <AssumedRoleUser><AssumedRoleId>AROA:x</AssumedRoleId><Arn>arn:aws:sts::1:assumed-role/r/x</Arn>\
             </AssumedRoleUser><Credentials><AccessKeyId>{access_key_id}</AccessKeyId>\
             <SecretAccessKey>{access_key_id}-secret-canary</SecretAccessKey>\
             <SessionToken>{access_key_id}-token-canary</SessionToken><Expiration>{expiration}</Expiration>\
             </Credentials></AssumeRoleResult></AssumeRoleResponse>"
        );
        Self::xml("200 OK", &[], &body)
    }
}

type Script = dyn Fn(usize, &Request) -> Answer + Send + Sync;

/// A running server; it stops with the test's runtime.
pub(crate) struct Server {
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    pub hanging: Arc<Notify>,
}

impl Server {
    /// `script` gets the number of the request, from 0, and the request.
    pub async fn start(script: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let hanging = Arc::new(Notify::new());
        let (seen, hung, script) = (requests.clone(), hanging.clone(), Arc::new(script) as Arc<Script>);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, seen.clone(), hung.clone(), script.clone()));
            }
        });
        Self { url, requests, hanging }
    }

    /// Answers the n-th request with the n-th answer, and every later one with the last.
    pub async fn sequence(answers: Vec<Answer>) -> Self {
        Self::start(move |n, _| answers[n.min(answers.len() - 1)].clone()).await
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("not poisoned").clone()
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Vec<Request>>>, hanging: Arc<Notify>, script: Arc<Script>) {
    let Some(request) = receive(&mut stream).await else { return };
    let number = {
        let mut seen = seen.lock().expect("not poisoned");
        seen.push(request.clone());
        seen.len() - 1
    };
    let answer = script(number, &request);
    if let Some(gate) = &answer.wait_for {
        hanging.notify_one();
        gate.notified().await;
    }
    // The client may have gone; then there is nobody to tell.
    if stream.write_all(&answer.bytes).await.is_err() {
        return;
    }
    if answer.hang {
        hanging.notify_one();
        std::future::pending::<()>().await;
    }
    let _closed = stream.shutdown().await;
}

async fn receive(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).expect("a head is text");
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut request = Request { method, target, headers, body: String::new() };
    let length = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    while bytes.len() < head_end + 4 + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    request.body = String::from_utf8(bytes[head_end + 4..].to_vec()).expect("requests have text bodies");
    Some(request)
}
