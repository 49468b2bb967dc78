//! The API's server.

use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Request, State, connect_info::Connected};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;
use axum::{Json, Router};
use tokio::net::UnixListener as Listener;
use tokio::sync::Semaphore;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::types::{
    Disk, DiskState, Refusal, RefusalKind, ReloadRequest, Reloaded, ResizeRequest, Session, Status,
};
use super::{Daemon, Endpoint};

/// Bytes of the largest request.
const LARGEST: usize = 64 * 1024;

/// How long the daemon is waited for: a little more than it waits for its disks itself.
const PATIENCE: Duration = Duration::from_secs(25);

/// Requests that may be under way at once.
const AT_ONCE: usize = 32;

/// What handlers share.
#[derive(Clone)]
struct House {
    daemon: Arc<dyn Daemon>,
    places: Arc<Semaphore>,
    /// Who may ask, besides root.
    owner: u32,
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
struct Peer(Option<u32>);

impl Connected<IncomingStream<'_, Listener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        Peer(stream.io().peer_cred().ok().map(|credentials| credentials.uid()))
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "timedisk",
        description = "Looks after a running timedisk, over the UNIX socket control.sock in its state directory."
    ),
    components(schemas(Status, Disk, DiskState, Session, Reloaded, ReloadRequest, ResizeRequest, Refusal))
)]
struct Document;

/// Serves the API on a thread of its own, for as long as the process lives.
///
/// # Errors
/// There is no thread, or no runtime for it.
pub(crate) fn serve(endpoint: &Endpoint, daemon: Arc<dyn Daemon>, owner: u32) -> anyhow::Result<()> {
    let listener = endpoint.listener()?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(AT_ONCE).build();
    let runtime = runtime.context("can't start the control side")?;
    let thread = std::thread::Builder::new().name("control".into());
    thread.spawn(move || {
        if let Err(error) = runtime.block_on(run(listener, daemon, owner)) {
            tracing::error!("the control socket has failed: {error}; restart timedisk to have it back");
        }
    })?;
    Ok(())
}

async fn run(listener: UnixListener, daemon: Arc<dyn Daemon>, owner: u32) -> std::io::Result<()> {
    let house = House { daemon, places: Arc::new(Semaphore::new(AT_ONCE)), owner };
    let (router, _) = routes(house);
    let service = router.into_make_service_with_connect_info::<Peer>();
    axum::serve(Listener::from_std(listener)?, service).await
}

fn open_api() -> (Router<House>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(status))
        .routes(routes!(kick))
        .routes(routes!(reload))
        .routes(routes!(resize))
        .routes(routes!(offline))
        .routes(routes!(online))
        .routes(routes!(accept_loss))
        .split_for_parts()
}

fn routes(house: House) -> (Router, utoipa::openapi::OpenApi) {
    let (router, description) = open_api();
    let shown = description.clone();
    let router = router
        .route("/v1/openapi.json", axum::routing::get(async move || Json(shown)))
        .fallback(async || Refusal::new(RefusalKind::NotFound, "there is no such path; see /v1/openapi.json"))
        .layer(DefaultBodyLimit::max(LARGEST))
        .layer(from_fn_with_state(house.clone(), admit))
        .with_state(house);
    (router, description)
}

/// Whether a user may look after a daemon of `owner`.
pub(super) fn is_admitted(user: Option<u32>, owner: u32) -> bool {
    user.is_some_and(|user| user == 0 || user == owner)
}

/// Lets root and the daemon's own user in, and not too many at once.
async fn admit(
    State(house): State<House>,
    ConnectInfo(Peer(user)): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    if !is_admitted(user, house.owner) {
        tracing::warn!(
            "the control socket refused user {}",
            user.map_or("unknown".into(), |user| user.to_string())
        );
        let error = format!("this daemon is looked after by root and by user {}", house.owner);
        return Refusal::new(RefusalKind::Forbidden, error).into_response();
    }
    match house.places.acquire().await {
        Ok(_place) => next.run(request).await,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self.kind {
            RefusalKind::NotFound => StatusCode::NOT_FOUND,
            RefusalKind::Conflict => StatusCode::CONFLICT,
            RefusalKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            RefusalKind::Forbidden => StatusCode::FORBIDDEN,
            RefusalKind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        };
        (status, Json(self)).into_response()
    }
}

/// Asks the daemon on a thread that may wait, and waits for that only so long.
async fn ask<T: Send + 'static>(
    house: House,
    question: impl FnOnce(&dyn Daemon) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let asked = tokio::task::spawn_blocking(move || question(&*house.daemon));
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => {
            Err(Refusal::new(RefusalKind::Conflict, "a defect ended this request; the daemon goes on"))
        }
        Err(_) => {
            let error = format!("it was not done within {} seconds, and may be done yet", PATIENCE.as_secs());
            Err(Refusal::new(RefusalKind::TimedOut, error))
        }
    }
}

#[utoipa::path(get, path = "/v1/status", responses((status = 200, body = Status)))]
async fn status(State(house): State<House>) -> Result<Json<Status>, Refusal> {
    ask(house, |daemon| Ok(daemon.status())).await.map(Json)
}

#[utoipa::path(post, path = "/v1/sessions/{session}/kick",
    params(("session" = u16, Path, description = "The session's id")),
    responses((status = 204), (status = 404, body = Refusal)))]
async fn kick(State(house): State<House>, Path(session): Path<u16>) -> Result<StatusCode, Refusal> {
    ask(house, move |daemon| daemon.kick(session)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(post, path = "/v1/reload", request_body = ReloadRequest,
    responses((status = 200, body = Reloaded), (status = 409, body = Refusal), (status = 422, body = Refusal)))]
async fn reload(
    State(house): State<House>,
    Json(wanted): Json<ReloadRequest>,
) -> Result<Json<Reloaded>, Refusal> {
    ask(house, move |daemon| daemon.reload(wanted.allow_shrink)).await.map(Json)
}

#[utoipa::path(post, path = "/v1/disks/{disk}/resize", request_body = ResizeRequest,
    params(("disk" = String, Path, description = "The disk's name, its target's iSCSI name, or its file")),
    responses((status = 204), (status = 404, body = Refusal), (status = 409, body = Refusal)))]
async fn resize(
    State(house): State<House>,
    Path(disk): Path<String>,
    Json(wanted): Json<ResizeRequest>,
) -> Result<StatusCode, Refusal> {
    ask(house, move |daemon| daemon.resize(&disk, wanted.bytes)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(post, path = "/v1/disks/{disk}/offline",
    params(("disk" = String, Path, description = "As for resize")),
    responses((status = 204), (status = 404, body = Refusal), (status = 409, body = Refusal)))]
async fn offline(State(house): State<House>, Path(disk): Path<String>) -> Result<StatusCode, Refusal> {
    ask(house, move |daemon| daemon.offline(&disk)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(post, path = "/v1/disks/{disk}/online",
    params(("disk" = String, Path, description = "As for resize")),
    responses((status = 204), (status = 404, body = Refusal), (status = 409, body = Refusal)))]
async fn online(State(house): State<House>, Path(disk): Path<String>) -> Result<StatusCode, Refusal> {
    ask(house, move |daemon| daemon.online(&disk)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(post, path = "/v1/disks/{disk}/accept-loss",
    params(("disk" = String, Path, description = "As for resize")),
    responses((status = 204), (status = 404, body = Refusal), (status = 409, body = Refusal)))]
async fn accept_loss(State(house): State<House>, Path(disk): Path<String>) -> Result<StatusCode, Refusal> {
    ask(house, move |daemon| daemon.accept_loss(&disk)).await?;
    Ok(StatusCode::NO_CONTENT)
}
