//! The process of a `jq`, from outside.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use model::error::Fault;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::wire::{ANSWER_NOW, Answer};

/// Without an answer for so long, though its CPU time is limited, something else is wrong with it (or the machine); it is ended.
const SILENT: Duration = Duration::from_secs(300);

/// What it may use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Memory, in MiB.
    pub(super) memory_mib: u32,
    /// CPU time for a record.
    pub(super) cpu_seconds: u32,
    /// Bytes of a record, in and out.
    pub(super) record_bytes: u64,
}

/// One at work. Dropping it ends it.
pub(super) struct Process {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    limits: Limits,
}

/// Why it answers no more.
#[derive(Debug)]
pub(super) enum Ended {
    /// It died over a record.
    Died(String),
    /// It cannot be had at all.
    Fault(Fault),
}

impl Process {
    /// Starts one with a filter that compiles.
    pub(super) async fn start(program: &Path, filter: &str, limits: Limits) -> Result<Self, Fault> {
        let failed = |e: &dyn std::fmt::Display| {
            Fault::Internal(format!(
                "the process of the filter ({}): {e}",
                program.display()
            ))
        };
        let mut child = Command::new(program)
            .arg("jq-worker")
            .args([
                limits.memory_mib.to_string(),
                limits.cpu_seconds.to_string(),
                limits.record_bytes.to_string(),
            ])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| failed(&e))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed(&"it has no pipes"));
        };
        let mut process = Self {
            child,
            stdin,
            stdout: BufReader::with_capacity(1 << 16, stdout),
            limits,
        };
        let mut answers = Vec::new();
        match process.ask(&[filter.as_bytes()], &mut answers).await {
            Ok(()) => (),
            Err(Ended::Died(why)) => return Err(failed(&why)),
            Err(Ended::Fault(fault)) => return Err(fault),
        }
        match answers.pop() {
            Some(Answer::Rejected(error)) => {
                Err(Fault::Invalid(format!("its options: /filter: {error}")))
            }
            _ => Ok(process),
        }
    }

    /// Asks it for all of these, in order. `answers` gets all that it answered, also when it dies.
    pub(super) async fn ask(
        &mut self,
        records: &[&[u8]],
        answers: &mut Vec<Answer>,
    ) -> Result<(), Ended> {
        let Some(silent) = self.exchange(records, answers).await else {
            return Ok(());
        };
        // One that is dead already keeps the status it died with.
        let _gone = self.child.start_kill();
        let status = self.child.wait().await;
        let status = status.map_err(|e| {
            Ended::Fault(Fault::Internal(format!("the process of the filter: {e}")))
        })?;
        Err(Ended::Died(self.why(status, silent)))
    }

    /// Writes the records and reads the answers. None: all are there; otherwise, whether it was silent for too long or is gone.
    async fn exchange(&mut self, records: &[&[u8]], answers: &mut Vec<Answer>) -> Option<bool> {
        let wanted = answers.len().saturating_add(records.len());
        let (stdin, stdout, most) = (&mut self.stdin, &mut self.stdout, self.limits.record_bytes);
        let write = async {
            let mut buffer = Vec::with_capacity(1 << 16);
            for record in records {
                let Ok(length) = u32::try_from(record.len()) else {
                    return;
                };
                buffer.extend_from_slice(&length.to_le_bytes());
                buffer.extend_from_slice(record);
                if buffer.len() >= 1 << 16 {
                    // A process that died breaks the pipe; the missing answers say so.
                    let Ok(()) = stdin.write_all(&buffer).await else {
                        return;
                    };
                    buffer.clear();
                }
            }
            buffer.extend_from_slice(&ANSWER_NOW.to_le_bytes());
            let _broken = stdin.write_all(&buffer).await;
        };
        let read = async {
            while answers.len() < wanted {
                match tokio::time::timeout(SILENT, answer(stdout, most)).await {
                    Ok(Some(answer)) => answers.push(answer),
                    Ok(None) => return Some(false),
                    Err(_) => return Some(true),
                }
            }
            None
        };
        // Both at once: pipes hold little. When nothing is answered any more, nothing has to be written.
        let mut written = std::pin::pin!(async {
            write.await;
            std::future::pending::<()>().await;
        });
        tokio::select! {
            () = &mut written => None,
            ended = read => ended,
        }
    }

    fn why(&self, status: ExitStatus, silent: bool) -> String {
        if silent {
            return format!("the filter gave no answer for {} s", SILENT.as_secs());
        }
        match status.signal() {
            // SIGXCPU
            Some(24) => format!(
                "the filter took more than {} s of CPU time",
                self.limits.cpu_seconds
            ),
            // SIGABRT: what Rust does when an allocation fails or the stack is used up
            Some(6) => format!(
                "the filter needed more than {} MiB of memory, or went too deep",
                self.limits.memory_mib
            ),
            Some(signal) => format!("the filter's process was ended by signal {signal}"),
            None => format!("the filter's process ended: {status}"),
        }
    }
}

/// The next answer; none where there is none, or not a whole one.
async fn answer(stdout: &mut BufReader<ChildStdout>, most_bytes: u64) -> Option<Answer> {
    let letter = stdout.read_u8().await.ok()?;
    let length = stdout.read_u32_le().await.ok()?;
    // A reason may be as long as a record.
    if u64::from(length) > most_bytes.max(1 << 20) {
        return None;
    }
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    stdout.read_exact(&mut bytes).await.ok()?;
    Answer::of(letter, bytes)
}
