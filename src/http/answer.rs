//! Answers: JSON bodies, and refusals that say what to do.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CACHE_CONTROL, HeaderValue, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError, Route, web};
use serde::Serialize;
use serde_json::json;

use super::control::ControlError;

/// A response that browsers neither keep nor guess a type for.
pub fn builder(status: StatusCode) -> HttpResponseBuilder {
    let mut builder = HttpResponse::build(status);
    builder.insert_header((CACHE_CONTROL, "no-store")).insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
    builder
}

/// A JSON response.
pub fn json(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    builder(status).json(body)
}

/// A request that is not carried out. Its body is `{"error": {"code": …, "message": …}}`.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut builder = builder(self.status);
        if self.status == StatusCode::UNAUTHORIZED {
            builder.insert_header((WWW_AUTHENTICATE, "Bearer"));
        }
        builder.json(json!({ "error": { "code": self.code, "message": self.message } }))
    }
}

impl From<ControlError> for Refusal {
    fn from(error: ControlError) -> Self {
        let (status, code) = match &error {
            ControlError::UnknownImport { .. } => (StatusCode::NOT_FOUND, "unknown_import"),
            ControlError::Refused { code, .. } => (StatusCode::CONFLICT, *code),
            ControlError::Unavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            ControlError::Failed(failure) => (StatusCode::INTERNAL_SERVER_ERROR, failure.code),
        };
        Self::new(status, code, error.to_string())
    }
}

/// Waits for the Supervisor, but not for ever.
///
/// # Errors
/// 503 after `limit`.
pub async fn within<T>(limit: Duration, answer: impl Future<Output = T>) -> Result<T, Refusal> {
    tokio::time::timeout(limit, answer).await.map_err(|_| {
        let message = format!("the program did not answer within {} s; try again", limit.as_secs());
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
    })
}

/// For paths that are not served.
pub fn unknown() -> Route {
    web::to(|| async {
        Refusal::new(StatusCode::NOT_FOUND, "unknown_path", "there is nothing at this path").error_response()
    })
}

/// For methods that a path does not take.
pub fn wrong_method(allowed: &'static str) -> Route {
    web::to(move || async move {
        let message = format!("this path takes {allowed} only");
        let mut response = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", message).error_response();
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
        response
    })
}
