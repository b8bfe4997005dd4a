//! Attacks over outgoing HTTP, with a grant for some upstream: `hostile-http.get` and so on. The user's words are the URL.

use attacks::Attack;
use wasip2::{
    clocks::monotonic_clock,
    http::{
        outgoing_handler,
        types::{Fields, FutureIncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme},
    },
};
use weir_sdk::{Failure, Manifest, Manifold, Model, Pipe, Plugin, Reply, Request, http};

const ATTACKS: &[(&str, Attack)] = &[
    ("get", get),
    ("read-forever", read_forever),
    ("drip", drip),
    ("huge-body", huge_body),
    ("parallel", parallel),
    ("flood", flood),
    ("many-headers", many_headers),
    ("long-header", long_header),
    ("forbidden-headers", forbidden_headers),
    ("smuggle", smuggle),
];

/// Asks for the URL and says what came: for addresses that nobody may reach, and for redirects to them.
fn get(request: &Request, _: &Reply) -> Result<String, Failure> {
    let response = match http::get(request.user_text()).send() {
        Ok(response) => response,
        Err(error) => return Ok(error.to_string()),
    };
    let (status, location) = (
        response.status(),
        response.header("location").unwrap_or_default(),
    );
    let body = response.bytes(64 * 1024).map_or_else(
        |error| error.to_string(),
        |bytes| String::from_utf8_lossy(&bytes).into_owned(),
    );
    Ok(format!("{status} {location} {body}"))
}

/// Reads a body to its end, and says how much there was: for an upstream that never ends, or sends a byte a second.
fn read_forever(request: &Request, _: &Reply) -> Result<String, Failure> {
    let response = http::get(request.user_text()).send()?;
    match response.bytes(usize::MAX) {
        Ok(bytes) => Ok(format!("{} bytes", bytes.len())),
        Err(error) => Ok(error.to_string()),
    }
}

/// Sends a body one byte a second.
fn drip(request: &Request, _: &Reply) -> Result<String, Failure> {
    let (body, _pending) = open(&request.user_text(), &Fields::new())?;
    let stream = body.write().map_err(|()| Failure::internal("no stream"))?;
    for count in 0_u32.. {
        if let Err(error) = stream.blocking_write_and_flush(b"x") {
            return Ok(format!("after {count} bytes: {error:?}"));
        }
        monotonic_clock::subscribe_duration(1_000_000_000).block();
    }
    Ok("no end".to_owned())
}

/// Sends a body without an end.
fn huge_body(request: &Request, _: &Reply) -> Result<String, Failure> {
    let (body, _pending) = open(&request.user_text(), &Fields::new())?;
    let stream = body.write().map_err(|()| Failure::internal("no stream"))?;
    for count in 0_u64.. {
        if let Err(error) = stream.blocking_write_and_flush(&[b'x'; 4096]) {
            return Ok(format!("after {} bytes: {error:?}", count * 4096));
        }
    }
    Ok("no end".to_owned())
}

/// Opens 10,000 requests at once and waits for none of them.
fn parallel(request: &Request, _: &Reply) -> Result<String, Failure> {
    let mut open_requests = Vec::new();
    for count in 0..10_000 {
        match open(&request.user_text(), &Fields::new()) {
            Ok(opened) => open_requests.push(opened),
            Err(error) => return Ok(format!("after {count} requests: {error}")),
        }
    }
    Ok(format!("{} requests", open_requests.len()))
}

/// Sends one request after another without end.
fn flood(request: &Request, _: &Reply) -> Result<String, Failure> {
    for count in 0_u64.. {
        if let Err(error) = http::get(request.user_text()).send() {
            return Ok(format!("after {count} requests: {error}"));
        }
    }
    Ok("no end".to_owned())
}

/// Makes a request with 33,000 headers.
fn many_headers(request: &Request, _: &Reply) -> Result<String, Failure> {
    let mut call = http::get(request.user_text());
    for number in 0..33_000 {
        call = call.header(format!("x-{number}"), "x");
    }
    Ok(call.send().map_or_else(
        |error| error.to_string(),
        |response| response.status().to_string(),
    ))
}

/// Makes a request with a header of 16 MiB.
fn long_header(request: &Request, _: &Reply) -> Result<String, Failure> {
    let call = http::get(request.user_text()).header("x-long", "x".repeat(16 * 1024 * 1024));
    Ok(call.send().map_or_else(
        |error| error.to_string(),
        |response| response.status().to_string(),
    ))
}

/// Tries each header that only the host may set, and lists those that it could set.
fn forbidden_headers(_: &Request, _: &Reply) -> Result<String, Failure> {
    let names = [
        "host",
        "connection",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
        "te",
        "http2-settings",
    ];
    let set: Vec<_> = names
        .into_iter()
        .filter(|name| Fields::new().append(name, b"x").is_ok())
        .collect();
    Ok(if set.is_empty() {
        "none".to_owned()
    } else {
        set.join(", ")
    })
}

/// Tries to have an allowed request end somewhere else: by its path, its authority, or line ends in either. Lists what was accepted.
fn smuggle(request: &Request, _: &Reply) -> Result<String, Failure> {
    let url = request.user_text();
    let authority = url
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .to_owned();
    let tries = [
        (
            authority.clone(),
            "http://169.254.169.254/latest".to_owned(),
        ),
        (authority.clone(), "//169.254.169.254/latest".to_owned()),
        (authority.clone(), "/\r\nhost: evil\r\n\r\n".to_owned()),
        (authority.clone(), "/ HTTP/1.1\r\nx: y".to_owned()),
        (format!("{authority}@169.254.169.254"), "/".to_owned()),
        (format!("169.254.169.254#@{authority}"), "/".to_owned()),
        (format!("{authority}\r\nx: y"), "/".to_owned()),
        ("169.254.169.254".to_owned(), "/".to_owned()),
    ];
    let mut accepted = Vec::new();
    for (authority, path) in tries {
        if let Ok(status) = send_to(&authority, &path) {
            accepted.push(format!("{authority:?} {path:?}: {status}"));
        }
    }
    Ok(if accepted.is_empty() {
        "none".to_owned()
    } else {
        accepted.join("; ")
    })
}

fn send_to(authority: &str, path: &str) -> Result<u16, Failure> {
    let request = OutgoingRequest::new(Fields::new());
    let refused = |()| Failure::internal("refused");
    request.set_scheme(Some(&Scheme::Http)).map_err(refused)?;
    request.set_authority(Some(authority)).map_err(refused)?;
    request.set_path_with_query(Some(path)).map_err(refused)?;
    let pending = outgoing_handler::handle(request, None)?;
    pending.subscribe().block();
    let response = pending
        .get()
        .ok_or_else(|| Failure::internal("no response"))?
        .map_err(refused)??;
    Ok(response.status())
}

/// A POST whose body is still to be written.
fn open(url: &str, headers: &Fields) -> Result<(OutgoingBody, FutureIncomingResponse), Failure> {
    let refused = |()| Failure::internal("refused");
    let rest = url
        .strip_prefix("http://")
        .ok_or_else(|| Failure::invalid("the URL must begin with http://"))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let request = OutgoingRequest::new(headers.clone());
    request.set_method(&Method::Post).map_err(refused)?;
    request.set_scheme(Some(&Scheme::Http)).map_err(refused)?;
    request.set_authority(Some(authority)).map_err(refused)?;
    request
        .set_path_with_query(Some(&format!("/{path}")))
        .map_err(refused)?;
    let body = request.body().map_err(refused)?;
    let pending = outgoing_handler::handle(request, None)?;
    Ok((body, pending))
}

#[derive(Default)]
struct HostileHttp;

impl Plugin for HostileHttp {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.id("hostile-http").name("Hostile over HTTP: ")
    }
}

impl Manifold for HostileHttp {
    fn models(&mut self) -> Result<Vec<Model>, Failure> {
        Ok(attacks::models(ATTACKS))
    }
}

impl Pipe for HostileHttp {
    fn run(&mut self, request: &Request, reply: &Reply) -> Result<(), Failure> {
        attacks::run(ATTACKS, request, reply)
    }
}

weir_sdk::plugin!(HostileHttp: pipe, manifold);
