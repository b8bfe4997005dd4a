//! What people see while a run is at work, on standard error: a line a stage that moves on a terminal, a plain line now and then elsewhere, and what the run says as it
//! says it.

use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, MultiProgress, ProgressBar, ProgressStyle};
use model::run::{LogLine, Part, RunRecord, StageReport};

use super::report::log_line;

/// A stage that does not know how much there is, and one that does.
const OPEN: &str = "{prefix:20!} {msg}";
const KNOWN: &str = "{prefix:20!} {msg} [{bar:20}] {percent:>3} %, {eta} left";
/// Between two plain lines.
const EVERY: Duration = Duration::from_secs(5);

/// Shows a run as it goes on.
#[derive(Debug)]
pub(super) struct Progress {
    look: Look,
    /// The last line of its log that was shown.
    said: Option<LogLine>,
}

/// How it is shown.
#[derive(Debug)]
enum Look {
    /// Nothing.
    Quiet,
    /// Lines that stay.
    Lines {
        /// When the next line is due, in time the run took.
        next: Duration,
    },
    /// Lines that move.
    Bars {
        all: MultiProgress,
        bars: Vec<ProgressBar>,
    },
}

impl Progress {
    /// What fits standard error.
    pub(super) fn new(quiet: bool) -> Self {
        let look = match quiet {
            true => Look::Quiet,
            false if std::io::stderr().is_terminal() => Look::Bars {
                all: MultiProgress::new(),
                bars: Vec::new(),
            },
            false => Look::Lines { next: EVERY },
        };
        Self { look, said: None }
    }

    /// Are the lines of the log shown as they come?
    pub(super) fn tells(&self) -> bool {
        !matches!(self.look, Look::Quiet)
    }

    /// Shows how far the run is.
    pub(super) fn show(&mut self, record: &RunRecord) {
        let fresh = fresh(self.said.as_ref(), &record.log);
        for line in fresh.filter(|line| !waits(line, record)) {
            self.look.tell(line);
        }
        self.said = record.log.back().cloned().or(self.said.take());
        match &mut self.look {
            Look::Quiet => {}
            Look::Lines { next } => {
                let took = Duration::from_millis(record.duration_ms);
                if took >= *next {
                    *next = took + EVERY;
                    let _nobody_reads = writeln!(std::io::stderr(), "{}", line(record));
                }
            }
            Look::Bars { all, bars } => {
                while bars.len() < record.stages.len() {
                    bars.push(all.add(ProgressBar::no_length()));
                }
                for (bar, stage) in bars.iter().zip(&record.stages) {
                    draw(bar, stage, record.duration_ms);
                }
            }
        }
    }

    /// Takes away what moves.
    pub(super) fn end(&self) {
        if let Look::Bars { all, bars } = &self.look {
            for bar in bars {
                bar.finish_and_clear();
            }
            let _no_terminal = all.clear();
        }
    }
}

impl Look {
    /// Shows a line that stays.
    fn tell(&self, line: &LogLine) {
        let line = log_line(line);
        match self {
            Self::Quiet => {}
            Self::Lines { .. } => crate::complain(&line),
            Self::Bars { all, .. } => {
                let _no_terminal = all.println(line);
            }
        }
    }
}

/// The lines that came after this one. Only the last lines of a log are kept.
fn fresh<'a>(
    last: Option<&LogLine>,
    log: &'a VecDeque<LogLine>,
) -> impl Iterator<Item = &'a LogLine> {
    let seen = last.and_then(|last| log.iter().rposition(|line| line == last));
    log.iter().skip(seen.map_or(0, |at| at + 1))
}

/// Is it told when the run is over? Errors that end the run are, with how it ended: all of them, but that one of several sinks gave up.
pub(super) fn waits(line: &LogLine, record: &RunRecord) -> bool {
    let sinks = record
        .stages
        .iter()
        .filter(|s| s.part == Part::Sink)
        .count();
    line.level == "error" && (line.stage.is_none() || sinks < 2)
}

/// One line for all stages.
fn line(record: &RunRecord) -> String {
    let stages = record.stages.iter().map(|stage| {
        let rejected = match stage.rejected {
            0 => String::new(),
            n => format!(" ({} rejected)", HumanCount(n)),
        };
        format!("{} {}{rejected}", stage.name, HumanCount(done(stage)))
    });
    let stages: Vec<_> = stages.collect();
    let part = record.stages.iter().find_map(share);
    let part = part.map_or(String::new(), |percent| format!(", {percent} % read"));
    let seconds = record.duration_ms / 1_000;
    format!("{} s: {}{part}", seconds, stages.join(", "))
}

/// How much of its input a source has read, in percent.
fn share(stage: &StageReport) -> Option<u64> {
    let (read, total) = (stage.read_bytes?, stage.total_bytes?);
    read.saturating_mul(100).checked_div(total)
}

/// Records that a stage is done with.
fn done(stage: &StageReport) -> u64 {
    match stage.part {
        Part::Source | Part::Sink => stage.records_out,
        Part::Transform => stage.records_in,
    }
}

fn draw(bar: &ProgressBar, stage: &StageReport, took_ms: u64) {
    let rate = done(stage).saturating_mul(1_000).checked_div(took_ms);
    let bytes = stage.bytes_in.max(stage.bytes_out);
    let template = match (stage.read_bytes, stage.total_bytes) {
        (Some(read), Some(total)) => {
            bar.set_length(total);
            bar.set_position(read.min(total));
            KNOWN
        }
        _ => OPEN,
    };
    // The templates are constants, tested below.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(stage.name.clone());
    bar.set_message(format!(
        "{:>12} records {:>10} {:>11}/s{}",
        HumanCount(done(stage)).to_string(),
        HumanBytes(bytes).to_string(),
        HumanCount(rate.unwrap_or(0)).to_string(),
        match stage.rejected {
            0 => String::new(),
            n => format!(" {} rejected", HumanCount(n)),
        }
    ));
    bar.tick();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_templates() {
        for template in [OPEN, KNOWN] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
