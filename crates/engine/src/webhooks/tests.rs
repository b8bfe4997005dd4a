//! Requests as they should be, and as they should not.

use std::num::NonZeroU32;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue};
use model::pipeline::{Rate, Scheme};
use sha2::Sha256;

use super::*;

/// The vector that the libraries of Standard Webhooks are tested with.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const TIME: u64 = 1_614_265_330;
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
/// RFC 4231, test case 2.
const JEFE: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
const WANT: &[u8] = b"what do ya want for nothing?";

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn headers<const N: usize>(all: [(&'static str, &[u8]); N]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in all {
        let value = HeaderValue::from_bytes(value).unwrap();
        headers.append(HeaderName::from_static(name), value);
    }
    headers
}

fn hex(given: &[u8], secrets: &[&str], body: &[u8]) -> Result<Verified, Refused> {
    let verifier = Verifier::new(secrets, None).unwrap();
    verifier.verify(&headers([("x-webhook-signature", given)]), body, at(TIME))
}

const GOOD: Result<Verified, Refused> = Ok(Verified { id: None });

#[test]
fn hexadecimal_digits_of_the_body() {
    assert_eq!(hex(JEFE.as_bytes(), &["Jefe"], WANT), GOOD);
    assert_eq!(
        hex(format!("sha256={JEFE}").as_bytes(), &["Jefe"], WANT),
        GOOD
    );
    let other = "aa9e2e3575f5d7098b6caccd790888c36d5fdb63342a73bada2d6a51747a8494";
    assert_eq!(hex(other.as_bytes(), &["secret"], br#"{"a":1}"#), GOOD);
    for secrets in [["old", "Jefe"], ["Jefe", "new"]] {
        assert_eq!(hex(JEFE.as_bytes(), &secrets, WANT), GOOD, "{secrets:?}");
    }
    let long = "x".repeat(200);
    assert_eq!(hex(JEFE.as_bytes(), &["Jefe", &long], WANT), GOOD);
}

#[test]
fn digits_that_are_not_those_of_the_body() {
    let upper = JEFE.to_uppercase();
    let zeros = "0".repeat(64);
    let long = "a".repeat(8_000);
    let other = JEFE.replace("5bdc", "5bdd");
    let rest = JEFE.strip_prefix('5').unwrap();
    let (half, _) = JEFE.split_at(32);
    for (given, why) in [
        ("", Refused::Malformed),
        (rest, Refused::Malformed),
        (rest.strip_prefix('b').unwrap(), Refused::Malformed),
        (half, Refused::Malformed),
        (&format!("{JEFE}00"), Refused::Malformed),
        (&upper, Refused::Malformed),
        (&format!("SHA256={JEFE}"), Refused::Malformed),
        (&format!("sha256=sha256={JEFE}"), Refused::Malformed),
        (&format!("sha1={JEFE}"), Refused::Malformed),
        (&format!(" {JEFE}"), Refused::Malformed),
        (&format!("g{rest}"), Refused::Malformed),
        (&long, Refused::Malformed),
        (&zeros, Refused::Wrong),
        (&other, Refused::Wrong),
    ] {
        assert_eq!(hex(given.as_bytes(), &["Jefe"], WANT), Err(why), "{given}");
    }
    assert_eq!(hex(&[0xff; 64], &["Jefe"], WANT), Err(Refused::Malformed));
    // Of other bytes: as if the JSON had been written anew.
    for body in [
        &b"what do ya want for nothing? "[..],
        b"",
        b"What do ya want for nothing?",
    ] {
        assert_eq!(hex(JEFE.as_bytes(), &["Jefe"], body), Err(Refused::Wrong));
    }
    assert_eq!(hex(JEFE.as_bytes(), &["jefe"], WANT), Err(Refused::Wrong));
    let verifier = Verifier::new(&["Jefe"], None).unwrap();
    let none = verifier.verify(&HeaderMap::new(), WANT, at(TIME));
    assert_eq!(none, Err(Refused::Missing));
    let jefe = JEFE.as_bytes();
    let twice = headers([("x-webhook-signature", jefe), ("x-webhook-signature", jefe)]);
    assert_eq!(
        verifier.verify(&twice, WANT, at(TIME)),
        Err(Refused::Malformed)
    );
}

/// A message with some of its headers changed; none: left out.
fn standard(
    change: &[(&str, Option<&[u8]>)],
    secrets: &[&str],
    now: u64,
) -> Result<Verified, Refused> {
    let time = TIME.to_string();
    let mut headers = headers([
        ("webhook-id", ID.as_bytes()),
        ("webhook-timestamp", time.as_bytes()),
        ("webhook-signature", SIGNATURE.as_bytes()),
    ]);
    for (name, value) in change {
        let name: HeaderName = name.parse().unwrap();
        match value {
            Some(value) => drop(headers.insert(name, HeaderValue::from_bytes(value).unwrap())),
            None => drop(headers.remove(name)),
        }
    }
    let verifier = Verifier::new(secrets, None).unwrap();
    verifier.verify(&headers, BODY, at(now))
}

#[test]
fn standard_webhooks_as_their_libraries_have_them() {
    let good = Ok(Verified {
        id: Some(ID.to_owned()),
    });
    let bare = SECRET.strip_prefix("whsec_").unwrap();
    for secrets in [[SECRET, "AAAA"], ["not base64", SECRET], [bare, bare]] {
        assert_eq!(standard(&[], &secrets, TIME), good, "{secrets:?}");
    }
    for now in [TIME - 300, TIME + 300] {
        assert_eq!(standard(&[], &[SECRET], now), good);
    }
    for now in [TIME - 301, TIME + 301, TIME + 86_400] {
        assert_eq!(standard(&[], &[SECRET], now), Err(Refused::Stale));
    }
    let several = format!("v1a,AAAA v1,AAAA {SIGNATURE} v2,x");
    let several = [("webhook-signature", Some(several.as_bytes()))];
    assert_eq!(standard(&several, &[SECRET], TIME), good);
}

#[test]
fn standard_webhooks_that_are_forged() {
    let check = |name: &str, value: Option<&[u8]>, why: Refused| {
        let found = standard(&[(name, value)], &[SECRET], TIME);
        assert_eq!(found, Err(why), "{name} {value:?}");
    };
    check("webhook-id", None, Refused::Missing);
    check("webhook-timestamp", None, Refused::Missing);
    // Without it, it is taken for one in hexadecimal digits.
    check("webhook-signature", None, Refused::Missing);
    check("webhook-id", Some(b""), Refused::Malformed);
    check("webhook-id", Some(b"a.b"), Refused::Malformed);
    check("webhook-id", Some(&[b'a'; 257]), Refused::Malformed);
    check("webhook-id", Some(b"\xff\xfe"), Refused::Malformed);
    check("webhook-id", Some(b"msg_other"), Refused::Wrong);
    for time in [
        "",
        "-1",
        "+1614265330",
        "1614265330.0",
        "9999999999999",
        "0x60",
        "now",
    ] {
        check(
            "webhook-timestamp",
            Some(time.as_bytes()),
            Refused::Malformed,
        );
    }
    check("webhook-timestamp", Some(b"1614265331"), Refused::Wrong);
    check("webhook-timestamp", Some(b"0"), Refused::Stale);
    check("webhook-timestamp", Some(b"999999999999"), Refused::Stale);
    let signature = SIGNATURE.strip_prefix("v1,").unwrap();
    for given in [
        "",
        "v1,",
        signature,
        &format!("v2,{signature}"),
        &format!("v1a,{signature}"),
        &format!("V1,{signature}"),
        &format!("v1,{}", signature.trim_end_matches('=')),
        &format!("v1,{}", signature.split_at(40).0),
        &format!("v1,{}", signature.to_uppercase()),
        &format!("v1;{signature}"),
        &"v1,AAAA ".repeat(500),
    ] {
        check("webhook-signature", Some(given.as_bytes()), Refused::Wrong);
    }
    let huge = format!("{} {SIGNATURE}", "v1,AAAA ".repeat(600));
    check(
        "webhook-signature",
        Some(huge.as_bytes()),
        Refused::Malformed,
    );
    check("webhook-signature", Some(&[0xff; 40]), Refused::Malformed);
    let text = SECRET.strip_prefix("whsec_").unwrap().to_lowercase();
    for secret in ["AAAA", &text, "not base64"] {
        assert_eq!(standard(&[], &[secret], TIME), Err(Refused::Wrong));
    }
}

/// What is signed is `id.time.body`: with a full stop in the id, a body that begins with a time would be a message of its own.
#[test]
fn a_part_of_a_body_is_no_time() {
    let key = STANDARD.decode("AAAA").unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(b"m.1000.2000.{}");
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    let verifier = Verifier::new(&["AAAA"], None).unwrap();
    let verify = |id: &[u8], time: &[u8], body: &[u8], now: u64| {
        let headers = headers([
            ("webhook-id", id),
            ("webhook-timestamp", time),
            ("webhook-signature", signature.as_bytes()),
        ]);
        verifier.verify(&headers, body, at(now))
    };
    assert!(verify(b"m", b"1000", b"2000.{}", 1_000).is_ok());
    let forged = verify(b"m.1000", b"2000", b"{}", 2_000);
    assert_eq!(forged, Err(Refused::Malformed));
}

#[test]
fn a_scheme_takes_its_own_only() {
    let verify = |scheme, secret: &str, headers: &HeaderMap, body: &[u8]| {
        let verifier = Verifier::new(&[secret], Some(scheme)).unwrap();
        verifier.verify(headers, body, at(TIME))
    };
    let digits = headers([("x-webhook-signature", JEFE.as_bytes())]);
    let time = TIME.to_string();
    let message = headers([
        ("webhook-id", ID.as_bytes()),
        ("webhook-timestamp", time.as_bytes()),
        ("webhook-signature", SIGNATURE.as_bytes()),
    ]);
    assert!(verify(Scheme::Hex, "Jefe", &digits, WANT).is_ok());
    assert!(verify(Scheme::Standard, SECRET, &message, BODY).is_ok());
    let found = verify(Scheme::Standard, "AAAA", &digits, WANT);
    assert_eq!(found, Err(Refused::Missing));
    let found = verify(Scheme::Hex, SECRET, &message, BODY);
    assert_eq!(found, Err(Refused::Missing));
}

#[test]
fn bad_secrets_are_not_shown() {
    for (secret, scheme) in [
        ("", None),
        ("whsec_", Some(Scheme::Standard)),
        ("n0t base64!", Some(Scheme::Standard)),
    ] {
        let said = Verifier::new(&["AAAA", secret], scheme).unwrap_err();
        assert!(!said.contains("n0t"), "{said}");
    }
    let shown = format!("{:?}", Verifier::new(&["s3cret"], None).unwrap());
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn exactly_so_many_in_a_window() {
    let second = Duration::from_secs(1);
    let rate = Rate::default();
    let mut window = Window::default();
    let start = second * 1_000;
    let taken =
        |window: &mut Window, now| (0..500).filter(|_| window.take(rate, now).is_ok()).count();
    assert_eq!(taken(&mut window, start), 100);
    assert_eq!(window.take(rate, start), Err(60));
    assert_eq!(window.take(rate, start + second / 2), Err(60));
    assert_eq!(window.take(rate, start + second), Err(59));
    let last = start + second * 60 - Duration::from_nanos(1);
    assert_eq!(window.take(rate, last), Err(1));
    assert_eq!(taken(&mut window, start + second * 60), 100);
    // It opens with the first request after that, however late.
    assert_eq!(taken(&mut window, start + second * 500), 100);
    assert_eq!(taken(&mut window, start + second * 559), 0);
    assert_eq!(taken(&mut window, start + second * 560), 100);
    let one = Rate {
        requests: NonZeroU32::MIN,
        per: second,
    };
    let mut window = Window::default();
    assert_eq!(window.take(one, start), Ok(()));
    assert_eq!(window.take(one, start), Err(1));
}

#[test]
fn messages_are_taken_once() {
    let second = Duration::from_secs(1);
    let mut seen = Seen::new(3);
    assert_eq!(seen.admit("a", second), Admitted::New);
    assert_eq!(seen.admit("a", second), Admitted::Seen);
    // As long as a message of that time would be taken.
    assert_eq!(seen.admit("a", second * 601), Admitted::Seen);
    assert_eq!(seen.admit("a", second * 602), Admitted::New);
    let now = second * 700;
    assert_eq!(seen.admit("b", now), Admitted::New);
    assert_eq!(seen.admit("c", now), Admitted::New);
    assert_eq!(seen.admit("d", now), Admitted::Full);
    assert_eq!(seen.admit("b", now), Admitted::Seen);
    // One that could not be kept is taken when it is sent again, and then only once.
    let mut seen = Seen::new(3);
    assert_eq!(seen.admit("a", second), Admitted::New);
    seen.forget("a");
    assert_eq!(seen.admit("a", second * 300), Admitted::New);
    assert_eq!(seen.admit("a", second * 700), Admitted::Seen);
    seen.forget("nobody");
}
