//! The real `weir` as a child process, in folders of its own.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::guests;
use crate::http::{self, Answer, Request};
use crate::process::Footprint;
use crate::wait::{PATIENCE, until};

/// The key the tests use where they do not test keys.
pub const KEY: &str = "e2e-test-key";

/// The binary: `weir` in the target folder these tests were built in, or the one named by `WEIR_BIN`.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn binary() -> PathBuf {
    let path = std::env::var_os("WEIR_BIN").map_or_else(
        || {
            let test = std::env::current_exe().expect("the test's own path");
            let target = test.parent().and_then(Path::parent);
            target.expect("a target folder").join("weir")
        },
        PathBuf::from,
    );
    assert!(
        path.is_file(),
        "{} is missing: run `just build`",
        path.display()
    );
    path
}

/// The binary with an environment of its own: nothing of the caller's configuration.
#[must_use]
pub fn command() -> Command {
    clean(Command::new(binary()))
}

/// The same, where a folder is a disk of its own with so many bytes: a mount that nobody else sees, for which no rights are needed.
fn command_on_disk(folder: &Path, bytes: u64) -> Command {
    const MOUNT: &str = r#"mount -t tmpfs -o size="$0" none "$1" && shift && exec "$@""#;
    let mut command = clean(Command::new("unshare"));
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", MOUNT]);
    command.arg(bytes.to_string()).arg(folder).arg(binary());
    command
}

fn clean(mut command: Command) -> Command {
    for name in [
        "HOST",
        "PORT",
        "PIPELINES_DIR",
        "PIPELINES_API_KEY",
        "PIPELINES_URLS",
        "RUST_LOG",
        "WEIR_LOG",
    ] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// How a server is to be started.
#[derive(Debug)]
pub struct Setup {
    home: TempDir,
    args: Vec<String>,
    env: Vec<(String, String)>,
    key: Option<String>,
    listen: bool,
    folder: bool,
    disk: Option<u64>,
}

impl Setup {
    /// Empty folders, default mode.
    ///
    /// # Panics
    /// When there is no room for temporary files.
    #[must_use]
    pub fn new() -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(home.path().join("plugins")).expect("a folder");
        Self {
            home,
            args: vec![],
            env: vec![],
            key: Some(KEY.into()),
            listen: true,
            folder: true,
            disk: None,
        }
    }

    /// The data folder is a disk of its own with so many bytes. It ends with the server.
    #[must_use]
    pub fn disk(mut self, bytes: u64) -> Self {
        self.disk = Some(bytes);
        self
    }

    /// As the reference does it, with the reference's key.
    #[must_use]
    pub fn strict(self) -> Self {
        let mut setup = self.args(&["--compat", "strict"]);
        setup.key = None;
        setup
    }

    /// Without a key from the tests: the server makes or takes its own.
    #[must_use]
    pub fn no_key(mut self) -> Self {
        self.key = None;
        self
    }

    /// Without `--listen`: the address comes from elsewhere.
    #[must_use]
    pub fn no_listen(mut self) -> Self {
        self.listen = false;
        self
    }

    /// Without `--plugins`: the folder comes from elsewhere.
    #[must_use]
    pub fn no_plugins(mut self) -> Self {
        self.folder = false;
        self
    }

    /// Puts a guest into the plugins folder, under its own file name, with the settings that lie beside it.
    #[must_use]
    pub fn guest(self, guest: &str) -> Self {
        let name = guest.rsplit('/').next().unwrap_or(guest).to_owned();
        let settings = guests::path(guest).with_extension("toml");
        if let Ok(text) = std::fs::read(settings) {
            let target = self.plugins().join(&name).with_extension("toml");
            std::fs::write(target, text).expect("a settings file");
        }
        self.file(&name, &guests::bytes(guest))
    }

    /// Puts a file into the plugins folder.
    #[must_use]
    pub fn file(self, name: &str, content: &[u8]) -> Self {
        std::fs::write(self.plugins().join(name), content).expect("a file in the folder");
        self
    }

    /// Writes `weir.toml` and passes it.
    #[must_use]
    pub fn config(self, text: &str) -> Self {
        let path = self.home.path().join("weir.toml");
        std::fs::write(&path, text).expect("a config file");
        let path = path.display().to_string();
        self.args(&["--config", &path])
    }

    /// Further arguments of `weir serve`.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(ToString::to_string));
        self
    }

    /// A variable of the server's environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// The plugins folder.
    #[must_use]
    pub fn plugins(&self) -> PathBuf {
        self.home.path().join("plugins")
    }

    /// Starts the server and waits until its plugins are loaded.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start(self) -> Server {
        let data = self.home.path().join("data");
        let mut command = match self.disk {
            None => command(),
            Some(bytes) => {
                std::fs::create_dir(&data).expect("a folder");
                command_on_disk(&data, bytes)
            }
        };
        command.arg("serve");
        if self.listen {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        if self.folder {
            command.arg("--plugins").arg(self.plugins());
        }
        command
            .arg("--data")
            .arg(&data)
            .args(&self.args)
            .envs(self.env.iter().map(|(n, v)| (n, v)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(key) = &self.key {
            command.env("PIPELINES_API_KEY", key);
        }
        let mut child = command.spawn().expect("a process");
        let log = Arc::new(Mutex::new(Vec::new()));
        collect(child.stdout.take(), &log);
        collect(child.stderr.take(), &log);
        let mut server = Server {
            host: SocketAddr::from(([127, 0, 0, 1], 0)),
            key: self.key.unwrap_or_else(|| "0p3n-w3bu!".into()),
            child,
            log,
            home: Some(self.home),
            on_disk: self.disk.is_some(),
        };
        server.come_up().await;
        server
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

/// Takes the lines of a pipe; keeps the last ones.
fn collect(pipe: Option<impl Read + Send + 'static>, log: &Arc<Mutex<Vec<String>>>) {
    const KEPT: usize = 100_000;
    let log = Arc::clone(log);
    let pipe = pipe.expect("a pipe");
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut log = log.lock().expect("a log");
            if log.len() < KEPT {
                log.push(line);
            }
        }
    });
}

/// A running server. Dropping it kills the process and removes its folders.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub host: SocketAddr,
    /// Its key.
    pub key: String,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    home: Option<TempDir>,
    on_disk: bool,
}

impl Server {
    async fn come_up(&mut self) {
        let url = regex::Regex::new(r"http://(127\.0\.0\.1:\d+)").expect("a pattern");
        let find = |line: &String| -> Option<SocketAddr> { url.captures(line)?[1].parse().ok() };
        self.host = until("the server prints its URL", PATIENCE, async || {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("the server ended with {status}: {}", self.log());
            }
            self.log.lock().expect("a log").iter().find_map(find)
        })
        .await;
        until("the server is ready", PATIENCE, async || {
            let answer = http::send(self.host, &Request::new("GET", "/readyz")).await;
            (answer.ok()?.status == 200).then_some(())
        })
        .await;
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it holds.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        Footprint::of(self.pid())
    }

    /// All it printed.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().expect("a log").join("\n")
    }

    /// The plugins folder.
    #[must_use]
    pub fn plugins(&self) -> PathBuf {
        self.home().join("plugins")
    }

    /// The data folder; on a disk of its own, as the server sees it.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        let data = self.home().join("data");
        if !self.on_disk {
            return data;
        }
        let root = PathBuf::from(format!("/proc/{}/root", self.pid()));
        root.join(data.strip_prefix("/").unwrap_or(&data))
    }

    fn home(&self) -> &Path {
        self.home.as_ref().expect("a home until it is taken").path()
    }

    /// A request with the key.
    #[must_use]
    pub fn request(&self, method: &str, path: &str) -> Request {
        Request::new(method, path).bearer(&self.key)
    }

    /// Sends a request.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn send(&self, request: &Request) -> Answer {
        http::send(self.host, request)
            .await
            .unwrap_or_else(|e| panic!("{} {}: {e}\n{}", request.method, request.path, self.log()))
    }

    /// Sends a GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(&self.request("GET", path)).await
    }

    /// Sends a request without a body.
    pub async fn call(&self, method: &str, path: &str) -> Answer {
        self.send(&self.request(method, path)).await
    }

    /// Sends a POST.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(&self.request("POST", path).json(body)).await
    }

    /// A chat request, not streamed.
    #[must_use]
    pub fn chat_request(&self, model: &str, text: &str) -> Request {
        self.request("POST", "/v1/chat/completions").json(&json!({
            "model": model, "stream": false, "messages": [{"role": "user", "content": text}],
        }))
    }

    /// Chats, not streamed.
    pub async fn chat(&self, model: &str, text: &str) -> Answer {
        self.send(&self.chat_request(model, text)).await
    }

    /// Chats, streamed.
    pub async fn stream(&self, model: &str, text: &str) -> Answer {
        let body = json!({
            "model": model, "stream": true, "messages": [{"role": "user", "content": text}],
        });
        self.post("/v1/chat/completions", &body).await
    }

    /// All plugins as the native API lists them.
    pub async fn list(&self) -> Vec<Value> {
        let answer = self.get("/api/v1/plugins").await;
        let json = answer.json();
        let list = json.as_array().or_else(|| json["data"].as_array());
        let list = list.or_else(|| json["plugins"].as_array());
        list.unwrap_or_else(|| panic!("no list: {json}")).clone()
    }

    /// One plugin of the list, by id or file name.
    pub async fn plugin(&self, name: &str) -> Option<Value> {
        let list = self.list().await;
        list.into_iter()
            .find(|p| p["id"] == name || p["file"] == name)
    }

    /// Why a file is not at work: code and message.
    ///
    /// # Panics
    /// When it is, or is not there.
    pub async fn reason(&self, file: &str) -> (String, String) {
        let plugin = self
            .plugin(file)
            .await
            .unwrap_or_else(|| panic!("no {file}"));
        let text = |key: &str| plugin["reason"][key].as_str().map(ToOwned::to_owned);
        let reason = text("code").zip(text("message"));
        reason.unwrap_or_else(|| panic!("no reason: {plugin}"))
    }

    /// Waits until a plugin is as wanted.
    ///
    /// # Panics
    /// When it is not within `limit`.
    pub async fn until_plugin(
        &self,
        name: &str,
        limit: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let what = format!("plugin {name}");
        until(&what, limit, async || {
            self.plugin(name).await.filter(&wanted)
        })
        .await
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("a process that runs");
    }

    /// Waits for the process to end by itself.
    ///
    /// # Panics
    /// When it does not within `limit`.
    pub async fn ended(&mut self, limit: Duration) -> ExitStatus {
        let child = &mut self.child;
        until("the server ends", limit, async || {
            child.try_wait().expect("a child")
        })
        .await
    }

    /// Ends it with SIGTERM and gives its folders back for another start.
    pub async fn into_setup(mut self) -> Setup {
        self.signal(rustix::process::Signal::TERM);
        self.ended(PATIENCE).await;
        Setup {
            home: self.home.take().expect("a home"),
            args: vec![],
            env: vec![],
            key: Some(self.key.clone()),
            listen: true,
            folder: true,
            disk: None,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let last = lines.len().saturating_sub(12);
            eprintln!("the server's last lines:\n{}", lines[last..].join("\n"));
        }
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
