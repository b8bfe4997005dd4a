//! Pages: each way to ask for the next one, and pages that never end.

use super::*;

fn pages(all: &[&'static str]) -> impl Fn(usize, &Seen) -> Reply + Send + Sync + use<> {
    let all = all.to_vec();
    move |n, _| Reply::json(all[n.min(all.len() - 1)])
}

#[tokio::test]
async fn cursors_lead_from_page_to_page() {
    let three = pages(&[
        "{\"r\": [1,2,3], \"m\": {\"next\": \"a&b\"}}",
        "{\"r\": [], \"m\": {\"next\": 7}}",
        "{\"r\": [4], \"m\": {\"next\": null}}",
    ]);
    let up = Upstream::start(three).await;
    let paging = json!({"type": "cursor", "path": "m.next", "parameter": "c"});
    let options = json!({"url": "/?x=1", "records": "r", "pagination": paging});
    let (got, _) = get(&up, options.clone()).await;
    assert_eq!(got.records, ["1", "2", "3", "4"]);
    assert_eq!(
        up.lines(),
        ["GET /?x=1", "GET /?x=1&c=a%26b", "GET /?x=1&c=7"]
    );
    // Within a page there is no cursor but the one before it; nor after the last one, so that the next run begins anew.
    let [cursor] = got.cursors.as_slice() else {
        panic!("{:?}", got.cursors);
    };
    let (rest, _) = get_from(&up, options.clone(), Some(cursor.clone())).await;
    assert_eq!(rest.whole(), ["4"]);
    assert_eq!(up.lines()[3], "GET /?x=1&c=a%26b");
    // A cursor of another request is not taken.
    let other = json!({"url": "/?x=2", "records": "r", "pagination": options["pagination"]});
    let before = up.seen().len();
    get_from(&up, other, Some(cursor.clone())).await;
    assert_eq!(up.lines()[before], "GET /?x=2");
    let (got, _) = get_from(&up, options, Some("{}".into())).await;
    assert!(got.failed().contains("none of this source"));
}

#[tokio::test]
async fn cursors_may_stand_in_the_body_and_say_that_there_is_no_more() {
    let two = pages(&[
        "{\"r\": [{\"id\":1},{\"id\":2}], \"more\": true}",
        "{\"r\": [{\"id\":3}], \"more\": false}",
    ]);
    let up = Upstream::start(two).await;
    let options = json!({
        "method": "POST", "body": {"page": {"size": 2}}, "records": "r",
        "pagination": {"type": "cursor", "path": "r.-1.id", "more": "more", "parameter": "page.after", "in": "body"},
    });
    assert_eq!(get(&up, options).await.0.whole().len(), 3);
    let bodies: Vec<_> = up.seen().into_iter().map(|s| s.body).collect();
    assert_eq!(
        bodies,
        [
            "{\"page\":{\"size\":2}}",
            "{\"page\":{\"size\":2,\"after\":2}}"
        ]
    );
}

#[tokio::test]
async fn pages_are_counted() {
    let check = async |paging: Value, replies: &[&'static str], want: &[&str]| {
        let up = Upstream::start(pages(replies)).await;
        let (got, _) = get(&up, json!({"records": "r", "pagination": paging})).await;
        assert_eq!(got.fault, None, "{paging}");
        assert_eq!(up.lines(), want, "{paging}");
    };
    let full = "{\"r\": [1,2], \"total\": 3, \"pages\": \"2\"}";
    let short = "{\"r\": [3], \"total\": 3, \"pages\": \"2\"}";
    let empty = "{\"r\": [], \"total\": 3}";
    let three = ["GET /?page=1", "GET /?page=2", "GET /?page=3"];
    check(
        json!({"type": "page"}),
        &["{\"r\":[1,2]}", "{\"r\":[3]}", "{\"r\":[]}"],
        &three,
    )
    .await;
    let sized = ["GET /?p=0&n=2", "GET /?p=1&n=2"];
    for stop in [
        json!("short"),
        json!({"total_records": "total"}),
        json!({"total_pages": "pages"}),
    ] {
        let paging = json!({"type": "page", "parameter": "p", "start": 0, "size_parameter": "n", "size": 2, "stop": stop});
        check(paging, &[full, short, empty], &sized).await;
    }
    let by_offset = [
        "GET /?offset=0&limit=2",
        "GET /?offset=2&limit=2",
        "GET /?offset=3&limit=2",
    ];
    check(
        json!({"type": "offset", "limit": 2}),
        &[full, short, empty],
        &by_offset,
    )
    .await;
    check(
        json!({"type": "offset", "limit": 2, "stop": "short"}),
        &[full, short],
        &by_offset[..2],
    )
    .await;
}

#[tokio::test]
async fn links_are_followed_at_home_only() {
    let link = |target: &str| {
        let line = format!("link: <{target}>; rel=\"next\"");
        Reply::new(&["200 OK", NDJSON, &line], "1\n")
    };
    let last = Reply::new(&["200 OK", NDJSON], "2\n");
    let up = Upstream::replies(vec![link("/b?k=s3cret&p=2"), link("?p=3"), last]).await;
    let options = json!({"url": "/a?x=1", "pagination": {"type": "link"}, "auth": {"type": "api_key", "query": "k", "value": "s3cret"}});
    let (got, _) = get(&up, options).await;
    assert!(got.cursors.iter().all(|c| !c.contains("s3cret")), "{got:?}");
    assert_eq!(got.whole(), ["1", "1", "2"]);
    assert_eq!(
        up.lines(),
        [
            "GET /a?x=1&k=s3cret",
            "GET /b?p=2&k=s3cret",
            "GET /b?p=3&k=s3cret"
        ]
    );
    let other = Upstream::replies(vec![Reply::json("[]")]).await;
    for away in [
        other.origin.clone(),
        up.origin.replace("http:", "https:"),
        "//evil.test/".into(),
    ] {
        let here = Upstream::replies(vec![link(&away)]).await;
        let (got, _) = get(
            &here,
            json!({"pagination": {"type": "link"}, "auth": {"type": "bearer", "token": "t"}}),
        )
        .await;
        assert_eq!(got.records, ["1"]);
        assert!(got.failed().contains("another origin"), "{got:?}");
    }
    assert!(other.seen().is_empty());
    let next = pages(&["{\"r\":[1],\"n\":\"/x?p=2\"}", "{\"r\":[2],\"n\":\"\"}"]);
    let up = Upstream::start(next).await;
    let options = json!({"records": "r", "pagination": {"type": "next_url", "path": "n"}});
    assert_eq!(get(&up, options).await.0.whole(), ["1", "2"]);
    assert_eq!(up.lines(), ["GET /", "GET /x?p=2"]);
}

#[tokio::test]
async fn pages_that_never_end_are_an_error() {
    let check = async |paging: Value, replies: &'static [&'static str], requests: usize| {
        let up = Upstream::start(move |n, _| Reply::json(replies[n % replies.len()])).await;
        let (got, _) = get(&up, json!({"records": "r", "pagination": paging})).await;
        let said = got.failed();
        assert!(
            said.contains("would never end") || said.contains("are the same"),
            "{said}"
        );
        assert_eq!(
            (up.seen().len(), got.records.len()),
            (requests, requests),
            "{paging}"
        );
    };
    let token = json!({"type": "cursor", "path": "n", "parameter": "c"});
    check(token.clone(), &["{\"r\":[1],\"n\":\"a\"}"], 2).await;
    check(
        token,
        &["{\"r\":[1],\"n\":\"a\"}", "{\"r\":[1],\"n\":\"b\"}"],
        3,
    )
    .await;
    check(
        json!({"type": "next_url", "path": "n"}),
        &["{\"r\":[1],\"n\":\"/a\"}"],
        2,
    )
    .await;
    check(json!({"type": "page"}), &["{\"r\":[1]}"], 3).await;
    // Pages without an end in sight are cut by `max_pages`, and the next run goes on there.
    let up = Upstream::start(|n, _| Reply::json(format!("{{\"r\":[{n}]}}"))).await;
    let options = json!({"records": "r", "pagination": {"type": "page"}, "max_pages": 2});
    let (got, _) = get(&up, options.clone()).await;
    assert_eq!(got.records, ["0", "1"]);
    get_from(&up, options, got.cursors.last().cloned())
        .await
        .0
        .whole();
    assert_eq!(up.lines()[2], "GET /?page=3");
}

#[tokio::test]
async fn a_pace_is_kept() {
    let up = Upstream::start(pages(&["[1]", "[2]", "[3]", "[4]", "[]"])).await;
    let options =
        json!({"pagination": {"type": "page"}, "rate_limit": {"requests": 2, "per": "10s"}});
    let (got, time) = get(&up, options).await;
    assert_eq!(got.whole().len(), 4);
    assert_eq!(time.waits(), seconds(&[10, 10]));
}

#[tokio::test]
async fn csv_pages_each_have_a_header() {
    let line = "link: </2>; rel=next";
    let up = Upstream::replies(vec![
        Reply::new(&["200 OK", CSV, line], "a;b\n1;x\n2;y\n"),
        Reply::new(&["200 OK", CSV], "a;b\n3;z\n"),
    ])
    .await;
    let options = json!({"pagination": {"type": "link"}, "csv": {"delimiter": ";"}});
    let (got, _) = get(&up, options).await;
    assert_eq!(
        got.whole(),
        [
            "{\"a\":1,\"b\":\"x\"}",
            "{\"a\":2,\"b\":\"y\"}",
            "{\"a\":3,\"b\":\"z\"}"
        ]
    );
}

#[tokio::test]
async fn it_does_what_every_source_has_to() {
    let up = Upstream::start(|_, seen| {
        let page = seen.line.rsplit('=').next().unwrap();
        Reply::json(match page {
            "1" => "{\"r\": [{\"n\":1},{\"n\":2},{\"n\":3}]}",
            "2" => "{\"r\": [{\"n\":4}]}",
            "3" => "{\"r\": [{\"n\":5},{\"n\":6}]}",
            _ => "{\"r\": []}",
        })
    })
    .await;
    let wanted: Vec<Value> = (1..7).map(|n| json!({"n": n})).collect();
    let options = json!({"url": up.origin, "records": "r", "pagination": {"type": "page"}});
    let open = |cursor| {
        let opening = Opening {
            config: options.to_string(),
            cursor,
            window: None,
        };
        Http(web().0).open(opening, context(None))
    };
    let done = crate::stages::conformance::source(&open, &wanted).await;
    assert_eq!(done, Ok(()));
}
