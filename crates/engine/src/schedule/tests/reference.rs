//! Two years, compared with what a walk from minute to minute finds: it asks the zone for its clock each minute, and nothing else.

use jiff::civil::{DateTime, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan as _};

use super::*;

const MINUTE: i64 = 60_000;

/// A line, and the same in Rust. One with a single time a day runs once a day, whatever the clock does.
struct Told {
    line: &'static str,
    is_single: bool,
    names: fn(DateTime) -> bool,
}

const LINES: [Told; 8] = [
    Told {
        line: "30 2 * * *",
        is_single: true,
        names: |t| (t.hour(), t.minute()) == (2, 30),
    },
    Told {
        line: "@daily",
        is_single: true,
        names: |t| (t.hour(), t.minute()) == (0, 0),
    },
    Told {
        line: "45 1 * * MON-SAT",
        is_single: true,
        names: |t| (t.hour(), t.minute()) == (1, 45) && t.weekday() != Weekday::Sunday,
    },
    Told {
        line: "*/20 * * * *",
        is_single: false,
        names: |t| t.minute() % 20 == 0,
    },
    Told {
        line: "15 1-3 * * SUN",
        is_single: false,
        names: |t| {
            t.minute() == 15 && (1..=3).contains(&t.hour()) && t.weekday() == Weekday::Sunday
        },
    },
    Told {
        line: "0 12 29 2 *",
        is_single: true,
        names: |t| (t.month(), t.day(), t.hour(), t.minute()) == (2, 29, 12, 0),
    },
    Told {
        line: "30 6 31 * *",
        is_single: true,
        names: |t| (t.day(), t.hour(), t.minute()) == (31, 6, 30),
    },
    Told {
        line: "59 23 L * *",
        is_single: true,
        names: |t| t.day() == t.date().days_in_month() && (t.hour(), t.minute()) == (23, 59),
    },
];

/// The clock of a zone, at each minute: the minute, what the clock shows, and what it showed last, and whether it has shown that before.
fn minutes(zone: &str, from: i64, to: i64) -> Vec<(i64, DateTime, DateTime, bool)> {
    let zone = TimeZone::get(zone).unwrap();
    let clock = |at: i64| zone.to_datetime(Timestamp::from_millisecond(at).unwrap());
    let mut last = clock(from - MINUTE);
    let mut latest = last;
    let mut all = Vec::new();
    let mut at = from;
    while at <= to {
        let now = clock(at);
        all.push((at, now, last, now <= latest));
        (last, latest) = (now, latest.max(now));
        at += MINUTE;
    }
    all
}

fn walked(minutes: &[(i64, DateTime, DateTime, bool)], told: &Told) -> Vec<i64> {
    let one = 1.minute();
    let names = told.names;
    let ticks = minutes.iter().filter(|(_, now, last, is_second)| {
        let mut skipped = *last + one;
        if told.is_single && now.duration_since(*last) > SignedDuration::from_mins(1) {
            while skipped < *now {
                if names(skipped) {
                    return true;
                }
                skipped += one;
            }
        }
        names(*now) && !(told.is_single && *is_second)
    });
    ticks.map(|(at, ..)| *at).collect()
}

fn check(zone: &str, from: &str, to: &str) {
    let (from, to) = (millis(at(from)), millis(at(to)));
    let minutes = minutes(zone, from, to);
    for told in &LINES {
        let line = told.line;
        let wanted = walked(&minutes, told);
        let trigger = Cron {
            zone: zone.into(),
            ..cron(line)
        };
        let ticks = Ticks::line(&trigger).unwrap();
        let forwards = std::iter::successors(ticks.next(from - 1), |t| ticks.next(*t));
        let forwards: Vec<i64> = forwards.take_while(|t| *t <= to).collect();
        assert_eq!(forwards, wanted, "{zone} {line}");
        let backwards = std::iter::successors(ticks.last(to), |t| ticks.last(*t - 1));
        let mut backwards: Vec<i64> = backwards.take_while(|t| *t >= from).collect();
        backwards.reverse();
        assert_eq!(backwards, wanted, "{zone} {line} backwards");
        assert_eq!(
            started(&trigger, from, to),
            wanted,
            "{zone} {line} looked at"
        );
    }
}

/// What is started by whoever looks when it is told to.
fn started(trigger: &Cron, from: i64, to: i64) -> Vec<i64> {
    let trigger = TriggerSpec::Cron(trigger.clone());
    let mut standing = Standing::new(moment(from));
    let mut all = Vec::new();
    let mut now = moment(from);
    while now <= moment(to) {
        let look = look(&id("p"), &trigger, &standing, IDLE, now).unwrap();
        assert_eq!(look.left_out, []);
        all.extend(look.start.iter().copied().map(millis));
        standing = look.standing;
        now = look.again.unwrap();
    }
    all
}

#[test]
fn berlin() {
    check(
        "Europe/Berlin",
        "2027-01-01T00:00:00Z",
        "2029-01-01T00:00:00Z",
    );
}

#[test]
fn new_york() {
    check(
        "America/New_York",
        "2027-01-01T00:00:00Z",
        "2029-01-01T00:00:00Z",
    );
}

#[test]
fn lord_howe() {
    check(
        "Australia/Lord_Howe",
        "2027-01-01T00:00:00Z",
        "2029-01-01T00:00:00Z",
    );
}

#[test]
fn sao_paulo() {
    check(
        "America/Sao_Paulo",
        "2016-12-31T00:00:00Z",
        "2018-12-31T00:00:00Z",
    );
}

/// The same by looks from minute to minute, about the days on which the clock changes.
#[test]
fn looked_at_each_minute() {
    let told = &LINES[0];
    let zone = "Europe/Berlin";
    for (from, to) in [
        ("2027-03-20T00:00:00Z", "2027-04-05T00:00:00Z"),
        ("2027-10-20T00:00:00Z", "2027-11-05T00:00:00Z"),
    ] {
        let (from, to) = (at(from), at(to));
        let minutes = minutes(zone, millis(from), millis(to));
        let trigger = TriggerSpec::Cron(Cron {
            zone: zone.into(),
            missed: Missed::Skip,
            overlap: Overlap::Forbid,
            ..cron(told.line)
        });
        let mut standing = Standing::new(from);
        let mut found = Vec::new();
        for (minute, ..) in &minutes {
            let look = look(&id("p"), &trigger, &standing, IDLE, moment(*minute)).unwrap();
            found.extend(look.start.iter().copied().map(millis));
            standing = look.standing;
        }
        assert_eq!(found.len(), 16);
        assert_eq!(found, walked(&minutes, told));
    }
}
