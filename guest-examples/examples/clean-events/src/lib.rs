//! A stage of a data pipeline that is made for speed: records are read into typed structs that borrow from the batch, and written from others. It leaves out failed
//! requests and debug events.

use weir_sdk::{
    Batch, Failure, Manifest, Plugin, Transform, Transformed, Transformer, Verdict,
    serde::{Deserialize, Serialize},
    serde_json::Value,
};

#[derive(Deserialize)]
#[serde(crate = "weir_sdk::serde")]
struct User {
    id: i64,
}

/// What an event looks like when it comes in; other fields are skipped. A `&str` borrows, so a text with an escape in it does not fit: use `Cow<str>` where there are such.
#[derive(Deserialize)]
#[serde(crate = "weir_sdk::serde")]
struct Event<'a> {
    id: i64,
    ts: &'a str,
    event: &'a str,
    status: i32,
    amount: f64,
    user: User,
    #[serde(borrow)]
    tags: Vec<&'a str>,
}

/// What goes on.
#[derive(Serialize)]
#[serde(crate = "weir_sdk::serde")]
struct Clean<'a> {
    id: i64,
    ts: &'a str,
    event: String,
    status: i32,
    amount_cents: i64,
    user_id: i64,
    tags: Vec<&'a str>,
}

#[derive(Default)]
struct CleanEvents;

/// Works during a run; it remembers nothing.
struct Cleaner;

impl Plugin for CleanEvents {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.name("Clean events")
    }
}

impl Transform for CleanEvents {
    type Transformer = Cleaner;
}

impl Transformer for Cleaner {
    fn open(config: Value) -> Result<Self, Failure> {
        match config.as_object() {
            Some(settings) if settings.is_empty() => Ok(Self),
            _ => Err(Failure::invalid(format!(
                "there are no settings, and {config} was given"
            ))),
        }
    }

    fn apply(&mut self, batch: Batch) -> Result<Transformed, Failure> {
        batch.each(|event: Event| {
            if event.status >= 400 || event.event == "debug" {
                return Verdict::LeaveOut;
            }
            // Of a number with at most two decimals, so the rounding only takes away what binary fractions add.
            let cents = (event.amount * 100.0).round();
            Verdict::Keep(Clean {
                id: event.id,
                ts: event.ts,
                event: event.event.to_uppercase(),
                status: event.status,
                amount_cents: cents as i64,
                user_id: event.user.id,
                tags: event.tags,
            })
        })
    }
}

weir_sdk::plugin!(CleanEvents: transform);
