//! Listening: accepts connections up to the cap, serves HTTP/1.1 on each, and ends them all in bounded time when told to stop.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use engine::Engine;
use http::Request;
use http_body::{Frame, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};

use crate::app::App;
use crate::config::{HttpLimits, ServerConfig};
use crate::connection::{Guarded, Phase, Serving};
use crate::routes;

/// How long to wait after the system refused to accept, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why serving ended, where it was not told to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The listener is of no use any more.
    #[error("cannot accept connections: {0}")]
    Accept(#[source] io::Error),
}

/// Serves until `shutdown` is done, then lets requests under way finish within `limits.drain` and returns.
///
/// Connections over `limits.max_connections` wait in the system's queue. A client that leaves ends its call; one that
/// only shuts its sending half counts as gone too.
///
/// # Errors
/// [`ServeError::Accept`] when the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    engine: Arc<Engine>,
    config: ServerConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let limits = config.limits.clone();
    let app = Arc::new(App::new(engine, config));
    let http = builder(&limits);
    let server = Server {
        router: routes::router(&app),
        app,
        http,
        limits,
    };
    let mut tasks = JoinSet::new();
    let result = tokio::select! {
        () = shutdown => Ok(()),
        failed = accept(&listener, &server, &mut tasks) => Err(failed),
    };
    drop(listener);
    server.app.closing.send_replace(true);
    drain(&server, &mut tasks).await;
    result
}

/// What each connection is served with.
struct Server {
    router: Router,
    app: Arc<App>,
    http: http1::Builder,
    limits: HttpLimits,
}

fn builder(limits: &HttpLimits) -> http1::Builder {
    let mut http = http1::Builder::new();
    // hyper counts from the end of the last request, so this is the idle time; the head's own time is `Guarded`'s.
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.idle_timeout)
        .max_buf_size(limits.max_head_bytes.max(8192))
        .max_headers(limits.max_headers)
        .half_close(false)
        .keep_alive(true);
    http
}

async fn accept(listener: &TcpListener, server: &Server, tasks: &mut JoinSet<()>) -> ServeError {
    let slots = Arc::new(Semaphore::new(server.limits.max_connections.max(1)));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else {
            return ServeError::Accept(io::Error::other("the connection cap is gone"));
        };
        match listener.accept().await {
            Ok((socket, _)) => tasks.spawn(connection(server, socket, slot)),
            Err(error) if is_passing(&error) => continue,
            Err(error) if is_shortage(&error) => {
                tracing::warn!(%error, "cannot accept a connection just now");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
            Err(error) => return ServeError::Accept(error),
        };
        while let Some(ended) = tasks.try_join_next() {
            report(ended);
        }
    }
}

/// The client broke off before it was accepted.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// Too few file descriptors (EMFILE 24, ENFILE 23), buffers (ENOBUFS 105) or memory (ENOMEM 12): that may pass.
fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(12 | 23 | 24 | 105))
}

fn connection(
    server: &Server,
    socket: TcpStream,
    slot: OwnedSemaphorePermit,
) -> impl Future<Output = ()> + Send + 'static {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    let phase = Phase::new();
    let (head, stall) = (server.limits.header_timeout, server.limits.idle_timeout);
    let io = Guarded::new(TokioIo::new(socket), phase.clone(), head, stall);
    let (router, app) = (server.router.clone(), server.app.clone());
    let service = service_fn(move |request| {
        let serving = phase.serve();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(phase.clone());
        answer(app.clone(), router.clone(), request, serving)
    });
    let connection = server.http.serve_connection(io, service).with_upgrades();
    let mut closing = server.app.closing.subscribe();
    async move {
        let mut connection = std::pin::pin!(connection);
        let closed = async {
            let _gone = closing.wait_for(|closing| *closing).await;
        };
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = closed => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
        drop(slot);
    }
}

/// Answers one request, and keeps the connection marked as serving until the answer is sent.
async fn answer(
    app: Arc<App>,
    router: Router,
    request: Request<Body>,
    serving: Serving,
) -> Result<Response<Tracked>, Infallible> {
    let response = routes::answer(&app, router, request).await;
    Ok(response.map(|body| Tracked {
        body,
        _serving: serving,
    }))
}

/// A response body that knows when it has been sent.
struct Tracked {
    body: Body,
    _serving: Serving,
}

impl http_body::Body for Tracked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Lets connections, and WebSockets that were connections, finish what they are at, then ends them.
async fn drain(server: &Server, tasks: &mut JoinSet<()>) {
    let over = async {
        while let Some(ended) = tasks.join_next().await {
            report(ended);
        }
        let all = u32::try_from(server.limits.max_listeners).unwrap_or(u32::MAX);
        // Who follows something holds one. It is never closed.
        let _all = server.app.listeners.acquire_many(all).await;
    };
    if tokio::time::timeout(server.limits.drain, over)
        .await
        .is_err()
    {
        let connections = tasks.len();
        tracing::warn!(
            connections,
            "requests did not finish in time and were cut off"
        );
    }
    tasks.abort_all();
    while let Some(ended) = tasks.join_next().await {
        report(ended);
    }
}

/// A panic in one request ends its connection and nothing else; it is a bug of ours all the same.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a request panicked");
    }
}
