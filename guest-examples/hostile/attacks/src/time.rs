//! Attacks on time: never coming back, by work or by waiting; and the ways of ending badly.

use std::{hint::black_box, process, thread, time::Duration};

use wasip2::clocks::monotonic_clock;
use weir_sdk::{Failure, Reply, Request};

/// Never comes back.
pub fn spin(_: &Request, _: &Reply) -> Result<String, Failure> {
    let mut count = 0_u64;
    loop {
        count = black_box(count).wrapping_add(1);
    }
}

/// Writes a word, then never comes back: the client has an answer that never ends.
pub fn spin_after_text(request: &Request, reply: &Reply) -> Result<String, Failure> {
    reply.text("one moment ")?;
    spin(request, reply)
}

/// Calls itself until the stack is full.
pub fn stack(_: &Request, _: &Reply) -> Result<String, Failure> {
    fn deeper(depth: u64) -> u64 {
        let frame = black_box([depth; 64]);
        match frame.first() {
            Some(&u64::MAX) | None => 0,
            Some(depth) => black_box(deeper(depth + 1)).wrapping_add(1),
        }
    }
    Ok(format!("{} calls deep", deeper(0)))
}

/// Waits a minute in the host.
pub fn sleep(_: &Request, _: &Reply) -> Result<String, Failure> {
    thread::sleep(Duration::from_secs(60));
    Ok("slept for 60 s".to_owned())
}

/// Waits in the host for longer than there has been time: 584 years.
pub fn sleep_forever(_: &Request, _: &Reply) -> Result<String, Failure> {
    monotonic_clock::subscribe_duration(u64::MAX).block();
    Ok("slept for ever".to_owned())
}

/// Waits for a moment at the end of the clock's range.
pub fn sleep_until_the_end(_: &Request, _: &Reply) -> Result<String, Failure> {
    monotonic_clock::subscribe_instant(u64::MAX).block();
    Ok("slept until the end".to_owned())
}

/// Panics.
pub fn trap(_: &Request, _: &Reply) -> Result<String, Failure> {
    #[expect(clippy::panic, reason = "it is the attack")]
    {
        panic!("this plugin panics")
    }
}

/// Writes a word, then panics.
pub fn trap_after_text(request: &Request, reply: &Reply) -> Result<String, Failure> {
    reply.text("before ")?;
    trap(request, reply)
}

/// Says that it failed, which is no fault.
pub fn error(_: &Request, _: &Reply) -> Result<String, Failure> {
    Err(Failure::internal("this plugin failed"))
}

/// Ends its process, which it has not.
pub fn exit(_: &Request, _: &Reply) -> Result<String, Failure> {
    process::exit(3)
}
