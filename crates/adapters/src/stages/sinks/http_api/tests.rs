//! The sink `http_api` against a real server.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use model::data::Encoding;
use serde_json::{Value, json};

use super::*;
use crate::stages::conformance;
use crate::stages::web::testing::{Reply, Seen, Upstream, context, push, web};

const THREE: &str = "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n";

fn ok() -> Reply {
    Reply::json("{}")
}

fn status(line: &'static str, body: &'static str) -> Reply {
    Reply::new(&[line], body)
}

fn retry() -> Value {
    json!({"max_retries": 3, "first": "1s", "factor": 2.0, "max_delay": "60s", "jitter": 0.0})
}

/// Pushes batches; gives the rejects of each (index and reason), or what went wrong, and what was waited.
async fn run(
    up: &Upstream,
    mut options: Value,
    batches: &[(&str, &str)],
) -> (Vec<Result<Vec<(u32, String)>, String>>, Vec<Duration>) {
    options["url"] = format!("{}/in", up.origin).into();
    let (web, time) = web();
    let all = push(&HttpApi(web), &options, context(None), batches).await;
    let all = all.into_iter().map(|pushed| match pushed {
        Ok(rejects) => Ok(rejects.into_iter().map(|r| (r.index, r.reason)).collect()),
        Err(fault) => Err(fault.to_string()),
    });
    (all.collect(), time.waits())
}

fn bodies(up: &Upstream) -> Vec<String> {
    up.seen().into_iter().map(|s| s.body).collect()
}

fn keys(up: &Upstream) -> Vec<String> {
    let key = |s: &Seen| s.header("idempotency-key").unwrap_or("none").to_owned();
    up.seen().iter().map(key).collect()
}

#[tokio::test]
async fn records_go_out_as_the_options_say() {
    let check = async |options: Value, want: &[&str], type_: &str, named: &[&str]| {
        let up = Upstream::replies(vec![ok()]).await;
        let (all, _) = run(&up, options, &[("run_1", THREE)]).await;
        assert_eq!(all, [Ok(vec![])]);
        assert_eq!(bodies(&up), want);
        assert_eq!(keys(&up), named);
        assert!(
            up.seen()
                .iter()
                .all(|s| s.header("content-type") == Some(type_))
        );
    };
    let (one, two, three) = ("{\"a\":1}", "{\"a\":2}", "{\"a\":3}");
    let json_type = "application/json";
    check(
        json!({}),
        &["[{\"a\":1},{\"a\":2},{\"a\":3}]"],
        json_type,
        &["run_1"],
    )
    .await;
    let parts = ["[{\"a\":1},{\"a\":2}]", "[{\"a\":3}]"];
    check(
        json!({"batch": 2}),
        &parts,
        json_type,
        &["run_1-0", "run_1-1"],
    )
    .await;
    let named = ["run_1-0", "run_1-1", "run_1-2"];
    check(
        json!({"body": "record"}),
        &[one, two, three],
        json_type,
        &named,
    )
    .await;
    let lines = json!({"body": "ndjson", "idempotency_header": ""});
    check(lines, &[THREE], "application/x-ndjson", &["none"]).await;
    let up = Upstream::replies(vec![ok()]).await;
    let options = json!({"method": "PUT", "headers": {"Content-Type": "application/vnd.x+json"}, "auth": {"type": "bearer", "token": "t"}});
    run(&up, options, &[("k", "1\n"), ("k2", "")]).await;
    let seen = &up.seen()[0];
    assert_eq!(
        (seen.line.as_str(), seen.header("authorization")),
        ("PUT /in", Some("Bearer t"))
    );
    assert_eq!(seen.header("content-type"), Some("application/vnd.x+json"));
    assert_eq!(up.seen().len(), 1, "an empty batch is no request");
}

#[tokio::test]
async fn requests_go_out_side_by_side_but_no_more_than_allowed() {
    let up = Upstream::replies(vec![ok()]).await;
    let lines: String = (0..50).map(|n| format!("{n}\n")).collect();
    let options = json!({"body": "record", "concurrency": 4});
    let (all, _) = run(&up, options, &[("k", &lines)]).await;
    assert_eq!(all, [Ok(vec![])]);
    let sent: BTreeSet<String> = bodies(&up).into_iter().collect();
    assert_eq!((sent.len(), up.seen().len()), (50, 50));
}

#[tokio::test]
async fn refused_records_are_rejects_and_a_refused_sender_is_a_failure() {
    let reason = |up: &Upstream, said: &str| format!("POST {}/in answered {said}", up.origin);
    for line in [
        "400 Bad Request",
        "409 Conflict",
        "413 Payload Too Large",
        "422 Unprocessable Entity",
    ] {
        let up = Upstream::replies(vec![status(line, "why\nnot")]).await;
        let (all, _) = run(&up, json!({"retry": retry()}), &[("k", "1\n2\n")]).await;
        let said = reason(&up, &format!("{line}: why not"));
        assert_eq!(all, [Ok(vec![(0, said.clone()), (1, said)])]);
    }
    let second = |_: usize, seen: &Seen| match seen.body.as_str() {
        "2" => status("422 Unprocessable Entity", "two"),
        _ => ok(),
    };
    let up = Upstream::start(second).await;
    let (all, _) = run(&up, json!({"body": "record"}), &[("k", "1\n2\n3\n")]).await;
    let said = reason(&up, "422 Unprocessable Entity: two");
    assert_eq!(all, [Ok(vec![(1, said)])]);
    for line in [
        "401 Unauthorized",
        "403 Forbidden",
        "404 Not Found",
        "410 Gone",
        "302 Found",
    ] {
        let up = Upstream::replies(vec![status(line, "")]).await;
        let (all, _) = run(&up, json!({"retry": retry()}), &[("k", "1\n")]).await;
        let said = all[0].as_ref().unwrap_err();
        assert!(
            said.starts_with("invalid: ") && said.contains(line),
            "{said}"
        );
        assert_eq!(up.seen().len(), 1);
    }
}

#[tokio::test]
async fn failures_that_pass_are_tried_again_under_the_same_key() {
    let up = Upstream::replies(vec![
        status("503 Service Unavailable", ""),
        Reply::new(&["429 Too Many Requests", "retry-after: 9"], ""),
        Reply::raw(&["200 OK"], "").closing(),
    ])
    .await;
    let (all, waits) = run(&up, json!({"retry": retry()}), &[("k", "1\n")]).await;
    assert_eq!(all, [Ok(vec![])]);
    assert_eq!(waits, [1, 9].map(Duration::from_secs));
    assert_eq!(keys(&up), ["k", "k", "k"]);
}

#[tokio::test]
async fn a_batch_that_comes_again_goes_on_where_it_stopped() {
    // The second record fails once, so the batch does, and comes again.
    let up = Upstream::start(|n, _| match n {
        0 => status("422 Unprocessable Entity", "one"),
        1 => status("500 Internal Server Error", ""),
        _ => ok(),
    })
    .await;
    let batches = [("k", THREE), ("k", THREE), ("k2", "{\"a\":4}\n")];
    let (all, _) = run(&up, json!({"body": "record"}), &batches).await;
    assert!(
        all[0].as_ref().unwrap_err().starts_with("transient: "),
        "{all:?}"
    );
    assert_eq!(
        all[1].as_ref().unwrap().len(),
        1,
        "the reject of before is told"
    );
    let sent: Vec<String> = bodies(&up);
    let want = [
        "{\"a\":1}",
        "{\"a\":2}",
        "{\"a\":2}",
        "{\"a\":3}",
        "{\"a\":4}",
    ];
    assert_eq!(sent, want);
    assert_eq!(keys(&up), ["k-0", "k-1", "k-1", "k-2", "k2"]);
}

#[tokio::test]
async fn results_of_each_record_are_read() {
    let check = async |answer: &'static str, results: Value, want: Result<&[(u32, &str)], &str>| {
        let up = Upstream::replies(vec![Reply::json(answer)]).await;
        let (all, _) = run(&up, json!({"results": results}), &[("k", "1\n2\n")]).await;
        match (&all[0], want) {
            (Ok(rejects), Ok(want)) => {
                assert_eq!(rejects.len(), want.len(), "{rejects:?}");
                for ((index, reason), (at, said)) in rejects.iter().zip(want) {
                    assert!(index == at && reason.contains(said), "{rejects:?}");
                }
            }
            (Err(said), Err(want)) => assert!(said.contains(want), "{said}"),
            other => panic!("{other:?}"),
        }
    };
    let items = json!({"records": "items", "error": "error.reason"});
    let answer = r#"{"items": [{"error": {"reason": "too old"}}, {"ok": true}]}"#;
    check(answer, items.clone(), Ok(&[(0, "too old")])).await;
    check(
        r#"[{"error": null}, {"error": {"x": 1}}]"#,
        json!({}),
        Ok(&[(1, "{\"x\": 1}")]),
    )
    .await;
    check(
        r#"{"items": [{}]}"#,
        items.clone(),
        Err("1 results for 2 records"),
    )
    .await;
    check("{}", items.clone(), Err("no list of results")).await;
    check("nonsense", items, Err("it is no JSON")).await;
}

#[tokio::test]
async fn secrets_are_in_no_error_and_no_reject() {
    let echo = |_: usize, seen: &Seen| {
        let all = format!("{:?} {}", seen.header("authorization"), seen.line);
        Reply::new(&["400 Bad Request"], all)
    };
    let up = Upstream::start(echo).await;
    let options = json!({"auth": {"type": "bearer", "token": "s3cret"}});
    let (all, _) = run(&up, options, &[("k", "1\n")]).await;
    let said = format!("{all:?}");
    assert!(
        said.contains("Bearer ***") && !said.contains("s3cret"),
        "{said}"
    );
    let bad = json!({"headers": {"x": "s3cret\r\ny: z"}});
    let (all, _) = run(&up, bad, &[("k", "1\n")]).await;
    let said = format!("{all:?}");
    assert!(
        said.contains("the header x") && !said.contains("s3cret"),
        "{said}"
    );
}

#[test]
fn options_that_do_not_fit_are_all_named() {
    let (web, _) = web();
    let check = |options: Value, want: &[&str]| {
        let wrong = HttpApi(web.clone()).check(&options);
        let pointers: Vec<_> = wrong.iter().map(|m| m.pointer.as_str()).collect();
        assert_eq!(pointers, want, "{wrong:?}");
    };
    check(json!({"url": "https://h/{{timescope}}"}), &[]);
    check(
        json!({"url": "h", "method": "GET", "body": "record", "batch": 2, "results": {"error": ""}, "idempotency_header": "a b"}),
        &[
            "/url",
            "/idempotency_header",
            "/method",
            "/batch",
            "/results",
            "/results",
        ],
    );
    check(
        json!({"url": "http://h", "concurrency": 0}),
        &["/concurrency"],
    );
}

#[tokio::test]
async fn it_does_what_every_sink_has_to() {
    for body in ["records", "record", "ndjson"] {
        let taken = Arc::new(Mutex::new(Vec::<Value>::new()));
        let kept = Arc::clone(&taken);
        let up = Upstream::start(move |_, seen| {
            let values = serde_json::Deserializer::from_str(&seen.body).into_iter::<Value>();
            for value in values.map(Result::unwrap) {
                match value {
                    Value::Array(all) => kept.lock().unwrap().extend(all),
                    one => kept.lock().unwrap().push(one),
                }
            }
            ok()
        })
        .await;
        let options = json!({"url": up.origin, "body": body});
        let open = || HttpApi(web().0).open(options.to_string(), context(None));
        let shown = || Some(taken.lock().unwrap().clone());
        let clear = || taken.lock().unwrap().clear();
        let records: Vec<Value> = (0..7).map(|n| json!({"n": n})).collect();
        let shows = conformance::Shows::AsItComes;
        let done =
            conformance::sink(&open, &shown, &clear, shows, Encoding::Ndjson, &records).await;
        assert_eq!(done, Ok(()), "{body}");
    }
}
