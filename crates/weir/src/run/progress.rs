//! What people see while a run is at work, on standard error: a line a stage that moves on a terminal, a plain line now and then elsewhere.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, MultiProgress, ProgressBar, ProgressStyle};
use model::run::{Part, RunRecord, StageReport};

/// A stage that does not know how much there is, and one that does.
const OPEN: &str = "{prefix:20!} {msg}";
const KNOWN: &str = "{prefix:20!} {msg} [{bar:20}] {percent:>3} %, {eta} left";
/// Between two plain lines.
const EVERY: Duration = Duration::from_secs(5);

/// Shows a run as it goes on.
#[derive(Debug)]
pub(super) enum Progress {
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
        match quiet {
            true => Self::Quiet,
            false if std::io::stderr().is_terminal() => Self::Bars {
                all: MultiProgress::new(),
                bars: Vec::new(),
            },
            false => Self::Lines { next: EVERY },
        }
    }

    /// Shows how far the run is.
    pub(super) fn show(&mut self, record: &RunRecord) {
        match self {
            Self::Quiet => {}
            Self::Lines { next } => {
                let took = Duration::from_millis(record.duration_ms);
                if took >= *next {
                    *next = took + EVERY;
                    let _nobody_reads = writeln!(std::io::stderr(), "{}", line(record));
                }
            }
            Self::Bars { all, bars } => {
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
        if let Self::Bars { all, bars } = self {
            for bar in bars {
                bar.finish_and_clear();
            }
            let _no_terminal = all.clear();
        }
    }
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
