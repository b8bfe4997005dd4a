//! The process of a `jq`, from inside: limits itself, then answers records until its input ends.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::time::Duration;

use model::ports::Clock;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::clock::SystemClock;

use super::filter::{Filter, STACK};
use super::wire::{self, Answer, Asked};

/// How often its CPU time is looked at, and what it answered handed on.
const LOOK: Duration = Duration::from_millis(200);

/// Runs the process of a `jq` stage. `arguments` are its memory in MiB, its CPU time for a record in seconds, and the most bytes of a record.
///
/// # Errors
/// One line, when the arguments are wrong, a limit cannot be set, or the pipes break.
pub fn jq_worker(arguments: &[String]) -> Result<(), String> {
    let [memory, cpu, longest] = arguments else {
        return Err("usage: MEMORY_MIB CPU_SECONDS RECORD_BYTES, records on standard input".into());
    };
    let number = |text: &str| text.parse::<u64>().map_err(|e| format!("{text:?}: {e}"));
    let (memory, cpu, longest) = (number(memory)?, number(cpu)?, number(longest)?);
    let work = move || {
        limit(Resource::Core, 0)?;
        limit(Resource::As, address_space()?.saturating_add(memory << 20))?;
        // Waits for nobody else: the host's own work comes first.
        let _already_lower = rustix::process::setpriority_process(None, 5);
        serve(io::stdin().lock(), io::stdout().lock(), cpu, longest).map_err(|e| e.to_string())
    };
    std::thread::Builder::new()
        .stack_size(STACK)
        .spawn(work)
        .map_err(|e| e.to_string())?
        .join()
        .unwrap_or_else(|_| Err("the filter panicked".into()))
}

fn serve(stdin: impl Read, stdout: impl Write, cpu: u64, longest: u64) -> io::Result<()> {
    let clock = SystemClock::new();
    let mut stdin = BufReader::with_capacity(1 << 16, stdin);
    let mut stdout = BufWriter::with_capacity(1 << 16, stdout);
    let Some(Asked::Record(source)) = wire::read(&mut stdin, longest)? else {
        return Ok(());
    };
    let mut filter = match Filter::compile(&String::from_utf8_lossy(&source)) {
        Ok(filter) => filter,
        Err(error) => {
            wire::write(&mut stdout, &Answer::Rejected(error))?;
            return stdout.flush();
        }
    };
    wire::write(&mut stdout, &Answer::LeftOut)?;
    stdout.flush()?;
    let mut looked = None;
    while let Some(asked) = wire::read(&mut stdin, longest)? {
        let Asked::Record(record) = asked else {
            stdout.flush()?;
            continue;
        };
        let now = clock.monotonic();
        if looked.is_none_or(|last| now.saturating_sub(last) > LOOK) {
            looked = Some(now);
            stdout.flush()?;
            limit_cpu(cpu)?;
        }
        wire::write(&mut stdout, &filter.answer(&record, longest))?;
    }
    stdout.flush()
}

/// From now on, so much CPU time; when it is used up, the system ends the process.
fn limit_cpu(seconds: u64) -> io::Result<()> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name may hold anything; behind its bracket, user and system time are the 12th and 13th.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok());
    let (Some(user), Some(system)) = (ticks(11), ticks(12)) else {
        return Err(io::Error::other("/proc/self/stat says no CPU time"));
    };
    // A hundred ticks a second on all Linux.
    let used = user.saturating_add(system).div_ceil(100);
    let maximum = getrlimit(Resource::Cpu).maximum;
    let wanted = used.saturating_add(seconds);
    let limit = Rlimit {
        current: Some(maximum.map_or(wanted, |m| m.min(wanted))),
        maximum,
    };
    setrlimit(Resource::Cpu, limit).map_err(io::Error::from)
}

/// Bytes of address space in use.
fn address_space() -> Result<u64, String> {
    let status = std::fs::read_to_string("/proc/self/status")
        .map_err(|e| format!("/proc/self/status: {e}"))?;
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let kib = size.and_then(|size| size.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.map(|kib| kib << 10)
        .ok_or_else(|| "/proc/self/status says no VmSize".into())
}

/// Sets a limit, for good; one that is lower already stays.
fn limit(resource: Resource, value: u64) -> Result<(), String> {
    let lowest = getrlimit(resource)
        .maximum
        .map_or(value, |maximum| maximum.min(value));
    let limit = Rlimit {
        current: Some(lowest),
        maximum: Some(lowest),
    };
    setrlimit(resource, limit).map_err(|e| format!("cannot limit {resource:?}: {e}"))
}
