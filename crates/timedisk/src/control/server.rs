//! The API's server.

use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json, Router};
use serde::de::DeserializeOwned;
use tokio::net::UnixListener as Listener;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::connection::{self, Peer};
use super::mirror::ReplaceRequest;
use super::point;
use super::points::Points;
use super::types::{
    Access, AccessRequest, AccessState, Disk, DiskState, Refusal, RefusalKind, ReloadRequest, Reloaded,
    ResizeRequest, Session, Status,
};
use super::{Daemon, Endpoint};

/// Bytes of the largest request.
const LARGEST: usize = 64 * 1024;

/// How long the daemon is waited for: a little more than it waits for its disks itself.
const PATIENCE: Duration = Duration::from_secs(25);

/// How long a request's body may take to arrive, and its answer to leave.
const TRANSFER: Duration = Duration::from_secs(5);

/// How long a request waits for a place among those that the daemon deals with. It holds a connection meanwhile.
const TO_GET_A_PLACE: Duration = Duration::from_secs(1);

/// Questions that the daemon is asked at once.
const QUESTIONS: usize = 4;

/// Changes that it is told of at once.
const CHANGES: usize = 4;

/// Sessions that it is told to end at once.
const KICKS: usize = 4;

/// Reads of points at once.
const READS: usize = 4;

/// What handlers share.
#[derive(Clone)]
pub(super) struct House {
    daemon: Arc<dyn Daemon>,
    /// Places for questions, for changes and for sessions to end. Changes that hang leave the others free.
    questions: Arc<Semaphore>,
    changes: Arc<Semaphore>,
    kicks: Arc<Semaphore>,
    pub(super) reads: Arc<Semaphore>,
    pub(super) points: Arc<Points>,
    patience: Duration,
    transfer: Duration,
    /// Who may ask, besides root.
    owner: u32,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "timedisk",
        description = "Looks after a running timedisk, over the UNIX socket control.sock in its state directory."
    ),
    components(schemas(
        Status,
        Access,
        AccessRequest,
        AccessState,
        Disk,
        DiskState,
        Session,
        Reloaded,
        ReloadRequest,
        ResizeRequest,
        Refusal
    ))
)]
struct Document;

/// Serves the API on a thread of its own, for as long as the process lives.
///
/// # Errors
/// There is no thread, or no runtime for it.
pub(crate) fn serve(endpoint: &Endpoint, daemon: Arc<dyn Daemon>, owner: u32) -> anyhow::Result<()> {
    serve_within(endpoint, daemon, owner, PATIENCE, TRANSFER)
}

/// As [`serve`], with other limits of time.
pub(super) fn serve_within(
    endpoint: &Endpoint,
    daemon: Arc<dyn Daemon>,
    owner: u32,
    patience: Duration,
    transfer: Duration,
) -> anyhow::Result<()> {
    let listener = endpoint.listener()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(QUESTIONS + CHANGES + KICKS + READS)
        .build();
    let runtime = runtime.context("can't start the control side")?;
    let [questions, changes, kicks, reads] =
        [QUESTIONS, CHANGES, KICKS, READS].map(|places| Arc::new(Semaphore::new(places)));
    let house =
        House { daemon, questions, changes, kicks, reads, points: Arc::default(), patience, transfer, owner };
    let thread = std::thread::Builder::new().name("control".into());
    thread.spawn(move || {
        if let Err(error) = runtime.block_on(run(listener, house)) {
            tracing::error!("the control socket has failed: {error}; restart timedisk to have it back");
        }
    })?;
    Ok(())
}

async fn run(listener: UnixListener, house: House) -> std::io::Result<()> {
    let transfer = house.transfer;
    let (router, _) = routes(house);
    connection::accept(Listener::from_std(listener)?, router, transfer).await;
    Ok(())
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
        .routes(routes!(set_access))
        .routes(routes!(replace_member))
        .routes(routes!(scrub))
        .routes(routes!(point::take))
        .routes(routes!(point::map))
        .routes(routes!(point::read))
        .routes(routes!(point::release))
        .routes(routes!(point::compact))
        .split_for_parts()
}

fn routes(house: House) -> (Router, utoipa::openapi::OpenApi) {
    let (router, description) = open_api();
    let shown = description.clone();
    let router = router
        .route("/v1/openapi.json", axum::routing::get(async move || Json(shown)))
        .method_not_allowed_fallback(async || {
            misunderstood(StatusCode::METHOD_NOT_ALLOWED, "not with this method; see /v1/openapi.json".into())
        })
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

/// Lets root and the daemon's own user in.
async fn admit(
    State(house): State<House>,
    Extension(Peer(user)): Extension<Peer>,
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
    next.run(request).await
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self.kind {
            RefusalKind::NotFound => StatusCode::NOT_FOUND,
            RefusalKind::Conflict => StatusCode::CONFLICT,
            RefusalKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            RefusalKind::Forbidden => StatusCode::FORBIDDEN,
            RefusalKind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            RefusalKind::Busy => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, Json(self)).into_response()
    }
}

/// Asks the daemon on a thread that may wait, and waits for that only so long.
pub(super) async fn ask<T: Send + 'static>(
    house: House,
    places: Arc<Semaphore>,
    question: impl FnOnce(&dyn Daemon) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let patience = house.patience;
    let deadline = Instant::now() + patience;
    let Ok(Ok(place)) = timeout(patience.min(TO_GET_A_PLACE), places.acquire_owned()).await else {
        let error = "too many other requests are under way; if they do not end, look for a disk that hangs";
        return Err(Refusal::new(RefusalKind::Busy, error));
    };
    let asked = tokio::task::spawn_blocking(move || {
        // Kept for as long as this lasts, not only for as long as somebody waits for it.
        let _place = place;
        question(&*house.daemon)
    });
    match timeout_at(deadline, asked).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => {
            Err(Refusal::new(RefusalKind::Conflict, "a defect ended this request; the daemon goes on"))
        }
        Err(_) => {
            let error = format!("it was not done within {} seconds, and may be done yet", patience.as_secs());
            Err(Refusal::new(RefusalKind::TimedOut, error))
        }
    }
}

/// Asks it for a change.
async fn change<T: Send + 'static>(
    house: House,
    change: impl FnOnce(&dyn Daemon) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let places = Arc::clone(&house.changes);
    ask(house, places, change).await
}

/// The part of a path that says who is meant. What is wrong with it is said as JSON, like everything else.
pub(super) struct Named<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<House> for Named<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, house: &House) -> Result<Self, Response> {
        match Path::from_request_parts(parts, house).await {
            Ok(Path(name)) => Ok(Named(name)),
            Err(rejection) => Err(misunderstood(rejection.status(), rejection.body_text())),
        }
    }
}

/// What comes with a request, as JSON and in time.
pub(super) struct Sent<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<House> for Sent<T> {
    type Rejection = Response;

    async fn from_request(request: Request, house: &House) -> Result<Self, Response> {
        match timeout(house.transfer, Json::from_request(request, house)).await {
            Ok(Ok(Json(sent))) => Ok(Sent(sent)),
            Ok(Err(rejection)) => Err(misunderstood(rejection.status(), rejection.body_text())),
            Err(_) => {
                Err(misunderstood(StatusCode::REQUEST_TIMEOUT, "the request did not arrive in time".into()))
            }
        }
    }
}

fn misunderstood(status: StatusCode, error: String) -> Response {
    (status, Json(Refusal::new(RefusalKind::Invalid, error))).into_response()
}

#[utoipa::path(get, path = "/v1/status", responses((status = 200, body = Status)))]
async fn status(State(house): State<House>) -> Result<Json<Status>, Refusal> {
    let places = Arc::clone(&house.questions);
    ask(house, places, |daemon| Ok(daemon.status())).await.map(Json)
}

#[utoipa::path(post, path = "/v1/sessions/{session}/kick",
    params(("session" = u16, Path, description = "The session's id")),
    responses((status = 204), (status = 404, body = Refusal)))]
async fn kick(State(house): State<House>, Named(session): Named<u16>) -> Result<StatusCode, Refusal> {
    let places = Arc::clone(&house.kicks);
    ask(house, places, move |daemon| daemon.kick(session)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(post, path = "/v1/reload", request_body = ReloadRequest,
    responses((status = 200, body = Reloaded), (status = 409, body = Refusal), (status = 422, body = Refusal)))]
async fn reload(
    State(house): State<House>,
    Sent(wanted): Sent<ReloadRequest>,
) -> Result<Json<Reloaded>, Refusal> {
    change(house, move |daemon| daemon.reload(wanted.allow_shrink)).await.map(Json)
}

#[utoipa::path(post, path = "/v1/disks/{disk}/resize", request_body = ResizeRequest,
    params(("disk" = String, Path, description = "The disk's name, its target's iSCSI name, or its file")),
    responses((status = 204), (status = 404, body = Refusal), (status = 409, body = Refusal)))]
async fn resize(
    State(house): State<House>,
    Named(disk): Named<String>,
    Sent(wanted): Sent<ResizeRequest>,
) -> Result<StatusCode, Refusal> {
    change(house, move |daemon| daemon.resize(&disk, wanted.bytes)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(post, path = "/v1/disks/{disk}/offline",
    params(("disk" = String, Path, description = "As for resize")),
    responses((status = 204), (status = 404, body = Refusal), (status = 409, body = Refusal)))]
async fn offline(State(house): State<House>, Named(disk): Named<String>) -> Result<StatusCode, Refusal> {
    change(house, move |daemon| daemon.offline(&disk)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(post, path = "/v1/disks/{disk}/online",
    params(("disk" = String, Path, description = "As for resize")),
    responses((status = 204), (status = 404, body = Refusal), (status = 409, body = Refusal)))]
async fn online(State(house): State<House>, Named(disk): Named<String>) -> Result<StatusCode, Refusal> {
    change(house, move |daemon| daemon.online(&disk)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(post, path = "/v1/disks/{disk}/accept-loss",
    params(("disk" = String, Path, description = "As for resize")),
    responses((status = 204), (status = 404, body = Refusal), (status = 409, body = Refusal)))]
async fn accept_loss(State(house): State<House>, Named(disk): Named<String>) -> Result<StatusCode, Refusal> {
    change(house, move |daemon| daemon.accept_loss(&disk)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(post, path = "/v1/disks/{disk}/access", request_body = AccessRequest,
    params(("disk" = String, Path, description = "As for resize")),
    responses((status = 204), (status = 404, body = Refusal), (status = 409, body = Refusal)))]
async fn set_access(
    State(house): State<House>,
    Named(disk): Named<String>,
    Sent(wanted): Sent<AccessRequest>,
) -> Result<StatusCode, Refusal> {
    change(house, move |daemon| daemon.set_access(&disk, wanted.group, wanted.state)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(post, path = "/v1/disks/{disk}/mirror/replace", request_body = ReplaceRequest,
    params(("disk" = String, Path, description = "As for resize")),
    responses((status = 204), (status = 404, body = Refusal), (status = 409, body = Refusal)))]
async fn replace_member(
    State(house): State<House>,
    Named(disk): Named<String>,
    Sent(wanted): Sent<ReplaceRequest>,
) -> Result<StatusCode, Refusal> {
    change(house, move |daemon| daemon.replace_member(&disk, &wanted.member, wanted.path.as_deref())).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(post, path = "/v1/disks/{disk}/mirror/scrub",
    params(("disk" = String, Path, description = "As for resize")),
    responses((status = 204), (status = 404, body = Refusal), (status = 409, body = Refusal)))]
async fn scrub(State(house): State<House>, Named(disk): Named<String>) -> Result<StatusCode, Refusal> {
    change(house, move |daemon| daemon.scrub(&disk)).await?;
    Ok(StatusCode::NO_CONTENT)
}
