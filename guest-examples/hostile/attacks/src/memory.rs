//! Attacks on memory: taking more than there is to have, making the host touch much of it at once, and looking for what others left.

use std::hint::black_box;

use weir_sdk::{Failure, Reply, Request};

/// One page of linear memory, in bytes.
const PAGE: usize = 65536;

/// Takes memory and writes to it, until there is no more; the allocator then ends the call.
pub fn grow(_: &Request, _: &Reply) -> Result<String, Failure> {
    let mut taken = Vec::new();
    loop {
        taken.push(black_box(vec![0x5a_u8; 16 * PAGE]));
    }
}

/// Asks for pages until it is refused, and says how many MiB it has then.
pub fn grow_politely(_: &Request, _: &Reply) -> Result<String, Failure> {
    while grow_pages(16) {}
    Ok(format!("{} MiB", size() / 1024 / 1024))
}

/// Fills 64 MiB over and over with one instruction each time: an instruction that cannot be interrupted.
pub fn fill(_: &Request, _: &Reply) -> Result<String, Failure> {
    let mut bytes = vec![0_u8; 64 * 1024 * 1024];
    let mut value = 0_u8;
    loop {
        value = value.wrapping_add(1);
        black_box(&mut bytes).fill(black_box(value));
    }
}

/// Keeps what the user said, for a later call or another tenant to find.
pub fn keep(request: &Request, _: &Reply) -> Result<String, Failure> {
    let secret = request.user_text();
    let copies = secret.repeat(1024);
    black_box(&copies);
    Box::leak(copies.into_boxed_str());
    Ok("kept".to_owned())
}

/// Looks through all of its memory, and memory that it has just been given, for what the user says, spelt backwards so that the question is not found.
pub fn find(request: &Request, _: &Reply) -> Result<String, Failure> {
    let backwards = request.user_text().into_bytes();
    let Some(first) = backwards.last() else {
        return Err(Failure::invalid("say what to look for, backwards"));
    };
    while size() < 16 * 1024 * 1024 && grow_pages(16) {}
    for start in 1024..size().saturating_sub(backwards.len()) {
        let same = |(at, byte): (usize, &u8)| read(start + at) == *byte;
        if read(start) == *first && backwards.iter().rev().enumerate().all(same) {
            return Ok(format!("found at {start}"));
        }
    }
    Ok("nothing found".to_owned())
}

#[cfg(target_arch = "wasm32")]
fn grow_pages(pages: usize) -> bool {
    std::arch::wasm32::memory_grow::<0>(pages) != usize::MAX
}

#[cfg(target_arch = "wasm32")]
fn size() -> usize {
    std::arch::wasm32::memory_size::<0>() * PAGE
}

/// A byte of linear memory, whoever wrote it.
#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code, reason = "reading what nobody gave it is the attack")]
fn read(at: usize) -> u8 {
    // SAFETY: `at` is below the memory's size, which only grows; a byte of linear memory has no type.
    unsafe { std::ptr::with_exposed_provenance::<u8>(at).read_volatile() }
}

#[cfg(not(target_arch = "wasm32"))]
fn grow_pages(_: usize) -> bool {
    false
}

#[cfg(not(target_arch = "wasm32"))]
fn size() -> usize {
    0
}

#[cfg(not(target_arch = "wasm32"))]
fn read(_: usize) -> u8 {
    0
}
