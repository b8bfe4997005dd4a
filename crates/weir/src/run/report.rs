//! What people are told when a run is over: a table of its stages, what was rejected and why, and how it ended.

use indicatif::{HumanBytes, HumanCount};
use model::run::{LogLine, RejectedRecord, RunRecord, RunState, StagePreview, StageReport};

use crate::table::{plain, table};

/// Rejected records that are shown.
const SHOWN: usize = 5;

/// The first records after each stage.
pub(super) fn preview(stages: &[StagePreview]) -> String {
    let mut text = String::new();
    for stage in stages {
        text += &format!("after {}:\n", stage.stage);
        for row in &stage.rows {
            text += &format!("  {}\n", plain(&row.to_string()));
        }
    }
    text
}

/// The report of a run, and its first rejected records.
pub(super) fn report(record: &RunRecord, rejects: &[RejectedRecord]) -> String {
    let mut text = String::new();
    if !record.stages.is_empty() {
        let rows: Vec<_> = record.stages.iter().map(row).collect();
        let names = [
            "stage", "type", "in", "out", "left out", "rejected", "bytes", "time",
        ];
        text += &table(names, &rows);
    }
    for reject in rejects.iter().take(SHOWN) {
        text += &format!(
            "rejected by {}, record {}: {}\n",
            reject.stage,
            reject.number,
            plain(&reject.reason)
        );
    }
    let rejected: u64 = record.stages.iter().map(|s| s.rejected).sum();
    let more = rejected.saturating_sub(rejects.len().min(SHOWN) as u64);
    if more > 0 {
        text += &format!("and {} more rejected\n", HumanCount(more));
    }
    // Why it failed is told at the end, and once.
    let given_up = format!("given up: {}", record.error.join("; "));
    let told = |message: &String| record.error.contains(message) || *message == given_up;
    for line in record.log.iter().filter(|line| !told(&line.message)) {
        text += &format!("{}\n", log_line(line));
    }
    text += &ending(record);
    text
}

/// Something a run says.
pub(super) fn log_line(line: &LogLine) -> String {
    let stage = line.stage.as_ref().map(|s| format!("{s}: "));
    let message = plain(&line.message);
    format!("{}: {}{message}", line.level, stage.unwrap_or_default())
}

fn row(stage: &StageReport) -> [String; 8] {
    let count = |n: u64| HumanCount(n).to_string();
    let some = |n: u64| if n == 0 { String::new() } else { count(n) };
    [
        stage.name.clone(),
        stage.kind.clone(),
        some(stage.records_in),
        count(stage.records_out),
        some(stage.left_out),
        some(stage.rejected + stage.undelivered),
        HumanBytes(stage.bytes_in.max(stage.bytes_out)).to_string(),
        format!(
            "{:.2} s",
            std::time::Duration::from_millis(stage.busy_ms).as_secs_f64()
        ),
    ]
}

/// How a run ended, and why.
fn ending(record: &RunRecord) -> String {
    let took = std::time::Duration::from_millis(record.duration_ms).as_secs_f64();
    let window = record.window.as_ref().map(|w| format!(" for {}", w.label));
    let mut text = format!(
        "{} {}{} after {took:.2} s ({})\n",
        record.pipeline,
        record.state.as_str(),
        window.unwrap_or_default(),
        record.id
    );
    let mut indent = String::new();
    // The whole first, then what caused it.
    for cause in record.error.iter().rev() {
        for line in cause.lines() {
            text += &format!("{indent}{}\n", plain(line));
        }
        indent = format!("{indent}  ");
    }
    if record.state == RunState::Partial && record.error.is_empty() {
        text += "not everything was delivered; see above\n";
    }
    text
}
