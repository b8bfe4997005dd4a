//! How many requests a webhook takes, and which messages it has taken already. Both are of one server, and forgotten when it ends.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use model::pipeline::Rate;
use sha2::{Digest as _, Sha256};

use super::signature::TOLERANCE;

/// A window of time of fixed length, in which so many requests are taken. It opens with the first.
#[derive(Debug, Clone, Copy, Default)]
pub struct Window {
    /// When it opened, and how many were taken since.
    open: Option<(Duration, u32)>,
}

impl Window {
    /// Takes a request. `now` is the clock's monotonic time.
    ///
    /// # Errors
    /// How long until one is taken again, for `Retry-After`: whole seconds, at least one.
    pub fn take(&mut self, rate: Rate, now: Duration) -> Result<(), u64> {
        let open = self
            .open
            .filter(|(at, _)| now < at.saturating_add(rate.per));
        let (at, taken) = open.unwrap_or((now, 0));
        if taken < rate.requests.get() {
            self.open = Some((at, taken.saturating_add(1)));
            return Ok(());
        }
        let left = at.saturating_add(rate.per).saturating_sub(now);
        let whole = left.as_secs();
        Err(whole
            .saturating_add(u64::from(left.subsec_nanos() > 0))
            .max(1))
    }
}

/// The messages that were taken, for as long as their time lets them be taken again.
#[derive(Debug)]
pub struct Seen {
    /// Until when each is kept. Of its id, a digest: ids may be long.
    until: HashMap<Key, Duration>,
    /// The same, in order.
    order: VecDeque<(Duration, Key)>,
    most: usize,
}

type Key = [u8; 16];

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// It is new, and counts as taken now.
    New,
    /// It was taken already.
    Seen,
    /// It cannot be told, since more would have to be remembered than may be: it has to wait.
    Full,
}

impl Seen {
    /// Remembers at most so many.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            until: HashMap::new(),
            order: VecDeque::new(),
            most,
        }
    }

    /// Takes a verified message. `now` is the clock's monotonic time.
    pub fn admit(&mut self, id: &str, now: Duration) -> Admitted {
        while let Some((until, key)) = self.order.front().copied()
            && until <= now
        {
            self.order.pop_front();
            // It may have been forgotten, and taken again later.
            if self.until.get(&key) == Some(&until) {
                self.until.remove(&key);
            }
        }
        let key = key(id);
        if self.until.contains_key(&key) {
            return Admitted::Seen;
        }
        if self.order.len() >= self.most {
            return Admitted::Full;
        }
        // Its time may be ahead of ours by as much as it may be behind.
        let until = now
            .saturating_add(TOLERANCE * 2)
            .saturating_add(Duration::from_secs(1));
        self.until.insert(key, until);
        self.order.push_back((until, key));
        Admitted::New
    }

    /// Forgets a message that could not be kept, so that it is taken when it is sent again.
    pub fn forget(&mut self, id: &str) {
        self.until.remove(&key(id));
    }
}

fn key(id: &str) -> Key {
    let digest = Sha256::digest(id);
    let mut key = Key::default();
    key.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    key
}
