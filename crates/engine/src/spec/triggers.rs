//! What a pipeline says of its trigger. Its form is right when it comes here; what it means is checked. When a trigger is due is `schedule`'s business.

use std::time::Duration;

use model::id::PipelineId;
use model::pipeline::{After, Cron, Interval, Missed, Overlap, Pace, Rate, TriggerSpec, Webhook};

use super::settings::Said;
use super::units;
use super::written::{
    DurationText, ModeWord, RateTable, Trigger, TriggerTable, TriggerWord, WebhookTable,
};
use crate::schedule::check_line;
use crate::templates;
use crate::timescope::zone;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// What `every` may be.
const EVERY: (Duration, Duration) = (
    Duration::from_millis(100),
    Duration::from_secs(366 * 24 * 60 * 60),
);
/// What the span of a rate may be.
const PER: (Duration, Duration) = (Duration::from_secs(1), DAY);
/// Most bytes that a webhook's body may be allowed to have.
const MAX_BODY: u64 = 64 << 20;

impl Said {
    pub(super) fn trigger(&mut self, written: Option<Trigger>, at: &str) -> TriggerSpec {
        match written {
            None | Some(Trigger::Word(TriggerWord::Manual)) => TriggerSpec::Manual,
            Some(Trigger::Table(table)) => {
                let at = format!("{at}/trigger");
                self.table(*table, &at).unwrap_or_default()
            }
        }
    }

    fn table(&mut self, mut table: TriggerTable, at: &str) -> Option<TriggerSpec> {
        let said = [
            ("every", table.every.is_some()),
            ("cron", table.cron.is_some()),
            ("webhook", table.webhook.is_some()),
            ("after", table.after.is_some()),
        ];
        let said: Vec<_> = said.into_iter().filter(|(_, is)| *is).collect();
        match said.as_slice() {
            [] => {
                self.value(at, "`trigger` says nothing; one of `every`, `cron`, `webhook` and `after` is needed, or `manual`");
                return None;
            }
            [(kind, _)] => self.strangers(&table, kind, at),
            _ => {
                self.value(at, "`trigger` says more than one thing; exactly one of `every`, `cron`, `webhook` and `after` is allowed");
                return None;
            }
        }
        if let Some(every) = table.every.take() {
            return self.interval(&every, &table, at);
        }
        if let Some(expression) = table.cron.take() {
            return self.cron(expression, &table, at);
        }
        if let Some(webhook) = table.webhook {
            return self.webhook(webhook, &format!("{at}/webhook"));
        }
        let pipeline = PipelineId::new(&table.after?).map_err(|e| e.to_string());
        let after = After {
            pipeline: self.take(format!("{at}/after"), pipeline)?,
            on: table.on.unwrap_or_default(),
        };
        Some(TriggerSpec::After(after))
    }

    /// Keys that say nothing about a trigger of this kind.
    fn strangers(&mut self, table: &TriggerTable, kind: &str, at: &str) {
        let keys: [(&str, bool, &[&str]); 6] = [
            ("mode", table.mode.is_some(), &["every"]),
            ("zone", table.zone.is_some(), &["cron"]),
            ("missed", table.missed.is_some(), &["cron"]),
            ("overlap", table.overlap.is_some(), &["every", "cron"]),
            ("jitter", table.jitter.is_some(), &["every", "cron"]),
            ("on", table.on.is_some(), &["after"]),
        ];
        for (key, is_said, kinds) in keys {
            if is_said && !kinds.contains(&kind) {
                let kinds = kinds.join("` and `");
                self.key(
                    format!("{at}/{key}"),
                    format!("`{key}` is for `{kinds}` only"),
                );
            }
        }
    }

    fn interval(
        &mut self,
        every: &DurationText,
        table: &TriggerTable,
        at: &str,
    ) -> Option<TriggerSpec> {
        let every = self.span("every", every, at, EVERY)?;
        let overlap = table.overlap;
        let pace = match table.mode.unwrap_or(ModeWord::FixedRate) {
            ModeWord::FixedRate => Pace::FixedRate(overlap.unwrap_or(Overlap::Forbid)),
            ModeWord::FixedDelay => Pace::FixedDelay,
        };
        if pace == Pace::FixedDelay && overlap.is_some() {
            let message = "`overlap` is for `mode: fixed_rate` only: with `fixed_delay` a run waits for the end of the one before";
            self.key(format!("{at}/overlap"), message);
        }
        let jitter = self.jitter(table.jitter.as_ref(), at);
        if jitter >= every {
            let message =
                format!("`jitter` is {jitter:?}; less than `every` is allowed, {every:?}");
            self.value(format!("{at}/jitter"), message);
        }
        Some(TriggerSpec::Interval(Interval {
            every,
            pace,
            jitter,
        }))
    }

    fn cron(&mut self, expression: String, table: &TriggerTable, at: &str) -> Option<TriggerSpec> {
        self.take(format!("{at}/cron"), check_line(&expression));
        let default = Cron::new(expression);
        let cron = Cron {
            zone: table.zone.clone().unwrap_or(default.zone),
            missed: table.missed.unwrap_or(default.missed),
            overlap: table.overlap.unwrap_or(default.overlap),
            jitter: self.jitter(table.jitter.as_ref(), at),
            expression: default.expression,
        };
        if cron.missed == Missed::All && cron.overlap == Overlap::Forbid {
            let message = "`missed: all` needs `overlap: queue` or `allow`: with `forbid` only one of them would run";
            self.value(format!("{at}/missed"), message);
        }
        self.take(format!("{at}/zone"), zone(&cron.zone))?;
        Some(TriggerSpec::Cron(cron))
    }

    fn jitter(&mut self, written: Option<&DurationText>, at: &str) -> Duration {
        let jitter = written.and_then(|text| {
            let at = format!("{at}/jitter");
            let jitter = units::duration(&text.0).and_then(|jitter| {
                if jitter > DAY {
                    return Err(format!("`jitter` is {}; at most 24h is allowed", text.0));
                }
                Ok(jitter)
            });
            self.take(at, jitter)
        });
        jitter.unwrap_or_default()
    }

    fn webhook(&mut self, written: WebhookTable, at: &str) -> Option<TriggerSpec> {
        let mut secret = |key: &str, text: &str| {
            let good = templates::needs_reference(text);
            self.take(format!("{at}/{key}"), good);
        };
        secret("secret", &written.secret);
        if let Some(other) = &written.other_secret {
            secret("other_secret", other);
        }
        let default = Webhook::new(written.secret);
        let bytes = (1, MAX_BODY);
        let max_bytes = self.bytes("max_bytes", written.max_bytes.as_ref(), at, bytes);
        let rate = written.rate.map(|rate| self.rate(&rate, at));
        Some(TriggerSpec::Webhook(Webhook {
            other_secret: written.other_secret,
            scheme: written.scheme,
            rate: rate.unwrap_or(default.rate),
            max_bytes: max_bytes.unwrap_or(default.max_bytes),
            secret: default.secret,
        }))
    }

    fn rate(&mut self, written: &RateTable, at: &str) -> Rate {
        let per = written.per.as_ref();
        let per = per.and_then(|per| self.span("per", per, &format!("{at}/rate"), PER));
        Rate {
            requests: written.requests,
            per: per.unwrap_or(Rate::default().per),
        }
    }

    /// A length of time within bounds.
    fn span(
        &mut self,
        key: &str,
        text: &DurationText,
        at: &str,
        (least, most): (Duration, Duration),
    ) -> Option<Duration> {
        let span = units::span_of_time(&text.0).and_then(|span| {
            let given = &text.0;
            if span < least {
                return Err(format!("`{key}` is {given}; at least {least:?} is allowed"));
            }
            if span > most {
                let days = most.as_secs() / DAY.as_secs();
                return Err(format!("`{key}` is {given}; at most {days}d is allowed"));
            }
            Ok(span)
        });
        self.take(format!("{at}/{key}"), span)
    }
}
