//! The two HTTP listeners.
//!
//! | listener | who may reach it | serves |
//! |---|---|---|
//! | metrics | any address, by configuration | `/metrics`, `/healthz`, `/readyz`; read-only (`metrics`) |
//! | API | loopback unless configured otherwise | `/api/v1/…`: status, and pause, resume, sync (`api`, behind `guard`) |
//!
//! The handlers know nothing of actors: they ask a [`Control`], which the program implements over the Supervisor.

mod answer;
mod api;
mod control;
mod guard;
mod metrics;
mod token;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use connector_core::error::{ErrorClass, Failure};
use tokio::task::JoinHandle;

pub use self::control::{Control, ControlError};
pub use self::guard::AllowedHosts;
pub use self::token::{ApiToken, FILE_NAME as TOKEN_FILE};

/// Requests in flight get this long once the servers stop, in seconds: well within the time that SIGTERM grants.
const GRACE_SECONDS: u64 = 2;
/// Connections that do nothing are closed after this long.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A client that is slower to send its request head is not served.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Plenty for scrapers and people, and a bound on what a stranger can make us hold.
const MAX_CONNECTIONS: usize = 256;
/// How long a question to the Supervisor may take before the answer is 503.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(5);

/// Renders `/metrics`. Called for each scrape, so it may measure gauges first.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// Why the listeners do not run.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("cannot listen on {address} for {purpose}: {cause}; {remedy}")]
    Bind { purpose: &'static str, address: SocketAddr, cause: std::io::Error, remedy: String },
    #[error("cannot keep the API token in {}: {cause}; check the owner and the permissions of the data directory", path.display())]
    Token { path: PathBuf, cause: std::io::Error },
}

impl HttpError {
    /// The remedy: each of these needs the user.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::Config
    }

    /// A bounded label.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Bind { .. } => "listen",
            Self::Token { .. } => "api_token",
        }
    }
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        Self::new(error.class(), error.code(), error.to_string())
    }
}

/// An address to listen on, and the setting that it comes from, so that an error can name it.
#[derive(Clone, Copy, Debug)]
pub struct ListenOn {
    /// Port 0 takes any free port.
    pub address: SocketAddr,
    /// Such as `listen.metrics`.
    pub setting: &'static str,
}

/// Where the two listeners listen, and whom the API serves.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    pub metrics: ListenOn,
    pub api: ListenOn,
    /// Host names by which the API may be reached, beyond loopback and its listen address.
    pub allowed_hosts: Vec<String>,
}

/// The running listeners.
#[derive(Debug)]
pub struct Servers {
    metrics: Running,
    api: Running,
    draining: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Running {
    address: SocketAddr,
    handle: ServerHandle,
    task: JoinHandle<()>,
}

impl Servers {
    /// Binds both addresses and serves them. Needs a tokio runtime.
    ///
    /// # Errors
    /// If an address cannot be listened on; then neither is.
    pub fn start(
        config: &HttpConfig,
        token: ApiToken,
        control: Arc<dyn Control>,
        render: RenderMetrics,
    ) -> Result<Self, HttpError> {
        let (metrics_listener, metrics_address) = bind("metrics and health", config.metrics)?;
        let (api_listener, api_address) = bind("the API", config.api)?;
        let draining = Arc::new(AtomicBool::new(false));
        let health = metrics::Health { control: Arc::clone(&control), draining: Arc::clone(&draining), render };
        let gate = guard::Gate { hosts: AllowedHosts::new(api_address.ip(), &config.allowed_hosts), token };
        Ok(Self {
            metrics: Running::spawn(metrics_address, serve_metrics(metrics_listener, metrics_address, health)?),
            api: Running::spawn(api_address, serve_api(api_listener, api_address, control, gate)?),
            draining,
        })
    }

    /// Where metrics and health are served, with the real port.
    pub fn metrics_address(&self) -> SocketAddr {
        self.metrics.address
    }

    /// Where the API is served, with the real port.
    pub fn api_address(&self) -> SocketAddr {
        self.api.address
    }

    /// From now on `/readyz` says that the program is going away. Everything is still served.
    pub fn begin_drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Takes no new connections, lets requests in flight finish, and returns once both listeners are closed.
    pub async fn stop(self) {
        tokio::join!(self.metrics.stop(), self.api.stop());
    }
}

impl Running {
    fn spawn(address: SocketAddr, server: Server) -> Self {
        let handle = server.handle();
        let task = tokio::spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%address, reason = %error, "listener stopped");
            }
        });
        Self { address, handle, task }
    }

    async fn stop(self) {
        self.handle.stop(true).await;
        // An error here means that the task panicked, which it has reported itself.
        let _ = self.task.await;
    }
}

fn bind(purpose: &'static str, listen: ListenOn) -> Result<(TcpListener, SocketAddr), HttpError> {
    let attempt = || {
        let listener = TcpListener::bind(listen.address)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    attempt().map_err(|cause| {
        let remedy = remedy(&cause, listen.setting);
        HttpError::Bind { purpose, address: listen.address, cause, remedy }
    })
}

fn remedy(cause: &std::io::Error, setting: &str) -> String {
    match cause.kind() {
        std::io::ErrorKind::AddrInUse => {
            format!("stop the program that listens there, or change the setting {setting}")
        }
        std::io::ErrorKind::AddrNotAvailable => {
            format!("this machine has no such address: change the setting {setting}")
        }
        std::io::ErrorKind::PermissionDenied => {
            format!("change the setting {setting} to a port above 1023, or give the program the right to use this one")
        }
        _ => format!("change the setting {setting}"),
    }
}

fn serve_metrics(listener: TcpListener, address: SocketAddr, health: metrics::Health) -> Result<Server, HttpError> {
    let health = web::Data::new(health);
    let app = move || App::new().app_data(health.clone()).configure(metrics::routes).default_service(answer::unknown());
    // Signals are the program's business: it drains the imports before it stops these servers.
    let server = HttpServer::new(app)
        .workers(1)
        .max_connections(MAX_CONNECTIONS)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(REQUEST_TIMEOUT)
        .shutdown_timeout(GRACE_SECONDS)
        .disable_signals();
    server.listen(listener).map(HttpServer::run).map_err(|cause| not_served("metrics and health", address, cause))
}

fn serve_api(
    listener: TcpListener,
    address: SocketAddr,
    control: Arc<dyn Control>,
    gate: guard::Gate,
) -> Result<Server, HttpError> {
    let (control, gate) = (web::Data::from(control), web::Data::new(gate));
    let app = move || {
        App::new()
            .app_data(control.clone())
            .app_data(gate.clone())
            .configure(api::routes)
            .default_service(answer::unknown())
            .wrap(from_fn(guard::admit))
    };
    let server = HttpServer::new(app)
        .workers(1)
        .max_connections(MAX_CONNECTIONS)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(REQUEST_TIMEOUT)
        .shutdown_timeout(GRACE_SECONDS)
        .disable_signals();
    server.listen(listener).map(HttpServer::run).map_err(|cause| not_served("the API", address, cause))
}

fn not_served(purpose: &'static str, address: SocketAddr, cause: std::io::Error) -> HttpError {
    HttpError::Bind { purpose, address, cause, remedy: "check the limit of open files".to_owned() }
}
