//! Clocks that are set, forward and back, by hours.

use std::collections::BTreeSet;
use std::time::UNIX_EPOCH;

use super::*;

/// Numbers that look random and are the same each time.
fn numbers() -> impl FnMut(u64) -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    }
}

/// A day in steps of a few seconds, with a clock that is set each so often: what is started, in true time and as ticks.
fn a_day(trigger: &TriggerSpec) -> (Vec<(u64, SystemTime)>, u64) {
    let mut random = numbers();
    let start = at("2026-11-22T00:00:00Z");
    let (mut wall, mut real, mut jumps) = (start, 0_u64, 0);
    let mut standing = Standing::new(start);
    let mut started = Vec::new();
    while real < 24 * 60 * 60 * 1_000 {
        let step = 1 + random(5_000);
        real += step;
        wall += Duration::from_millis(step);
        if random(2_000) == 0 {
            jumps += 1;
            let far = seconds(random(5 * 60 * 60));
            wall = if random(2) == 0 {
                wall + far
            } else {
                wall - far
            };
        }
        let look = look(&id("p"), trigger, &standing, IDLE, wall).unwrap();
        assert!(look.again.is_none_or(|again| again > wall), "{look:?}");
        assert!(look.start.len() <= 1);
        started.extend(look.start.iter().map(|tick| (real, *tick)));
        standing = look.standing;
        if !look.start.is_empty() {
            standing.ended = Some(wall);
        }
    }
    assert!(jumps > 5, "{jumps}");
    (started, jumps)
}

#[test]
fn no_tick_of_a_line_starts_twice() {
    let (started, _) = a_day(&with(Missed::Once, Overlap::Queue, "*/7 * * * *"));
    let ticks: BTreeSet<_> = started.iter().map(|(_, tick)| *tick).collect();
    assert_eq!(ticks.len(), started.len());
    assert!(started.is_sorted_by_key(|(_, tick)| *tick));
    assert!(started.len() > 20, "{}", started.len());
}

#[test]
fn an_interval_goes_on_whatever_the_clock_does() {
    for pace in [Pace::FixedDelay, Pace::FixedRate(Overlap::Forbid)] {
        let (started, jumps) = a_day(&every(seconds(60), pace));
        let real: Vec<u64> = started.iter().map(|(real, _)| *real).collect();
        let most = 24 * 60 + jumps + 1;
        assert!(u64::try_from(real.len()).unwrap() <= most, "{}", real.len());
        // Set back by less than an interval, it may be waited for almost twice as long; never longer, but for the steps of the looks.
        let longest = real.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!(longest.unwrap() <= 2 * 60_000 + 10_000, "{longest:?}");
    }
}

#[test]
fn a_clock_that_is_set_back_repeats_no_time_of_day() {
    let daily = with(Missed::Once, Overlap::Queue, "0 2 * * *");
    let done = stands("2026-11-22T02:00:00Z");
    let look = looked(&daily, &done, IDLE, "2026-11-22T00:30:00Z");
    check(&look, &[], &[], Some("2026-11-23T02:00:00Z"));
    // Since when it holds is later than now: it holds already, and today's tick is still to come.
    let new = Standing::new(at("2026-11-22T03:00:00Z"));
    let look = looked(&daily, &new, IDLE, "2026-11-22T00:30:00Z");
    check(&look, &[], &[], Some("2026-11-22T02:00:00Z"));
    // Whether that is kept or not, the tick is found.
    for standing in [new, look.standing] {
        let then = looked(&daily, &standing, IDLE, "2026-11-22T02:00:03Z");
        assert_eq!(texts(&then.start), ["2026-11-22T02:00:00Z"]);
    }
}

#[test]
fn an_interval_is_counted_from_now_when_the_clock_was_set_back() {
    let standing = Standing {
        ended: Some(at("2026-11-22T10:00:05Z")),
        ..stands("2026-11-22T10:00:00Z")
    };
    for pace in [Pace::FixedDelay, Pace::FixedRate(Overlap::Forbid)] {
        let trigger = every(seconds(30), pace);
        let look = looked(&trigger, &standing, IDLE, "2026-11-22T05:00:00Z");
        check(&look, &[], &[], Some("2026-11-22T05:00:30Z"));
        // When the run before ended may come from elsewhere, and still be ahead.
        let moved = Standing {
            ended: standing.ended,
            ..look.standing
        };
        let then = looked(&trigger, &moved, IDLE, "2026-11-22T05:00:30Z");
        assert_eq!(texts(&then.start), ["2026-11-22T05:00:30Z"]);
    }
}

#[test]
fn times_that_no_calendar_has_are_no_trouble() {
    let daily = with(Missed::All, Overlap::Queue, "0 2 * * *");
    let far = UNIX_EPOCH + Duration::from_secs(1 << 45);
    let look = look(&id("p"), &daily, &Standing::new(UNIX_EPOCH), IDLE, far).unwrap();
    assert_eq!((look.start, look.again), (Vec::new(), None));
    let before = UNIX_EPOCH - seconds(86_400);
    let new = Standing::new(before);
    let look = super::look(&id("p"), &daily, &new, IDLE, before).unwrap();
    assert_eq!(
        look.again.map(text).as_deref(),
        Some("1969-12-31T02:00:00Z")
    );
}
