//! Where the calendar periods of a zone begin and end, and what they are called. Each begins where the one before it ends: a day the clocks are changed has 23 or
//! 25 hours, and where midnight is left out a day begins at the first moment after it.

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Span, Timestamp};
use model::pipeline::Period;
use model::run::Covered;

/// The periods of one length in one zone.
#[derive(Debug, Clone)]
pub(super) struct Calendar {
    period: Period,
    zone: TimeZone,
}

const OUTSIDE: &str = "only the years 1 to 9998 can be covered";

impl Calendar {
    pub(super) fn new(period: Period, zone: &str) -> Result<Self, String> {
        Ok(Self {
            period,
            zone: super::zone(zone)?,
        })
    }

    /// Start and end of the period that holds a moment.
    pub(super) fn containing(&self, at: Timestamp) -> Result<(Timestamp, Timestamp), String> {
        if self.period == Period::Hour {
            let start = self.hour_start(at)?;
            return Ok((start, self.hour_end(start)?));
        }
        let date = self.zone.to_datetime(at).date();
        let mut first = self.first_day(date)?;
        let mut start = self.midnight(first)?;
        if at < start {
            // Where midnight is left out, what comes before the day's first moment is of the day before.
            first = self.first_day(first.yesterday().map_err(|_| OUTSIDE)?)?;
            start = self.midnight(first)?;
        }
        let mut next = first;
        loop {
            // A day that never was (the date line was moved) is empty, and its neighbour the next.
            next = self.next(next)?;
            let end = self.midnight(next)?;
            if end > at {
                return Ok((start, end));
            }
            start = end;
        }
    }

    /// Start and end of the period that begins on this day, or with this hour: the `second` of that name where clocks go back.
    pub(super) fn beginning(
        &self,
        at: DateTime,
        second: bool,
    ) -> Result<(Timestamp, Timestamp), String> {
        let shown = at.strftime("%Y-%m-%dT%H");
        if self.period == Period::Hour {
            let offset = match self.zone.to_ambiguous_timestamp(at).offset() {
                AmbiguousOffset::Unambiguous { offset } if !second => offset,
                AmbiguousOffset::Fold { before, .. } if !second => before,
                AmbiguousOffset::Fold { after, .. } => after,
                AmbiguousOffset::Unambiguous { .. } => {
                    return Err(format!("the hour {shown} is there only once"));
                }
                AmbiguousOffset::Gap { .. } => {
                    return Err(format!("there is no hour {shown}: the clocks skip it"));
                }
            };
            let start = offset.to_timestamp(at).map_err(|_| OUTSIDE)?;
            return Ok((start, self.hour_end(start)?));
        }
        let first = self.first_day(at.date())?;
        let (start, end) = (self.midnight(first)?, self.midnight(self.next(first)?)?);
        if start == end {
            return Err(format!("there is no {first}: the calendar skips it"));
        }
        Ok((start, end))
    }

    /// A period by its bounds.
    pub(super) fn covered(&self, start: Timestamp, end: Timestamp) -> Covered {
        Covered {
            label: self.label(start),
            start: Some(super::rfc3339(start, &self.zone)),
            end: Some(super::rfc3339(end, &self.zone)),
        }
    }

    fn label(&self, start: Timestamp) -> String {
        let local = self.zone.to_datetime(start);
        let date = local.date();
        match self.period {
            Period::Hour => {
                let second = match self.zone.to_ambiguous_timestamp(local).offset() {
                    AmbiguousOffset::Fold { after, .. } => self.zone.to_offset(start) == after,
                    AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Gap { .. } => false,
                };
                let mark = if second { "b" } else { "" };
                format!("{}{mark}", local.strftime("%Y_%m_%d_%H"))
            }
            Period::Day => date.strftime("%Y_%m_%d").to_string(),
            Period::Week => {
                let week = date.iso_week_date();
                format!("{:04}_w{:02}", week.year(), week.week())
            }
            Period::Month => date.strftime("%Y_%m").to_string(),
            Period::Quarter => format!("{:04}_q{}", date.year(), (date.month() + 2) / 3),
            Period::Year => format!("{:04}", date.year()),
        }
    }

    /// The day on which the period begins that holds a day. Not for hours.
    fn first_day(&self, date: Date) -> Result<Date, String> {
        let month = |month: i8| date.with().month(month).day(1).build();
        let first = match self.period {
            Period::Hour | Period::Day => Ok(date),
            Period::Week => date
                .iso_week_date()
                .first_of_week()
                .map(|monday| monday.date()),
            Period::Month => Ok(date.first_of_month()),
            Period::Quarter => month((date.month() - 1) / 3 * 3 + 1),
            Period::Year => month(1),
        };
        let first = first.map_err(|_| OUTSIDE)?;
        // The week of January 1st may begin in the year before.
        if (0..=9_998).contains(&first.year()) {
            Ok(first)
        } else {
            Err(OUTSIDE.into())
        }
    }

    fn next(&self, first: Date) -> Result<Date, String> {
        let step = match self.period {
            Period::Hour | Period::Day => Span::new().days(1),
            Period::Week => Span::new().weeks(1),
            Period::Month => Span::new().months(1),
            Period::Quarter => Span::new().months(3),
            Period::Year => Span::new().years(1),
        };
        first.checked_add(step).map_err(|_| OUTSIDE.into())
    }

    /// The first moment of a day.
    fn midnight(&self, date: Date) -> Result<Timestamp, String> {
        let midnight = self.zone.to_ambiguous_timestamp(date.at(0, 0, 0, 0));
        midnight.compatible().map_err(|_| OUTSIDE.into())
    }

    fn hour_start(&self, at: Timestamp) -> Result<Timestamp, String> {
        let mut start = at.checked_sub(Span::new().nanoseconds(at.subsec_nanosecond()));
        // Where clocks are moved by less than an hour, a full hour may be further off than the minutes say.
        for _ in 0..4 {
            let candidate = start.map_err(|_| OUTSIDE)?;
            let local = self.zone.to_datetime(candidate);
            let past = i64::from(local.minute()) * 60 + i64::from(local.second());
            if past == 0 {
                return Ok(candidate);
            }
            start = candidate.checked_sub(Span::new().seconds(past));
        }
        Err(format!("there is no full hour around {at}"))
    }

    fn hour_end(&self, start: Timestamp) -> Result<Timestamp, String> {
        let mut end = start.checked_add(Span::new().hours(1));
        for _ in 0..4 {
            let candidate = end.map_err(|_| OUTSIDE)?;
            let local = self.zone.to_datetime(candidate);
            let past = i64::from(local.minute()) * 60 + i64::from(local.second());
            if past == 0 {
                return Ok(candidate);
            }
            end = candidate.checked_add(Span::new().seconds(3_600 - past));
        }
        Err(format!("there is no full hour after {start}"))
    }
}

/// Monday of an ISO week; none if the year has no such week.
pub(super) fn monday(year: i16, week: i8) -> Option<Date> {
    let first = jiff::civil::ISOWeekDate::new(year, week, Weekday::Monday);
    first.ok().map(|monday| monday.date())
}
