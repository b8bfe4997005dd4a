//! The two dialects, item by item.

use super::*;

fn text(item: &str) -> Item {
    Item::Text(item.into())
}

/// All events of a stream that went well, with the volatile id masked.
fn stream(strict: bool, items: Vec<Item>) -> Vec<String> {
    let mut encoder = Encoder::new("m", 7, strict);
    let mut all = Vec::new();
    for item in items {
        all.extend(encoder.item(item).unwrap());
    }
    all.extend(encoder.end());
    all.iter()
        .map(|b| {
            let text = String::from_utf8(b.to_vec()).unwrap();
            let id: Option<String> = text
                .find("m-")
                .map(|at| text.chars().skip(at).take(38).collect());
            id.map_or(text.clone(), |id| text.replace(&id, "m-ID"))
        })
        .collect()
}

#[test]
fn ours_names_the_role_once_and_ends_once() {
    let events = stream(false, vec![text("a\"ü"), text("b")]);
    assert_eq!(
        events,
        [
            "data: {\"id\":\"m-ID\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"a\\\"ü\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n",
            "data: {\"id\":\"m-ID\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"b\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n",
            "data: {\"id\":\"m-ID\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n",
            "data: [DONE]\n\n",
        ]
    );
}

#[test]
fn strict_prints_as_python_and_leaves_the_last_newline_out() {
    let events = stream(true, vec![text("a\"ü")]);
    assert_eq!(
        events,
        [
            "data: {\"id\": \"m-ID\", \"object\": \"chat.completion.chunk\", \"created\": 7, \"model\": \"m\", \"choices\": [{\"index\": 0, \"delta\": {\"content\": \"a\\\"\\u00fc\"}, \"logprobs\": null, \"finish_reason\": null}]}\n\n",
            "data: {\"id\": \"m-ID\", \"object\": \"chat.completion.chunk\", \"created\": 7, \"model\": \"m\", \"choices\": [{\"index\": 0, \"delta\": {}, \"logprobs\": null, \"finish_reason\": \"stop\"}]}\n\n",
            "data: [DONE]",
        ]
    );
    assert!(stream(true, vec![]).is_empty());
    assert!(stream(true, vec![Item::Object("{}".into()), text("lost")]).is_empty());
}

#[test]
fn lines_of_an_upstream_pass_and_their_end_is_not_doubled() {
    let last = r#"data: {"choices":[{"delta":{},"finish_reason":"length"}]}"#;
    let items = vec![Item::Raw(last.into()), Item::Raw("data: [DONE]".into())];
    assert_eq!(
        stream(false, items.clone()),
        [format!("{last}\n\n"), "data: [DONE]\n\n".into()]
    );
    let strict = stream(true, items);
    assert_eq!(strict.len(), 4);
    assert_eq!(strict[1], "data: [DONE]\n\n");
}

#[test]
fn line_breaks_in_a_line_end_no_stream() {
    let raw = "data: {\"a\":1}\n\ndata: [DONE]\r\n\r\ndata: {\"b\":2}\n".to_owned();
    let events = stream(false, vec![Item::Raw(raw), Item::Raw("\n".into())]);
    assert_eq!(events.len(), 3, "{events:?}");
    assert_eq!(events[0], "data: {\"a\":1}\n\ndata: {\"b\":2}\n\n");
    assert_eq!(events[2], "data: [DONE]\n\n");
}

#[test]
fn events_are_one_line() {
    let event = Item::Event("{\"event\":\n {\"type\":\"ü\"}}".into());
    assert_eq!(
        stream(false, vec![event.clone()])[0],
        "data: {\"event\":  {\"type\":\"ü\"}}\n\n"
    );
    assert_eq!(
        stream(true, vec![event])[0],
        "data: {\"event\": {\"type\": \"\\u00fc\"}}\n\n"
    );
    let mut encoder = Encoder::new("m", 0, false);
    assert!(encoder.item(Item::Event("{oops".into())).is_err());
}

#[test]
fn a_whole_answer_joins_texts_and_takes_them_out_of_chunks() {
    let encoder = Encoder::new("m", 7, false);
    let items = vec![
        text("a"),
        Item::Event("{}".into()),
        Item::Raw(r#"data: {"choices":[{"delta":{"content":"b"}}]}"#.into()),
        Item::Raw(": ping".into()),
        text("c"),
    ];
    let body: Value = serde_json::from_str(&encoder.whole(items).unwrap()).unwrap();
    assert_eq!(body["choices"][0]["message"]["content"], "abc");
    assert_eq!(body["object"], "chat.completion");
    let object = vec![Item::Object(r#"{"z":1.10}"#.into())];
    assert_eq!(encoder.whole(object).unwrap(), r#"{"z":1.10}"#);
    assert!(encoder.whole(vec![Item::Object("{".into())]).is_err());
}

#[test]
fn a_failure_is_an_event_and_an_end() {
    let problem = Problem::new(
        http::StatusCode::GATEWAY_TIMEOUT,
        "deadline_exceeded",
        "too slow",
    );
    let events = Encoder::failure(&problem);
    let first = String::from_utf8(events[0].to_vec()).unwrap();
    let json: Value = serde_json::from_str(first.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(json["error"]["message"], "too slow");
    assert_eq!(json["error"]["type"], "deadline_exceeded");
    assert_eq!(&events[1][..], b"data: [DONE]\n\n");
}
