//! The manifest that is stamped into the component: a static text that `stamp.py` finds by its first bytes and writes over.

use std::hint::black_box;

use weir_sdk::serde_json::{self, Value};

use crate::bomb;

/// What `stamp.py` looks for. Nothing else in a component may look like it, so only its length is used here.
const MARK: usize = b"WEIR-ACTOR-MANIFEST:".len();
/// Room for the mark and the manifest, which is filled up with spaces.
static ROOM: [u8; 8192] = room();

const fn room() -> [u8; 8192] {
    let (mut room, mut at) = ([b' '; 8192], 0);
    let mark = b"WEIR-ACTOR-MANIFEST:";
    #[expect(
        clippy::indexing_slicing,
        reason = "checked by the compiler, which runs it"
    )]
    while at < mark.len() {
        room[at] = mark[at];
        at += 1;
    }
    room
}

/// The manifest as the host gets it.
pub fn manifest() -> String {
    let text = text();
    let Ok(Value::Object(mut manifest)) = serde_json::from_str(text) else {
        return text.to_owned();
    };
    if bomb::expand(&mut manifest) {
        Value::Object(manifest).to_string()
    } else {
        text.to_owned()
    }
}

/// What the manifest says under `does`; null if it says nothing.
pub fn does() -> Value {
    serde_json::from_str::<Value>(text())
        .ok()
        .and_then(|mut manifest| Some(manifest.get_mut("does")?.take()))
        .unwrap_or_default()
}

fn text() -> &'static str {
    // Else the compiler would read it today, when there is nothing in it.
    let room = black_box(&ROOM);
    room.get(MARK..)
        .and_then(|bytes| std::str::from_utf8(bytes).ok())
        .unwrap_or_default()
        .trim_end()
}
