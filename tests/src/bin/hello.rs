//! The bare server that the benchmark compares with: hyper on tokio, set up as Weir's, that reads a request and says hello. No
//! routing, no JSON, no limits. Prints its URL.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

#[expect(clippy::disallowed_methods, reason = "the body is bounded by Limited")]
async fn hello(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    // A body is read, as every server has to.
    drop(Limited::new(request.into_body(), 1 << 20).collect().await);
    let mut response = Response::new(Full::new(Bytes::from_static(b"{\"hello\":\"world\"}")));
    let json = hyper::header::HeaderValue::from_static("application/json");
    let headers = response.headers_mut();
    headers.insert(hyper::header::CONTENT_TYPE, json);
    Ok(response)
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let mut server = hyper::server::conn::http1::Builder::new();
            server.timer(TokioTimer::new());
            let serve = server.serve_connection(TokioIo::new(stream), service_fn(hello));
            // A client may leave at any time.
            drop(serve.await);
        });
    }
}
