//! The job of the benchmark as one would write it by hand: one thread, typed structs, nothing between the files. `typed IN OUT`.

use std::io::{BufRead, BufReader, BufWriter, Write};

use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct User {
    id: i64,
}

#[derive(Deserialize)]
struct In<'a> {
    id: i64,
    #[serde(borrow)]
    ts: &'a str,
    event: &'a str,
    status: i32,
    amount: f64,
    user: User,
    #[serde(borrow)]
    tags: Vec<&'a str>,
}

#[derive(Serialize)]
struct Out<'a> {
    id: i64,
    ts: &'a str,
    event: String,
    status: i32,
    amount_cents: i64,
    user_id: i64,
    tags: Vec<&'a str>,
}

fn main() {
    let files: Vec<String> = std::env::args().collect();
    let mut input = BufReader::with_capacity(1 << 20, std::fs::File::open(&files[1]).unwrap());
    let mut output = BufWriter::with_capacity(1 << 20, std::fs::File::create(&files[2]).unwrap());
    let mut line = Vec::with_capacity(1024);
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line).unwrap() == 0 {
            break;
        }
        let event: In = serde_json::from_slice(&line).unwrap();
        if event.status >= 400 || event.event == "debug" {
            continue;
        }
        let out = Out {
            id: event.id,
            ts: event.ts,
            event: event.event.to_uppercase(),
            status: event.status,
            amount_cents: (event.amount * 100.0).round() as i64,
            user_id: event.user.id,
            tags: event.tags,
        };
        serde_json::to_writer(&mut output, &out).unwrap();
        output.write_all(b"\n").unwrap();
    }
    output.flush().unwrap();
}
