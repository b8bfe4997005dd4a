//! What is due, at given times.

mod clocks;
mod jumps;
mod reference;
mod servers;

use jiff::Timestamp;
use model::pipeline::{After, AfterEnd, Cron, Webhook};

use super::*;

fn id(id: &str) -> PipelineId {
    PipelineId::new(id).unwrap()
}

/// A moment, as RFC 3339 has it.
fn at(text: &str) -> SystemTime {
    let at: Timestamp = text.parse().unwrap();
    at.into()
}

fn text(at: SystemTime) -> String {
    Timestamp::try_from(at).unwrap().to_string()
}

fn texts(all: &[SystemTime]) -> Vec<String> {
    all.iter().copied().map(text).collect()
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn cron(line: &str) -> Cron {
    Cron::new(line)
}

fn every(length: Duration, pace: Pace) -> TriggerSpec {
    TriggerSpec::Interval(Interval {
        every: length,
        pace,
        jitter: Duration::ZERO,
    })
}

fn with(missed: Missed, overlap: Overlap, line: &str) -> TriggerSpec {
    TriggerSpec::Cron(Cron {
        missed,
        overlap,
        ..cron(line)
    })
}

/// A schedule that stands at a tick.
fn stands(tick: &str) -> Standing {
    Standing {
        tick: Some(at(tick)),
        ..Standing::new(at("2026-01-01T00:00:00Z"))
    }
}

fn looked(trigger: &TriggerSpec, standing: &Standing, busy: Busy, now: &str) -> Look {
    look(&id("p"), trigger, standing, busy, at(now)).unwrap()
}

const IDLE: Busy = Busy {
    running: 0,
    waiting: 0,
};
const AT_WORK: Busy = Busy {
    running: 1,
    waiting: 0,
};

/// What a look starts, leaves out, and when the next is.
fn check(look: &Look, start: &[&str], left_out: &[(&str, &str, u32, Why)], again: Option<&str>) {
    assert_eq!(texts(&look.start), start, "starts");
    let found: Vec<_> = look
        .left_out
        .iter()
        .map(|l| (text(l.first), text(l.last), l.count, l.why))
        .collect();
    let wanted: Vec<_> = left_out
        .iter()
        .map(|(first, last, count, why)| ((*first).to_owned(), (*last).to_owned(), *count, *why))
        .collect();
    assert_eq!(found, wanted, "leaves out");
    assert_eq!(look.again.map(text).as_deref(), again, "again");
}

#[test]
fn a_line_runs_at_its_time_and_not_before() {
    let daily = with(Missed::Once, Overlap::Queue, "0 2 * * *");
    let new = Standing::new(at("2026-11-22T01:00:00.250Z"));
    let before = looked(&daily, &new, IDLE, "2026-11-22T01:59:59.999Z");
    check(&before, &[], &[], Some("2026-11-22T02:00:00Z"));
    assert_eq!(before.standing, new, "nothing has to be written");
    let then = looked(&daily, &new, IDLE, "2026-11-22T02:00:00Z");
    let tick = "2026-11-22T02:00:00Z";
    check(&then, &[tick], &[], Some("2026-11-23T02:00:00Z"));
    assert_eq!(then.standing.tick, Some(at(tick)));
    let again = looked(&daily, &then.standing, IDLE, "2026-11-22T02:00:00.001Z");
    check(&again, &[], &[], Some("2026-11-23T02:00:00Z"));
}

#[test]
fn ticks_before_the_trigger_held_are_none_of_its_own() {
    let daily = with(Missed::All, Overlap::Queue, "0 2 * * *");
    let resumed = Standing {
        since: at("2026-11-22T12:00:00Z"),
        ..stands("2026-11-10T02:00:00Z")
    };
    let look = looked(&daily, &resumed, IDLE, "2026-11-22T12:00:00Z");
    check(&look, &[], &[], Some("2026-11-23T02:00:00Z"));
}

#[test]
fn what_was_missed_is_left_out_made_up_for_once_or_all() {
    let hourly = |missed| with(missed, Overlap::Queue, "0 * * * *");
    let last = stands("2026-11-22T10:00:00Z");
    // Down for an hour and a half: one tick, half an hour ago.
    let now = "2026-11-22T11:30:00Z";
    let (tick, next) = ("2026-11-22T11:00:00Z", Some("2026-11-22T12:00:00Z"));
    let look = looked(&hourly(Missed::Skip), &last, IDLE, now);
    check(&look, &[], &[(tick, tick, 1, Why::Missed)], next);
    assert_eq!(look.standing.tick, Some(at(tick)));
    for missed in [Missed::Once, Missed::All] {
        check(
            &looked(&hourly(missed), &last, IDLE, now),
            &[tick],
            &[],
            next,
        );
    }
    // Down for three days, back at a tick.
    let daily = |missed| with(missed, Overlap::Queue, "0 2 * * *");
    let last = stands("2026-11-19T02:00:00Z");
    let now = "2026-11-22T02:00:10Z";
    let (first, second, today) = (
        "2026-11-20T02:00:00Z",
        "2026-11-21T02:00:00Z",
        "2026-11-22T02:00:00Z",
    );
    let next = Some("2026-11-23T02:00:00Z");
    let two = [(first, second, 2, Why::Missed)];
    check(
        &looked(&daily(Missed::Skip), &last, IDLE, now),
        &[today],
        &two,
        next,
    );
    check(
        &looked(&daily(Missed::Once), &last, IDLE, now),
        &[today],
        &two,
        next,
    );
    let all = looked(&daily(Missed::All), &last, IDLE, now);
    check(&all, &[first, second, today], &[], next);
    // An hour later it is too late for today's.
    let now = "2026-11-22T03:00:10Z";
    let three = [(first, today, 3, Why::Missed)];
    check(
        &looked(&daily(Missed::Skip), &last, IDLE, now),
        &[],
        &three,
        next,
    );
    check(
        &looked(&daily(Missed::Once), &last, IDLE, now),
        &[today],
        &two,
        next,
    );
}

#[test]
fn a_start_up_to_a_minute_late_is_none_that_was_missed() {
    let hourly = with(Missed::Skip, Overlap::Queue, "0 * * * *");
    let last = stands("2026-11-22T10:00:00Z");
    let next = Some("2026-11-22T12:00:00Z");
    let tick = "2026-11-22T11:00:00Z";
    let look = looked(&hourly, &last, IDLE, "2026-11-22T11:01:00Z");
    check(&look, &[tick], &[], next);
    let look = looked(&hourly, &last, IDLE, "2026-11-22T11:01:00.001Z");
    check(&look, &[], &[(tick, tick, 1, Why::Missed)], next);
}

#[test]
fn all_has_a_bound_and_the_rest_is_named() {
    let minutely = with(Missed::All, Overlap::Queue, "* * * * *");
    let last = stands("2026-11-22T00:00:00Z");
    let look = looked(&minutely, &last, IDLE, "2026-11-22T05:00:00Z");
    assert_eq!(look.start.len(), MOST);
    assert_eq!(text(look.start[0]), "2026-11-22T03:21:00Z");
    assert_eq!(text(look.start[MOST - 1]), "2026-11-22T05:00:00Z");
    let (first, last) = ("2026-11-22T00:01:00Z", "2026-11-22T03:20:00Z");
    assert_eq!(look.left_out.len(), 1);
    let left_out = look.left_out[0];
    assert_eq!(
        (text(left_out.first), text(left_out.last), left_out.count),
        (first.into(), last.into(), 200)
    );
    // A year of seconds is not counted to its end.
    let each_second = with(Missed::Once, Overlap::Allow, "* * * * * *");
    let look = looked(
        &each_second,
        &stands("2025-11-22T00:00:00Z"),
        IDLE,
        "2026-11-22T00:00:00Z",
    );
    let tick = "2026-11-22T00:00:00Z";
    assert_eq!(texts(&look.start), [tick]);
    assert_eq!(look.left_out[0].count, MOST_COUNTED);
}

#[test]
fn runs_that_are_not_over_forbid_hold_up_or_allow() {
    let hourly = |overlap| with(Missed::Once, overlap, "0 * * * *");
    let last = stands("2026-11-22T10:00:00Z");
    let (tick, next) = ("2026-11-22T11:00:00Z", Some("2026-11-22T12:00:00Z"));
    let look = |overlap, busy| looked(&hourly(overlap), &last, busy, tick);
    let in_the_way = [(tick, tick, 1, Why::Overlap)];
    let waits = |waiting| Busy {
        running: 1,
        waiting,
    };
    check(&look(Overlap::Forbid, IDLE), &[tick], &[], next);
    check(&look(Overlap::Forbid, AT_WORK), &[], &in_the_way, next);
    check(&look(Overlap::Queue, AT_WORK), &[tick], &[], next);
    check(&look(Overlap::Queue, waits(MOST - 1)), &[tick], &[], next);
    check(&look(Overlap::Queue, waits(MOST)), &[], &in_the_way, next);
    check(&look(Overlap::Allow, waits(MOST)), &[tick], &[], next);
    let retried = Busy {
        running: 0,
        waiting: 1,
    };
    check(&look(Overlap::Forbid, retried), &[], &in_the_way, next);
    // What has to wait counts with what is missed.
    let all = with(Missed::All, Overlap::Queue, "0 * * * *");
    let look = looked(&all, &last, waits(MOST - 1), "2026-11-22T12:30:00Z");
    let noon = "2026-11-22T12:00:00Z";
    check(&look, &[noon], &in_the_way, Some("2026-11-22T13:00:00Z"));
}

#[test]
fn a_fixed_rate_begins_at_once_and_keeps_its_grid() {
    let trigger = every(seconds(30), Pace::FixedRate(Overlap::Forbid));
    let new = Standing::new(at("2026-11-22T10:00:07.5Z"));
    let first = looked(&trigger, &new, IDLE, "2026-11-22T10:00:07.5Z");
    let tick = "2026-11-22T10:00:07.5Z";
    check(&first, &[tick], &[], Some("2026-11-22T10:00:37.5Z"));
    // Looked at late: the next is where it would have been.
    let late = looked(&trigger, &first.standing, IDLE, "2026-11-22T10:00:50Z");
    let tick = "2026-11-22T10:00:37.5Z";
    check(&late, &[tick], &[], Some("2026-11-22T10:01:07.5Z"));
    // The run takes longer: that tick is left out.
    let busy = looked(&trigger, &late.standing, AT_WORK, "2026-11-22T10:01:07.5Z");
    let tick = "2026-11-22T10:01:07.5Z";
    let next = Some("2026-11-22T10:01:37.5Z");
    check(&busy, &[], &[(tick, tick, 1, Why::Overlap)], next);
    // Down for three days: one run, and on the grid.
    let back = looked(&trigger, &busy.standing, IDLE, "2026-11-25T10:00:00Z");
    let tick = "2026-11-25T09:59:37.5Z";
    let left_out = (
        "2026-11-22T10:01:37.5Z",
        "2026-11-25T09:59:07.5Z",
        MOST_COUNTED,
        Why::Missed,
    );
    check(&back, &[tick], &[left_out], Some("2026-11-25T10:00:07.5Z"));
}

#[test]
fn a_fixed_delay_counts_from_the_end_of_the_run_before() {
    let trigger = every(seconds(30), Pace::FixedDelay);
    let new = Standing::new(at("2026-11-22T10:00:00Z"));
    let first = looked(&trigger, &new, IDLE, "2026-11-22T10:00:00.9Z");
    check(&first, &["2026-11-22T10:00:00Z"], &[], None);
    let busy = looked(&trigger, &first.standing, AT_WORK, "2026-11-22T10:05:00Z");
    check(&busy, &[], &[], None);
    let over = Standing {
        ended: Some(at("2026-11-22T10:05:00Z")),
        ..first.standing
    };
    let tick = "2026-11-22T10:05:30Z";
    let waits = looked(&trigger, &over, IDLE, "2026-11-22T10:05:00Z");
    check(&waits, &[], &[], Some(tick));
    let second = looked(&trigger, &over, IDLE, "2026-11-22T10:05:30Z");
    check(&second, &[tick], &[], None);
    // Down for a day, and nobody saw the end of the second.
    let back = looked(&trigger, &second.standing, IDLE, "2026-11-23T10:00:00Z");
    check(&back, &["2026-11-22T10:06:00Z"], &[], None);
}

#[test]
fn jitter_is_the_same_everywhere_and_never_reaches_the_next_tick() {
    let trigger = |jitter| {
        TriggerSpec::Cron(Cron {
            jitter,
            ..cron("* * * * *")
        })
    };
    let delay = |pipeline: &str, jitter: Duration, minute: u64| {
        let tick = at("2026-11-22T10:00:00Z") + seconds(60 * minute);
        let standing = Standing {
            tick: Some(tick - seconds(60)),
            ..Standing::new(at("2026-01-01T00:00:00Z"))
        };
        let look = look(&id(pipeline), &trigger(jitter), &standing, IDLE, tick).unwrap();
        if look.start == [tick] {
            return Duration::ZERO;
        }
        let due = look.again.unwrap();
        let early = due - Duration::from_millis(1);
        let at = |now| super::look(&id(pipeline), &trigger(jitter), &standing, IDLE, now).unwrap();
        assert!(at(early).start.is_empty());
        assert_eq!(at(due).start, [tick], "the tick is where it was");
        due.duration_since(tick).unwrap()
    };
    for jitter in [seconds(10), seconds(60 * 60 * 24)] {
        let most = jitter.min(seconds(60));
        let all: Vec<_> = (0..200).map(|minute| delay("a", jitter, minute)).collect();
        let again: Vec<_> = (0..200).map(|minute| delay("a", jitter, minute)).collect();
        assert_eq!(all, again);
        assert!(all.iter().all(|d| *d < most), "{all:?}");
        assert!(all.iter().any(|d| *d < most / 10) && all.iter().any(|d| *d > most * 9 / 10));
        let other: Vec<_> = (0..200).map(|minute| delay("b", jitter, minute)).collect();
        assert_ne!(all, other);
    }
    assert_eq!(delay("a", Duration::ZERO, 0), Duration::ZERO);
    // It is part of what is promised: a server of another version must not think otherwise.
    assert_eq!(delay("a", seconds(60), 0), Duration::from_millis(39763));
}

#[test]
fn ticks_to_come_are_listed() {
    let now = at("2026-11-22T10:00:00Z");
    let list = |trigger: &TriggerSpec| texts(&next_ticks(trigger, now, 2).unwrap());
    let weekly = TriggerSpec::Cron(cron("0 2 * * MON"));
    assert_eq!(
        list(&weekly),
        ["2026-11-23T02:00:00Z", "2026-11-30T02:00:00Z"]
    );
    let interval = every(seconds(90), Pace::FixedDelay);
    assert_eq!(
        list(&interval),
        ["2026-11-22T10:01:30Z", "2026-11-22T10:03:00Z"]
    );
    assert_eq!(list(&TriggerSpec::Manual), [""; 0]);
    let nowhere = TriggerSpec::Cron(Cron {
        zone: "Mars".into(),
        ..cron("0 2 * * *")
    });
    let said = next_ticks(&nowhere, now, 1).unwrap_err();
    assert!(said.contains("not a time zone"), "{said}");
    let said = look(&id("p"), &nowhere, &Standing::new(now), IDLE, now).unwrap_err();
    assert!(said.contains("not a time zone"), "{said}");
}

#[test]
fn what_is_no_matter_of_time_is_never_due() {
    let after = After {
        pipeline: id("a"),
        on: AfterEnd::Any,
    };
    let webhook = Webhook::new("${env:X}");
    for trigger in [
        TriggerSpec::Manual,
        TriggerSpec::Webhook(webhook),
        TriggerSpec::After(after),
    ] {
        let new = Standing::new(at("2026-01-01T00:00:00Z"));
        let look = looked(&trigger, &new, IDLE, "2026-11-22T10:00:00Z");
        check(&look, &[], &[], None);
        assert_eq!(look.standing, new);
        assert!(!is_durable(&trigger));
    }
}

#[test]
fn long_intervals_and_lines_are_jobs() {
    let rate = |length| every(length, Pace::FixedRate(Overlap::Forbid));
    assert!(!is_durable(&rate(seconds(60))));
    assert!(is_durable(&rate(Duration::from_millis(60_001))));
    assert!(is_durable(&TriggerSpec::Cron(cron("*/10 * * * * *"))));
}
