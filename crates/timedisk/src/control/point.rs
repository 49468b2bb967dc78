//! Points of disks over the control socket: taking, reading and releasing them; and making holes of zeros.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use timedisk_volume::Volume;
use utoipa::ToSchema;

use super::Refusal;
use super::points::refusal;
use super::server::{House, Named, Sent, ask};

/// How long one request goes over a disk.
const STEP: Duration = Duration::from_millis(500);

/// What a point is asked for with.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
pub(super) struct PointRequest {
    /// Bytes that may be kept aside for it; by default 1 GiB. Never more than half of what is free there.
    #[serde(default)]
    pub(super) scratch_bytes: Option<u64>,
}

/// A disk as it was at one moment.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct Point {
    /// By which it is read. Never the same again.
    pub(crate) id: String,
    /// The disk's name.
    pub(crate) disk: String,
    pub(crate) size_bytes: u64,
    /// Seconds since 1970.
    pub(crate) taken: u64,
    /// How long writes waited for it, at most.
    pub(crate) pause_microseconds: u64,
    /// What may be overwritten, in parts of 64 KiB, before it is lost.
    pub(crate) scratch_bytes: u64,
}

/// Where data are.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct Map {
    /// Parts that may hold data, in order. What lies between them was zeros.
    pub(crate) data: Vec<MapPart>,
    /// Where the rest begins, if this is not all.
    pub(crate) next: Option<u64>,
}

/// A part of a disk.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub(crate) struct MapPart {
    /// In bytes.
    pub(crate) offset: u64,
    /// In bytes.
    pub(crate) length: u64,
}

/// Where making holes of zeros goes on.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
pub(super) struct CompactRequest {
    /// In bytes.
    #[serde(default)]
    pub(super) offset: u64,
    /// Whether zeros are only counted.
    #[serde(default)]
    pub(super) dry_run: bool,
}

/// How far it came.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct Compacted {
    /// The disk's size.
    pub(crate) size_bytes: u64,
    /// Where it goes on, if that was not all.
    pub(crate) next: Option<u64>,
    /// Zeros that were data, and are holes now.
    pub(crate) zero_bytes: u64,
    /// Zeros that were left because they were just being written to.
    pub(crate) busy_bytes: u64,
}

#[utoipa::path(post, path = "/v1/disks/{disk}/points", request_body = PointRequest,
    params(("disk" = String, Path, description = "As for resize")),
    responses((status = 200, body = Point), (status = 404, body = Refusal), (status = 409, body = Refusal),
        (status = 503, body = Refusal)))]
pub(super) async fn take(
    State(house): State<House>,
    Named(disk): Named<String>,
    Sent(wanted): Sent<PointRequest>,
) -> Result<Json<Point>, Refusal> {
    let (places, points) = (Arc::clone(&house.reads), Arc::clone(&house.points));
    ask(house, places, move |daemon| points.take(&daemon.viewed(&disk)?, wanted.scratch_bytes))
        .await
        .map(Json)
}

#[utoipa::path(get, path = "/v1/points/{point}/map/{offset}",
    params(("point" = String, Path, description = "Its id"), ("offset" = u64, Path, description = "In bytes")),
    responses((status = 200, body = Map), (status = 404, body = Refusal), (status = 409, body = Refusal)))]
pub(super) async fn map(
    State(house): State<House>,
    Named((id, offset)): Named<(String, u64)>,
) -> Result<Json<Map>, Refusal> {
    let (places, points) = (Arc::clone(&house.reads), Arc::clone(&house.points));
    ask(house, places, move |_| points.map(&id, offset)).await.map(Json)
}

#[utoipa::path(get, path = "/v1/points/{point}/data/{offset}/{length}",
    params(("point" = String, Path, description = "Its id"), ("offset" = u64, Path, description = "In bytes"),
        ("length" = u64, Path, description = "In bytes, 4 MiB at most")),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 404, body = Refusal), (status = 409, body = Refusal), (status = 422, body = Refusal)))]
pub(super) async fn read(
    State(house): State<House>,
    Named((id, offset, length)): Named<(String, u64, u64)>,
) -> Result<impl IntoResponse, Refusal> {
    let (places, points) = (Arc::clone(&house.reads), Arc::clone(&house.points));
    let data = ask(house, places, move |_| points.read(&id, offset, length)).await?;
    Ok(([(CONTENT_TYPE, "application/octet-stream")], Bytes::from(data)))
}

#[utoipa::path(delete, path = "/v1/points/{point}",
    params(("point" = String, Path, description = "Its id")),
    responses((status = 204), (status = 404, body = Refusal)))]
pub(super) async fn release(
    State(house): State<House>,
    Named(id): Named<String>,
) -> Result<StatusCode, Refusal> {
    let (places, points) = (Arc::clone(&house.reads), Arc::clone(&house.points));
    ask(house, places, move |_| points.release(&id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(post, path = "/v1/disks/{disk}/compact", request_body = CompactRequest,
    params(("disk" = String, Path, description = "As for resize")),
    responses((status = 200, body = Compacted), (status = 404, body = Refusal), (status = 409, body = Refusal)))]
pub(super) async fn compact(
    State(house): State<House>,
    Named(disk): Named<String>,
    Sent(wanted): Sent<CompactRequest>,
) -> Result<Json<Compacted>, Refusal> {
    let places = Arc::clone(&house.reads);
    let step = move |daemon: &dyn super::Daemon| {
        let volume = daemon.viewed(&disk)?.volume;
        let done = volume.compact(wanted.offset, wanted.dry_run, STEP).map_err(refusal)?;
        let size_bytes = volume.capacity();
        Ok(Compacted {
            size_bytes,
            next: (done.next < size_bytes).then_some(done.next),
            zero_bytes: done.zeros,
            busy_bytes: done.busy,
        })
    };
    ask(house, places, step).await.map(Json)
}
