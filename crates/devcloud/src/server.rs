//! The endpoint: one listener, one hyper connection task per client, one service for S3 and STS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use connector_core::clock::{Clock, SystemClock};
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpError, HttpRequest, HttpResponse};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

use crate::access::Door;
use crate::account::{Account, AccountHandle};
use crate::borders::Asked;
use crate::config::DevCloudConfig;
use crate::error::DevCloudError;
use crate::faults::{self, FaultHandle, Operation, Target};
use crate::folder::Folder;
use crate::identity::Identity;
use crate::signing;
use crate::store::Store;
use crate::sts::{self, Sts};

/// How long [`DevCloud::shutdown`] lets requests finish before it cuts them off.
const GRACE: Duration = Duration::from_secs(5);

/// How long to leave `accept` alone after it failed, as it does when the process is out of file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A running S3 and STS endpoint over a folder. It stops when this value is dropped; [`DevCloud::shutdown`] stops it
/// gracefully.
#[derive(Debug)]
pub struct DevCloud {
    address: SocketAddr,
    faults: FaultHandle,
    account: AccountHandle,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

impl DevCloud {
    /// Begins to serve on the current tokio runtime.
    ///
    /// # Errors
    /// A listen address that is not loopback or not free, a folder that cannot be read, a config that contradicts itself.
    pub async fn start(config: DevCloudConfig) -> Result<Self, DevCloudError> {
        Self::start_with_clock(config, Arc::new(SystemClock)).await
    }

    /// Like [`DevCloud::start`], with the clock by which sessions expire.
    pub async fn start_with_clock(config: DevCloudConfig, clock: Arc<dyn Clock>) -> Result<Self, DevCloudError> {
        config.check()?;
        let folder = Folder::open_root(&config.folder);
        let folder = folder.map_err(|source| DevCloudError::Folder { folder: config.folder.clone(), source })?;
        let failed = |source| DevCloudError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let identity = Arc::new(Identity::new(&config, clock));
        let account = AccountHandle::new(Account::default(), Arc::clone(&identity));
        let faults = FaultHandle::new(config.faults.unwrap_or_default());
        let store = Store::new(folder, config.region, faults.clone(), account.clone());
        let mut builder = S3ServiceBuilder::new(store);
        let door = Door { identity: Arc::clone(&identity), account: account.clone() };
        builder.set_auth(door.clone());
        builder.set_access(door);
        builder.set_route(Sts(identity));
        let (stop, stopped) = oneshot::channel();
        // Clients sign by the clock of the machine, whatever clock sessions go by.
        let clock = Arc::new(SystemClock);
        let cloud =
            Arc::new(Cloud { service: builder.build(), faults: faults.clone(), account: account.clone(), clock });
        let serving = tokio::spawn(serve(listener, cloud, stopped));
        Ok(Self { address, faults, account, stop: Some(stop), serving })
    }

    /// Where it listens, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint URL for S3 (path style) and STS.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes what goes wrong, and tells what did.
    pub fn faults(&self) -> FaultHandle {
        self.faults.clone()
    }

    /// Changes policies, regions, owners and the clock, and opens sessions.
    pub fn account(&self) -> AccountHandle {
        self.account.clone()
    }

    /// Takes no more connections, lets the requests under way finish for up to five seconds, and stops.
    pub async fn shutdown(mut self) {
        if let Some(stop) = self.stop.take() {
            // Fails only if the server is gone already, which is what we want.
            let _ = stop.send(());
        }
        if let Err(error) = (&mut self.serving).await {
            tracing::warn!(%error, "devcloud did not stop cleanly");
        }
    }
}

impl Drop for DevCloud {
    fn drop(&mut self) {
        // The connection tasks belong to this one and end with it.
        self.serving.abort();
    }
}

/// What all connections share.
struct Cloud {
    service: S3Service,
    faults: FaultHandle,
    account: AccountHandle,
    clock: Arc<dyn Clock>,
}

async fn serve(listener: TcpListener, cloud: Arc<Cloud>, mut stopped: oneshot::Receiver<()>) {
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let served = connection(stream, Arc::clone(&cloud), graceful.watcher());
                    drop(connections.spawn(served));
                }
                Err(error) => {
                    tracing::warn!(%error, "devcloud could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!(cut_off = connections.len(), "devcloud stopped before all requests were done");
    }
    connections.shutdown().await;
}

async fn connection(stream: TcpStream, cloud: Arc<Cloud>, watcher: hyper_util::server::graceful::Watcher) {
    // Answers are small and waited for.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "devcloud could not set TCP_NODELAY");
    }
    let service = service_fn(move |request| answer(Arc::clone(&cloud), request));
    let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "devcloud connection ended early");
    }
}

async fn answer(cloud: Arc<Cloud>, request: Request<Incoming>) -> Result<HttpResponse, HttpError> {
    let target = Target::of(request.method(), request.uri(), request.headers());
    let asked = Asked::of(request.method(), request.uri(), request.headers());
    let account = cloud.account.read();
    let serve = |request| carried_out(&cloud, &asked, &account, request);
    // Boxed, since it holds all that may go wrong beside all that goes right.
    let response = Box::pin(faults::answer(&cloud.faults, &target, request.map(Body::from), serve)).await?;
    let failed = response.status().is_client_error() || response.status().is_server_error();
    let is_sts = target.operation == Operation::Sts;
    let response = if is_sts && failed { sts::reshape(response) } else { response };
    let id = Uuid::new_v4().simple().to_string();
    let mut response = asked.frame(response, &account, &*cloud.clock, &id);
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-amz-request-id", id);
    }
    Ok(response)
}

async fn carried_out(
    cloud: &Cloud,
    asked: &Asked,
    account: &Account,
    request: HttpRequest,
) -> Result<HttpResponse, HttpError> {
    if let Some(stopped) = asked.stop(account, request.uri(), request.headers(), &*cloud.clock) {
        return Ok(stopped);
    }
    match signing::check(request.method(), request.uri(), request.headers()) {
        Err(refusal) => refusal.to_http_response().map_err(|error| HttpError::new(Box::new(error))),
        Ok(()) => cloud.service.call(request).await,
    }
}
