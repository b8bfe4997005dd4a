//! The sink `webhook` against a real server that checks signatures by itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::*;
use crate::stages::web::testing::{Reply, Seen, Upstream, context, push, web};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

async fn run(up: &Upstream, mut options: Value, batches: &[(&str, &str)]) -> Vec<String> {
    options["url"] = format!("{}/hook", up.origin).into();
    let (web, _) = web();
    let all = push(&Webhook(web), &options, context(None), batches).await;
    let said = all.into_iter().map(|pushed| match pushed {
        Ok(rejects) => format!("{} rejects", rejects.len()),
        Err(fault) => fault.to_string(),
    });
    said.collect()
}

/// As a receiver does it, from the words of the Standard Webhooks specification.
fn is_signed(seen: &Seen, secret: &str) -> bool {
    let key = STANDARD
        .decode(secret.trim_start_matches("whsec_"))
        .unwrap();
    let (id, time) = (
        seen.header("webhook-id").unwrap(),
        seen.header("webhook-timestamp").unwrap(),
    );
    assert!(!id.contains('.') && time == "784111777", "{id} {time}");
    let signatures = seen.header("webhook-signature").unwrap().split(' ');
    let text = format!("{id}.{time}.{}", seen.body);
    let good = |signature: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(text.as_bytes());
        let signature = STANDARD
            .decode(signature.strip_prefix("v1,").unwrap())
            .unwrap();
        mac.verify_slice(&signature).is_ok()
    };
    signatures.into_iter().any(good)
}

#[tokio::test]
async fn standard_webhooks_are_signed_and_keep_their_id() {
    let up = Upstream::replies(vec![
        Reply::new(&["500 Internal Server Error"], ""),
        Reply::new(&["200 OK"], ""),
    ])
    .await;
    let batches = [
        ("k", "{\"a\":1}\n{\"a\":2}\n"),
        ("k", "{\"a\":1}\n{\"a\":2}\n"),
        ("k2", "{\"a\":3}\n"),
    ];
    let options = json!({"secret": SECRET, "other_secret": "AAAA"});
    let said = run(&up, options, &batches).await;
    assert!(
        said[0].starts_with("transient: ") && said[1..] == ["0 rejects", "0 rejects"],
        "{said:?}"
    );
    let seen = up.seen();
    let bodies: Vec<&str> = seen.iter().map(|s| s.body.as_str()).collect();
    assert_eq!(bodies, ["{\"a\":1}", "{\"a\":1}", "{\"a\":2}", "{\"a\":3}"]);
    assert!(
        seen.iter()
            .all(|s| is_signed(s, SECRET) && is_signed(s, "AAAA") && !is_signed(s, "BBBB"))
    );
    let ids: Vec<_> = seen
        .iter()
        .map(|s| s.header("webhook-id").unwrap())
        .collect();
    assert!(
        ids[0] == ids[1] && ids[1] != ids[2] && ids[2] != ids[3] && ids[1] != ids[3],
        "{ids:?}"
    );
    assert_eq!(seen[0].header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn hex_signatures_are_of_the_raw_body() {
    let up = Upstream::replies(vec![Reply::new(&["204 No Content"], "")]).await;
    let options = json!({"secret": "Jefe", "scheme": "hex", "body": "records"});
    run(&up, options, &[("k", "{ \"a\" : 1 }\n2\n")]).await;
    let seen = &up.seen()[0];
    assert_eq!(seen.body, "[{ \"a\" : 1 },2]");
    let mut mac = Hmac::<Sha256>::new_from_slice(b"Jefe").unwrap();
    mac.update(seen.body.as_bytes());
    let bytes = mac.finalize().into_bytes();
    let digits: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(seen.header("x-webhook-signature"), Some(digits.as_str()));
    let options = json!({"secret": "Jefe", "scheme": "hex", "signature_header": "X-Hub-Signature-256", "signature_prefix": "sha256="});
    run(&up, options, &[("k", "1\n")]).await;
    let signature = up.seen()[1]
        .header("x-hub-signature-256")
        .unwrap()
        .to_owned();
    assert!(
        signature.starts_with("sha256=") && signature.len() == 71,
        "{signature}"
    );
}

#[tokio::test]
async fn refusals_are_told_without_the_secret() {
    let echo = |_: usize, seen: &Seen| {
        let line = if seen.body == "1" {
            "400 Bad Request"
        } else {
            "410 Gone"
        };
        Reply::new(&[line], "no")
    };
    let up = Upstream::start(echo).await;
    let said = run(
        &up,
        json!({"secret": SECRET}),
        &[("k", "1\n"), ("l", "2\n")],
    )
    .await;
    assert_eq!(said[0], "1 rejects");
    assert!(said[1].contains("410 Gone"), "{said:?}");
    let said = run(&up, json!({"secret": "n0 base64"}), &[("k", "1\n")]).await;
    assert!(
        said[0].starts_with("invalid: ") && !said[0].contains("n0 base64"),
        "{said:?}"
    );
}

#[test]
fn options_that_do_not_fit_are_all_named() {
    let (web, _) = web();
    let check = |options: Value, want: &[&str]| {
        let wrong = Webhook(web.clone()).check(&options);
        let pointers: Vec<_> = wrong.iter().map(|m| m.pointer.as_str()).collect();
        assert_eq!(pointers, want, "{wrong:?}");
        assert!(!format!("{wrong:?}").contains("not base64"), "{wrong:?}");
    };
    let url = "https://h/";
    check(json!({"url": url, "secret": "${env:SECRET}"}), &[]);
    check(json!({"url": url, "secret": "not base64"}), &["/secret"]);
    check(
        json!({"url": url, "secret": "not base64", "scheme": "hex"}),
        &[],
    );
    check(
        json!({"url": "", "secret": SECRET, "signature_header": "a b", "signature_prefix": "", "batch": 2}),
        &[
            "/url",
            "/signature_header",
            "/signature_prefix",
            "/signature_header",
            "/batch",
        ],
    );
    check(
        json!({"url": url, "secret": "x", "scheme": "hex", "other_secret": "y"}),
        &["/other_secret"],
    );
}
