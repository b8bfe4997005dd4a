//! Compiling, in a child process with limits of its own: a component can be made to cost a compiler minutes and gigabytes, and
//! wasmtime does not count that as its bug.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use model::error::LoadError;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use crate::runtime::{self, Allocation};

/// Compilers at once.
const MAX_AT_ONCE: usize = 2;

/// Where compiling happens.
#[derive(Debug, Clone)]
pub enum CompileWorker {
    /// In a child process: `program` and these arguments, then what [`compile_worker`] takes.
    Process {
        /// The program, which must call [`compile_worker`]: usually the host itself.
        program: PathBuf,
        /// Arguments before the worker's own.
        arguments: Vec<String>,
        /// What the child may use.
        limits: CompileLimits,
    },
    /// In this process, unlimited: for an author's own tests of their own plugin.
    InProcess,
}

/// What the compiler may use for one component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileLimits {
    /// Address space, in bytes.
    pub memory_bytes: u64,
    /// CPU time of all its threads together.
    pub cpu: Duration,
    /// Wall-clock time.
    pub time: Duration,
}

impl Default for CompileLimits {
    /// A Python component of 18 MB takes about 40 s of CPU and 1.5 GiB.
    fn default() -> Self {
        Self {
            memory_bytes: 6 << 30,
            cpu: Duration::from_secs(180),
            time: Duration::from_secs(240),
        }
    }
}

/// Compiles a few components at a time: the compiler uses all cores by itself, but a large component must not hold up a small one.
pub(crate) struct Compiler {
    worker: CompileWorker,
    allocation: Allocation,
    turn: Semaphore,
}

impl Compiler {
    pub(crate) fn new(worker: CompileWorker, allocation: Allocation) -> Self {
        Self {
            worker,
            allocation,
            turn: Semaphore::new(MAX_AT_ONCE),
        }
    }

    /// Compiles; returns what [`wasmtime::component::Component::deserialize_file`] takes.
    pub(crate) async fn compile(&self, component: bytes::Bytes) -> Result<Vec<u8>, LoadError> {
        let _turn = self.turn.acquire().await.map_err(host)?;
        match &self.worker {
            CompileWorker::Process {
                program,
                arguments,
                limits,
            } => {
                let mut command = tokio::process::Command::new(program);
                command
                    .args(arguments)
                    .arg(self.allocation.name())
                    .arg(limits.memory_bytes.to_string())
                    .arg(limits.cpu.as_secs().to_string());
                in_child(command, component, *limits).await
            }
            CompileWorker::InProcess => {
                let allocation = self.allocation;
                tokio::task::spawn_blocking(move || compile(allocation, &component))
                    .await
                    .map_err(host)?
                    .map_err(LoadError::Compile)
            }
        }
    }
}

fn host(error: impl std::fmt::Display) -> LoadError {
    LoadError::Host(format!("the compiler: {error}"))
}

async fn in_child(
    mut command: tokio::process::Command,
    component: bytes::Bytes,
    limits: CompileLimits,
) -> Result<Vec<u8>, LoadError> {
    let mut child = command
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(host)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
        return Err(host("no pipes to the child"));
    };
    let work = async {
        let write = async move {
            // A child that dies early breaks the pipe; its exit status says why.
            let _broken = stdin.write_all(&component).await;
            drop(stdin);
        };
        let (mut code, mut words) = (Vec::new(), Vec::new());
        // Compiled code is a few times the size of the component; what is larger than the compiler's memory is none.
        let mut stdout = stdout.take(limits.memory_bytes);
        let mut stderr = stderr.take(4096);
        let (_, read, said, status) = tokio::join!(
            write,
            stdout.read_to_end(&mut code),
            stderr.read_to_end(&mut words),
            child.wait()
        );
        read.and(said).map_err(host)?;
        outcome(status.map_err(host)?, code, &words, limits)
    };
    tokio::time::timeout(limits.time, work)
        .await
        .unwrap_or_else(|_| {
            Err(LoadError::Compile(format!(
                "it took longer than {} s",
                limits.time.as_secs()
            )))
        })
}

/// Reads the child's end.
fn outcome(
    status: std::process::ExitStatus,
    code: Vec<u8>,
    words: &[u8],
    limits: CompileLimits,
) -> Result<Vec<u8>, LoadError> {
    use std::os::unix::process::ExitStatusExt;
    if status.success() {
        return Ok(code);
    }
    let words = String::from_utf8_lossy(words);
    let words = words.trim();
    let memory = limits.memory_bytes >> 20;
    let why = match status.signal() {
        // SIGXCPU
        Some(24) => format!("it took more than {} s of CPU time", limits.cpu.as_secs()),
        // SIGABRT: what Rust does when an allocation fails, and when it panics twice
        Some(6) if words.contains("memory allocation") => {
            format!("it needed more than {memory} MiB of memory")
        }
        Some(9) => "the compiler was killed, perhaps because the machine ran out of memory".into(),
        Some(signal) => format!("the compiler was ended by signal {signal}: {words}"),
        None => words.to_owned(),
    };
    Err(LoadError::Compile(why))
}

fn compile(allocation: Allocation, component: &[u8]) -> Result<Vec<u8>, String> {
    let engine =
        wasmtime::Engine::new(&runtime::config(allocation)).map_err(|e| format!("{e:#}"))?;
    engine
        .precompile_component(component)
        .map_err(|e| format!("{e:#}"))
}

/// The child's side: limits itself, reads a component from standard input and writes the compiled code to standard output.
/// `arguments` are the allocation's name, the memory in bytes and the CPU time in seconds.
///
/// # Errors
/// One line for the parent, which writes it to standard error and exits with a failure.
pub fn compile_worker(arguments: &[String]) -> Result<(), String> {
    let [allocation, memory, cpu] = arguments else {
        return Err(
            "usage: ALLOCATION MEMORY_BYTES CPU_SECONDS, a component on standard input".into(),
        );
    };
    let allocation = Allocation::by_name(allocation).ok_or("no such allocation")?;
    let number = |text: &str| text.parse::<u64>().map_err(|e| format!("{text:?}: {e}"));
    limit(Resource::As, number(memory)?, 0)?;
    limit(Resource::Cpu, number(cpu)?, 1)?;
    limit(Resource::Core, 0, 0)?;
    // Compiling waits for nobody; calls do. Where the host runs at a lower priority already, this is refused, and as well.
    let _already_lower = rustix::process::setpriority_process(None, 10);
    let mut component = Vec::new();
    std::io::stdin()
        .read_to_end(&mut component)
        .map_err(|e| e.to_string())?;
    let code = compile(allocation, &component)?;
    std::io::stdout()
        .write_all(&code)
        .map_err(|e| e.to_string())
}

/// Lowers a limit to this value; one that is lower already stays. `slack` is how much later the hard limit comes: at the soft
/// one of CPU time the system says so with a signal of its own.
fn limit(resource: Resource, value: u64, slack: u64) -> Result<(), String> {
    let now = getrlimit(resource);
    let lower = |now: Option<u64>, wanted: u64| Some(now.map_or(wanted, |n| n.min(wanted)));
    let maximum = lower(now.maximum, value.saturating_add(slack));
    setrlimit(
        resource,
        Rlimit {
            current: lower(maximum, value),
            maximum,
        },
    )
    .map_err(|e| format!("cannot limit {resource:?}: {e}"))
}
