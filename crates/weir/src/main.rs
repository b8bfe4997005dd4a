//! Weir's program: the command line, the configuration, and the wiring of engine, sandbox, adapters and server.

mod author;
mod check;
mod cli;
mod config;
mod dev;
mod ending;
mod grants;
mod invoke;
mod key;
mod logs;
mod one_file;
mod remote;
mod run;
mod secret;
mod serve;
mod table;
mod test_cases;
mod urls;
mod watch;
mod wiring;

use std::fmt;
use std::io::Write;
use std::process::ExitCode;
use std::sync::OnceLock;

use clap::Parser;
use cli::{Cli, Command, GrantsCommand};

/// Wrong usage of the command line (sysexits EX_USAGE).
const USAGE: u8 = 64;
/// A configuration, or a plugin that was to be checked, is bad (sysexits EX_DATAERR).
const BAD_DATA: u8 = 65;

/// What a command says when it does not succeed.
enum Failure {
    /// Bad configuration or input; the text is complete.
    Data(String),
    /// It has told all there is to tell; this is the exit code.
    Ended(u8),
    /// Anything else.
    Other(anyhow::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(text) => f.write_str(text),
            Self::Ended(code) => write!(f, "it ended with code {code}"),
            Self::Other(error) => write!(f, "{error:#}"),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are not errors; clap knows where each belongs.
            let _broken_pipe = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    let outcome = match cli.command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Run(arguments) => run::run(*arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Schema => check::schema(),
        Command::Invoke(arguments) => invoke::run(*arguments),
        Command::New(arguments) => author::new::run(arguments),
        Command::Build(arguments) => author::build::run(&arguments),
        Command::Test(arguments) => test_cases::run(&arguments),
        Command::Dev(arguments) => dev::run(&arguments),
        Command::Plugins(arguments) => remote::plugins(arguments),
        Command::Pipelines(arguments) => remote::pipelines(arguments),
        Command::Runs(arguments) => remote::runs(arguments),
        Command::Replay(arguments) => remote::replay(&arguments),
        Command::DeadLetters(arguments) => remote::letters(arguments),
        Command::Hooks(arguments) => remote::hooks(&arguments),
        Command::Capabilities(arguments) => remote::capabilities(&arguments),
        Command::Events(arguments) => remote::events(&arguments),
        Command::Grants(GrantsCommand::Suggest(arguments)) => grants::suggest(&arguments),
        Command::Grants(GrantsCommand::Show(arguments)) => remote::grants_show(&arguments),
        Command::Completions { shell } => {
            cli::completions(shell);
            Ok(())
        }
        Command::JqWorker { arguments } => {
            adapters::stages::jq_worker(&arguments).map_err(Failure::Data)
        }
        Command::CompileWorker { arguments } => {
            sandbox::compile_worker(&arguments).map_err(Failure::Data)
        }
    };
    if let Some(error) = LOST.get() {
        complain(&format!("weir: standard output: {error}"));
    }
    match outcome {
        Ok(()) if LOST.get().is_some() => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Data(text)) => {
            complain(&text);
            ExitCode::from(BAD_DATA)
        }
        Err(Failure::Ended(code)) => ExitCode::from(code),
        Err(Failure::Other(error)) => {
            complain(&format!("weir: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Writes to standard error; where nobody reads it, there is nothing more to do.
fn complain(text: &str) {
    let _nobody_reads = writeln!(std::io::stderr(), "{text}");
}

/// Why something that was said did not get out.
static LOST: OnceLock<std::io::Error> = OnceLock::new();

/// Writes to standard output. Where nobody reads it, there is nothing more to do; where it cannot be written, as on a full disk, the command has failed.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush())
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        let _first_counts = LOST.set(error);
    }
}
