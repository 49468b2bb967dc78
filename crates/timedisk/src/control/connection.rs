//! One client, one request.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, Semaphore};

/// Connections at once. Each takes a descriptor of those that clients of disks need too; more wait their turn.
const AT_ONCE: usize = 32;

/// Bytes of a request's first line and headers.
const LONGEST_HEAD: usize = 16 * 1024;

/// Between attempts to accept, when the system has no more descriptors.
const PAUSE: Duration = Duration::from_millis(500);

/// The user at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) Option<u32>);

/// Lets clients in, for ever. A request has `transfer` to arrive, and as long for its answer to leave.
pub(super) async fn accept(listener: UnixListener, router: Router, transfer: Duration) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    converse(stream, router, transfer).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!("the control socket can't let anybody in: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn converse(stream: UnixStream, router: Router, transfer: Duration) {
    let peer = Peer(stream.peer_cred().ok().map(|credentials| credentials.uid()));
    let answered = Arc::new(Notify::new());
    let leaving = Arc::clone(&answered);
    let service = TowerToHyperService::new(router.layer(Extension(peer)));
    let service = service_fn(move |request| {
        let (answer, leaving) = (service.call(request), Arc::clone(&leaving));
        async move {
            let answer = answer.await;
            leaving.notify_one();
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(transfer)
        .max_buf_size(LONGEST_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    // Once there is an answer, only the client can be what takes long.
    let mut too_late = pin!(async {
        answered.notified().await;
        tokio::time::sleep(transfer).await;
    });
    let ended = poll_fn(|context| match connection.as_mut().poll(context) {
        Poll::Ready(ended) => Poll::Ready(ended),
        Poll::Pending => too_late.as_mut().poll(context).map(Ok),
    });
    if let Err(error) = ended.await {
        tracing::debug!("a client of the control socket went away or was not understood: {error}");
    }
}
