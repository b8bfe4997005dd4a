//! Triggers as specs write them.

use std::time::Duration;

use model::pipeline::{
    After, AfterEnd, Cron, Interval, Missed, Overlap, Pace, Rate, Scheme, Webhook,
};

use super::*;

fn trigger(written: &str) -> TriggerSpec {
    read_alone(&format!("{SMALL}trigger: {written}\n"))
        .unwrap()
        .trigger
}

/// What is said about a trigger; its value begins at column 10 of line 3.
fn said(written: &str, expected: &[&str]) {
    check(&format!("{SMALL}trigger: {written}\n"), expected);
}

#[test]
fn exactly_one_trigger() {
    said(
        "{}",
        &[
            "3:10: `trigger` says nothing; one of `every`, `cron`, `webhook` and `after` is needed, or `manual`",
        ],
    );
    said(
        "{every: 5m, after: a}",
        &[
            "3:10: `trigger` says more than one thing; exactly one of `every`, `cron`, `webhook` and `after` is allowed",
        ],
    );
    said(
        "hourly",
        &["3:10: `trigger` is \"hourly\"; allowed are a map and manual"],
    );
    said(
        "",
        &["3:8: `trigger` is nothing; allowed are a map and manual"],
    );
    said(
        "{corn: '@daily'}",
        &["3:11: unknown key `corn`; did you mean \"cron\"?"],
    );
    said(
        "{every: 5m, zone: UTC, missed: all, on: any}",
        &[
            "3:22: `zone` is for `cron` only",
            "3:33: `missed` is for `cron` only",
            "3:46: `on` is for `after` only",
        ],
    );
    said(
        "{after: a, overlap: queue, jitter: 1s, mode: fixed_rate}",
        &[
            "3:21: `overlap` is for `every` and `cron` only",
            "3:37: `jitter` is for `every` and `cron` only",
            "3:49: `mode` is for `every` only",
        ],
    );
    assert_eq!(trigger("manual"), TriggerSpec::Manual);
}

#[test]
fn intervals() {
    let interval = |every: u64, pace, jitter| {
        TriggerSpec::Interval(Interval {
            every: Duration::from_millis(every),
            pace,
            jitter: Duration::from_secs(jitter),
        })
    };
    let rate = Pace::FixedRate;
    assert_eq!(
        trigger("{every: 30s}"),
        interval(30_000, rate(Overlap::Forbid), 0)
    );
    assert_eq!(
        trigger("{every: 100ms, mode: fixed_rate, overlap: queue}"),
        interval(100, rate(Overlap::Queue), 0)
    );
    assert_eq!(
        trigger("{every: 1h, mode: fixed_delay, jitter: 5m}"),
        interval(3_600_000, Pace::FixedDelay, 300)
    );
    said("{every: 0s}", &["3:18: \"0s\" must be longer than nothing"]);
    said(
        "{every: 99ms}",
        &["3:18: `every` is 99ms; at least 100ms is allowed"],
    );
    said(
        "{every: 367d}",
        &["3:18: `every` is 367d; at most 366d is allowed"],
    );
    said(
        "{every: 5, mode: fixed-rate}",
        &[
            "3:18: `every` is 5; a text is allowed, such as 30s",
            "3:27: `mode` is \"fixed-rate\"; allowed are fixed_delay and fixed_rate; did you mean `fixed_rate`?",
        ],
    );
    said(
        "{every: 30s, jitter: 30s}",
        &["3:31: `jitter` is 30s; less than `every` is allowed, 30s"],
    );
    said(
        "{every: 30s, mode: fixed_delay, overlap: allow}",
        &[
            "3:42: `overlap` is for `mode: fixed_rate` only: with `fixed_delay` a run waits for the end of the one before",
        ],
    );
}

#[test]
fn lines() {
    assert_eq!(
        trigger("{cron: 0 2 * * *}"),
        TriggerSpec::Cron(Cron::new("0 2 * * *"))
    );
    assert_eq!(
        trigger("{cron: '@daily', zone: Europe/Berlin, missed: all, overlap: allow, jitter: 24h}"),
        TriggerSpec::Cron(Cron {
            expression: "@daily".into(),
            zone: "Europe/Berlin".into(),
            missed: Missed::All,
            overlap: Overlap::Allow,
            jitter: Duration::from_secs(86_400),
        })
    );
    said(
        "{cron: 0 0 31 2 *, zone: Mars}",
        &[
            "3:17: \"0 0 31 2 *\" names a date that never comes",
            "3:35: \"Mars\" is not a time zone; IANA names are, such as Europe/Berlin or UTC",
        ],
    );
    said(
        "{cron: '@daily', missed: never, overlap: forbit, jitter: 25h}",
        &[
            "3:35: `missed` is \"never\"; allowed are all, once and skip",
            "3:51: `overlap` is \"forbit\"; allowed are allow, forbid and queue; did you mean `forbid`?",
        ],
    );
    said(
        "{cron: '@daily', jitter: 25h}",
        &["3:35: `jitter` is 25h; at most 24h is allowed"],
    );
    said(
        "{cron: '@daily', missed: all, overlap: forbid}",
        &[
            "3:35: `missed: all` needs `overlap: queue` or `allow`: with `forbid` only one of them would run",
        ],
    );
}

#[test]
fn webhooks() {
    assert_eq!(
        trigger("{webhook: {secret: '${env:HOOK}'}}"),
        TriggerSpec::Webhook(Webhook::new("${env:HOOK}"))
    );
    assert_eq!(
        trigger(
            "{webhook: {secret: 'whsec_${env:A}', other_secret: '${file:b}', scheme: standard, rate: {requests: 5, per: 1s}, max_bytes: 64MiB}}"
        ),
        TriggerSpec::Webhook(Webhook {
            secret: "whsec_${env:A}".into(),
            other_secret: Some("${file:b}".into()),
            scheme: Some(Scheme::Standard),
            rate: Rate {
                requests: NonZeroU32::new(5).unwrap(),
                per: Duration::from_secs(1)
            },
            max_bytes: 64 << 20,
        })
    );
    let default = Rate::default();
    assert_eq!((default.requests.get(), default.per.as_secs()), (100, 60));
    said("{webhook: {}}", &["3:11: `secret` is missing"]);
    said(
        "{webhook: {secert: '${env:A}', secret: '${env:A}'}}",
        &["3:21: unknown key `secert`; did you mean \"secret\"?"],
    );
    let needed = "a reference is needed, `${env:NAME}` or `${file:path}`: whoever sees a spec sees what stands in it";
    said(
        "{webhook: {secret: s3cret, other_secret: ''}}",
        &[&format!("3:29: {needed}"), &format!("3:51: {needed}")],
    );
    said(
        "{webhook: {secret: '${HOOK}', other_secret: '{{params.a}}${env:B}'}}",
        &[
            "3:29: \"${HOOK}\" is no reference: `${env:NAME}` and `${file:path}` are; write `$${` for the characters themselves",
            "3:54: templates (`{{…}}`) cannot stand here: there is no run yet",
        ],
    );
    said(
        "{webhook: {secret: '${env:A}', rate: {requests: 0}, scheme: sha1}}",
        &[
            "3:58: `requests` is 0; at least 1 is allowed",
            "3:70: `scheme` is \"sha1\"; allowed are hex and standard",
        ],
    );
    said(
        "{webhook: {secret: '${env:A}', rate: {requests: 5, per: 10ms}, max_bytes: 65MiB}}",
        &[
            "3:66: `per` is 10ms; at least 1s is allowed",
            "3:84: `max_bytes` is 68157440; at most 67108864 (64MiB) is allowed",
        ],
    );
    said(
        "{webhook: {secret: '${env:A}', max_bytes: 0}}",
        &["3:52: `max_bytes` is 0; at least 1 is allowed"],
    );
}

#[test]
fn after_others() {
    let after = |on| {
        TriggerSpec::After(After {
            pipeline: PipelineId::new("a").unwrap(),
            on,
        })
    };
    assert_eq!(trigger("{after: a}"), after(AfterEnd::Success));
    assert_eq!(trigger("{after: a, on: any}"), after(AfterEnd::Any));
    said(
        "{after: A}",
        &[
            "3:18: \"A\" is not a pipeline id: 1 to 64 characters of a-z 0-9 _ - . are allowed, the first a letter or digit, and no `..`",
        ],
    );
    said(
        "{after: a, on: failure}",
        &["3:25: `on` is \"failure\"; allowed are any and success"],
    );
}
