//! One suite that every database passes, and what is special about each.

use std::sync::Arc;
use std::time::Duration;

use model::id::PipelineId;
use model::run::{RunId, RunState, Started};
use model::store::{
    Ask, Claim, Claims, Commit, Failure, Fence, JobState, MAX_ATTEMPTS, Moment, NewJob, NewRun,
    Outcome, RunChange, Store, Submission, Submitted,
};

use super::Database;

mod claims;
mod jobs;
mod letters;
mod plugins;
mod postgres;
mod progress;
mod races;
mod runs;
mod sqlite;

type Shared = Arc<dyn Store>;

/// What a check is given: the port, or the adapter where it tests other ports.
struct Given(Database);

impl From<Given> for Shared {
    fn from(given: Given) -> Self {
        Arc::new(given.0)
    }
}

impl From<Given> for Database {
    fn from(given: Given) -> Self {
        given.0
    }
}

/// Each check gets a store of its own, with nothing in it.
macro_rules! conformance {
    ($($module:ident: $($check:ident),*;)*) => {
        mod on_sqlite {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $check() {
                    let (_folder, store) = super::sqlite::store();
                    super::$module::$check(super::Given(store).into()).await;
                }
            )*)*
        }

        /// One server for all of them, since it takes a while to start.
        mod on_postgres {
            use model::BoxFuture;

            type Check = fn(super::Given) -> BoxFuture<'static, ()>;

            pub(super) fn checks() -> Vec<(&'static str, Check)> {
                vec![$($((stringify!($check), |store| Box::pin(super::$module::$check(store.into())))),*),*]
            }
        }
    };
}

conformance! {
    jobs: what_cannot_be_kept_is_refused, the_same_key_is_the_same_run, retries_end, a_snooze_is_no_attempt, what_is_cancelled_ends,
        a_commit_is_all_or_nothing;
    claims: fences_keep_out_who_was_rescued, lost_attempts_are_used_up, the_highest_priority_then_the_oldest_goes_first,
        a_queue_has_its_bound, one_knows_when_to_ask_again, a_lease_is_silent_only_while_it_stands, what_a_clock_put_off_that_was_set_back_is_due,
        attempts_are_bounded;
    races: jobs_are_claimed_once, a_key_is_submitted_once, a_tick_is_started_once, versions_are_counted_once;
    runs: runs_are_found_by_what_they_are, runs_are_pruned_by_age_and_number;
    progress: schedules_move_on_once, pipelines_are_paused_and_in_error, checkpoints_are_the_last_ones, versions_are_kept_once;
    plugins: state_has_versions, state_has_a_quota, counters_lose_nothing, keys_come_in_byte_order, valves_are_kept;
    letters: letters_have_bounds, letters_are_found_and_edited, letters_are_tried_again_in_order, letters_are_purged;
}

/// A moment, in seconds.
fn at(seconds: i64) -> Moment {
    Moment::from_ms(1_700_000_000_000 + seconds * 1_000)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn pipeline(name: &str) -> PipelineId {
    PipelineId::new(name).unwrap()
}

/// A run of the pipeline `p`, submitted at 0.
fn new_run(number: u128) -> NewRun {
    NewRun {
        id: RunId::of(number),
        pipeline: pipeline("p"),
        version: 3,
        started_by: Started::Manual,
        parent: None,
        submitted: at(0),
        key: None,
        record: format!("{{\"n\":{number}}}"),
    }
}

/// The same with a job in the queue `q`.
fn submission(number: u128) -> Submission {
    Submission {
        run: new_run(number),
        job: NewJob {
            queue: "q".into(),
            key: None,
            priority: 0,
            at: at(0),
            max_attempts: MAX_ATTEMPTS,
            args: format!("[{number}]"),
        },
    }
}

async fn submit(store: &Shared, number: u128) -> Submitted {
    store.submit(submission(number)).await.unwrap()
}

fn ask(owner: &str, now: i64) -> Ask {
    Ask {
        queue: "q".into(),
        owner: owner.into(),
        at_once: 100,
        most: 100,
        lease: secs(30),
        now: at(now),
        silent: Vec::new(),
        set_back: false,
    }
}

async fn claim(store: &Shared, owner: &str, now: i64) -> Claims {
    rescue(store, ask(owner, now)).await
}

/// Claims, by somebody who takes those for silent whose time is over.
async fn rescue(store: &Shared, ask: Ask) -> Claims {
    let mut silent = store.leases(ask.queue.clone()).await.unwrap();
    silent.retain(|lease| lease.until.is_some_and(|until| until <= ask.now));
    store.claim(Ask { silent, ..ask }).await.unwrap()
}

/// The only job there is to run.
async fn one(store: &Shared, owner: &str, now: i64) -> Claim {
    let claims = claim(store, owner, now).await;
    assert_eq!(
        (claims.to_run.len(), claims.to_end.len()),
        (1, 0),
        "{claims:?}"
    );
    claims.to_run.into_iter().next().unwrap()
}

/// Submits a run and claims its job.
async fn working(store: &Shared, number: u128) -> Fence {
    submit(store, number).await;
    one(store, "a", 0).await.fence
}

fn numbers(claims: &[Claim]) -> Vec<String> {
    claims.iter().map(|c| c.args.clone()).collect()
}

fn change(number: u128, state: RunState) -> RunChange {
    RunChange {
        id: RunId::of(number),
        state,
        started: Some(at(1)),
        ended: state.is_over().then(|| at(2)),
        record: format!("{{\"is\":\"{}\"}}", state.as_str()),
    }
}

fn changes(number: u128, state: RunState) -> Commit {
    Commit {
        runs: vec![change(number, state)],
        ..Commit::default()
    }
}

async fn state(store: &Shared, number: u128) -> JobState {
    store.job(RunId::of(number)).await.unwrap().unwrap().state
}

async fn run_state(store: &Shared, number: u128) -> RunState {
    store.run(RunId::of(number)).await.unwrap().unwrap().state
}

/// Ends a job and its run.
async fn complete(store: &Shared, fence: Fence, number: u128, now: i64) {
    let commit = changes(number, RunState::Succeeded);
    let settled = store.settle(fence, Outcome::Completed, commit, at(now));
    assert_eq!(settled.await, Ok(JobState::Completed));
}

fn check_invalid<T: std::fmt::Debug>(result: Result<T, Failure>, words: &[&str]) {
    match result {
        Err(Failure::Invalid(said)) => {
            for word in words {
                assert!(said.contains(word), "{said}");
            }
        }
        other => panic!("{other:?}"),
    }
}
