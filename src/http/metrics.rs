//! The read-only listener: metrics for Prometheus, health for whoever runs the process.
//!
//! - `/metrics`: the Prometheus text format.
//! - `/healthz`: 200 while the process can answer at all.
//! - `/readyz`: 200 once every import has left `Starting`, with the imports and their states. An import that is
//!   `Failed` does not make the process unready: the others go on, and `/metrics` tells. 503 before that, and while
//!   the program drains.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpResponse, Route, guard};
use connector_core::ids::ImportName;
use connector_core::status::ImportState;
use serde::Serialize;

use super::answer::{self, Refusal};
use super::control::Control;
use super::{CONTROL_TIMEOUT, RenderMetrics};

/// What this listener's handlers share.
pub struct Health {
    pub control: Arc<dyn Control>,
    pub draining: Arc<AtomicBool>,
    pub render: RenderMetrics,
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    draining: bool,
    imports: Vec<ImportReadiness>,
}

#[derive(Serialize)]
struct ImportReadiness {
    import: ImportName,
    state: ImportState,
}

pub fn routes(config: &mut ServiceConfig) {
    let resource = |path| web::resource(path).default_service(answer::wrong_method("GET, HEAD"));
    config
        .service(resource("/metrics").route(read().to(metrics)))
        .service(resource("/healthz").route(read().to(healthz)))
        .service(resource("/readyz").route(read().to(readyz)));
}

fn read() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

async fn metrics(health: Data<Health>) -> HttpResponse {
    let text = "text/plain; version=0.0.4; charset=utf-8";
    answer::builder(StatusCode::OK).insert_header((CONTENT_TYPE, text)).body((health.render)())
}

async fn healthz() -> HttpResponse {
    answer::builder(StatusCode::OK).insert_header((CONTENT_TYPE, "text/plain; charset=utf-8")).body("ok")
}

async fn readyz(health: Data<Health>) -> Result<HttpResponse, Refusal> {
    let status = answer::within(CONTROL_TIMEOUT, health.control.status()).await?;
    let draining = health.draining.load(Ordering::Relaxed);
    let ready = !draining && status.iter().all(|import| import.state != ImportState::Starting);
    let imports = status.into_iter().map(|one| ImportReadiness { import: one.import, state: one.state }).collect();
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok(answer::json(code, &Readiness { ready, draining, imports }))
}
