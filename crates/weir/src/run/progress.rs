//! What people see while a run is at work, on standard error: a line a stage that moves on a terminal, a plain line now and then elsewhere, and what the run says as it
//! says it.

use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, MultiProgress, ProgressBar, ProgressStyle};
use model::run::{LogLine, Member, Part, RunRecord, RunState, StageReport};

use super::report::log_line;

/// A stage that does not know how much there is, and one that does.
const OPEN: &str = "{prefix:20!} {msg}";
const KNOWN: &str = "{prefix:20!} {msg} [{bar:20}] {percent:>3} %, {eta} left";
/// A line that only says something.
const HEAD: &str = "{msg}";
/// Between two plain lines.
const EVERY: Duration = Duration::from_secs(5);
/// Most lines that move, and most plain lines at once.
const ROWS: usize = 24;

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
                    for line in lines(record) {
                        let _nobody_reads = writeln!(std::io::stderr(), "{line}");
                    }
                }
            }
            Look::Bars { all, bars } => {
                let rows = rows(record);
                while bars.len() < rows.len() {
                    bars.push(all.add(ProgressBar::no_length()));
                }
                for bar in bars.drain(rows.len()..) {
                    bar.finish_and_clear();
                    all.remove(&bar);
                }
                for (bar, row) in bars.iter().zip(&rows) {
                    row.draw(bar);
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

/// What stands on a line that moves.
#[derive(Debug, PartialEq)]
enum Row<'a> {
    /// A pipeline that a composition runs, or what is left out.
    Head(String),
    /// A stage, and how long its run takes by now.
    Stage(&'a StageReport, u64),
}

impl Row<'_> {
    fn draw(&self, bar: &ProgressBar) {
        match self {
            Self::Stage(stage, took_ms) => draw(bar, stage, *took_ms),
            Self::Head(text) => {
                if let Ok(style) = ProgressStyle::with_template(HEAD) {
                    bar.set_style(style);
                }
                bar.set_message(text.clone());
                bar.tick();
            }
        }
    }
}

/// The stages of a run; of a composition those of the pipelines that are at work.
fn rows(record: &RunRecord) -> Vec<Row<'_>> {
    let own = record.stages.iter();
    let mut rows: Vec<_> = own
        .map(|stage| Row::Stage(stage, record.duration_ms))
        .collect();
    for member in at_work(record) {
        rows.push(Row::Head(format!("{}:", name(member))));
        let stages = member.stages.iter();
        rows.extend(stages.map(|stage| Row::Stage(stage, member.duration_ms)));
    }
    if rows.len() > ROWS {
        rows.truncate(ROWS - 1);
        rows.push(Row::Head("more is at work than fits here".into()));
    }
    rows
}

fn at_work(record: &RunRecord) -> impl Iterator<Item = &Member> {
    let members = record.members.iter();
    members.filter(|m| m.state == RunState::Running)
}

fn name(member: &Member) -> String {
    match &member.window {
        Some(window) => format!("{} {window}", member.pipeline),
        None => member.pipeline.to_string(),
    }
}

/// A line for the stages of a run; of a composition, one for each of the pipelines that are at work.
fn lines(record: &RunRecord) -> Vec<String> {
    let seconds = record.duration_ms / 1_000;
    if record.members.is_empty() {
        return vec![format!("{seconds} s: {}", told(&record.stages))];
    }
    let over = record.members.iter().filter(|m| m.state.is_over());
    let mut lines = vec![format!("{seconds} s: {} over", counted(over.count()))];
    lines.extend(at_work(record).map(|m| format!("  {}: {}", name(m), told(&m.stages))));
    lines.truncate(ROWS);
    lines
}

fn counted(pipelines: usize) -> String {
    match pipelines {
        1 => "1 pipeline is".into(),
        n => format!("{n} pipelines are"),
    }
}

/// What stages did so far.
fn told(stages: &[StageReport]) -> String {
    let each = stages.iter().map(|stage| {
        let rejected = match stage.rejected {
            0 => String::new(),
            n => format!(" ({} rejected)", HumanCount(n)),
        };
        format!("{} {}{rejected}", stage.name, HumanCount(done(stage)))
    });
    let each: Vec<_> = each.collect();
    let part = stages.iter().find_map(share);
    let part = part.map_or(String::new(), |percent| format!(", {percent} % read"));
    format!("{}{part}", each.join(", "))
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
    use std::collections::VecDeque;

    use model::id::PipelineId;
    use model::run::{RunId, Started};

    use super::*;

    fn stage(name: &str, part: Part, records: u64) -> StageReport {
        StageReport {
            name: name.into(),
            part,
            kind: "file".into(),
            records_in: records,
            records_out: records,
            rejected: 0,
            left_out: 0,
            undelivered: 0,
            undelivered_file: None,
            bytes_in: 0,
            bytes_out: 0,
            busy_ms: 0,
            fuel: 0,
            retries: 0,
            error: None,
            read_bytes: None,
            total_bytes: None,
        }
    }

    fn member(pipeline: &str, state: RunState) -> Member {
        Member {
            id: RunId::of(2),
            pipeline: PipelineId::new(pipeline).unwrap(),
            window: None,
            state,
            duration_ms: 1_000,
            stages: vec![
                stage("source", Part::Source, 1_000),
                stage("sink", Part::Sink, 20),
            ],
        }
    }

    fn run(stages: Vec<StageReport>, members: Vec<Member>) -> RunRecord {
        RunRecord {
            id: RunId::of(1),
            pipeline: PipelineId::new("p").unwrap(),
            version: 0,
            started_by: Started::Manual,
            parent: None,
            children: Vec::new(),
            members,
            window: None,
            parameters: serde_json::Map::new(),
            dry_run: false,
            state: RunState::Running,
            submitted_at: String::new(),
            started_at: None,
            ended_at: None,
            duration_ms: 7_000,
            stages,
            rejects_file: None,
            error: Vec::new(),
            log: VecDeque::new(),
        }
    }

    #[test]
    fn the_templates_are_templates() {
        for template in [OPEN, KNOWN, HEAD] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn a_composition_shows_the_stages_of_the_pipelines_at_work() {
        let alone = run(vec![stage("source", Part::Source, 5)], Vec::new());
        assert_eq!(lines(&alone), ["7 s: source 5"]);
        assert_eq!(rows(&alone).len(), 1);
        let whole = run(
            Vec::new(),
            vec![
                member("a", RunState::Succeeded),
                member("b", RunState::Running),
                member("c", RunState::Queued),
            ],
        );
        let expected = ["7 s: 1 pipeline is over", "  b: source 1,000, sink 20"];
        assert_eq!(lines(&whole), expected);
        let shown = rows(&whole);
        assert_eq!(shown.len(), 3);
        assert_eq!(shown[0], Row::Head("b:".into()));
        assert!(matches!(shown[2], Row::Stage(stage, 1_000) if stage.name == "sink"));
        let members: Vec<_> = (0..16).map(|_| member("d", RunState::Running)).collect();
        let many = run(Vec::new(), members);
        assert_eq!(rows(&many).len(), ROWS);
        assert_eq!(lines(&many).len(), 17);
    }
}
