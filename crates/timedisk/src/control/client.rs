//! The API's client: our own commands.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::endpoint::{connect, owner};
use super::mirror::ReplaceRequest;
use super::point::{CompactRequest, Compacted, Map, Point, PointRequest};
use super::types::{AccessRequest, AccessState, Refusal, ReloadRequest, Reloaded, ResizeRequest, Status};

/// Speaks to the daemon of a state directory.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    directory: PathBuf,
    patience: Duration,
}

/// Why there is no answer, or none that pleases.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// No daemon.
    #[error(
        "no timedisk runs with the state directory {}; start one, or name another directory with --state DIR",
        .0.display()
    )]
    Absent(PathBuf),
    /// It does not answer.
    #[error(
        "timedisk{} does not answer within {} seconds; it may hang: look at it, or end it and start it again",
        .0.map_or(String::new(), |process| format!(" (process {process})")), .1.as_secs()
    )]
    Hangs(Option<u32>, Duration),
    /// It answers with a refusal.
    #[error("{}", .0.error)]
    Refused(Refusal),
    /// The socket is not for this user.
    #[error("the timedisk with the state directory {} is another user's; ask as that one, or as root", .0.display())]
    Forbidden(PathBuf),
    /// Anything else.
    #[error("can't speak to the timedisk with the state directory {}: {}", .0.display(), .1)]
    Garbled(PathBuf, String),
}

impl Client {
    /// For the daemon that has this state directory, with so much patience for each answer.
    pub(crate) fn new(directory: PathBuf, patience: Duration) -> Self {
        Client { directory, patience }
    }

    pub(crate) fn status(&self) -> Result<Status, Trouble> {
        self.ask(Method::GET, "/v1/status", &())
    }

    pub(crate) fn kick(&self, session: u16) -> Result<(), Trouble> {
        self.ask(Method::POST, &format!("/v1/sessions/{session}/kick"), &())
    }

    pub(crate) fn reload(&self, allow_shrink: bool) -> Result<Reloaded, Trouble> {
        self.ask(Method::POST, "/v1/reload", &ReloadRequest { allow_shrink })
    }

    pub(crate) fn resize(&self, disk: &str, bytes: u64) -> Result<(), Trouble> {
        self.ask(Method::POST, &of_disk(disk, "resize"), &ResizeRequest { bytes })
    }

    pub(crate) fn offline(&self, disk: &str) -> Result<(), Trouble> {
        self.ask(Method::POST, &of_disk(disk, "offline"), &())
    }

    pub(crate) fn online(&self, disk: &str) -> Result<(), Trouble> {
        self.ask(Method::POST, &of_disk(disk, "online"), &())
    }

    pub(crate) fn set_access(&self, disk: &str, group: u16, state: AccessState) -> Result<(), Trouble> {
        self.ask(Method::POST, &of_disk(disk, "access"), &AccessRequest { group, state })
    }

    pub(crate) fn accept_loss(&self, disk: &str) -> Result<(), Trouble> {
        self.ask(Method::POST, &of_disk(disk, "accept-loss"), &())
    }

    pub(crate) fn replace_member(
        &self,
        disk: &str,
        member: &str,
        path: Option<String>,
    ) -> Result<(), Trouble> {
        let request = ReplaceRequest { member: member.to_owned(), path };
        self.ask(Method::POST, &of_disk(disk, "mirror/replace"), &request)
    }

    pub(crate) fn scrub(&self, disk: &str) -> Result<(), Trouble> {
        self.ask(Method::POST, &of_disk(disk, "mirror/scrub"), &())
    }

    pub(crate) fn take_point(&self, disk: &str, scratch_bytes: Option<u64>) -> Result<Point, Trouble> {
        self.ask(Method::POST, &of_disk(disk, "points"), &PointRequest { scratch_bytes })
    }

    /// Where data are, from a byte on.
    pub(crate) fn map_of_point(&self, id: &str, offset: u64) -> Result<Map, Trouble> {
        self.ask(Method::GET, &format!("/v1/points/{id}/map/{offset}"), &())
    }

    pub(crate) fn read_point(&self, id: &str, offset: u64, length: u64) -> Result<Bytes, Trouble> {
        let (_, data) =
            self.exchange(Method::GET, &format!("/v1/points/{id}/data/{offset}/{length}"), &())?;
        match data.len() as u64 == length {
            true => Ok(data),
            false => Err(self.garbled(&format!("it sends {} bytes of {length}", data.len()))),
        }
    }

    pub(crate) fn release_point(&self, id: &str) -> Result<(), Trouble> {
        self.ask(Method::DELETE, &format!("/v1/points/{id}"), &())
    }

    /// Goes on making holes of zeros from a byte on, for a moment.
    pub(crate) fn compact(&self, disk: &str, offset: u64, dry_run: bool) -> Result<Compacted, Trouble> {
        self.ask(Method::POST, &of_disk(disk, "compact"), &CompactRequest { offset, dry_run })
    }

    fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Trouble> {
        let (status, answer) = self.exchange(method, path, body)?;
        let answer = if status == StatusCode::NO_CONTENT { b"null" } else { &*answer };
        serde_json::from_slice(answer).map_err(|error| self.garbled(&error))
    }

    /// The answer as it is, if it pleases.
    fn exchange(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<(StatusCode, Bytes), Trouble> {
        let garbled = |error: &dyn std::fmt::Display| self.garbled(error);
        let body = serde_json::to_vec(body).map_err(|error| garbled(&error))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "timedisk")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| garbled(&error))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| garbled(&error))?;
        let (status, answer) = runtime.block_on(async {
            let asked = async {
                let stream = connect(&self.directory).await.map_err(|error| self.unreachable(&error))?;
                exchange(stream, request).await.map_err(|error| garbled(&error))
            };
            match tokio::time::timeout(self.patience, asked).await {
                Ok(answered) => answered,
                Err(_) => Err(Trouble::Hangs(owner(&self.directory), self.patience)),
            }
        })?;
        match status {
            StatusCode::NO_CONTENT | StatusCode::OK => Ok((status, answer)),
            _ => Err(match serde_json::from_slice::<Refusal>(&answer) {
                Ok(refusal) => Trouble::Refused(refusal),
                Err(_) => garbled(&format!("it answers {status}")),
            }),
        }
    }

    fn unreachable(&self, error: &std::io::Error) -> Trouble {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => Trouble::Absent(self.directory.clone()),
            ErrorKind::PermissionDenied => Trouble::Forbidden(self.directory.clone()),
            // Its backlog is full, so nobody takes anything out of it.
            ErrorKind::WouldBlock => Trouble::Hangs(owner(&self.directory), self.patience),
            _ => self.garbled(error),
        }
    }

    fn garbled(&self, error: &dyn std::fmt::Display) -> Trouble {
        Trouble::Garbled(self.directory.clone(), error.to_string())
    }
}

/// The path of a request about a disk, whose name may have any character.
fn of_disk(disk: &str, what: &str) -> String {
    use std::fmt::Write;
    let mut name = String::new();
    for byte in disk.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => name.push(byte as char),
            _ => drop(write!(name, "%{byte:02X}")),
        }
    }
    format!("/v1/disks/{name}/{what}")
}

/// Sends a request and receives the answer's status and body.
async fn exchange(
    stream: tokio::net::UnixStream,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the runtime. That the daemon closes the connection after its answer is no failure.
    tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}
