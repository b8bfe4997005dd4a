//! How a command that runs a pipeline, here or on a server, ends: the one map from a run's state to an exit code. What is said of the run is the commands' business.

use model::run::RunState;

use crate::Failure;

/// It came to its end without delivering every record.
const PARTIAL: u8 = 3;
/// It did not come to its end.
const FAILED: u8 = 1;
/// It was ended on the way (128 and SIGINT, as a shell says of what was interrupted).
pub(crate) const CANCELLED: u8 = 130;

/// What the help of these commands says of it.
pub(crate) const HELP: &str = "Exit codes: 0 the run succeeded; 3 it came to its end, and some records were rejected or not delivered (partial); 1 it failed; \
130 it was cancelled; 64 wrong usage; 65 a spec or a configuration is wrong";

/// The same, where a server carries the run out.
pub(crate) const HELP_FOLLOWED: &str = "Exit codes of a run that is followed: 0 it succeeded; 3 it came to its end, and some records were rejected or not \
delivered (partial); 1 it failed, or the server cannot be asked; 130 it was cancelled";

/// How a command ends whose run is over in this state.
pub(crate) fn of(state: RunState) -> Result<(), Failure> {
    match state {
        RunState::Succeeded => Ok(()),
        RunState::Partial => Err(Failure::Ended(PARTIAL)),
        RunState::Cancelled => Err(Failure::Ended(CANCELLED)),
        RunState::Failed | RunState::Queued | RunState::Running => Err(Failure::Ended(FAILED)),
    }
}
