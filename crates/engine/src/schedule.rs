//! When triggers are due: plain functions of what a trigger says, how far its schedule is, what of it is at work, and the time. They keep nothing, wait for nothing and
//! start nothing; that is for whoever asks them.
//!
//! A tick is a moment at which a trigger says that a run starts. It is what it is named by: whoever moves a schedule on from one tick to the next in one transaction
//! starts it once, however many ask. Jitter puts the start off, never the tick.

mod line;
mod ticks;

use std::time::{Duration, SystemTime};

use model::id::PipelineId;
use model::pipeline::{Interval, Missed, Overlap, Pace, TriggerSpec};
use sha2::{Digest as _, Sha256};

pub(crate) use line::check_line;
use ticks::{Ticks, millis, moment};

/// Most runs that one look starts, and most that wait because the ones before are not over.
pub const MOST: usize = 100;
/// A start that comes later than this was missed.
pub const GRACE: Duration = Duration::from_secs(60);
/// Ticks that were left out are counted up to here.
pub const MOST_COUNTED: u32 = 1_000;
/// Longest that a line waits after the clock was set back.
const REACH: Duration = Duration::from_secs(24 * 60 * 60);
/// Up to this length an interval is a worker's, which lives as long as its server holds it; each tick of a longer one is a job.
pub const LONGEST_WORKER: Duration = Duration::from_secs(60);

/// How far a schedule is: what has to be kept of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Since when its trigger holds as it is: since it was read, changed or resumed. Ticks before that are none of its own.
    pub since: SystemTime,
    /// The last tick that was started or left out.
    pub tick: Option<SystemTime>,
    /// When the last run ended that the trigger started. Only intervals with a fixed delay look at it.
    pub ended: Option<SystemTime>,
}

impl Standing {
    /// Of a trigger that begins to hold.
    #[must_use]
    pub fn new(since: SystemTime) -> Self {
        Self {
            since,
            tick: None,
            ended: None,
        }
    }

    /// The moment after which ticks are to come, in milliseconds.
    fn floor(&self) -> i64 {
        let before = millis(self.since).saturating_sub(1);
        self.tick.map_or(before, |tick| millis(tick).max(before))
    }
}

/// What is not over of the runs that a trigger started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Busy {
    /// Those at work.
    pub running: usize,
    /// Those that wait, for their turn or to be tried again.
    pub waiting: usize,
}

impl Busy {
    fn is_idle(self) -> bool {
        self.running == 0 && self.waiting == 0
    }
}

/// What a look at a schedule finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The ticks whose runs are to be added now, in order. With [`Overlap::Queue`] each begins when those before are over.
    pub start: Vec<SystemTime>,
    /// The ticks that are left out, for people to know.
    pub left_out: Vec<LeftOut>,
    /// How far the schedule is after that. To be kept, in one transaction with the runs, where it is not as it was.
    pub standing: Standing,
    /// When to look again, later than now; none: when a run of it is over, or never.
    pub again: Option<SystemTime>,
}

/// Ticks that are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftOut {
    /// The first of them.
    pub first: SystemTime,
    /// The last of them.
    pub last: SystemTime,
    /// How many; [`MOST_COUNTED`] stands for that many or more.
    pub count: u32,
    /// Why.
    pub why: Why,
}

/// Why ticks are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Nobody looked at their time, and `missed` says no more, or they were more than [`MOST`].
    Missed,
    /// Runs before were not over, and `overlap` forbids more, or more of them than [`MOST`] would wait.
    Overlap,
}

/// What is to be started now.
///
/// # Errors
/// A sentence: the zone is not known on this machine, or the line is none.
pub fn look(
    pipeline: &PipelineId,
    trigger: &TriggerSpec,
    standing: &Standing,
    busy: Busy,
    now: SystemTime,
) -> Result<Look, String> {
    let mut standing = *standing;
    let now = millis(now);
    if millis(standing.since) > now.saturating_add(span(GRACE)) {
        // The clock was set back: the trigger holds already, and what is due now is its own.
        standing.since = moment(now.saturating_sub(span(GRACE)));
    }
    let (rules, ticks) = match trigger {
        TriggerSpec::Manual | TriggerSpec::Webhook(_) | TriggerSpec::After(_) => {
            return Ok(nothing(standing, None));
        }
        TriggerSpec::Interval(interval) => {
            standing = within_reach(standing, interval.every, now);
            let rules = |overlap| Rules {
                pipeline,
                missed: Missed::Once,
                overlap,
                jitter: interval.jitter,
            };
            match interval.pace {
                Pace::FixedDelay => {
                    let rules = rules(Overlap::Forbid);
                    return Ok(rules.after_a_pause(interval, standing, busy, now));
                }
                Pace::FixedRate(overlap) => (
                    rules(overlap),
                    Ticks::grid(standing.tick.unwrap_or(standing.since), interval.every),
                ),
            }
        }
        TriggerSpec::Cron(cron) => {
            standing = within_reach(standing, REACH, now);
            let rules = Rules {
                pipeline,
                missed: cron.missed,
                overlap: cron.overlap,
                jitter: cron.jitter,
            };
            (rules, Ticks::line(cron)?)
        }
    };
    Ok(rules.on_time(&ticks, standing, busy, now))
}

/// The next ticks after a moment, at most `most`, without jitter. Those of an interval are counted from there; other triggers have none.
///
/// # Errors
/// As [`look`].
pub fn next_ticks(
    trigger: &TriggerSpec,
    from: SystemTime,
    most: usize,
) -> Result<Vec<SystemTime>, String> {
    let ticks = match trigger {
        TriggerSpec::Interval(interval) => Ticks::grid(from, interval.every),
        TriggerSpec::Cron(cron) => Ticks::line(cron)?,
        TriggerSpec::Manual | TriggerSpec::Webhook(_) | TriggerSpec::After(_) => {
            return Ok(Vec::new());
        }
    };
    let first = ticks.next(millis(from));
    let all = std::iter::successors(first, |tick| ticks.next(*tick));
    Ok(all.take(most).map(moment).collect())
}

/// Is each tick of it a job, which outlives the server that added it? Else it is the business of a worker: it is not worth a job, or is not a matter of time.
#[must_use]
pub fn is_durable(trigger: &TriggerSpec) -> bool {
    match trigger {
        TriggerSpec::Interval(interval) => interval.every > LONGEST_WORKER,
        TriggerSpec::Cron(_) => true,
        TriggerSpec::Manual | TriggerSpec::Webhook(_) | TriggerSpec::After(_) => false,
    }
}

fn nothing(standing: Standing, again: Option<i64>) -> Look {
    Look {
        start: Vec::new(),
        left_out: Vec::new(),
        standing,
        again: again.map(moment),
    }
}

/// Where the clock was set back by more than this, ticks are counted from now. Else nothing would run until the clock is where it was. An interval has no times of its own; those of a
/// line that were started already are known by the keys of their runs.
fn within_reach(standing: Standing, reach: Duration, now: i64) -> Standing {
    let far = now.saturating_add(span(reach));
    let is_far = |at: &SystemTime| millis(*at) > far;
    let tick = standing.tick;
    Standing {
        tick: tick.map(|tick| if is_far(&tick) { moment(now) } else { tick }),
        ended: standing.ended.filter(|ended| !is_far(ended)),
        ..standing
    }
}

/// By what a trigger's ticks become runs.
#[derive(Debug)]
struct Rules<'a> {
    pipeline: &'a PipelineId,
    missed: Missed,
    overlap: Overlap,
    jitter: Duration,
}

impl Rules<'_> {
    /// Ticks that are where they are, whatever runs do.
    fn on_time(&self, ticks: &Ticks, standing: Standing, busy: Busy, now: i64) -> Look {
        let floor = standing.floor();
        let due = |tick: i64| self.due(tick, ticks.next(tick));
        let back = |tick: i64| ticks.last(tick.saturating_sub(1)).filter(|t| *t > floor);
        let Some(first) = ticks.next(floor) else {
            return nothing(standing, None);
        };
        let first_due = due(first);
        if first_due > now {
            return nothing(standing, Some(first_due));
        }
        let Some(mut newest) = ticks.last(now) else {
            return nothing(standing, None);
        };
        let mut again = Some(due(newest)).filter(|due| *due > now);
        if again.is_some() {
            // Jitter never puts one off so long that the next has come: of those that have come, only the last may be put off still.
            newest = back(newest).unwrap_or(first);
        } else {
            again = ticks.next(now).map(due);
        }
        let is_late = now.saturating_sub(due(newest)) > span(GRACE);
        let most = match self.missed {
            Missed::Skip if is_late => 0,
            Missed::Skip | Missed::Once => 1,
            Missed::All => MOST,
        };
        let wanted: Vec<i64> = std::iter::successors(Some(newest), |tick| back(*tick))
            .take(most)
            .collect();
        let room = match self.overlap {
            Overlap::Forbid => usize::from(busy.is_idle()),
            Overlap::Queue => MOST.saturating_sub(busy.waiting),
            Overlap::Allow => MOST,
        };
        let (start, in_the_way) = wanted.split_at(room.min(wanted.len()));
        let missed_last = wanted.last().map_or(Some(newest), |oldest| back(*oldest));
        let missed = missed_last.map(|last| (first, last, Why::Missed));
        let overlap = in_the_way.last().zip(in_the_way.first());
        let overlap = overlap.map(|(first, last)| (*first, *last, Why::Overlap));
        Look {
            start: start.iter().rev().copied().map(moment).collect(),
            left_out: [missed, overlap]
                .into_iter()
                .flatten()
                .map(|(first, last, why)| LeftOut {
                    first: moment(first),
                    last: moment(last),
                    count: ticks.count(first, last),
                    why,
                })
                .collect(),
            standing: Standing {
                tick: Some(moment(newest)),
                ..standing
            },
            again: again.map(moment),
        }
    }

    /// Ticks that follow the run before.
    fn after_a_pause(&self, interval: &Interval, standing: Standing, busy: Busy, now: i64) -> Look {
        if !busy.is_idle() {
            return nothing(standing, None);
        }
        let every = span(interval.every);
        let since = millis(standing.since);
        let tick = standing.tick.map_or(since, |tick| {
            // A run whose end nobody saw ended when it began.
            let before = standing
                .ended
                .map_or(millis(tick), millis)
                .max(millis(tick));
            before.saturating_add(every).max(since)
        });
        let due = self.due(tick, tick.checked_add(every));
        if due > now {
            return nothing(standing, Some(due));
        }
        let tick = moment(tick);
        Look {
            start: vec![tick],
            left_out: Vec::new(),
            standing: Standing {
                tick: Some(tick),
                ..standing
            },
            again: None,
        }
    }

    /// When a tick's run starts: put off by a part of the jitter, the same on each server, and before the next tick.
    fn due(&self, tick: i64, next: Option<i64>) -> i64 {
        let most = next.map_or(0, |next| next.saturating_sub(tick));
        let most = span(self.jitter).min(most);
        if most <= 0 {
            return tick;
        }
        let digest = Sha256::new()
            .chain_update(self.pipeline.as_str())
            .chain_update([0])
            .chain_update(tick.to_be_bytes())
            .finalize();
        let number = digest
            .iter()
            .take(7)
            .fold(0_i128, |n, byte| n << 8 | i128::from(*byte));
        // A part of `most`, less than it.
        let delay = (number * i128::from(most)) >> 56;
        tick.saturating_add(i64::try_from(delay).unwrap_or(0))
    }
}

/// Whole milliseconds.
fn span(of: Duration) -> i64 {
    i64::try_from(of.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
