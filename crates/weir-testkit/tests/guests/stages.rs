//! Sources, transforms and sinks: what a run would give and get, and what becomes of those that break the contract.

use weir_testkit::Kit;
use weir_testkit::blocking::Running;
use weir_testkit::serde_json::{Value, json};

use crate::{dist, examples};

fn stage() -> Running {
    let kit = Kit::new().plugin(dist("hostile/system/stage"));
    kit.start_blocking().unwrap()
}

/// Records `{"n": 0}` and so on.
fn numbers(range: std::ops::Range<u64>) -> Vec<Value> {
    range.map(|n| json!({"n": n})).collect()
}

#[test]
fn shape_brings_records_into_shape() {
    let shape = examples(&["shape"]).start_blocking().unwrap();
    let config = json!({"require": ["id"], "rename": {"n": "name"}, "keep": ["name", "id"]});
    let batches = [
        vec![json!({"id": 1, "n": "a", "x": 0}), json!({"n": "b"})],
        vec![json!({"id": 2, "n": "c"})],
    ];
    shape.transform(&config, &batches).assert_json(&json!({
        "records": [{"name": "a", "id": 1}, {"name": "c", "id": 2}],
        "rejects": [{"record": {"n": "b"}, "reason": "field 'id' is missing"}],
    }));
    shape
        .transform(&json!({"keep": 1}), &[])
        .assert_error("invalid: config: invalid type");
    shape
        .read(&json!({}), None)
        .assert_error("unavailable: it has no role source");
}

#[test]
fn a_source_goes_on_from_its_cursor() {
    let stage = stage();
    let all = stage.read(&json!({"records": 2500}), None);
    let read = all.assert_ok().result.clone().unwrap().json.unwrap();
    assert_eq!(read["records"].as_array().unwrap(), &numbers(0..2500));
    assert_eq!(read["cursor"], 2500);
    stage
        .read(&json!({"records": 2502}), Some(&json!(2500)))
        .assert_json(&json!({"records": numbers(2500..2502), "cursor": 2502}));
    stage
        .read(&json!({"records": 0}), None)
        .assert_json(&json!({"records": [], "cursor": 0}));
    stage
        .read(&json!({"records": 200_000}), None)
        .assert_error("it does not end: 101000 records so far");
}

#[test]
fn a_cursor_is_no_place_to_store_things() {
    let stage = stage();
    let with = |bytes: u64| {
        let config = json!({"does": "cursor", "cursor": bytes, "records": 1});
        stage.read(&config, None)
    };
    with(64 * 1024).assert_ok();
    let limit = "the limit cursor_bytes = 65536 was reached";
    with(64 * 1024 + 1).assert_error(limit);
    // Within what a call may answer.
    with(1 << 20).assert_error(limit);
    // Another one of the plugin works.
    stage
        .read(&json!({"records": 1}), None)
        .assert_json(&json!({"records": numbers(0..1), "cursor": 1}));
}

#[test]
fn records_pass_are_held_back_and_left_out() {
    let stage = stage();
    let batches = [numbers(0..2), numbers(2..3), vec![]];
    for does in ["pass", "hold"] {
        let passed = stage.transform(&json!({"does": does}), &batches);
        passed.assert_json(&json!({"records": numbers(0..3), "rejects": []}));
    }
    let out = |n: u64| json!({"record": {"n": n}, "reason": ""});
    stage
        .transform(&json!({"does": "leave_out"}), &batches)
        .assert_json(&json!({"records": [], "rejects": [out(0), out(1), out(2)]}));
    stage
        .write(&json!({}), &batches)
        .assert_json(&json!({"rejects": []}));
}

#[test]
fn what_breaks_the_contract_is_named() {
    let stage = stage();
    let batches = [numbers(0..3)];
    let sources = [
        (
            "too_many",
            "it returned 1001 records where at most 1000 were asked for",
        ),
        (
            "count",
            "it returned a batch of 6 records that holds 5 lines",
        ),
        ("no_end", "it returned a batch whose last line does not end"),
        ("arrow", "it returned an arrow-ipc batch that is cut off"),
        (
            "no_json",
            "record 0 that came out: EOF while parsing an object",
        ),
        ("trap", "trapped"),
        ("spin", "out_of_fuel"),
    ];
    for (does, words) in sources {
        let many = if does == "too_many" { 5000 } else { 5 };
        let config = json!({"does": does, "records": many});
        stage.read(&config, None).assert_error(words);
    }
    let transforms = [
        (
            "double",
            "it returned 6 records and 0 rejects for 3 records and 0 held back",
        ),
        (
            "lose",
            "it held back 3 records and returned 0 of them at the end",
        ),
        ("last_twice", "it rejected record 2 twice"),
        ("past_end", "it rejected record 3 of 3, counted from 0"),
        (
            "count",
            "it returned a batch of 4 records that holds 3 lines",
        ),
        ("no_json", "record 0 that came out"),
    ];
    for (does, words) in transforms {
        let config = json!({"does": does});
        stage.transform(&config, &batches).assert_error(words);
    }
    for does in ["last_twice", "past_end"] {
        let config = json!({"does": does});
        stage
            .write(&config, &batches)
            .assert_error("it rejected record");
    }
    stage
        .write(&json!({"does": "silent"}), &batches)
        .assert_error("it rejected record 0 without a reason");
    let wrong = json!({"does": 7});
    stage
        .read(&wrong, None)
        .assert_error("invalid: does: 7 is no action");
    stage
        .write(&wrong, &[])
        .assert_error("invalid: does: 7 is no action");
    // One stage's harm is not another's.
    stage.transform(&json!({}), &batches).assert_ok();
}

#[test]
fn a_failure_is_an_answer_and_a_trap_is_the_end() {
    let stage = stage();
    let refused = json!({"does": {"fail": "refused"}});
    let batches = [numbers(0..1)];
    stage
        .write(&refused, &batches)
        .assert_error("told to fail: refused");
    stage
        .transform(&json!({"does": "trap"}), &batches)
        .assert_error("trapped");
    assert_eq!(stage.life(), "started");
}
