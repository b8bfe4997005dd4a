//! Specs that are read, and specs that are not, with all that is said about them.

mod given;
mod kinds;
mod triggers;

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use model::pipeline::{
    Backoff, ErrorPolicy, Flow, OnError, OnReject, Period, Persistence, RunLimits, StageKind,
    StageSpec, Step, Threshold, Timescope, TriggerSpec, Work, build,
};
use serde_json::{Value, json};

use super::*;
use kinds::natives;

/// Some plugins and pipelines.
#[derive(Default)]
struct Few {
    pipelines: BTreeMap<PipelineId, Arc<Pipeline>>,
}

impl Known for Few {
    fn plugins(&self) -> Option<Vec<(PluginId, Vec<Role>)>> {
        let id = |id: &str| PluginId::new(id).unwrap();
        Some(vec![
            (id("clean"), vec![Role::Transform]),
            (id("acme/feed"), vec![Role::Source, Role::Sink]),
        ])
    }

    fn pipelines(&self) -> Option<Vec<PipelineId>> {
        Some(self.pipelines.keys().cloned().collect())
    }

    fn pipeline(&self, id: &PipelineId) -> Option<Arc<Pipeline>> {
        self.pipelines.get(id).cloned()
    }
}

fn read_alone(text: &str) -> Result<Pipeline, Vec<Problem>> {
    read(text, "dir/flights.pipeline.yaml", &natives(), &Alone)
}

/// The problems of a text, a line each, without the file.
fn said_of(text: &str, known: &dyn Known) -> Vec<String> {
    let problems = read(text, "f.yaml", &natives(), known).unwrap_err();
    let lines = problems.iter().map(|p| p.to_string());
    lines
        .map(|l| l.strip_prefix("f.yaml:").unwrap().to_owned())
        .collect()
}

fn check(text: &str, expected: &[&str]) {
    assert_eq!(said_of(text, &Alone), expected, "{text}");
}

const SMALL: &str = "source: {type: rows, path: a}\nsink: {type: store, table: t}\n";

#[test]
fn a_small_spec_has_defaults() {
    let pipeline = read_alone(SMALL).unwrap();
    assert_eq!(pipeline.id.as_str(), "flights");
    assert_eq!(pipeline.name, "flights");
    assert_eq!(pipeline.trigger, TriggerSpec::Manual);
    assert_eq!(pipeline.limits, model::pipeline::RunLimits::default());
    let Work::Flow(Flow {
        source,
        transforms,
        sinks,
        incremental,
    }) = pipeline.work
    else {
        panic!("it is a flow");
    };
    assert!(!incremental);
    assert_eq!(source.name, "rows");
    assert_eq!(Value::Object(source.options), json!({"path": "a"}));
    assert!(transforms.is_empty());
    assert_eq!(sinks[0].kind, StageKind::Native("store".into()));
}

#[test]
fn a_source_may_go_on_where_the_run_before_ended() {
    check(
        "source: {type: rows, path: a, incremental: 1}\nsink: {type: store, table: t}\n",
        &["1:44: `incremental` is 1; true or false is needed"],
    );
    check(
        "source: {type: rows, path: whole, incremental: true}\nsink: {type: store, table: t}\n",
        &[
            "1:48: a source of type `rows` cannot tell what has come since the last run: each run reads all that it is asked for; a `timescope` asks for one span of time after the other",
        ],
    );
    check(
        "timescope: day\nsource: {type: rows, path: a, incremental: true}\nsink: {type: store, table: t}\n",
        &[
            "2:44: the pipeline has a `timescope`, so that each run reads its own window; it cannot go on where the one before ended as well",
        ],
    );
    let sink = "source: {type: rows, path: a}\nsink: {type: store, table: t, incremental: true}\n";
    let said = said_of(sink, &Alone);
    assert!(
        said[0].starts_with("2:31: unknown key `incremental`"),
        "{said:?}"
    );
    let pipeline = read_alone(
        "source: {type: rows, path: a, incremental: true}\nsink: {type: store, table: t}\n",
    );
    let Work::Flow(flow) = pipeline.unwrap().work else {
        panic!("it is a flow");
    };
    assert!(flow.incremental);
    assert_eq!(Value::Object(flow.source.options), json!({"path": "a"}));
}

#[test]
fn json_is_read_as_well() {
    let text = r#"{
	"id": "j",
	"source": {"type": "rows", "path": "a"},
	"sinks": [{"type": "store", "table": "t"}]
}"#;
    let yaml = read(&format!("id: j\n{SMALL}"), "f.yaml", &natives(), &Alone).unwrap();
    assert_eq!(read(text, "f.json", &natives(), &Alone), Ok(yaml));
}

#[test]
fn all_problems_come_at_once_in_order() {
    let text = "
id: Flights
trigger: {every: 5, cron: x}
timescope: {every: mont, zone: Europe/Berlin}
parameters:
  city: {type: strin}
  9x: {type: integer, default: a, minimun: 1}
sorce:
  type: rows
source:
  type: rows
  path: '{{params.ctiy}}'
  retry:
    tris: 3
transforms:
  - {type: pick, fields: []}
  - {type: pik}
  - {}
  - {type: store, table: x}
  - {type: pick, fields: [a], on_reject: skip}
sinks:
  - {type: store, table: t, name: a b}
  - {type: store, tabel: t}
limits: {queue: 0, batch_bytes: 2GiB, workers: many}
errors: {max_rejects: 101%, retry: {first: soon}}
tags: x
";
    check(
        text,
        &[
            "2:5: \"Flights\" is not a pipeline id: 1 to 64 characters of a-z 0-9 _ - . are allowed, the first a letter or digit, and no `..`",
            "3:18: `every` is 5; a text is allowed, such as 30s",
            "4:20: `every` is \"mont\"; allowed are day, hour, month, quarter, week and year; did you mean `month`?",
            "6:16: `type` is \"strin\"; did you mean \"string\"?",
            "7:3: \"9x\" is no name of a parameter: a letter, then letters, digits and `_` are, at most 64",
            "7:32: the default does not fit: `9x` is \"a\"; a whole number is allowed",
            "7:35: `minimun` is no keyword of JSON Schema; did you mean \"minimum\"?",
            "8:1: unknown key `sorce`; did you mean \"source\"?",
            "12:9: there is no parameter \"ctiy\"; did you mean \"city\"?",
            "14:5: unknown key `tris`; did you mean \"tries\"?",
            "16:26: `fields` is empty",
            "17:12: there is no transform \"pik\"; did you mean \"pick\"?",
            "18:5: `type` is missing: which transform it is; there are: pick, plugin",
            "19:12: \"store\" is a sink, no transform; of these there are: pick, plugin",
            "20:42: `on_reject` is \"skip\"; did you mean \"skip_batch\"?",
            "22:35: \"a b\" is no name of a stage: 1 to 64 of A-Z a-z 0-9 _ - . are",
            "23:5: `table` is missing",
            "23:19: unknown key `tabel`; did you mean \"table\"?",
            "24:17: `queue` is 0; at least 1 is allowed",
            "24:48: `workers` is \"many\"; a whole number is allowed",
            "25:23: \"101%\" is neither a number of records nor a part of a hundred, such as 1%",
            "25:44: \"soon\" is no duration: numbers with units are, such as 500ms, 30s, 1h30m or 2d",
            "26:7: `tags` is \"x\"; a list is allowed",
        ],
    );
}

#[test]
fn what_scopes_mean_is_checked() {
    let with = |line: &str| format!("{SMALL}{line}\n");
    check(
        &with("timescope: {start: 2026-02}"),
        &["3:12: `timescope` needs either `every`, or `start` and `end`"],
    );
    check(
        &with("timescope: {start: 2026-02, end: 2026-01}"),
        &["3:12: the span from 2026-02-01T00:00:00Z to 2026-01-01T00:00:00Z is empty"],
    );
    let pipeline = read_alone(&with("timescope: {every: month, zone: Europe/Berlin}")).unwrap();
    let zone = "Europe/Berlin".to_owned();
    assert_eq!(
        pipeline.timescope,
        Some(Timescope::Every {
            period: Period::Month,
            zone
        })
    );
}

#[test]
fn exactly_one_work() {
    check(
        "name: x",
        &[
            "1:1: the pipeline does nothing: `source` and `sinks` are needed, or one of `sequential`, `parallel`, `conditional` and `retry`",
        ],
    );
    check(
        "source: {type: rows, path: a}",
        &["1:1: `sinks` is missing: records need a place to go to"],
    );
    check(
        "sink: {type: store, table: t}\ntransforms: []",
        &["1:1: `source` is missing"],
    );
    check(
        &format!("{SMALL}sinks: []"),
        &["2:1: there are `sink` and `sinks`; only one of them is allowed"],
    );
    check(
        &format!("{SMALL}retry: {{pipeline: a}}"),
        &["3:1: the pipeline has stages of its own and `retry`; only one of them is allowed"],
    );
    check(
        "sequential: {pipelines: []}",
        &["1:25: `pipelines` is empty"],
    );
    check(
        "parallel: {pipelines: [a], on_error: stop}\nretry: {pipeline: b}",
        &["1:38: `on_error` is \"stop\"; allowed are collect, fail_fast and ignore"],
    );
    check("", &["1:1: the spec is empty"]);
    check("- a", &["1:1: the whole is a list of 1; a map is allowed"]);
}

#[test]
fn stages_are_named() {
    let text = "
source: {type: rows, path: a}
transforms: [{type: pick, fields: [a]}, {type: pick, fields: [a]}, {type: pick, fields: [a], name: pick}]
sinks: [{type: store, table: t, on_reject: fail}, {type: store, table: u}]
";
    let Work::Flow(flow) = read_alone(text).unwrap().work else {
        panic!("it is a flow");
    };
    let names: Vec<_> = flow
        .transforms
        .iter()
        .chain(&flow.sinks)
        .map(|s| s.name.as_str())
        .collect();
    assert_eq!(names, ["pick-2", "pick-3", "pick", "store", "store-2"]);
    let text = text.replace(
        "{type: store, table: u}",
        "{type: store, table: u, name: pick}",
    );
    check(
        &text,
        &["4:81: another stage of this pipeline has the name pick, too"],
    );
}

#[test]
fn kinds_check_their_options() {
    let with = |options: &str| {
        format!("source: {{type: rows, {options}}}\nsink: {{type: store, table: t}}\n")
    };
    check(
        &with("path: a, retry: {tries: 9}"),
        &["1:46: 9 tries are too many"],
    );
    check(&with("path: 5"), &["1:28: `path` is 5; a text is allowed"]);
    check(
        &with("path: a, limit: x"),
        &["1:38: `limit` is \"x\"; a whole number is allowed"],
    );
    check(
        &with("path: a, nmae: x"),
        &["1:31: unknown key `nmae`; did you mean \"name\"?"],
    );
    check(
        &with("path: '{{timescope}}', limit: '{{params.x}}'"),
        &[
            "1:28: the pipeline has no timescope, so there is neither {{timescope}} nor {{window.…}}",
            "1:52: there is no parameter \"x\"; there are none",
        ],
    );
    check(
        &with("path: '${HOME}'"),
        &[
            "1:28: \"${HOME}\" is no reference: `${env:NAME}` and `${file:path}` are; write `$${` for the characters themselves",
        ],
    );
    let good = with("path: '{{timescope}}/${env:X}', limit: '{{params.n}}'")
        + "timescope: day\nparameters: {n: {type: integer}}";
    assert!(read_alone(&good).is_ok());
}

#[test]
fn cleaned_records_are_kept_of_what_has_sinks() {
    let wanted = |more: &str| format!("persistence: {{silver: true}}\n{more}");
    let pipeline = read_alone(&wanted(SMALL)).unwrap();
    assert!(pipeline.persistence.silver);
    assert!(!read_alone(SMALL).unwrap().persistence.silver);
    check(
        &wanted("sequential: {pipelines: [a, b]}"),
        &[
            "1:23: `silver` is for a pipeline with sinks of its own: the pipelines that this one is made of may have it",
        ],
    );
    check(
        &wanted("source: {type: rows, path: a}\nsink: {type: store, table: t, name: silver}"),
        &[
            "1:23: the sink that keeps the records is called `silver`, as a stage of this pipeline is: give that another name",
        ],
    );
}

#[test]
fn plugins_are_looked_up() {
    let spec = |source: &str, transform: &str| {
        format!(
            "source: {{type: plugin, {source}}}\ntransforms: [{{type: plugin, {transform}}}]\nsink: {{type: store, table: t}}"
        )
    };
    let known = Few::default();
    let good = spec(
        "plugin: acme/feed, config: {a: [1]}",
        "plugin: clean, sees_all: true, encoding: arrow",
    );
    let Work::Flow(flow) = read(&good, "f.yaml", &natives(), &known).unwrap().work else {
        panic!("it is a flow");
    };
    assert_eq!(Value::Object(flow.source.options), json!({"a": [1]}));
    let plugin = PluginId::new("clean").unwrap();
    assert_eq!(
        flow.transforms[0].kind,
        StageKind::Plugin {
            plugin,
            sees_all: true,
            arrow: true
        }
    );
    let bad = spec(
        "plugin: claen, sees_all: true",
        "plugin: acme/feed, encoding: xml, conf: {}",
    );
    assert_eq!(
        said_of(&bad, &known),
        [
            "1:32: there is no plugin claen; did you mean \"clean\"?",
            "1:39: `sees_all` is for transforms only, and this is a source",
            "2:58: `encoding` is \"xml\"; allowed are arrow and ndjson",
            "2:63: unknown key `conf`; did you mean \"config\"?",
        ]
    );
    let bad = spec("plugin: clean", "plugin: a b");
    assert_eq!(
        said_of(&bad, &known)[0],
        "1:32: the plugin clean is no source; of these there are: acme/feed"
    );
    check(
        &spec("plugin: clean", "config: {}"),
        &["2:14: `plugin` is missing"],
    );
    assert!(
        read_alone(&spec(
            "plugin: who",
            "plugin: knows, config: {x: '{{run.id}}'}"
        ))
        .is_ok(),
        "offline only the form is checked"
    );
    check(
        &spec("plugin: a", "plugin: b, config: {x: '{{runs}}'}"),
        &["2:52: {{runs}} names nothing; did you mean \"run\"?"],
    );
}

#[test]
fn compositions_nest() {
    let text = "
id: all
parameters: {full: {type: boolean, default: false}}
sequential:
  stop_on_error: false
  pipelines:
    - first
    - parallel:
        max_workers: 2
        on_error: collect
        pipelines: [a, {id: own, source: {type: rows, path: '{{params.full}}'}, sink: {type: store, table: t}}]
    - conditional:
        condition: params.full && previous.rejected == 0
        then: a
        else: {retry: {pipeline: b, max_retries: 5, backoff_factor: 3, first: 2s, max_delay: 1m, jitter: 0}}
";
    let pipeline = read_alone(text).unwrap();
    assert_eq!(
        uses(&pipeline)
            .into_iter()
            .map(PipelineId::as_str)
            .collect::<Vec<_>>(),
        ["first", "a", "a", "b"]
    );
    let Work::Sequential {
        pipelines,
        stop_on_error: false,
    } = &pipeline.work
    else {
        panic!("it is a sequence");
    };
    let Step::Inline(second) = &pipelines[1] else {
        panic!("it is written in place");
    };
    assert_eq!(second.id.as_str(), "all.2");
    let Step::Inline(third) = &pipelines[2] else {
        panic!("it is written in place");
    };
    let Work::Conditional {
        otherwise: Some(otherwise),
        ..
    } = &third.work
    else {
        panic!("it has an else");
    };
    let Step::Inline(otherwise) = &**otherwise else {
        panic!("it is written in place");
    };
    assert_eq!(otherwise.id.as_str(), "all.3.else");
}

#[test]
fn compositions_are_checked_inside() {
    let text = "
sequential:
  pipelines:
    - A
    - {trigger: manual, source: {type: rows, pth: a}, sink: {type: store, table: t}}
    - {id: x, limits: {quue: 1}, conditional: {condition: full, then: {retry: {}}}}
    - {id: x, name: [], sequential: {pipelines: [a]}}
    - 5
";
    check(
        text,
        &[
            "4:7: \"A\" is not a pipeline id: 1 to 64 characters of a-z 0-9 _ - . are allowed, the first a letter or digit, and no `..`",
            "5:8: `trigger` has no meaning here: a pipeline within another one runs when that one does",
            "5:25: `path` is missing",
            "5:46: unknown key `pth`; did you mean \"path\"?",
            "6:24: unknown key `quue`; did you mean \"queue\"?",
            "6:59: the condition \"full\" names \"full\", which is nothing here; there are: params, window, previous",
            "6:72: `pipeline` is missing",
            "7:12: the id x is there twice",
            "7:21: `name` is a list of 0; a text is allowed",
            "8:7: the id of a pipeline, `{pipeline: id, parameters: {..}}` or a pipeline in place is needed",
        ],
    );
    let deep = (0..12).fold("a".to_owned(), |inner, _| {
        format!("{{retry: {{pipeline: {inner}}}}}")
    });
    let said = said_of(&deep, &Alone);
    assert!(said[0].contains("more than 8 deep"), "{said:?}");
}

#[test]
fn pipelines_are_looked_up_and_circles_named() {
    let mut known = Few::default();
    let add = |known: &mut Few, id: &str, text: &str| {
        let pipeline = read(text, id, &natives(), &Alone).unwrap();
        known
            .pipelines
            .insert(pipeline.id.clone(), Arc::new(pipeline));
    };
    add(&mut known, "flow", SMALL);
    add(&mut known, "b", "sequential: {pipelines: [c]}");
    add(
        &mut known,
        "c",
        "source: {type: pipeline, pipeline: a}\nsink: {type: store, table: t}",
    );
    add(
        &mut known,
        "later",
        &format!("{SMALL}trigger: {{after: a}}"),
    );
    add(
        &mut known,
        "much",
        "trigger: {after: later}\nsequential: {pipelines: [flow]}",
    );
    let said = |text: &str| said_of(&format!("id: a\n{text}"), &known);
    assert_eq!(
        said("sequential: {pipelines: [flwo, b]}"),
        [
            "2:26: there is no pipeline flwo; did you mean \"flow\"?",
            "2:32: pipelines in a circle: a -> b -> c -> a",
        ]
    );
    assert_eq!(
        said("retry: {pipeline: a}"),
        ["2:19: pipelines in a circle: a -> a"]
    );
    assert_eq!(
        said(&format!("{SMALL}trigger: {{after: much}}")),
        ["4:18: each run would start the next, for ever: a -> later -> much -> a"]
    );
    let fine = format!("id: a\n{SMALL}trigger: {{after: c}}");
    assert!(read(&fine, "f.yaml", &natives(), &known).is_ok());
}

#[test]
fn a_source_that_runs_others_is_none() {
    let mut known = Few::default();
    let sequence = read("sequential: {pipelines: [x]}", "seq", &natives(), &Alone).unwrap();
    known
        .pipelines
        .insert(sequence.id.clone(), Arc::new(sequence));
    let text = "source: {type: pipeline, pipeline: seq}\nsink: {type: store, table: t}";
    assert_eq!(
        said_of(text, &known),
        [
            "1:36: the pipeline seq runs other pipelines; only one with a source of its own can be a source"
        ]
    );
}

#[test]
fn ids_come_from_file_names() {
    for (file, id) in [
        ("/a/b/flights.pipeline.yaml", "flights"),
        ("x.pipeline.json", "x"),
        ("spec.yml", "spec"),
        ("plain", "plain"),
    ] {
        assert_eq!(id_of_file(file), id, "{file}");
    }
    let problems = read(SMALL, "My Spec.yaml", &natives(), &Alone).unwrap_err();
    assert!(
        problems[0]
            .message
            .contains("no `id` is given, and its place gives none"),
        "{problems:?}"
    );
}

#[test]
fn hostile_specs_are_refused() {
    for text in [
        format!("a: {}", "[".repeat(5_000)),
        "x".repeat(MAX_BYTES + 1),
        format!("{SMALL}description: {}", "y: ".repeat(2_000)),
        "&a [*a]".into(),
        "a: &a\n  b: *a\n".into(),
        "\u{0}".into(),
        "? [a]\n: b".into(),
        format!(
            "{SMALL}parameters: {{p: {{type: string, pattern: '(a+)+$', default: '{}!'}}}}",
            "a".repeat(50_000)
        ),
        format!("{SMALL}parameters: {{p: {{type: string, $ref: 'http://127.0.0.1:1/x'}}}}"),
        format!("{SMALL}parameters: {{p: {{type: string, $ref: 'file:///etc/passwd'}}}}"),
    ] {
        let start: String = text.chars().take(60).collect();
        assert!(read_alone(&text).is_err(), "{start}");
    }
}

/// What the builders below make.
const ALL: &str = r#"
id: all
name: All
description: It does all.
tags: [a]
status: paused
sequential:
  stop_on_error: false
  pipelines:
    - id: chosen
      conditional:
        condition: "true"
        then:
          id: flow
          parameters: {p: {type: string, default: x}}
          timescope: all
          persistence: {rejects: false}
          errors: {max_rejects: 1%}
          limits: {record_bytes: 1kB}
          source: {type: rows, path: "{{params.p}}", on_reject: fail}
          transforms:
            - {type: plugin, plugin: fix, config: {a: 1}, sees_all: true, encoding: arrow}
            - {type: pick, name: p, fields: [a]}
          sinks: [{type: store, table: t}, {type: store, table: t}]
        else:
          id: again
          retry:
            max_retries: 1
            pipeline:
              id: both
              parallel:
                max_workers: 2
                on_error: collect
                pipelines:
                  - {id: load, source: {type: pipeline, pipeline: clean}, sink: {type: store, table: t}}
                  - other
"#;

#[test]
fn builders_give_the_same_values() {
    let map = |value: Value| value.as_object().unwrap().clone();
    let id = |id: &str| PipelineId::new(id).unwrap();
    let store = || StageSpec::native("store", map(json!({"table": "t"})));
    let load = build::el(id("load"), StageSpec::pipeline(id("clean")), [store()]);
    let source =
        StageSpec::native("rows", map(json!({"path": "{{params.p}}"}))).on_reject(OnReject::Fail);
    let plugin = PluginId::new("fix").unwrap();
    let fix = StageSpec::plugin(plugin, map(json!({"a": 1})))
        .seeing_all()
        .over_arrow();
    let flow = build::etl(
        id("flow"),
        source,
        [
            fix,
            StageSpec::native("pick", map(json!({"fields": ["a"]}))).named("p"),
        ],
        [store(), store()],
    )
    .parameter("p", json!({"type": "string"}), Some(json!("x")))
    .covering(Timescope::All)
    .keeping(Persistence {
        rejects: false,
        ..Persistence::default()
    })
    .with_errors(ErrorPolicy {
        max_rejects: Some(Threshold::Percent(1.0)),
        ..ErrorPolicy::default()
    })
    .with_limits(RunLimits {
        record_bytes: 1_000,
        ..RunLimits::default()
    });
    let both = build::parallel(
        id("both"),
        [load.into(), id("other").into()],
        NonZeroU32::new(2),
        OnError::Collect,
    );
    let again = build::retry(
        id("again"),
        both.into(),
        Backoff {
            max_retries: 1,
            ..Backoff::default()
        },
    );
    let chosen = build::conditional(id("chosen"), "true", flow.into(), Some(again.into()));
    let all = build::sequential(id("all"), [chosen.into()], false)
        .named("All")
        .described("It does all.")
        .tagged("a")
        .paused();
    assert_eq!(read_alone(ALL), Ok(all));
}

#[test]
fn the_published_schema_agrees() {
    let schema = schema(&natives());
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let value = |text: &str| located::read(text).unwrap().0.value;
    let good = [
        SMALL,
        "sequential: {pipelines: [a, {retry: {pipeline: b, max_retries: 2}}]}",
        "retry: {pipeline: b}\ntrigger: {every: 30s, mode: fixed_rate, jitter: 5s, overlap: allow}",
        "retry: {pipeline: b}\ntrigger: {every: 30s, mode: fixed_delay, jitter: 5s}",
        "retry: {pipeline: b}\ntrigger: {cron: '@daily', missed: all, overlap: queue, jitter: 5m}",
        "retry: {pipeline: b}\ntrigger: {webhook: {secret: '${env:A}', other_secret: '${env:B}', scheme: hex, rate: {requests: 5, per: 1s}, max_bytes: 1kB}}",
        "retry: {pipeline: b}\ntrigger: {after: a, on: any}",
        "trigger: {cron: 0 2 * * *, zone: Europe/Berlin}\ntimescope: {every: month}\nsource: {type: rows, path: a, limit: '{{params.n}}', retry: {tries: 2}}\nsinks: [{type: plugin, plugin: x, config: {a: 1}, name: n, on_reject: fail}]\nparameters: {n: {type: integer, default: 1}}\nlimits: {batch_bytes: 1MiB, deadline: 10m}\nerrors: {max_rejects: 1%, on_reject: skip_batch, retry: {first: 1s, jitter: 0.1}}\npersistence: {rejects: false}\nstatus: paused",
        "source: {type: pipeline, pipeline: a, parameters: {x: 1}}\nsink: {type: store, table: t}\ntransforms: [{type: pick, fields: [a]}]",
        "conditional: {condition: 'true', then: {source: {type: rows, path: a}, sink: {type: store, table: t}}, else: b}",
    ];
    for text in good {
        let errors: Vec<_> = validator
            .iter_errors(&value(text))
            .map(|e| e.to_string())
            .collect();
        assert!(errors.is_empty(), "{text}: {errors:?}");
        assert_eq!(read_alone(text).map(|_| ()), Ok(()), "{text}");
    }
    let bad = [
        "name: x",
        "source: {type: rows, path: a}",
        "source: {type: rows, path: a}\nsink: {type: store}",
        "source: {type: rows, path: a, pth: b}\nsink: {type: store, table: t}",
        "source: {type: store, table: t}\nsink: {type: store, table: t}",
        "source: {type: rows, path: a}\nsink: {type: store, table: t}\nsequential: {pipelines: [a]}",
        "source: {type: rows, path: a, retry: {tris: 1}}\nsink: {type: store, table: t}",
        "sequential: {pipelines: [a, {limits: {quue: 1}, retry: {pipeline: b}}]}",
        "retry: {pipeline: b}\ntrigger: {every: 5m, cron: x}",
        "retry: {pipeline: b}\ntrigger: webhook",
        "retry: {pipeline: b}\ntrigger: {every: 5m, missed: once}",
        "retry: {pipeline: b}\ntrigger: {after: a, jitter: 5s}",
        "retry: {pipeline: b}\ntrigger: {cron: '@daily', overlap: forbit}",
        "retry: {pipeline: b}\ntrigger: {webhook: {rate: {requests: 0}}}",
        "retry: {pipeline: b}\ntimescope: {start: '2026'}",
        "retry: {pipeline: b}\ntimescope: fortnight",
        "retry: {pipeline: b}\nparameters: {n: {default: 1}}",
        "retry: {pipeline: b, jitter: 2}",
        "retry: {pipeline: b}\nstatus:",
        "source: {type: plugin, plugin: x, sees_all: true}\nsink: {type: store, table: t}",
    ];
    for text in bad {
        assert!(
            !validator.is_valid(&value(text)),
            "the schema lets through: {text}"
        );
        assert!(read_alone(text).is_err(), "{text}");
    }
}
