//! Crontab lines where clocks are put forward and back, on leap days, and at the ends of months and years.

use jiff::tz::TimeZone;

use super::*;

/// The ticks from a moment on, by the zone's own clock.
fn check(zone: &str, line: &str, from: &str, expected: &[&str]) {
    let trigger = TriggerSpec::Cron(Cron {
        zone: zone.into(),
        ..cron(line)
    });
    let tz = TimeZone::get(zone).unwrap();
    let ticks = next_ticks(&trigger, at(from), expected.len()).unwrap();
    let shown: Vec<String> = ticks
        .iter()
        .map(|tick| {
            let at = Timestamp::try_from(*tick).unwrap();
            at.display_with_offset(tz.to_offset(at)).to_string()
        })
        .collect();
    assert_eq!(shown, expected, "{zone} {line}");
    // Backwards it is the same.
    let back = super::Ticks::line(match &trigger {
        TriggerSpec::Cron(cron) => cron,
        _ => unreachable!(),
    });
    let back = back.unwrap();
    for pair in ticks.windows(2) {
        let before = back.last(millis(pair[1]) - 1).unwrap();
        assert_eq!(moment(before), pair[0], "{zone} {line} backwards");
        assert_eq!(back.last(millis(pair[1])), Some(millis(pair[1])));
    }
}

#[test]
fn berlin() {
    let zone = "Europe/Berlin";
    // 29 March: 02:00 to 03:00 are skipped.
    let from = "2026-03-28T00:00:00+01:00";
    check(
        zone,
        "30 2 * * *",
        from,
        &[
            "2026-03-28T02:30:00+01:00",
            "2026-03-29T03:00:00+02:00",
            "2026-03-30T02:30:00+02:00",
        ],
    );
    check(
        zone,
        "0 3 * * *",
        from,
        &["2026-03-28T03:00:00+01:00", "2026-03-29T03:00:00+02:00"],
    );
    check(
        zone,
        "*/30 * * * *",
        "2026-03-29T01:15:00+01:00",
        &[
            "2026-03-29T01:30:00+01:00",
            "2026-03-29T03:00:00+02:00",
            "2026-03-29T03:30:00+02:00",
        ],
    );
    // 25 October: 02:00 to 03:00 are there twice.
    check(
        zone,
        "30 2 * * *",
        "2026-10-24T12:00:00+02:00",
        &[
            "2026-10-25T02:30:00+02:00",
            "2026-10-26T02:30:00+01:00",
            "2026-10-27T02:30:00+01:00",
        ],
    );
    check(
        zone,
        "30 * * * *",
        "2026-10-25T01:45:00+02:00",
        &[
            "2026-10-25T02:30:00+02:00",
            "2026-10-25T02:30:00+01:00",
            "2026-10-25T03:30:00+01:00",
        ],
    );
}

#[test]
fn new_york() {
    let zone = "America/New_York";
    for (line, day) in [("0 2 * * *", "02:00"), ("30 2 * * *", "02:30")] {
        check(
            zone,
            line,
            "2026-03-07T00:00:00-05:00",
            &[
                &format!("2026-03-07T{day}:00-05:00"),
                "2026-03-08T03:00:00-04:00",
                &format!("2026-03-09T{day}:00-04:00"),
            ],
        );
    }
    check(
        zone,
        "30 1 * * *",
        "2026-10-31T12:00:00-04:00",
        &["2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"],
    );
    check(
        zone,
        "*/30 * * * *",
        "2026-11-01T00:45:00-04:00",
        &[
            "2026-11-01T01:00:00-04:00",
            "2026-11-01T01:30:00-04:00",
            "2026-11-01T01:00:00-05:00",
            "2026-11-01T01:30:00-05:00",
            "2026-11-01T02:00:00-05:00",
        ],
    );
}

#[test]
fn lord_howe_goes_by_half_an_hour() {
    let zone = "Australia/Lord_Howe";
    check(
        zone,
        "15 2 * * *",
        "2026-10-03T12:00:00+10:30",
        &["2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"],
    );
    check(
        zone,
        "45 1 * * *",
        "2026-04-04T12:00:00+11:00",
        &["2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"],
    );
    check(
        zone,
        "*/15 * * * *",
        "2026-04-05T01:20:00+11:00",
        &[
            "2026-04-05T01:30:00+11:00",
            "2026-04-05T01:45:00+11:00",
            "2026-04-05T01:30:00+10:30",
            "2026-04-05T01:45:00+10:30",
            "2026-04-05T02:00:00+10:30",
        ],
    );
}

#[test]
fn sao_paulo_skipped_midnight() {
    let zone = "America/Sao_Paulo";
    check(
        zone,
        "@daily",
        "2018-11-03T12:00:00-03:00",
        &["2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"],
    );
    check(
        zone,
        "30 23 * * *",
        "2018-02-17T12:00:00-02:00",
        &["2018-02-17T23:30:00-02:00", "2018-02-18T23:30:00-03:00"],
    );
    check(
        zone,
        "0 0 * * *",
        "2018-02-17T12:00:00-02:00",
        &["2018-02-18T00:00:00-03:00", "2018-02-19T00:00:00-03:00"],
    );
}

#[test]
fn leap_days_and_ends() {
    let check = |line: &str, from: &str, expected: &[&str]| {
        let expected: Vec<String> = expected.iter().map(|e| format!("{e}+00:00")).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check("UTC", line, from, &expected);
    };
    check(
        "0 0 29 2 *",
        "2026-11-22T00:00:00Z",
        &["2028-02-29T00:00:00", "2032-02-29T00:00:00"],
    );
    // 2100 has none.
    check(
        "0 0 29 2 *",
        "2092-03-01T00:00:00Z",
        &["2096-02-29T00:00:00", "2104-02-29T00:00:00"],
    );
    check(
        "0 0 L * *",
        "2027-01-01T00:00:00Z",
        &[
            "2027-01-31T00:00:00",
            "2027-02-28T00:00:00",
            "2027-03-31T00:00:00",
            "2027-04-30T00:00:00",
        ],
    );
    check(
        "0 0 31 * *",
        "2027-01-01T00:00:00Z",
        &[
            "2027-01-31T00:00:00",
            "2027-03-31T00:00:00",
            "2027-05-31T00:00:00",
        ],
    );
    check(
        "59 59 23 31 12 *",
        "2026-11-22T00:00:00Z",
        &["2026-12-31T23:59:59", "2027-12-31T23:59:59"],
    );
    check(
        "0 0 1 1 *",
        "2026-12-31T23:59:59Z",
        &["2027-01-01T00:00:00", "2028-01-01T00:00:00"],
    );
}
