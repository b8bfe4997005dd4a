-- Moments are milliseconds since 1970, UTC. Run ids sort by when runs were submitted.
CREATE TABLE runs (
    id {text} NOT NULL PRIMARY KEY,
    pipeline {text} NOT NULL,
    version {int} NOT NULL,
    started_by {text} NOT NULL,
    parent {text},
    state {text} NOT NULL,
    submitted {int} NOT NULL,
    started {int},
    ended {int},
    idempotency_key {text},
    record {text} NOT NULL
{end}
CREATE UNIQUE INDEX runs_key ON runs (pipeline, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX runs_pipeline ON runs (pipeline, id);
CREATE INDEX runs_state ON runs (state, id);
CREATE INDEX runs_pipeline_state ON runs (pipeline, state, id);
CREATE INDEX runs_parent ON runs (parent, id) WHERE parent IS NOT NULL;
CREATE INDEX runs_ended ON runs (ended) WHERE ended IS NOT NULL;

-- `fence` counts the claims of a job. `ended` is set when it is over.
CREATE TABLE jobs (
    id {serial},
    run {text} NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    queue {text} NOT NULL,
    unique_key {text},
    priority {int} NOT NULL,
    due {int} NOT NULL,
    attempt {int} NOT NULL,
    max_attempts {int} NOT NULL,
    args {text} NOT NULL,
    state {text} NOT NULL,
    fence {int} NOT NULL,
    owner {text},
    lease_until {int},
    cancel_wanted {int} NOT NULL,
    ended {int}
{end}
CREATE UNIQUE INDEX jobs_run ON jobs (run);
CREATE UNIQUE INDEX jobs_key ON jobs (unique_key) WHERE unique_key IS NOT NULL AND ended IS NULL;
CREATE INDEX jobs_available ON jobs (queue, priority DESC, due, id) WHERE state = 'available';
CREATE INDEX jobs_waiting ON jobs (queue, due) WHERE state IN ('scheduled', 'retryable');
CREATE INDEX jobs_executing ON jobs (queue) WHERE state = 'executing';

-- Whoever claims from a queue locks its row, so that two do not count the same jobs.
CREATE TABLE queues (
    name {text} NOT NULL PRIMARY KEY
{end}

CREATE TABLE attempts (
    run {text} NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    fence {int} NOT NULL,
    number {int} NOT NULL,
    owner {text} NOT NULL,
    began {int} NOT NULL,
    ended {int},
    outcome {text},
    error {text},
    PRIMARY KEY (run, fence)
{end}

-- `trigger_digest` tells one trigger from another; `last` is the last tick that was started.
CREATE TABLE schedules (
    pipeline {text} NOT NULL PRIMARY KEY,
    trigger_digest {text} NOT NULL,
    since {int} NOT NULL,
    last {int}
{end}

CREATE TABLE conditions (
    pipeline {text} NOT NULL PRIMARY KEY,
    paused {int} NOT NULL,
    error {text},
    error_since {int}
{end}

-- `source_cursor` and `sinks` are in the words of the stages; `sinks` is JSON.
CREATE TABLE checkpoints (
    pipeline {text} NOT NULL,
    name {text} NOT NULL,
    source_cursor {text},
    sinks {text} NOT NULL,
    run {text} NOT NULL,
    records {int} NOT NULL,
    at {int} NOT NULL,
    PRIMARY KEY (pipeline, name)
{end}

-- Letters outlive the runs they come from. `taken_by` and `taken_fence` are the job that tries one again and its fence.
CREATE TABLE letters (
    id {serial},
    pipeline {text} NOT NULL,
    run {text} NOT NULL,
    stage {text} NOT NULL,
    number {int} NOT NULL,
    reason {text} NOT NULL,
    attempts {int} NOT NULL,
    original {bytes} NOT NULL,
    undelivered {int} NOT NULL,
    edited {bytes},
    bytes {int} NOT NULL,
    state {text} NOT NULL,
    taken_by {int},
    taken_fence {int},
    at {int} NOT NULL
{end}
CREATE INDEX letters_pipeline ON letters (pipeline, id);
CREATE INDEX letters_state ON letters (pipeline, state, id);
CREATE INDEX letters_stage ON letters (pipeline, stage, id);
CREATE INDEX letters_open ON letters (pipeline, id) WHERE state <> 'resolved';

-- What is kept for each pipeline, so that its bound is one row to read.
CREATE TABLE letter_totals (
    pipeline {text} NOT NULL PRIMARY KEY,
    letters {int} NOT NULL,
    bytes {int} NOT NULL
{end}

CREATE TABLE versions (
    pipeline {text} NOT NULL,
    version {int} NOT NULL,
    digest {text} NOT NULL,
    spec {text} NOT NULL,
    at {int} NOT NULL,
    PRIMARY KEY (pipeline, version),
    UNIQUE (pipeline, digest)
{end}
