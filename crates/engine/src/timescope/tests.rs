//! Windows on the days clocks are changed, at the ends of years, and as people name them.

use model::pipeline::Period;

use super::*;

fn every(period: Period, zone: &str) -> Timescope {
    Timescope::Every {
        period,
        zone: zone.into(),
    }
}

fn at(text: &str) -> SystemTime {
    text.parse::<Timestamp>().unwrap().into()
}

fn shown(covered: &Covered) -> String {
    let bound = |b: &Option<String>| b.clone().unwrap_or_default();
    format!(
        "{} {} {}",
        covered.label,
        bound(&covered.start),
        bound(&covered.end)
    )
}

fn check_last(period: Period, zone: &str, now: &str, expected: &str) {
    let covered = last_complete(&every(period, zone), at(now)).unwrap();
    assert_eq!(shown(&covered), expected, "{period:?} {zone} {now}");
}

fn check_containing(period: Period, zone: &str, now: &str, expected: &str) {
    let covered = containing(&every(period, zone), at(now)).unwrap();
    assert_eq!(shown(&covered), expected, "{period:?} {zone} {now}");
}

#[test]
fn a_run_covers_the_last_period_that_is_over() {
    let check = check_last;
    let now = "2026-11-22T15:30:00.5Z";
    check(
        Period::Hour,
        "UTC",
        now,
        "2026_11_22_14 2026-11-22T14:00:00Z 2026-11-22T15:00:00Z",
    );
    check(
        Period::Day,
        "UTC",
        now,
        "2026_11_21 2026-11-21T00:00:00Z 2026-11-22T00:00:00Z",
    );
    check(
        Period::Week,
        "UTC",
        now,
        "2026_w46 2026-11-09T00:00:00Z 2026-11-16T00:00:00Z",
    );
    check(
        Period::Month,
        "UTC",
        now,
        "2026_10 2026-10-01T00:00:00Z 2026-11-01T00:00:00Z",
    );
    check(
        Period::Quarter,
        "UTC",
        now,
        "2026_q3 2026-07-01T00:00:00Z 2026-10-01T00:00:00Z",
    );
    check(
        Period::Year,
        "UTC",
        now,
        "2025 2025-01-01T00:00:00Z 2026-01-01T00:00:00Z",
    );
    // At the very start of a period the one before has just ended; a moment earlier it has not.
    check(
        Period::Day,
        "UTC",
        "2026-11-22T00:00:00Z",
        "2026_11_21 2026-11-21T00:00:00Z 2026-11-22T00:00:00Z",
    );
    check(
        Period::Day,
        "UTC",
        "2026-11-21T23:59:59.999Z",
        "2026_11_20 2026-11-20T00:00:00Z 2026-11-21T00:00:00Z",
    );
    // The zone's day, not that of UTC.
    check(
        Period::Day,
        "Pacific/Auckland",
        "2026-11-22T11:30:00Z",
        "2026_11_22 2026-11-22T00:00:00+13:00 2026-11-23T00:00:00+13:00",
    );
}

#[test]
fn the_last_period_at_the_ends_of_years() {
    let check = check_last;
    // ISO week 53, and a week of the year before.
    check(
        Period::Week,
        "UTC",
        "2027-01-04T00:00:00Z",
        "2026_w53 2026-12-28T00:00:00Z 2027-01-04T00:00:00Z",
    );
    check(
        Period::Week,
        "UTC",
        "2025-01-06T09:00:00Z",
        "2025_w01 2024-12-30T00:00:00Z 2025-01-06T00:00:00Z",
    );
    check(
        Period::Month,
        "Europe/Berlin",
        "2026-01-01T00:30:00Z",
        "2025_12 2025-12-01T00:00:00+01:00 2026-01-01T00:00:00+01:00",
    );
    check(
        Period::Day,
        "UTC",
        "2024-03-01T01:00:00Z",
        "2024_02_29 2024-02-29T00:00:00Z 2024-03-01T00:00:00Z",
    );
}

#[test]
fn days_the_clocks_are_changed_have_their_own_length() {
    let check = check_containing;
    let berlin = "Europe/Berlin";
    check(
        Period::Day,
        berlin,
        "2026-03-29T12:00:00Z",
        "2026_03_29 2026-03-29T00:00:00+01:00 2026-03-30T00:00:00+02:00",
    );
    check(
        Period::Day,
        berlin,
        "2026-10-25T12:00:00Z",
        "2026_10_25 2026-10-25T00:00:00+02:00 2026-10-26T00:00:00+01:00",
    );
    check(
        Period::Month,
        berlin,
        "2026-10-25T12:00:00Z",
        "2026_10 2026-10-01T00:00:00+02:00 2026-11-01T00:00:00+01:00",
    );
    // An hour that comes twice has two names; after one that is left out comes the one after.
    check(
        Period::Hour,
        berlin,
        "2026-10-25T00:30:00Z",
        "2026_10_25_02 2026-10-25T02:00:00+02:00 2026-10-25T02:00:00+01:00",
    );
    check(
        Period::Hour,
        berlin,
        "2026-10-25T01:30:00Z",
        "2026_10_25_02b 2026-10-25T02:00:00+01:00 2026-10-25T03:00:00+01:00",
    );
    check(
        Period::Hour,
        berlin,
        "2026-03-29T00:30:00Z",
        "2026_03_29_01 2026-03-29T01:00:00+01:00 2026-03-29T03:00:00+02:00",
    );
}

#[test]
fn days_and_hours_of_odd_zones() {
    let check = check_containing;
    // Midnight left out, midnight twice, clocks moved by half an hour, a zone of quarter hours, offsets of odd seconds.
    check(
        Period::Day,
        "America/Sao_Paulo",
        "2015-10-18T12:00:00Z",
        "2015_10_18 2015-10-18T01:00:00-02:00 2015-10-19T00:00:00-02:00",
    );
    check(
        Period::Day,
        "America/Havana",
        "2026-11-01T04:30:00Z",
        "2026_11_01 2026-11-01T00:00:00-04:00 2026-11-02T00:00:00-05:00",
    );
    check(
        Period::Hour,
        "Australia/Lord_Howe",
        "2026-04-04T15:15:00Z",
        "2026_04_05_01 2026-04-05T01:00:00+11:00 2026-04-05T02:00:00+10:30",
    );
    check(
        Period::Hour,
        "Australia/Lord_Howe",
        "2026-10-03T15:40:00Z",
        "2026_10_04_01 2026-10-04T01:00:00+10:30 2026-10-04T03:00:00+11:00",
    );
    check(
        Period::Hour,
        "Asia/Kathmandu",
        "2026-11-22T00:20:00Z",
        "2026_11_22_06 2026-11-22T06:00:00+05:45 2026-11-22T07:00:00+05:45",
    );
    check(
        Period::Day,
        "Africa/Monrovia",
        "1960-05-05T12:00:00Z",
        "1960_05_05 1960-05-05T00:44:30Z 1960-05-06T00:44:30Z",
    );
    // The day that Samoa left out.
    check(
        Period::Day,
        "Pacific/Apia",
        "2011-12-30T09:59:59Z",
        "2011_12_29 2011-12-29T00:00:00-10:00 2011-12-31T00:00:00+14:00",
    );
}

#[test]
fn spans_are_named() {
    let berlin = every(Period::Month, "Europe/Berlin");
    let check = |text: &str, expected: &str| {
        let covered = named(Some(&berlin), text).unwrap();
        assert_eq!(shown(&covered), expected, "{text}");
        if !text.contains("..") && text != "all" {
            let again = named(Some(&berlin), &covered.label).unwrap();
            assert_eq!(again, covered, "its label is a name of it");
        }
    };
    check(
        "2026",
        "2026 2026-01-01T00:00:00+01:00 2027-01-01T00:00:00+01:00",
    );
    check(
        "2026-Q4",
        "2026_q4 2026-10-01T00:00:00+02:00 2027-01-01T00:00:00+01:00",
    );
    check(
        "2026-11",
        "2026_11 2026-11-01T00:00:00+01:00 2026-12-01T00:00:00+01:00",
    );
    check(
        "2026-W53",
        "2026_w53 2026-12-28T00:00:00+01:00 2027-01-04T00:00:00+01:00",
    );
    check(
        " 2026-03-29 ",
        "2026_03_29 2026-03-29T00:00:00+01:00 2026-03-30T00:00:00+02:00",
    );
    check(
        "2026-11-22T15",
        "2026_11_22_15 2026-11-22T15:00:00+01:00 2026-11-22T16:00:00+01:00",
    );
    check(
        "2026-10-25T02",
        "2026_10_25_02 2026-10-25T02:00:00+02:00 2026-10-25T02:00:00+01:00",
    );
    check(
        "2026-10-25T02b",
        "2026_10_25_02b 2026-10-25T02:00:00+01:00 2026-10-25T03:00:00+01:00",
    );
    check("all", "all  ");
    check(
        "2026-11-01..2026-11-08",
        "2026_11_01_to_2026_11_08 2026-11-01T00:00:00+01:00 2026-11-08T00:00:00+01:00",
    );
    check(
        "2026-11-22T15:30..2026-11-22T15:00:00Z",
        "2026_11_22_1530_to_2026_11_22_1600 2026-11-22T15:30:00+01:00 2026-11-22T16:00:00+01:00",
    );
    let day = named(None, "2026-11-22").unwrap();
    assert_eq!(
        shown(&day),
        "2026_11_22 2026-11-22T00:00:00Z 2026-11-23T00:00:00Z"
    );
}

#[test]
fn what_names_no_span_says_why() {
    let berlin = every(Period::Day, "Europe/Berlin");
    for (text, words) in [
        ("", "names no span"),
        ("yesterday", "2026-11-22T15"),
        ("2026-13", "no day there is"),
        ("2026-Q5", "no day there is"),
        ("2025-W53", "no day there is"),
        ("2026-02-29", "no day there is"),
        ("2026-11-22T24", "no day there is"),
        ("0000", "no day there is"),
        ("9999", "years 1 to 9998"),
        ("26-11", "names no span"),
        ("2026-03-29T02", "the clocks skip it"),
        ("2026-11-22T15b", "only once"),
        ("2026-11-22T15:30:00Z", "one moment"),
        ("2026-03-29T02:30..2026-04", "the clocks skip it"),
        ("2026-10-25T02:30..2026-11", "is there twice"),
        ("2026-11..2026-10", "is empty"),
        ("2026-11..2026-11", "is empty"),
        ("2026-11..", "names no span"),
        (&"9".repeat(300), "names no span"),
    ] {
        let said = named(Some(&berlin), text).unwrap_err();
        assert!(said.contains(words), "{text}: {said}");
    }
    let samoa = every(Period::Day, "Pacific/Apia");
    let said = named(Some(&samoa), "2011-12-30").unwrap_err();
    assert!(said.contains("the calendar skips it"), "{said}");
    let said = named(Some(&every(Period::Day, "Europe/Berln")), "2026").unwrap_err();
    assert!(said.contains("did you mean \"Europe/Berlin\"?"), "{said}");
}

#[test]
fn windows_follow_each_other() {
    let labels = |period, zone: &str, from: &str, to: &str| {
        let windows = windows(&every(period, zone), from, to).unwrap();
        for (one, next) in windows.iter().zip(windows.iter().skip(1)) {
            assert_eq!(one.end, next.start, "no gap, no overlap");
            assert_ne!(one.label, next.label);
        }
        let labels: Vec<_> = windows.into_iter().map(|w| w.label).collect();
        labels.join(" ")
    };
    let berlin = "Europe/Berlin";
    assert_eq!(
        labels(Period::Month, berlin, "2025-11", "2026-02"),
        "2025_11 2025_12 2026_01 2026_02"
    );
    assert_eq!(
        labels(Period::Hour, berlin, "2026-10-25T01", "2026-10-25T03"),
        "2026_10_25_01 2026_10_25_02 2026_10_25_02b 2026_10_25_03"
    );
    assert_eq!(
        labels(Period::Hour, berlin, "2026-03-29T01", "2026-03-29T03"),
        "2026_03_29_01 2026_03_29_03"
    );
    assert_eq!(
        labels(Period::Week, "UTC", "2026-12-28", "2027-01-04"),
        "2026_w53 2027_w01"
    );
    assert_eq!(
        labels(Period::Day, "Pacific/Apia", "2011-12-29", "2011-12-31"),
        "2011_12_29 2011_12_31"
    );
    // The period that holds the start; a longer period as the end, all of it; a moment as the end, nothing from it on.
    assert_eq!(
        labels(Period::Quarter, "UTC", "2026-05-05", "2026"),
        "2026_q2 2026_q3 2026_q4"
    );
    assert_eq!(
        labels(Period::Day, "UTC", "2026-11-20", "2026-11-22T00:00:00Z"),
        "2026_11_20 2026_11_21"
    );
    let hours = windows(&every(Period::Hour, berlin), "2026-10", "2026-10").unwrap();
    assert_eq!(hours.len(), 31 * 24 + 1);
    let hours = windows(&every(Period::Hour, "Australia/Lord_Howe"), "2026", "2026").unwrap();
    assert_eq!(
        hours.len(),
        365 * 24 - 1,
        "1.5 hours twice, and the half hour back and forth"
    );
}

#[test]
fn backfills_are_bounded() {
    let day = every(Period::Day, "UTC");
    for (scope, from, to, words) in [
        (&day, "2026-11", "2026-10", "not after the start"),
        (&day, "1900", "2026", "more than 10000 windows"),
        (&day, "2026-11", "soon", "names no span"),
        (&Timescope::All, "2026", "2027", "has none"),
    ] {
        let said = windows(scope, from, to).unwrap_err();
        assert!(said.contains(words), "{from} {to}: {said}");
    }
}

#[test]
fn spans_of_specs_are_checked() {
    let good = written_span("2026-01", "2026-02-01T00:00:00+01:00", "Europe/Berlin").unwrap();
    assert_eq!(
        good,
        Timescope::Span {
            start: "2026-01-01T00:00:00+01:00".into(),
            end: "2026-02-01T00:00:00+01:00".into()
        }
    );
    let covered = last_complete(&good, at("2030-01-01T00:00:00Z")).unwrap();
    assert_eq!(covered.label, "2026_01_01_to_2026_02_01");
    assert!(written_span("2026-02", "2026-01", "UTC").is_err());
    assert_eq!(
        containing(&Timescope::All, at("2026-01-01T00:00:00Z"))
            .unwrap()
            .label,
        "all"
    );
}
