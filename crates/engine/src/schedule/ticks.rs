//! The ticks of a trigger that has times of its own, forwards and backwards. All times here are milliseconds since 1970, as they are kept.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use model::pipeline::Cron;
use model::store::Moment;

use super::line::Line;
use super::{MOST_COUNTED, span};

/// Ticks.
#[derive(Debug)]
pub(super) enum Ticks {
    /// Those of a crontab line.
    Line(Box<Line>),
    /// One each so often, before and after the anchor.
    Grid { anchor: i64, every: i64 },
}

impl Ticks {
    pub(super) fn line(cron: &Cron) -> Result<Self, String> {
        Ok(Self::Line(Box::new(Line::new(cron)?)))
    }

    pub(super) fn grid(anchor: SystemTime, every: Duration) -> Self {
        Self::Grid {
            anchor: millis(anchor),
            every: span(every).max(1),
        }
    }

    /// The first one after a moment.
    pub(super) fn next(&self, after: i64) -> Option<i64> {
        match self {
            Self::Line(line) => {
                let next = line.next(Timestamp::from_millisecond(after).ok()?)?;
                Some(next.as_millisecond())
            }
            Self::Grid { every, .. } => self.last(after)?.checked_add(*every),
        }
    }

    /// The last one that is not after a moment.
    pub(super) fn last(&self, at: i64) -> Option<i64> {
        match self {
            Self::Line(line) => {
                let last = line.last(Timestamp::from_millisecond(at).ok()?)?;
                Some(last.as_millisecond())
            }
            Self::Grid { anchor, every } => {
                let beyond = at.checked_sub(*anchor)?.rem_euclid(*every);
                at.checked_sub(beyond)
            }
        }
    }

    /// How many there are from one to another, both included, up to a bound.
    pub(super) fn count(&self, first: i64, last: i64) -> u32 {
        let all = std::iter::successors(Some(first), |tick| self.next(*tick));
        let all = all.take_while(|tick| *tick <= last);
        (0..MOST_COUNTED).zip(all).fold(0, |count, _| count + 1)
    }
}

pub(super) fn millis(at: SystemTime) -> i64 {
    Moment::from(at).ms()
}

pub(super) fn moment(millis: i64) -> SystemTime {
    Moment::from_ms(millis).time()
}
