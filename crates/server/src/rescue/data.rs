//! What goes wrong with pipelines and their runs.

use engine::spec::Problem as SpecProblem;
use engine::{BackfillError, DeleteError, RegisterError, ReplayError, SpecError, SubmitError};
use http::StatusCode;
use model::stage::Misfit;
use model::store::Failure;
use serde_json::{Value, json};

use super::{Problem, stage, store};

/// A spec that did not become a pipeline.
pub(crate) fn spec(error: &SpecError) -> Problem {
    let (code, message) = of_spec(error);
    let problem = Problem::new(status(error), code, message);
    match error {
        SpecError::Invalid(found) => problem.with_errors(problems(found)),
        SpecError::Register(RegisterError::Refused(e)) => stage(e),
        SpecError::Register(RegisterError::Store(e)) => durable(e),
        SpecError::Store(e) => store(e),
        _ => problem,
    }
}

fn status(error: &SpecError) -> StatusCode {
    match error {
        SpecError::Invalid(_) | SpecError::OtherId { .. } => StatusCode::BAD_REQUEST,
        SpecError::Duplicate { .. } | SpecError::Occupied(_) => StatusCode::CONFLICT,
        SpecError::Register(e) => match e {
            RegisterError::Exists(_) => StatusCode::CONFLICT,
            RegisterError::NotFound(_) => StatusCode::NOT_FOUND,
            RegisterError::TooMany(_) | RegisterError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            RegisterError::Invalid(_) | RegisterError::Refused(_) => StatusCode::BAD_REQUEST,
        },
        SpecError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The stable code and the words of a spec that did not become a pipeline.
pub(crate) fn of_spec(error: &SpecError) -> (&'static str, String) {
    let code = match error {
        SpecError::Invalid(_) | SpecError::Register(RegisterError::Invalid(_)) => "bad_spec",
        SpecError::OtherId { .. } => "other_id",
        SpecError::Duplicate { .. } | SpecError::Register(RegisterError::Exists(_)) => {
            "duplicate_id"
        }
        SpecError::Occupied(_) => "file_exists",
        SpecError::Register(RegisterError::NotFound(_)) => "pipeline_not_found",
        SpecError::Register(RegisterError::TooMany(_)) => "too_many_pipelines",
        SpecError::Register(RegisterError::Refused(_)) => "hook_error",
        SpecError::Store(_) | SpecError::Register(RegisterError::Store(_)) => "store_failed",
    };
    (code, error.to_string())
}

/// What is wrong with a spec, one by one, each with its place.
pub(crate) fn problems(found: &[SpecProblem]) -> Value {
    let one = |p: &SpecProblem| json!({"line": p.line, "column": p.column, "pointer": p.pointer, "message": p.message});
    found.iter().map(one).collect()
}

/// A pipeline that was not deleted.
pub(crate) fn delete(error: &DeleteError) -> Problem {
    match error {
        DeleteError::Needed { .. } => {
            Problem::new(StatusCode::CONFLICT, "needed", error.to_string())
        }
        DeleteError::Store(e) => store(e),
    }
}

/// A replay that there is not.
pub(crate) fn replay(error: &ReplayError) -> Problem {
    let code = match error {
        ReplayError::Submit(e) => return submit(e),
        ReplayError::Invalid(_) => "invalid_replay",
        ReplayError::TooMuch(_) => "replay_too_large",
        ReplayError::Failed(_) => "replay_failed",
    };
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, error.to_string())
}

/// A run that there is not.
pub(crate) fn submit(error: &SubmitError) -> Problem {
    let of = |status, code| Problem::new(status, code, error.to_string());
    match error {
        SubmitError::NotFound(_) => of(StatusCode::NOT_FOUND, "pipeline_not_found"),
        SubmitError::Invalid(misfits) => {
            of(StatusCode::UNPROCESSABLE_ENTITY, "invalid_run").with_errors(places(misfits))
        }
        SubmitError::Refused(e) => stage(e),
        SubmitError::Busy { .. } => {
            of(StatusCode::SERVICE_UNAVAILABLE, "too_many_runs").retry_after(5)
        }
        // Only a part can be one too many, and nobody asks for those here.
        SubmitError::TooManyParts(_) => of(StatusCode::UNPROCESSABLE_ENTITY, "invalid_run"),
        SubmitError::ShuttingDown => of(StatusCode::SERVICE_UNAVAILABLE, "shutting_down"),
        SubmitError::Store(e) => durable(e),
    }
}

/// What the store of runs did not do.
pub(crate) fn durable(error: &Failure) -> Problem {
    tracing::error!(%error, "the store of runs did not do what it was asked");
    let of = |status, code| Problem::new(status, code, error.to_string());
    match error {
        Failure::Unavailable(_) => {
            of(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable").retry_after(5)
        }
        Failure::Full(_) | Failure::Bound(_) => of(StatusCode::INSUFFICIENT_STORAGE, "store_full"),
        Failure::Lost | Failure::Conflict(_) => of(StatusCode::CONFLICT, "store_conflict"),
        Failure::Invalid(_) => of(StatusCode::INTERNAL_SERVER_ERROR, "store_failed"),
    }
}

fn places(misfits: &[Misfit]) -> Value {
    let one = |m: &Misfit| json!({"pointer": m.pointer, "message": m.message});
    misfits.iter().map(one).collect()
}

/// A backfill that there is not.
pub(crate) fn backfill(error: &BackfillError) -> Problem {
    match error {
        BackfillError::Windows(message) => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_run", message)
        }
        BackfillError::Submit(e) => submit(e),
    }
}
