//! `jq`: filters that do their work, and those that attack the host.

use super::*;

#[tokio::test]
async fn a_filter_makes_one_record_of_one_or_none() {
    let check = |filter: &'static str, line, expected| {
        check("jq", json!({"filter": filter}), line, expected)
    };
    check(
        "{id, name: .user.name}",
        r#"{"id":1,"user":{"name":"Zoë"}}"#,
        r#"{"id":1,"name":"Zoë"}"#,
    )
    .await;
    check("select(.id > 1)", r#"{"id":1}"#, "0: ").await;
    check("., .", r#"{"id":1}"#, "0: the filter gave more than one result, and a record becomes one or none; `[..]` makes one of several").await;
    check(
        ".id",
        r#"{"id":1}"#,
        "0: the filter gave a number, and a record has to be an object",
    )
    .await;
    check("{a: (.id / 0)}", r#"{"id":0}"#, "0: the filter gave what JSON does not have (NaN, infinity, keys that are no strings): not JSON: no value at byte 5").await;
    check(
        ".id | error",
        r#"{"id":"oops"}"#,
        "0: the filter gave an error: \"oops\"",
    )
    .await;
    check(
        "{big: .n}",
        r#"{"n":123456789012345678901234567890}"#,
        r#"{"big":123456789012345678901234567890}"#,
    )
    .await;
}

#[tokio::test]
async fn a_filter_reaches_nothing_outside() {
    for filter in [
        "input",
        "[inputs]",
        "$ENV",
        "import \"a\" as a; .",
        "include \"a\"; .",
        "input_filename",
        "$__prog_args",
        "foo(1)",
        "{",
        ".",
    ] {
        let misfits = kind("jq").check(&json!({"filter": filter}));
        assert_eq!(misfits.is_empty(), filter == ".", "{filter}: {misfits:?}");
        for misfit in misfits {
            assert!(
                misfit.message.starts_with("the filter is no jq: "),
                "{misfit:?}"
            );
        }
    }
    check(
        "jq",
        json!({"filter": "{e: env}"}),
        "{}",
        "0: the filter gave an error: \"there is no `env` here\"",
    )
    .await;
    check(
        "jq",
        json!({"filter": "halt"}),
        "{}",
        "0: the filter gave an error: \"there is no `halt` here\"",
    )
    .await;
    check("jq", json!({"filter": "debug | stderr"}), "{}", "{}").await;
    check_misfit(
        "jq",
        &json!({"filter": "x".repeat(5000)}),
        "/filter",
        "allowed are 4096",
    );
    check_misfit(
        "jq",
        &json!({"filter": "[".repeat(4096)}),
        "/filter",
        "no jq",
    );
    check_misfit(
        "jq",
        &json!({"filter": ".", "cpu_seconds": 0}),
        "/cpu_seconds",
        "from 1 to 60",
    );
    check_misfit(
        "jq",
        &json!({"filter": ".", "memory_mib": 1}),
        "/memory_mib",
        "from 32 to 4096",
    );
}

/// Records 3 and 5 are attacks; the others go on, before and after.
async fn attack(filter: &str, expected: &str) {
    let options = json!({"filter": filter, "cpu_seconds": 1, "memory_mib": 64});
    let lines: String = (0..8)
        .map(|n| format!("{{\"n\":{n},\"attack\":{}}}\n", n == 3 || n == 5))
        .collect();
    let mut transformer = open("jq", &options).await.unwrap();
    for _ in 0..2 {
        let gave = transformer.apply(batch(&lines)).await.unwrap();
        let indexes: Vec<u32> = gave.rejects.iter().map(|r| r.index).collect();
        assert_eq!(indexes, [3, 5], "{filter}: {:?}", gave.rejects);
        assert!(
            gave.rejects.iter().all(|r| r.reason.contains(expected)),
            "{filter}: {:?}",
            gave.rejects
        );
        assert_eq!(gave.batch.count, 6);
    }
    assert_eq!(transformer.finish().await.unwrap(), None);
}

#[tokio::test]
async fn a_filter_that_never_ends_is_ended() {
    attack(
        "if .attack then [range(infinite) | select(. < 0)] else . end",
        "more than 1 s of CPU time",
    )
    .await;
}

#[tokio::test]
async fn a_filter_that_eats_memory_is_ended() {
    attack(
        "if .attack then [range(infinite)] else . end",
        "64 MiB of memory",
    )
    .await;
}

#[tokio::test]
async fn a_filter_that_goes_too_deep_is_ended() {
    attack("def f: [f]; if .attack then f else . end", "").await;
}
