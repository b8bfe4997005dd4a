//! What `weir jq-worker` does, as a program of its own for the tests of `jq`.

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    match adapters::stages::jq_worker(&arguments) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(_) => std::process::ExitCode::FAILURE,
    }
}
