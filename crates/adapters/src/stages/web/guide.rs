//! The pages of the guide about stages that speak HTTP: their examples do what they say.

use std::path::Path;
use std::sync::Arc;

use model::stage::{Described, SinkKind, SourceKind};
use serde_json::Value;

use super::testing::{Reply, Upstream, context, push, read, web};
use crate::stages::{sinks, sources};

/// A page of the guide: the fenced parts of it, by what is written after the fence.
struct Page {
    fences: Vec<(String, String)>,
}

impl Page {
    fn read(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/pipeline-guide");
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let parts: Vec<&str> = text.split("```").collect();
        let fenced = parts.iter().skip(1).step_by(2);
        let fences = fenced.map(|part| {
            let (kind, body) = part.split_once('\n').unwrap();
            (kind.to_owned(), body.to_owned())
        });
        let fences = fences.collect();
        Self { fences }
    }

    fn all(&self, kind: &str) -> Vec<&str> {
        let found = self.fences.iter().filter(|(k, _)| k == kind);
        found.map(|(_, body)| body.as_str()).collect()
    }

    /// The options of the example's stage, at this upstream.
    fn options(&self, pointer: &str, described: &Described, origin: &str) -> Value {
        let text = self.all("yaml spec")[0];
        let text = text.replace("${env:WEBHOOK_SECRET}", "whsec_c2VjcmV0");
        let spec: Value = serde_saphyr::from_str(&text).unwrap();
        let mut options = spec.pointer(pointer).unwrap().clone();
        let kind = options.as_object_mut().unwrap().remove("type");
        assert_eq!(kind.unwrap(), described.name);
        if let Err(e) = jsonschema::validate(&described.options, &options) {
            panic!("{}: {e}", described.name);
        }
        let url = options["url"].as_str().unwrap();
        let path = url
            .trim_start_matches("https://")
            .split_once('/')
            .unwrap()
            .1;
        options["url"] = format!("{origin}/{path}").into();
        options
    }
}

fn reply(text: &str) -> Reply {
    let (head, body) = text.split_once("\n\n").unwrap();
    let lines: Vec<&str> = head.trim_start_matches("HTTP/1.1 ").lines().collect();
    Reply::new(&lines, body)
}

async fn check_source(page: &str, kind: Arc<dyn SourceKind>) {
    let page = Page::read(page);
    let described = kind.described();
    let answers = page.all("http answer").into_iter().map(reply).collect();
    let up = Upstream::replies(answers).await;
    let options = page.options("/source", &described, &up.origin);
    assert_eq!(kind.check(&options), []);
    let got = read(&*kind, &options, None, context(None), 10).await;
    let want: Vec<&str> = page.all("ndjson output")[0].lines().collect();
    assert_eq!(got.whole(), want);
    assert_eq!(up.seen().len(), page.all("http answer").len());
}

async fn check_sink(page: &str, kind: Arc<dyn SinkKind>) {
    let page = Page::read(page);
    let described = kind.described();
    let up = Upstream::replies(vec![Reply::new(&["200 OK"], "")]).await;
    let options = page.options("/sinks/0", &described, &up.origin);
    assert_eq!(kind.check(&options), []);
    let input = page.all("ndjson input")[0];
    let all = push(&*kind, &options, context(None), &[("k", input)]).await;
    assert_eq!(all, [Ok(vec![])]);
    let sent: Vec<String> = up.seen().into_iter().map(|s| s.body).collect();
    let want: Vec<&str> = page
        .all("json sent")
        .into_iter()
        .map(str::trim_end)
        .collect();
    assert_eq!(sent, want);
}

#[tokio::test]
async fn examples_do_what_they_say() {
    let (web, _) = web();
    check_source("sources/http.md", sources::http::kind(&web)).await;
    check_source("sources/graphql.md", sources::graphql::kind(&web)).await;
    check_sink("sinks/http_api.md", sinks::http_api::kind(&web)).await;
    check_sink("sinks/webhook.md", sinks::webhook::kind(&web)).await;
}
