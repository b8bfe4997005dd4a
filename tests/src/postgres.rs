//! A real PostgreSQL server for a test, through `scripts/postgres.sh`. Without the programs of one the test fails; nothing is skipped.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::guests::root;
use crate::wait::PATIENCE;

/// A server of its own, with user `postgres` and password `weir`; it ends with the value.
#[derive(Debug)]
pub struct Postgres {
    folder: TempDir,
    port: u16,
    settings: Vec<String>,
    process: Option<Child>,
}

impl Postgres {
    /// Starts one.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[], |_| ())
    }

    /// Starts one with settings such as `ssl=on`, once `prepare` has put files in its folder.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start_with(settings: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        let folder = TempDir::with_prefix("weir-postgres-").expect("a folder");
        prepare(folder.path());
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let mut server = Self {
            folder,
            port: free.local_addr().expect("its address").port(),
            settings: settings.iter().map(ToString::to_string).collect(),
            process: None,
        };
        drop(free);
        server.start_again();
        server
    }

    /// Starts it again after [`Postgres::stop`] or [`Postgres::kill`], on the same port with the same data, and waits until it takes connections.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "it runs");
        let mut said = String::new();
        for _ in 0..100 {
            said = match self.try_start() {
                Ok(()) => return,
                Err(said) => said,
            };
            // After a kill its children take a moment to notice.
            if !said.contains("shared memory") {
                break;
            }
            std::thread::yield_now();
        }
        panic!("PostgreSQL did not come up: {said}");
    }

    fn try_start(&mut self) -> Result<(), String> {
        let mut process = Command::new(root().join("scripts/postgres.sh"))
            .arg(self.folder.path())
            .arg(self.port.to_string())
            .args(&self.settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("scripts/postgres.sh");
        let log = BufReader::new(process.stderr.take().expect("a pipe"));
        let (ready, wait) = mpsc::channel();
        // Reads on to the end, so that the server never waits for a full pipe.
        std::thread::spawn(move || {
            let mut said = String::new();
            for line in log.lines().map_while(Result::ok) {
                if line.contains("ready to accept connections") {
                    drop(ready.send(Ok(())));
                } else if said.len() < 10_000 {
                    said = said + &line + "\n";
                }
            }
            drop(ready.send(Err(said)));
        });
        let outcome = wait
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| Err(format!("not within {PATIENCE:?}")));
        self.process = Some(process);
        if outcome.is_err() {
            self.end(Signal::KILL);
        }
        outcome
    }

    /// Ends it as an operator does: open connections are told and closed.
    pub fn stop(&mut self) {
        self.end(Signal::INT);
    }

    /// Ends it at once, in the middle of whatever it does.
    pub fn kill(&mut self) {
        self.end(Signal::KILL);
    }

    fn end(&mut self, signal: Signal) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            kill_process(Pid::from_child(&process), signal).ok();
            process.wait().ok();
        }
    }

    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The address of its database, with user and password.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres:weir@{}/postgres", self.address())
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What `psql` prints for some SQL: a line a row, `|` between columns.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn query(&self, sql: &str) -> String {
        let output = Command::new("psql")
            .args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only"])
            .args(["-v", "ON_ERROR_STOP=1", "-d", &self.url(), "-c", sql])
            .output()
            .expect("psql");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{sql}: {said}");
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Its data go with it: it need not put them in order.
        self.end(Signal::QUIT);
    }
}
