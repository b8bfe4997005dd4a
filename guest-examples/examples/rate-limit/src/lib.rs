//! A filter that lets each user ask only so often. The counts are in `weir:host/state`, so they hold for all instances and outlast a restart; the
//! grant is in `rate-limit.toml`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use weir_sdk::{
    Failure, Filter, Manifest, Message, Plugin, Valves,
    schemars::JsonSchema,
    serde::{Deserialize, Serialize},
    serde_json::Value,
    state, valves,
};

/// What people can set.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(crate = "weir_sdk::serde", default)]
#[schemars(crate = "weir_sdk::schemars")]
struct Settings {
    /// Models whose chats are counted; * for all.
    pipelines: Vec<String>,
    /// Filters run lowest first.
    priority: i64,
    /// Requests that a user may make in one window.
    #[schemars(range(min = 1))]
    requests: i64,
    /// Length of a window in seconds.
    #[schemars(range(min = 1))]
    seconds: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pipelines: vec!["*".to_owned()],
            priority: 0,
            requests: 10,
            seconds: 60,
        }
    }
}

#[derive(Default)]
struct RateLimit;

impl Plugin for RateLimit {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.name("Rate limit")
    }
}

impl Valves for RateLimit {
    type Fields = Settings;
}

impl Filter for RateLimit {
    fn inlet(&mut self, message: Message) -> Result<Value, Failure> {
        let Settings {
            requests, seconds, ..
        } = valves::get()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let (window, wait) = window(now, seconds.max(1));
        let user = user(&message);
        let prefix = format!("requests/{user}/");
        if state::add(&format!("{prefix}{window}"), 1)? > requests {
            let message = format!(
                "Rate limit of {requests} requests in {seconds} s exceeded. Please try again later."
            );
            return Err(Failure::retry_after(message, wait));
        }
        forget(&prefix, window)?;
        Ok(message.body)
    }
}

/// The number of the window that `now` is in, and how long it lasts from here.
fn window(now: Duration, seconds: u64) -> (u64, Duration) {
    let number = now.as_secs() / seconds;
    (
        number,
        Duration::from_secs((number + 1).saturating_mul(seconds)).saturating_sub(now),
    )
}

/// Who is counted: the user's id, cut so that the key stays under 512 bytes; all who do not tell share one count.
fn user(message: &Message) -> String {
    let id = message
        .user
        .as_ref()
        .and_then(|user| user.get("id"))
        .and_then(Value::as_str)
        .unwrap_or("anonymous");
    id.chars().take(64).collect()
}

/// Removes counts of earlier windows, so that the state stays small.
fn forget(prefix: &str, window: u64) -> Result<(), Failure> {
    let current = format!("{prefix}{window}");
    for key in state::list_keys(prefix, None, 10)? {
        if key != current {
            state::delete(&key)?;
        }
    }
    Ok(())
}

weir_sdk::plugin!(RateLimit: filter, valves);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_ends_where_the_next_begins() {
        assert_eq!(
            window(Duration::from_millis(119_500), 60),
            (1, Duration::from_millis(500))
        );
        assert_eq!(
            window(Duration::from_secs(120), 60),
            (2, Duration::from_secs(60))
        );
    }
}
