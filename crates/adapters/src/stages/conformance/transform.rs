//! What every transform has to keep to.

use bytes::Bytes;
use model::BoxFuture;
use model::data::{Batch, Encoding, Transformed, Transformer};
use model::error::Fault;
use model::stage::Convert;

use crate::stages::convert::ArrowConvert;

/// A transform to look at.
#[expect(missing_debug_implementations, reason = "it holds a closure")]
pub struct Subject<'a> {
    /// Opens one, with options under which it lets records such as `{"n":1,"text":"Zoë"}` through and keeps `n`.
    pub open: &'a (dyn Fn() -> BoxFuture<'static, Result<Box<dyn Transformer>, Fault>> + Sync),
    /// Does it look into every record, and so rejects a line that is no JSON? One that does not hands it on.
    pub parses: bool,
    /// What it is given, and has to give.
    pub encoding: Encoding,
}

/// Asks it; what it does not keep to, in sentences.
///
/// # Errors
/// All that was found.
pub async fn transform(subject: &Subject<'_>) -> Result<(), Vec<String>> {
    let mut broken = Vec::new();
    let record = |n: u32| format!("{{\"n\":{n},\"text\":\"Zo\u{eb} \\ud83d\\ude00 \\\"{n}\\\"\"}}");
    let lines = |n: u32| (0..n).map(record).collect::<Vec<_>>();
    let mut with_malformed = lines(7);
    with_malformed.insert(3, "{\"n\":3,".into());
    let large = vec![
        record(0),
        format!("{{\"n\":1,\"text\":\"{}\"}}", "x".repeat(1 << 20)),
        record(2),
    ];
    let unicode = vec![
        "{\"n\":0,\"text\":\"\u{65e5}\u{672c}\u{8a9e} \u{1f600}\",\"\u{fc}\":null}".to_owned(),
    ];
    let mut with_empty = lines(4);
    with_empty.insert(2, String::new());
    let cases: [(&str, Vec<String>, Option<u32>); 7] = [
        ("no record", Vec::new(), None),
        ("one record", lines(1), None),
        ("1,000 records", lines(1_000), None),
        ("other scripts", unicode, None),
        ("a record of 1 MiB", large, None),
        ("a line that is no JSON", with_malformed, Some(3)),
        ("a line with nothing in it", with_empty, Some(2)),
    ];
    for (name, lines, malformed) in cases {
        if malformed.is_some() && subject.encoding == Encoding::ArrowIpc {
            continue;
        }
        let found = one(subject, &lines, malformed).await;
        broken.extend(found.into_iter().map(|what| format!("{name}: {what}")));
    }
    if broken.is_empty() {
        Ok(())
    } else {
        Err(broken)
    }
}

/// One of it, given these twice: what it learnt from the first time, only a transform that sees all may use.
async fn one(subject: &Subject<'_>, lines: &[String], malformed: Option<u32>) -> Vec<String> {
    let mut broken = Vec::new();
    let mut transformer = match (subject.open)().await {
        Ok(transformer) => transformer,
        Err(fault) => return vec![format!("it does not open: {fault}")],
    };
    let batch = match ArrowConvert.convert(batch(lines), subject.encoding) {
        Ok(batch) => batch,
        Err(fault) => return vec![format!("the records cannot be given to it: {fault}")],
    };
    let (mut given, mut accounted) = (0_u64, 0_u64);
    for round in 0..2 {
        given = given.saturating_add(u64::from(batch.count));
        let gave = match transformer.apply(batch.clone()).await {
            Ok(gave) => gave,
            Err(fault) => return vec![format!("apply fails: {fault}")],
        };
        broken.extend(sound(&gave.batch, subject.encoding, round));
        broken.extend(rejects(&gave, batch.count));
        accounted = accounted.saturating_add(u64::from(gave.batch.count));
        accounted = accounted.saturating_add(u64::try_from(gave.rejects.len()).unwrap_or(u64::MAX));
        if accounted > given {
            broken.push(format!(
                "{accounted} records are accounted for, and it got {given}"
            ));
        }
        if round == 0 {
            let rejected = gave
                .rejects
                .iter()
                .find(|r| Some(r.index) == malformed && !r.reason.is_empty());
            if malformed.is_some() && subject.parses && rejected.is_none() {
                broken.push(
                    "the line that is no JSON is not rejected, with a reason and its index".into(),
                );
            }
            if gave
                .rejects
                .iter()
                .any(|r| Some(r.index) != malformed && !r.reason.is_empty())
            {
                broken.push(format!("it rejects good records: {:?}", gave.rejects));
            }
        }
    }
    match transformer.finish().await {
        Ok(None) => (),
        Ok(Some(held)) => {
            broken.extend(sound(&held, subject.encoding, 1));
            accounted = accounted.saturating_add(u64::from(held.count));
        }
        Err(fault) => broken.push(format!("finish fails: {fault}")),
    }
    if accounted != given {
        broken.push(format!("of {given} records {accounted} are accounted for"));
    }
    broken
}

fn batch(lines: &[String]) -> Batch {
    let data: String = lines
        .iter()
        .flat_map(|line| [line.as_str(), "\n"])
        .collect();
    Batch {
        encoding: Encoding::Ndjson,
        count: u32::try_from(lines.len()).unwrap_or(u32::MAX),
        data: Bytes::from(data),
    }
}

/// Is a batch what it says it is, its records in order of `n`? That may begin anew once a round: what was held back comes with what was given later.
fn sound(batch: &Batch, encoding: Encoding, rounds_before: usize) -> Vec<String> {
    let mut broken = Vec::new();
    if batch.encoding != encoding {
        let gave = batch.encoding;
        return vec![format!("it got {encoding:?} and gave {gave:?}")];
    }
    let batch = match ArrowConvert.convert(batch.clone(), Encoding::Ndjson) {
        Ok(batch) => batch,
        Err(fault) => return vec![format!("a batch cannot be read: {fault}")],
    };
    let Ok(text) = std::str::from_utf8(&batch.data) else {
        return vec!["a batch is no UTF-8".into()];
    };
    if !text.is_empty() && !text.ends_with('\n') {
        broken.push("the last line has no line break".into());
    }
    let lines: Vec<&str> = text.lines().collect();
    if u32::try_from(lines.len()) != Ok(batch.count) {
        broken.push(format!(
            "a batch of {} lines says it has {} records",
            lines.len(),
            batch.count
        ));
    }
    let numbers = lines.iter().filter_map(|line| {
        let record: serde_json::Value = serde_json::from_str(line).ok()?;
        record.get("n")?.as_u64()
    });
    let numbers: Vec<u64> = numbers.collect();
    let anew = numbers.iter().zip(numbers.iter().skip(1));
    if anew.filter(|(one, next)| one > next).count() > rounds_before {
        broken.push("the records are not in order".into());
    }
    broken
}

/// Is each rejected record one that was given, once, with a reason that is not too long?
fn rejects(gave: &Transformed, count: u32) -> Vec<String> {
    let mut broken = Vec::new();
    if !gave.rejects.is_sorted_by(|a, b| a.index < b.index) {
        broken.push("the rejects are not in order, each once".into());
    }
    for reject in &gave.rejects {
        if reject.index >= count {
            broken.push(format!("it rejects record {} of {count}", reject.index));
        }
        if reject.reason.len() > 1024 {
            broken.push(format!("a reason of {} bytes", reject.reason.len()));
        }
    }
    broken
}
