//! The command line: what can be asked for, and where the environment stands in. What is done about it is the other modules' business.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::author::build::BuildArgs;
use crate::author::new::NewArgs;
use crate::dev::DevArgs;
use crate::grants::SuggestArgs;
use crate::invoke::{CallArg, OtherCalls};
use crate::remote::{
    CapabilitiesArgs, EventsArgs, GrantsShowArgs, HooksArgs, LettersArgs, PipelinesArgs,
    PluginsArgs, ReplayArgs, RunsArgs,
};
use crate::run::RunArgs;
use crate::test_cases::TestArgs;

/// A runtime for pipeline plugins in WebAssembly sandboxes, and a drop-in for the Open WebUI Pipelines server.
#[derive(Debug, Parser)]
#[command(name = "weir", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the plugins of a folder over HTTP
    Serve(ServeArgs),
    /// Check pipeline specs, host configurations and plugins, without serving them
    Check(CheckArgs),
    /// Run a data pipeline once, here, and show what it did
    Run(Box<RunArgs>),
    /// Print the JSON Schema of pipeline specs, for editors
    Schema,
    /// Call one plugin once and show its answer and what it used
    Invoke(Box<InvokeArgs>),
    /// Start a plugin: a project that builds and has tests
    New(NewArgs),
    /// Build the component of a project
    Build(BuildArgs),
    /// Run the test cases of a project against its component
    Test(TestArgs),
    /// Build and serve a project, and do it again whenever its sources change
    Dev(DevArgs),
    /// List the plugins of a running server, show one, stop, start, reload or delete one
    Plugins(PluginsArgs),
    /// List the data pipelines of a running server, register, check, run and remove them
    Pipelines(PipelinesArgs),
    /// List the runs of a running server, show, follow and cancel them
    Runs(RunsArgs),
    /// Send what a pipeline of a running server was sent through it again, or show what would come out otherwise
    Replay(ReplayArgs),
    /// List the records that a pipeline of a running server could not deliver, show, edit, retry and purge them
    DeadLetters(LettersArgs),
    /// Show the hook points of a running server, and the hooks there in the order they run
    Hooks(HooksArgs),
    /// Show what plugins of a running server provide to others
    Capabilities(CapabilitiesArgs),
    /// Follow the events of a running server
    Events(EventsArgs),
    /// What plugins ask for and what they are granted
    #[command(subcommand)]
    Grants(GrantsCommand),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Compile a component from standard input to standard output (started by the host itself)
    #[command(hide = true)]
    CompileWorker {
        /// ALLOCATION MEMORY_BYTES CPU_SECONDS
        arguments: Vec<String>,
    },
    /// Run a filter of jq over batches from standard input (started by the host itself)
    #[command(hide = true)]
    JqWorker {
        /// MEMORY_MIB CPU_SECONDS RECORD_BYTES
        arguments: Vec<String>,
    },
}

/// The commands below `grants`.
#[derive(Debug, Subcommand)]
pub(crate) enum GrantsCommand {
    /// Print the configuration that grants what a component asks for
    Suggest(SuggestArgs),
    /// Show what a plugin of a running server asks for, was granted and used
    Show(GrantsShowArgs),
}

/// How closely to follow the Open WebUI Pipelines server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CompatArg {
    /// Its routes, with its holes closed
    Default,
    /// What it was recorded to do, weaknesses included
    Strict,
}

/// The options of `serve`. Each wins over the environment, which wins over the configuration file.
#[derive(Debug, Default, Args)]
pub(crate) struct ServeArgs {
    /// Host configuration; `weir.toml` is read if it is there
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Address and port to listen on [default: HOST and PORT, else 127.0.0.1:9099]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Folder of plugins; several may be given, new files go to the first [default: PIPELINES_DIR, else ./plugins]
    #[arg(long, value_name = "DIR")]
    pub(crate) plugins: Vec<PathBuf>,
    /// Folder for the key, valves, state and compiled code [default: ./data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// How closely to follow the Open WebUI Pipelines server
    #[arg(long, value_enum)]
    pub(crate) compat: Option<CompatArg>,
}

/// The options of `check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Pipeline specs (`.yaml`, `.yml`, `.json`), host configurations (`.toml`) and components (`.wasm`); settings beside a component are checked with it. Specs may name each other
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Host configuration whose limits and `[plugins.<id>]` apply to the components; plugins that specs name are looked for in its folders. Without it, in ./plugins and among the components that are checked; where there are neither, only the form of their ids is checked
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Answer with JSON, a list with an entry for each file
    #[arg(long)]
    pub(crate) json: bool,
}

/// The options of `invoke`.
#[derive(Debug, Args)]
pub(crate) struct InvokeArgs {
    /// The component
    #[arg(value_name = "FILE")]
    pub(crate) component: PathBuf,
    /// What to call [default: pipe]
    #[arg(value_enum, value_name = "CALL")]
    pub(crate) call: Option<CallArg>,
    /// What the user says
    #[arg(long, short, default_value = "hello", conflicts_with = "body")]
    pub(crate) message: String,
    /// The whole request body as JSON, from a file or `-` for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) body: Option<PathBuf>,
    /// Of a manifold: the model to ask for
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Ask for a streamed answer
    #[arg(long)]
    pub(crate) stream: bool,
    /// Call the filter's inlet or outlet instead of the pipe
    #[arg(long, value_enum)]
    pub(crate) filter: Option<FilterArg>,
    /// Values for the valves, a JSON object
    #[arg(long, value_name = "JSON")]
    pub(crate) valves: Option<String>,
    /// Host configuration whose limits and `[plugins.<id>]` apply
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) other: OtherCalls,
}

/// Which side of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FilterArg {
    /// Before the model
    Inlet,
    /// After the answer
    Outlet,
}

/// Prints a completion script.
pub(crate) fn completions(shell: clap_complete::Shell) {
    clap_complete::generate(shell, &mut Cli::command(), "weir", &mut std::io::stdout());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
