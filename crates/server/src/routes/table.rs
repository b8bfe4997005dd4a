//! The routes: method, path, who may call, and what the OpenAPI document says of each.

use http::Method;

/// One route.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) method: Method,
    /// With `{id}`, or another name in braces, where what is asked for stands; after it one more at most.
    pub(crate) path: &'static str,
    pub(crate) op: Op,
    pub(crate) access: Access,
    /// Is it there under `/v1` as well?
    pub(crate) also_v1: bool,
    /// One line for the OpenAPI document.
    pub(crate) summary: &'static str,
    /// What goes in, by the name of a schema; a content type other than JSON stands before a space.
    pub(crate) takes: Option<&'static str>,
    /// What comes out, likewise.
    pub(crate) gives: &'static str,
}

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anybody.
    Open,
    /// Holders of the key.
    Key,
    /// Holders of the key; in strict mode anybody.
    OpenInStrict,
    /// Holders of the key; in strict mode a body that cannot be read is refused before the key is looked at.
    KeyAfterBodyInStrict,
}

/// What a route does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    Status,
    Health,
    Ready,
    Metrics,
    OpenApi,
    Models,
    Pipelines,
    Add,
    Upload,
    Delete,
    Reload,
    Chat,
    Inlet,
    Outlet,
    Valves,
    ValvesSpec,
    ValvesUpdate,
    ListPlugins,
    InstallPlugin,
    GetPlugin,
    DeletePlugin,
    ReloadPlugin,
    StartPlugin,
    StopPlugin,
    PluginGrants,
    PluginLimits,
    PluginFaults,
    ListCapabilities,
    GetCapability,
    ListHooks,
    GetHook,
    Events,
    ReloadAll,
    Execute,
    ChainInlet,
    ChainOutlet,
    PipelineSchema,
    CheckPipeline,
    ListPipelines,
    CreatePipeline,
    GetPipeline,
    PutPipeline,
    DeletePipeline,
    PausePipeline,
    ResumePipeline,
    PipelineVersions,
    PipelineVersion,
    ListCheckpoints,
    ForgetCheckpoint,
    ListLetters,
    PurgeLetters,
    GetLetter,
    EditLetter,
    ForgetLetter,
    Redrive,
    RecentRecords,
    LiveRecords,
    RawSegments,
    RawRecords,
    SilverFiles,
    RunPipeline,
    BackfillPipeline,
    ReplayPipeline,
    ListRuns,
    GetRun,
    CancelRun,
    RunEvents,
    RunRejects,
    RunPreview,
    Webhook,
}

impl Route {
    /// The paths it is served at.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths = vec![self.path.to_owned()];
        if self.also_v1 {
            paths.push(format!("/v1{}", self.path.trim_end_matches('/')));
        }
        paths
    }
}

/// The two sides of a path with a name in braces, and the name.
pub(crate) fn around(path: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = path.split_once('{')?;
    let (name, after) = rest.split_once('}')?;
    Some((before, name, after))
}

/// A route of the Open WebUI contract, bare and under `/v1`.
macro_rules! both {
    ($method:ident $path:literal $op:ident $access:ident, $takes:expr => $gives:literal, $summary:literal) => {
        Route {
            method: Method::$method,
            path: $path,
            op: Op::$op,
            access: Access::$access,
            also_v1: true,
            summary: $summary,
            takes: $takes,
            gives: $gives,
        }
    };
}

/// A route of our own.
macro_rules! own {
    ($method:ident $path:literal $op:ident $access:ident, $takes:expr => $gives:literal, $summary:literal) => {
        Route {
            also_v1: false,
            ..both!($method $path $op $access, $takes => $gives, $summary)
        }
    };
}

const SPEC: Option<&str> = Some("application/yaml Spec");
const COMPONENT: Option<&str> = Some("application/wasm Component");

/// All of them.
#[rustfmt::skip]
pub(crate) static ROUTES: &[Route] = &[
    both!(GET "/" Status Open, None => "Status", "Is this a pipelines server?"),
    both!(GET "/models" Models Key, None => "ModelList", "The models and filters on offer"),
    both!(GET "/pipelines" Pipelines Key, None => "PipelineList", "The loaded plugins, as Open WebUI's admin page lists them"),
    both!(POST "/pipelines/add" Add KeyAfterBodyInStrict, Some("AddForm") => "Done", "Fetch a component from an allowed origin and put it to work"),
    both!(POST "/pipelines/upload" Upload KeyAfterBodyInStrict, Some("multipart/form-data UploadForm") => "Done", "Put an uploaded component to work"),
    both!(DELETE "/pipelines/delete" Delete KeyAfterBodyInStrict, Some("DeleteForm") => "Done", "Delete a plugin and its file"),
    both!(POST "/pipelines/reload" Reload Key, None => "Message", "Load every plugin again"),
    both!(POST "/chat/completions" Chat OpenInStrict, Some("ChatForm") => "Completion", "Chat with a pipe, streamed unless `stream` is false"),
    both!(GET "/{id}/valves" Valves OpenInStrict, None => "Values", "The valves' values"),
    both!(GET "/{id}/valves/spec" ValvesSpec OpenInStrict, None => "JsonSchema", "The valves' JSON Schema"),
    both!(POST "/{id}/valves/update" ValvesUpdate OpenInStrict, Some("Values") => "Values", "Replace the valves' values; what is left out goes back to its default"),
    both!(POST "/{id}/filter/inlet" Inlet OpenInStrict, Some("FilterForm") => "Body", "Run one plugin's inlet"),
    both!(POST "/{id}/filter/outlet" Outlet OpenInStrict, Some("FilterForm") => "Body", "Run one plugin's outlet"),
    own!(GET "/healthz" Health Open, None => "Status", "Does the server answer?"),
    own!(GET "/readyz" Ready Open, None => "Status", "Is the first look at the plugins folder over?"),
    own!(GET "/metrics" Metrics Key, None => "text/plain Text", "Metrics in the Prometheus text format, or as OpenMetrics where `Accept` names it"),
    own!(GET "/openapi.json" OpenApi OpenInStrict, None => "AnyObject", "This document"),
    own!(GET "/api/v1/plugins" ListPlugins Key, None => "PluginList", "All plugins and failed files"),
    own!(POST "/api/v1/plugins" InstallPlugin Key, COMPONENT => "Installed", "Put a component to work: its bytes with ?name=x.wasm, or a form with a file"),
    own!(PUT "/api/v1/plugins" InstallPlugin Key, COMPONENT => "Installed", "The same as POST"),
    own!(GET "/api/v1/plugins/{id}" GetPlugin Key, None => "Plugin", "One plugin, by id; a failed file by the stem of its name"),
    own!(DELETE "/api/v1/plugins/{id}" DeletePlugin Key, None => "Message", "Delete a plugin and its file; with ?force=true also one that others need, which fail until it is there again"),
    own!(POST "/api/v1/plugins/{id}/reload" ReloadPlugin Key, None => "Plugin", "Load one plugin again from its file; its state is handed over"),
    own!(POST "/api/v1/plugins/{id}/start" StartPlugin Key, None => "Plugin", "Start a stopped plugin"),
    own!(POST "/api/v1/plugins/{id}/stop" StopPlugin Key, None => "Plugin", "Stop a plugin until it is started or the server restarts; calls under way may finish; with ?force=true also one that others need"),
    own!(GET "/api/v1/plugins/{id}/valves" Valves Key, None => "Values", "The valves' values"),
    own!(PUT "/api/v1/plugins/{id}/valves" ValvesUpdate Key, Some("Values") => "Values", "Replace the valves' values"),
    own!(GET "/api/v1/plugins/{id}/valves/spec" ValvesSpec Key, None => "JsonSchema", "The valves' JSON Schema"),
    own!(GET "/api/v1/plugins/{id}/grants" PluginGrants Key, None => "GrantView", "What the plugin asks for, what it was granted, and what it used"),
    own!(GET "/api/v1/plugins/{id}/limits" PluginLimits Key, None => "LimitList", "Every limit: its value, default and ceiling"),
    own!(GET "/api/v1/plugins/{id}/faults" PluginFaults Key, None => "FaultList", "The last faults, the newest first"),
    own!(GET "/api/v1/capabilities" ListCapabilities Key, None => "CapabilityList", "What started plugins provide to others; with ?type= only what has this type"),
    own!(GET "/api/v1/capabilities/{name}" GetCapability Key, None => "Capability", "One capability and its providers, the preferred one first"),
    own!(GET "/api/v1/hooks" ListHooks Key, None => "HookList", "Every hook point and the hooks there, in the order they run"),
    own!(GET "/api/v1/hooks/{point}" GetHook Key, None => "HookPoint", "One hook point with the schemas of its context and result"),
    own!(GET "/api/v1/events" Events Key, None => "text/event-stream Events", "Follow the events of the host and its plugins"),
    own!(POST "/api/v1/reload" ReloadAll Key, None => "SyncReport", "Load every plugin again and say what came of it"),
    own!(POST "/api/v1/execute" Execute Key, Some("ExecuteForm") => "Executed", "Run a pipe once and return its items"),
    own!(POST "/api/v1/inlet" ChainInlet Key, Some("FilterForm") => "Chained", "Run the inlets of all filters that cover the body's model, by priority"),
    own!(POST "/api/v1/outlet" ChainOutlet Key, Some("FilterForm") => "Chained", "Run the outlets of all filters that cover the body's model"),
    own!(GET "/api/v1/schema/pipeline" PipelineSchema Key, None => "application/schema+json AnyObject", "The JSON Schema of pipeline specs"),
    own!(POST "/api/v1/pipelines/check" CheckPipeline Key, SPEC => "SpecCheck", "Say all that is wrong with a spec, and change nothing"),
    own!(GET "/api/v1/pipelines" ListPipelines Key, None => "DataPipelineList", "All data pipelines, and spec files that failed"),
    own!(POST "/api/v1/pipelines" CreatePipeline Key, SPEC => "DataPipeline", "Register a new pipeline and write its spec to the first folder"),
    own!(GET "/api/v1/pipelines/{id}" GetPipeline Key, None => "DataPipeline", "One pipeline with its spec; a failed spec file by the stem of its name"),
    own!(PUT "/api/v1/pipelines/{id}" PutPipeline Key, SPEC => "DataPipeline", "Register a pipeline, or put a new version in its place"),
    own!(DELETE "/api/v1/pipelines/{id}" DeletePipeline Key, None => "Message", "Remove a pipeline that no other one names, and its file; runs under way finish"),
    own!(POST "/api/v1/pipelines/{id}/pause" PausePipeline Key, None => "DataPipeline", "Let a pipeline's trigger start nothing, and what it started read no further, until it is resumed"),
    own!(POST "/api/v1/pipelines/{id}/resume" ResumePipeline Key, None => "DataPipeline", "Let a paused pipeline go on"),
    own!(GET "/api/v1/pipelines/{id}/versions" PipelineVersions Key, None => "PipelineVersionList", "The versions kept of a pipeline, the oldest first"),
    own!(GET "/api/v1/pipelines/{id}/versions/{n}" PipelineVersion Key, None => "application/yaml Spec", "The spec of one version, as it was written"),
    own!(GET "/api/v1/pipelines/{id}/checkpoints" ListCheckpoints Key, None => "CheckpointList", "How far a pipeline is: where incremental runs go on, and attempts at runs under way"),
    own!(DELETE "/api/v1/pipelines/{id}/checkpoints/{n}" ForgetCheckpoint Key, None => "Message", "Forget a checkpoint: without `source` the next incremental run reads everything"),
    own!(GET "/api/v1/pipelines/{id}/dead-letters" ListLetters Key, None => "DeadLetterList", "Records that were rejected, or that a sink gave up on, in the order they came"),
    own!(DELETE "/api/v1/pipelines/{id}/dead-letters" PurgeLetters Key, None => "Purged", "Forget all dead letters that fit and are not being tried"),
    own!(POST "/api/v1/pipelines/{id}/dead-letters/redrive" Redrive Key, Some("RedriveForm") => "Redriving", "Try dead letters again in order: all that wait, those of a stage, or just some"),
    own!(GET "/api/v1/pipelines/{id}/dead-letters/{n}" GetLetter Key, None => "DeadLetter", "One dead letter with its whole record"),
    own!(PUT "/api/v1/pipelines/{id}/dead-letters/{n}" EditLetter Key, Some("Record") => "DeadLetter", "Say which record is to be tried in its place; `null` goes back to the original"),
    own!(DELETE "/api/v1/pipelines/{id}/dead-letters/{n}" ForgetLetter Key, None => "Message", "Forget a dead letter that is not being tried"),
    own!(GET "/api/v1/pipelines/{id}/recent" RecentRecords Key, None => "RecentList", "The records that went to a pipeline's sinks last, the newest first"),
    own!(GET "/api/v1/pipelines/{id}/live" LiveRecords Key, None => "text/event-stream LiveRecords", "Follow the records that go to a pipeline's sinks"),
    own!(GET "/api/v1/pipelines/{id}/raw" RawSegments Key, None => "RawSegmentList", "The segments with a pipeline's raw payloads, the oldest first"),
    own!(GET "/api/v1/pipelines/{id}/silver" SilverFiles Key, None => "SilverFileList", "The files with a pipeline's cleaned records, the oldest first"),
    own!(GET "/api/v1/pipelines/{id}/raw/records" RawRecords Key, None => "RawRecordList", "A pipeline's raw payloads as they came, the oldest first"),
    own!(POST "/api/v1/pipelines/{id}/runs" RunPipeline Key, Some("RunForm") => "Run", "Start a run; with `wait` the answer comes when it is over, or after a minute"),
    own!(POST "/api/v1/pipelines/{id}/backfill" BackfillPipeline Key, Some("BackfillForm") => "Run", "Start a run for each window of a span, in order"),
    own!(POST "/api/v1/pipelines/{id}/replay" ReplayPipeline Key, Some("ReplayForm") => "Run", "Send what was kept through a version of a pipeline again; with `dry_run`, say what would come out otherwise"),
    own!(GET "/api/v1/runs" ListRuns Key, None => "RunList", "Runs, the newest first"),
    own!(GET "/api/v1/runs/{id}" GetRun Key, None => "Run", "One run"),
    own!(POST "/api/v1/runs/{id}/cancel" CancelRun Key, None => "Run", "End a run; it is over soon after"),
    own!(GET "/api/v1/runs/{id}/events" RunEvents Key, None => "text/event-stream RunEvents", "Follow a run to its end"),
    own!(GET "/api/v1/runs/{id}/rejects" RunRejects Key, None => "RejectList", "The first records that stages of a run rejected"),
    own!(GET "/api/v1/runs/{id}/preview" RunPreview Key, None => "PreviewList", "The first records after each stage, of a run with `preview` that is over"),
    own!(POST "/webhooks/{id}" Webhook Open, Some("*/* Payload") => "WebhookReceived", "Send something to a pipeline: a signed payload, answered once it is on disk"),
];
