//! Two servers that share a schedule: whoever moves it on adds the runs, and whoever finds it moved adds none.

use super::*;

/// What a store keeps: it moves a schedule on only from where the asker saw it.
struct Kept {
    standing: Standing,
    runs: Vec<SystemTime>,
}

impl Kept {
    fn move_on(&mut self, seen: &Standing, look: &Look) {
        if self.standing == *seen {
            self.standing = look.standing;
            self.runs.extend(&look.start);
        }
    }
}

/// A hundred ticks, each exactly once. The second server's clock is behind by `behind`, it looks with what it saw `stale` looks ago, and is away for a while.
fn check(trigger: &TriggerSpec, behind: Duration, stale: usize) -> Vec<SystemTime> {
    let start = at("2026-11-22T00:00:00Z");
    let mut kept = Kept {
        standing: Standing::new(start),
        runs: Vec::new(),
    };
    let mut seen = vec![kept.standing];
    for half in 0..2 * 60 * 100 {
        let now = start + Duration::from_millis(500 * half);
        let first = kept.standing;
        let found = look(&id("p"), trigger, &first, IDLE, now).unwrap();
        let is_away = (3_000..7_000).contains(&half);
        if !is_away {
            let second = seen[seen.len().saturating_sub(stale + 1)];
            let other = look(&id("p"), trigger, &second, IDLE, now - behind).unwrap();
            if half % 2 == 0 {
                kept.move_on(&second, &other);
            }
            kept.move_on(&first, &found);
            if half % 2 == 1 {
                kept.move_on(&second, &other);
            }
        } else if half % 40 == 0 {
            kept.move_on(&first, &found);
        }
        seen.push(kept.standing);
    }
    kept.runs
}

#[test]
fn a_hundred_ticks_start_once_each() {
    let minutely = TriggerSpec::Cron(Cron {
        missed: Missed::All,
        jitter: seconds(20),
        ..cron("* * * * *")
    });
    let interval = TriggerSpec::Interval(Interval {
        every: seconds(60),
        pace: Pace::FixedRate(Overlap::Allow),
        jitter: seconds(20),
    });
    let wanted: Vec<String> = (0..100)
        .map(|n| text(at("2026-11-22T00:00:00Z") + seconds(60 * n)))
        .collect();
    for trigger in [&minutely, &interval] {
        for (behind, stale) in [(0, 0), (700, 0), (0, 3), (1_500, 1)] {
            let runs = check(trigger, Duration::from_millis(behind), stale);
            assert_eq!(texts(&runs), wanted, "{behind} {stale}");
        }
    }
}
