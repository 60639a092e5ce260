//! Who may use the API.
//!
//! Every request must name us in its `Host`: a page of a foreign site that made its name resolve to this machine (DNS
//! rebinding) is refused, whatever it asks. Every unsafe request must also carry the token, and a JSON content type,
//! which a form on a foreign page cannot send, and may name no other origin than ours. No response allows another one.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::str::FromStr;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, ORIGIN};
use actix_web::http::uri::Authority;
use actix_web::middleware::Next;
use actix_web::web::Data;

use super::answer::Refusal;
use super::token::ApiToken;

/// What a request is held against.
pub struct Gate {
    pub hosts: AllowedHosts,
    pub token: ApiToken,
}

/// The hosts under which the API may be asked: loopback, the listen address, and configured names.
#[derive(Clone, Debug)]
pub struct AllowedHosts {
    addresses: BTreeSet<IpAddr>,
    /// Lower-case.
    names: BTreeSet<String>,
}

impl AllowedHosts {
    /// `listen` is the API's own address; `more` are names and addresses from the configuration.
    pub fn new(listen: IpAddr, more: &[String]) -> Self {
        let mut hosts = Self { addresses: BTreeSet::new(), names: BTreeSet::from(["localhost".to_owned()]) };
        // "Any address" is not an address that a client can mean.
        if !listen.is_unspecified() {
            hosts.addresses.insert(listen.to_canonical());
        }
        for host in more {
            match address_of(host) {
                Some(address) => hosts.addresses.insert(address),
                None => hosts.names.insert(host.to_ascii_lowercase()),
            };
        }
        hosts
    }

    /// Whether a `Host` header (with or without a port) or the authority of a URI names us. The port is not compared:
    /// it may be forwarded, and a foreign name is foreign on any port.
    pub fn allow(&self, authority: &str) -> bool {
        let Ok(parsed) = Authority::from_str(authority) else { return false };
        if authority.contains('@') {
            return false;
        }
        match address_of(parsed.host()) {
            Some(address) => address.is_loopback() || self.addresses.contains(&address),
            None => self.names.contains(&parsed.host().to_ascii_lowercase()),
        }
    }
}

/// The address that a host is written as, with or without the brackets of IPv6.
fn address_of(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// Lets a request in, or refuses it before any of its body is read.
pub async fn admit(
    gate: Data<Gate>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    if let Err(refusal) = check(&gate, &request) {
        tracing::debug!(method = %request.method(), path = request.path(), reason = %refusal, "request refused");
        return Err(refusal.into());
    }
    next.call(request).await
}

fn check(gate: &Gate, request: &ServiceRequest) -> Result<(), Refusal> {
    check_host(gate, request)?;
    if request.method().is_safe() {
        return Ok(());
    }
    check_origin(request.headers())?;
    check_token(gate, request.headers())?;
    check_content_type(request.headers())
}

/// A browser says which page asks. One of another origin is refused whatever else it knows, another port of this machine
/// included; programs say nothing of it.
fn check_origin(headers: &HeaderMap) -> Result<(), Refusal> {
    if !headers.contains_key(ORIGIN) {
        return Ok(());
    }
    let origin = only(headers, ORIGIN).and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
    // It has been found to be ours.
    let host = only(headers, HOST).unwrap_or_default();
    if origin.is_some_and(|origin| !host.is_empty() && origin.eq_ignore_ascii_case(host)) {
        return Ok(());
    }
    let message = "a page of another origin asks: only programs, and pages of this API itself, may change something";
    Err(Refusal::new(StatusCode::FORBIDDEN, "foreign_origin", message))
}

fn check_host(gate: &Gate, request: &ServiceRequest) -> Result<(), Refusal> {
    let host = only(request.headers(), HOST).unwrap_or_default();
    // A proxy-style request line names the host a second time, and that one would win.
    let authority = request.uri().authority().map_or(host, Authority::as_str);
    if gate.hosts.allow(host) && gate.hosts.allow(authority) {
        return Ok(());
    }
    let message = "the Host of the request is not one of this API: use localhost, the listen address, or a name that \
                   the configuration allows";
    Err(Refusal::new(StatusCode::FORBIDDEN, "foreign_host", message))
}

fn check_token(gate: &Gate, headers: &HeaderMap) -> Result<(), Refusal> {
    let credentials = only(headers, AUTHORIZATION).and_then(|value| value.split_once(' '));
    let right = credentials.is_some_and(|(scheme, token)| {
        scheme.eq_ignore_ascii_case("bearer") && gate.token.matches(token.trim().as_bytes())
    });
    if right {
        return Ok(());
    }
    let message = "this needs the header 'Authorization: Bearer TOKEN' with the token from the file api-token in the \
                   data directory";
    Err(Refusal::new(StatusCode::UNAUTHORIZED, "wrong_token", message))
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let essence = only(headers, CONTENT_TYPE).and_then(|value| value.split(';').next()).unwrap_or_default();
    if essence.trim().eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let message = "this needs the header 'Content-Type: application/json'";
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "wrong_content_type", message))
}

/// The header's value if it is there exactly once and is text.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name);
    let value = values.next()?;
    values.next().is_none().then(|| value.to_str().ok()).flatten()
}
