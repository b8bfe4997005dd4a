//! A folder in which the real `weir run` carries out a spec, and what is left of it: how it ended, what it said, its record, the files, and whether no record was lost.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::actors::stamp;
use crate::server::command;
use crate::wait::{PATIENCE, Stopwatch};

/// A folder with a spec and its input.
#[derive(Debug)]
pub struct Bench {
    folder: TempDir,
    /// KiB of the largest file that can be written.
    room: Option<u64>,
}

/// What a run of `weir` came to.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub error: String,
    /// The most memory it held, in MiB.
    pub peak_mib: u64,
}

/// A run that goes on.
#[derive(Debug)]
pub struct Running<'a> {
    bench: &'a Bench,
    pub child: Child,
}

impl Default for Bench {
    fn default() -> Self {
        Self::new()
    }
}

impl Bench {
    /// An empty one.
    ///
    /// # Panics
    /// When there is no room for it; so do all the others.
    #[must_use]
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            room: None,
        }
    }

    /// Nothing that is started here can write a file of more than so many KiB: a disk that is full, which needs no rights to make. [`Running::make_room`] ends that.
    #[must_use]
    pub fn with_room(self, kib: u64) -> Self {
        Self {
            room: Some(kib),
            ..self
        }
    }

    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a file into it.
    #[must_use]
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.path(name), content).expect("a file");
        self
    }

    #[must_use]
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// The content of the one file of this name below one of its folders.
    #[must_use]
    pub fn only(&self, folder: &str, name: &str) -> String {
        let mut found = Vec::new();
        let mut folders = vec![self.path(folder)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{folder:?}: {e}")) {
                let path = entry.expect("an entry").path();
                match path.is_dir() {
                    true => folders.push(path),
                    false if path.file_name().is_some_and(|n| n == name) => found.push(path),
                    false => {}
                }
            }
        }
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        fs::read_to_string(&found[0]).expect("a text")
    }

    /// Files that are left of something that was not put in its place.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        let mut left = names(self.folder.path());
        left.retain(|name| name.starts_with(".weir-"));
        // What is written lies in folders of that name.
        for folder in left.clone() {
            let within = names(&self.path(&folder));
            left.extend(within.iter().map(|name| format!("{folder}/{name}")));
        }
        left
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = match self.room {
            None => command(),
            Some(kib) => limited(&command(), kib),
        };
        command
            .args(args)
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("XDG_CACHE_HOME", shared_cache())
            .stdout(File::create(self.path("stdout")).expect("a file"))
            .stderr(File::create(self.path("stderr")).expect("a file"));
        command
    }

    /// Starts `weir`; `prepare` may change how.
    #[must_use]
    pub fn start(&self, args: &[&str], prepare: impl FnOnce(&mut Command)) -> Running<'_> {
        let mut command = self.command(args);
        prepare(&mut command);
        let child = command.spawn().expect("weir");
        Running { bench: self, child }
    }

    #[must_use]
    pub fn weir(&self, args: &[&str]) -> Ended {
        self.start(args, |_| ()).wait()
    }

    /// Runs the spec `p.pipeline.yaml` with these words behind it.
    #[must_use]
    pub fn run(&self, spec: &str, words: &[&str]) -> Ended {
        self.spec(spec);
        self.weir(&[&["run", "p.pipeline.yaml"], words].concat())
    }

    /// Writes the spec `p.pipeline.yaml`.
    pub fn spec(&self, spec: &str) {
        fs::write(self.path("p.pipeline.yaml"), spec).expect("a file");
    }

    /// The plugin `stage` of version 1.0.0, whose stages do what their `config` says, and its file.
    #[must_use]
    pub fn actor(&self) -> String {
        let manifest = json!({"id": "stage", "version": "1.0.0"});
        let path = self.path("stage.wasm");
        fs::write(&path, stamp("stage", &manifest)).expect("a place for the plugin");
        path.to_string_lossy().into_owned()
    }

    /// Runs a spec with a stage of [`Bench::actor`] that breaks the contract: the run fails, names the plugin and what it did, and nothing shows in `out.ndjson`.
    pub fn broken(&self, spec: &str, plugin: &str, words: &str) {
        let (code, record) = self.record(spec, &["--plugin", plugin]);
        let said = record["error"].to_string();
        assert_eq!(code, 1, "{spec}: {record:#}");
        let told = said.contains(words) && said.contains("stage@1.0.0");
        assert!(told, "{spec}: {said}");
        assert!(!self.path("out.ndjson").exists(), "{spec}");
    }

    /// Runs it, and reads the run.
    #[must_use]
    pub fn record(&self, spec: &str, words: &[&str]) -> (i32, Value) {
        let ended = self.run(spec, &[&["--json"], words].concat());
        let record = serde_json::from_str(&ended.out);
        (
            ended.code,
            record.unwrap_or_else(|e| panic!("{e}: {ended:?}")),
        )
    }
}

impl Running<'_> {
    /// Waits until it is over.
    ///
    /// # Panics
    /// When it is not within some minutes.
    #[must_use]
    pub fn wait(mut self) -> Ended {
        let mut peak_mib = 0;
        let watch = Stopwatch::start();
        let status = loop {
            peak_mib = peak_mib.max(peak(self.child.id()));
            match self.child.try_wait().expect("a child") {
                Some(status) => break status,
                None if watch.elapsed() > 8 * PATIENCE => {
                    drop(self.child.kill());
                    panic!("weir does not end: {}", self.bench.read("stderr"));
                }
                None => std::thread::park_timeout(Duration::from_millis(5)),
            }
        };
        Ended {
            code: status.code().unwrap_or(-1),
            out: self.bench.read("stdout"),
            error: self.bench.read("stderr"),
            peak_mib,
        }
    }

    /// There is room again for files of any size.
    ///
    /// # Panics
    /// When the limit cannot be lifted.
    pub fn make_room(&self) {
        let pid = self.child.id().to_string();
        let mut lift = Command::new("prlimit");
        lift.args(["--fsize=unlimited", "--pid", &pid]);
        assert!(lift.status().expect("prlimit").success());
    }

    /// Sends it an interrupt, as ctrl-c does.
    ///
    /// # Panics
    /// When it is over.
    pub fn interrupt(&self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).expect("a process");
    }

    /// Waits until it has said something on standard error.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn until_said(&self, words: &str) {
        let watch = Stopwatch::start();
        while !self.bench.read("stderr").contains(words) {
            assert!(
                watch.elapsed() < PATIENCE,
                "{words:?} is not said: {}",
                self.bench.read("stderr")
            );
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}

/// A command under a limit for files. Where the signal is ignored, going over it is an error of the call, as a full disk is.
fn limited(command: &Command, kib: u64) -> Command {
    let mut limited = Command::new("bash");
    let script = format!("trap '' XFSZ; ulimit -S -f {kib}; exec \"$0\" \"$@\"");
    limited.args(["-c", &script]).arg(command.get_program());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    limited
}

/// The names in a folder; none where there is no folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let names = entries.filter_map(|e| e.ok()?.file_name().into_string().ok());
    names.collect()
}

/// Code compiled by one test is good for the others.
fn shared_cache() -> PathBuf {
    std::env::temp_dir().join("weir-e2e-cache")
}

/// The most memory a process has held so far, in MiB; 0 where it is gone.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

/// The stage of this name in a run.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn stage<'a>(record: &'a Value, name: &str) -> &'a Value {
    let stages = record["stages"].as_array().expect("stages");
    let found = stages.iter().find(|s| s["name"] == name);
    found.unwrap_or_else(|| panic!("no stage {name} in {record:#}"))
}

/// Checks that no record of a run came out of nowhere or was lost: what comes into a stage comes out, was left out, rejected or kept as undelivered, and what comes out
/// of one comes into the next.
///
/// # Panics
/// When the sums are wrong.
pub fn check_sums(record: &Value) {
    let count = |stage: &Value, field: &str| stage[field].as_u64().expect("a count");
    let (mut between, mut said) = (None, String::new());
    for stage in record["stages"].as_array().expect("stages") {
        let came = count(stage, "records_in");
        let out = count(stage, "records_out");
        let gone = ["left_out", "rejected", "undelivered"].map(|f| count(stage, f));
        writeln!(said, "{}: {came} -> {out}, {gone:?}", stage["name"]).expect("a text");
        if stage["part"] != "source" {
            assert_eq!(came, out + gone.iter().sum::<u64>(), "{said}");
            assert_eq!(Some(came), between, "{said}");
        }
        if stage["part"] != "sink" {
            between = Some(out);
        }
    }
}
