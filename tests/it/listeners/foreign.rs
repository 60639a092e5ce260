//! What a page of another origin, a name that was turned to this machine, and a body without end can do through the API:
//! nothing, on any path that changes something.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use super::client::{Response, get, send};
use super::{World, world};

/// Every path that takes `POST`: those that the source registers, with every command that the program itself names.
async fn paths(world: &World) -> Vec<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/api.rs");
    let source = std::fs::read_to_string(source).expect("readable");
    let registered: Vec<&str> = source.split("post(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(registered.len(), source.matches("web::post()").count(), "a POST route that this test does not see");
    let unknown = world.post("/api/v1/imports/orders/explode", &[], "").await.json();
    let message = unknown["error"]["message"].as_str().expect("a message").to_owned();
    let (_, commands) = message.split_once(" are ").expect("the commands");
    let commands: Vec<&str> = commands.split(", ").collect();
    assert!(commands.len() >= 10, "{commands:?}");
    let mut paths = Vec::new();
    for path in registered {
        let path = path.replace("{name}", "orders");
        match path.contains("{command}") {
            true => paths.extend(commands.iter().map(|command| path.replace("{command}", command))),
            false => paths.push(path),
        }
    }
    assert!(paths.iter().all(|path| !path.contains('{')), "{paths:?}");
    assert!(paths.contains(&"/api/v1/imports/orders/pause".to_owned()), "{paths:?}");
    paths
}

#[track_caller]
fn refused(response: &Response, status: u16, code: &str, what: &str) {
    assert_eq!((response.status, response.code().as_str()), (status, code), "{what}");
    assert!(response.headers.iter().all(|(name, _)| !name.starts_with("access-control-")), "{what}: {response:?}");
}

/// What parses as the parameters of any command or operation.
const BODY: &str = "{}";

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_changes_nothing_on_any_path() {
    let world = world();
    let (api, bearer) = (world.servers.api_address(), format!("Bearer {}", world.token));
    let (own, other_port) = (api.to_string(), format!("http://localhost:{}", api.port().wrapping_add(1)));
    let https = format!("https://{own}.evil.example");
    for path in paths(&world).await {
        let line = format!("POST {path}");
        // What a form or a simple fetch of a browser can send without asking first: never the token.
        for content_type in ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"] {
            let headers = [("Host", &*own), ("Content-Type", content_type)];
            refused(&send(api, &line, &headers, BODY).await, 401, "wrong_token", &line);
            for origin in ["https://evil.example", "null", ""] {
                let headers = [&headers[..], &[("Origin", origin), ("Cookie", &*bearer)]].concat();
                refused(&send(api, &line, &headers, BODY).await, 403, "foreign_origin", &line);
            }
        }
        // Even one that knows the token.
        for origin in ["https://evil.example", "null", "", &other_port, &https, "http://", "file://"] {
            let origin = format!("{bearer}\r\nOrigin: {origin}");
            refused(&world.post(&path, &[("Authorization", &origin)], BODY).await, 403, "foreign_origin", &origin);
        }
        let twice = format!("{bearer}\r\nOrigin: http://{own}\r\nOrigin: https://evil.example");
        refused(&world.post(&path, &[("Authorization", &twice)], BODY).await, 403, "foreign_origin", &path);
        refused(&world.post(&path, &[("Content-Type", "text/plain")], BODY).await, 415, "wrong_content_type", &path);
        // What a browser asks before it sends more than that.
        let preflight = [
            ("Host", &*own),
            ("Origin", "https://evil.example"),
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "authorization,content-type"),
            ("Access-Control-Request-Private-Network", "true"),
        ];
        refused(&send(api, &format!("OPTIONS {path}"), &preflight, "").await, 405, "wrong_method", &path);
        // Reading changes nothing, however it is dressed up.
        let dressed = [("Host", &*own), ("Authorization", &*bearer), ("X-HTTP-Method-Override", "POST")];
        let response = send(api, &format!("GET {path}?_method=POST"), &dressed, "").await;
        assert!([404, 405].contains(&response.status), "{path}: {response:?}");
    }
    assert_eq!(world.commands(), [""; 0]);
    // A page of the API itself, and a program, may.
    let same = format!("{bearer}\r\nOrigin: http://{own}");
    for authorization in [&same, &bearer] {
        let response = world.post("/api/v1/imports/orders/pause", &[("Authorization", authorization)], BODY).await;
        assert_eq!(response.status, 202, "{response:?}");
    }
    world.servers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_was_turned_to_this_machine_changes_nothing_on_any_path() {
    let world = world();
    let port = world.servers.api_address().port();
    let hosts = ["evil.example".to_owned(), format!("evil.example:{port}"), format!("127.0.0.1.evil.example:{port}")];
    for path in paths(&world).await {
        for host in &hosts {
            let response = world.post(&path, &[("Host", host)], BODY).await;
            refused(&response, 403, "foreign_host", &format!("{path} {host}"));
            let origin = format!("{host}\r\nOrigin: http://{host}");
            refused(&world.post(&path, &[("Host", &origin)], BODY).await, 403, "foreign_host", &path);
            let absolute = world.post(&format!("http://{host}{path}"), &[], BODY).await;
            assert_eq!(absolute.status, 403, "{path}: {absolute:?}");
        }
        for host in ["", "localhost\r\nHost: evil.example", "evil.example\r\nHost: localhost"] {
            let response = world.post(&path, &[("Host", host)], BODY).await;
            assert!([400, 403].contains(&response.status), "{path} {host}: {response:?}");
        }
    }
    assert_eq!(world.commands(), [""; 0]);
    world.servers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_has_an_end_on_every_path() {
    let world = world();
    let large = format!("{{\"file\": \"{}\"}}", "x".repeat(20_000));
    for path in paths(&world).await {
        refused(&world.post(&path, &[], &large).await, 413, "body_too_large", &path);
        // In pieces, so that no length is told beforehand; and for ever.
        let (api, head) = (world.servers.api_address(), head(&world, &path));
        let answer = tokio::task::spawn_blocking(move || endless(api, &head)).await.expect("no panic");
        assert!(answer.starts_with("HTTP/1.1 413"), "{path}: {answer}");
    }
    assert_eq!(world.commands(), [""; 0]);
    assert_eq!(get(world.servers.api_address(), "/api/v1/status").await.status, 200);
    world.servers.stop().await;
}

fn head(world: &World, path: &str) -> String {
    let host = world.servers.api_address();
    let token = &world.token;
    format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
}

/// Sends pieces until the other side has had enough; its answer.
fn endless(api: std::net::SocketAddr, head: &str) -> String {
    let mut stream = TcpStream::connect(api).expect("connects");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout can be set");
    stream.write_all(head.as_bytes()).expect("writes");
    let piece = format!("400\r\n{}\r\n", " ".repeat(0x400));
    // Twice as much as is taken, and no end.
    for _ in 0..32 {
        if stream.write_all(piece.as_bytes()).is_err() {
            break;
        }
    }
    let mut answer = [0; 64];
    let read = stream.read(&mut answer).unwrap_or(0);
    String::from_utf8_lossy(&answer[..read]).into_owned()
}
