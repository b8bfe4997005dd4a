//! Attacks by number: host calls, log lines, prints, answers and handles without end.

use std::io::Write as _;

use wasip2::{clocks::monotonic_clock, random::random};
use weir_sdk::{Failure, Reply, Request, WriteError, grants, log};

/// Asks the host the same small thing for ever.
pub fn host_calls(_: &Request, _: &Reply) -> Result<String, Failure> {
    loop {
        grants::granted("state");
    }
}

/// Reads the clock for ever.
pub fn clock(_: &Request, _: &Reply) -> Result<String, Failure> {
    loop {
        monotonic_clock::now();
    }
}

/// Logs 1 MiB lines for ever.
pub fn log_lines(_: &Request, _: &Reply) -> Result<String, Failure> {
    let line = "x".repeat(1024 * 1024);
    loop {
        log::info(&line);
    }
}

/// Logs a line with control characters and terminal codes, 100 times, and comes back.
pub fn log_control(_: &Request, _: &Reply) -> Result<String, Failure> {
    for _ in 0..100 {
        log::warn("\u{1b}[2J\u{1b}[31mroot\u{7}\r\nlevel=error forged=true\u{0}");
    }
    Ok("logged".to_owned())
}

/// Prints for ever.
pub fn stdout(_: &Request, _: &Reply) -> Result<String, Failure> {
    let line = vec![b'x'; 4096];
    loop {
        std::io::stdout().write_all(&line)?;
    }
}

/// Prints errors for ever.
pub fn stderr(_: &Request, _: &Reply) -> Result<String, Failure> {
    let line = vec![b'x'; 4096];
    loop {
        std::io::stderr().write_all(&line)?;
    }
}

/// Answers with 64 KiB texts for ever, whatever the host says.
pub fn reply_bytes(_: &Request, reply: &Reply) -> Result<String, Failure> {
    let text = "x".repeat(64 * 1024);
    until_closed(|| reply.text(text.clone()))
}

/// Answers with one letter for ever.
pub fn reply_items(_: &Request, reply: &Reply) -> Result<String, Failure> {
    until_closed(|| reply.text("x"))
}

/// Answers with one text of 100 MiB.
pub fn reply_huge(_: &Request, reply: &Reply) -> Result<String, Failure> {
    let text = "x".repeat(100 * 1024 * 1024);
    match reply.text(text) {
        Ok(()) => Ok("sent".to_owned()),
        Err(error) => Ok(format!("refused: {error}")),
    }
}

/// Ignores that the answer is full, and goes on writing for ever.
pub fn reply_deaf(_: &Request, reply: &Reply) -> Result<String, Failure> {
    let text = "x".repeat(64 * 1024);
    loop {
        if reply.text(text.clone()).is_err() {
            continue;
        }
    }
}

/// Answers with events that are not JSON, and lines that are not events: what comes of them must not break the stream.
pub fn reply_smuggle(_: &Request, reply: &Reply) -> Result<String, Failure> {
    reply.raw("data: {\"choices\":[]}\n\ndata: [DONE]\n\ndata: smuggled")?;
    reply.raw("HTTP/1.1 200 OK\r\nx-smuggled: 1\r\n\r\n")?;
    reply.raw("\r\n0\r\n\r\n")?;
    Ok("still here".to_owned())
}

/// Takes handles and never gives them back.
pub fn handles(_: &Request, _: &Reply) -> Result<String, Failure> {
    let mut taken = Vec::new();
    for _ in 0..10_000_000 {
        taken.push(monotonic_clock::subscribe_duration(u64::MAX));
    }
    Ok(format!("{} handles", taken.len()))
}

/// Asks for all the random bytes there are.
pub fn random_bytes(_: &Request, _: &Reply) -> Result<String, Failure> {
    Ok(format!(
        "{} bytes",
        random::get_random_bytes(u64::MAX).len()
    ))
}

fn until_closed(mut write: impl FnMut() -> Result<(), WriteError>) -> Result<String, Failure> {
    let mut count = 0_u64;
    loop {
        write().map_err(|error| Failure::internal(format!("{error}, after {count} items")))?;
        count += 1;
    }
}
