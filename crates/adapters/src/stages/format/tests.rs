//! What readers make of texts, however they come in and however few records are asked for.

use bytes::Bytes;
use encoding_rs::UTF_8;
use model::data::Most;
use serde_json::json;

use super::*;

/// What came of a text: the records, the reasons with numbers and beginnings, and the error that ended it.
#[derive(Debug, PartialEq, Eq, Clone)]
struct Came {
    records: Vec<String>,
    rejects: Vec<(u64, String, Vec<u8>)>,
    error: Option<String>,
}

fn reading(format: TextFormat) -> Reading {
    Reading {
        format,
        csv: CsvOptions::default().checked("", false).unwrap(),
        records: vec![],
        encoding: UTF_8,
        record_bytes: 64,
        check: true,
    }
}

fn csv(options: serde_json::Value) -> Reading {
    let options: CsvOptions = serde_json::from_value(options).unwrap();
    Reading {
        csv: options.checked("", false).unwrap(),
        ..reading(TextFormat::Csv)
    }
}

/// Reads the text in pieces and batches of some size.
fn read(reading: &Reading, text: &[u8], piece: usize, most: Most) -> Came {
    let mut came = Came {
        records: vec![],
        rejects: vec![],
        error: None,
    };
    let mut records = Records::new(reading, None).unwrap();
    let mut pieces = text.chunks(piece);
    let mut out = Gathered::new(most, 0);
    loop {
        let stop = records.take(&mut out);
        let number = out.number();
        if stop != Ok(Stop::Hungry) {
            let whole = std::mem::replace(&mut out, Gathered::new(most, number));
            let (batch, rejects) = whole.done();
            let lines: Vec<_> = batch.data.split_inclusive(|b| *b == b'\n').collect();
            assert_eq!(lines.len(), batch.count as usize);
            assert!(lines.len() + rejects.len() <= most.records as usize);
            for line in lines {
                let line = std::str::from_utf8(line).unwrap();
                came.records
                    .push(line.strip_suffix('\n').unwrap().trim_end().into());
            }
            let rejects = rejects.into_iter();
            came.rejects
                .extend(rejects.map(|r| (r.number, r.reason, r.raw.to_vec())));
        }
        match stop {
            Ok(Stop::Done) => return came,
            Ok(Stop::Full) => {}
            Ok(Stop::Hungry) => match pieces.next() {
                Some(piece) => records.feed(Bytes::copy_from_slice(piece)).unwrap(),
                None => records.end().unwrap(),
            },
            Err(error) => {
                came.error = Some(error);
                return came;
            }
        }
    }
}

/// All ways to read it give this.
#[track_caller]
fn check(
    reading_as: &Reading,
    text: &[u8],
    records: &[&str],
    rejects: &[(u64, &str, &[u8])],
    error: Option<&str>,
) {
    let wanted = Came {
        records: records.iter().map(ToString::to_string).collect(),
        rejects: rejects
            .iter()
            .map(|(n, r, s)| (*n, (*r).to_owned(), s.to_vec()))
            .collect(),
        error: error.map(Into::into),
    };
    for piece in [1, 2, 7, 1 << 20] {
        for records in [1, 3, 1000] {
            let most = Most {
                records,
                bytes: 1 << 20,
            };
            let came = read(reading_as, text, piece, most);
            assert_eq!(came, wanted, "in pieces of {piece}, {records} at once");
        }
    }
}

#[test]
fn lines_are_handed_on_as_they_are_and_bad_ones_set_aside() {
    let r = reading(TextFormat::Ndjson);
    check(&r, b"", &[], &[], None);
    check(&r, b"\n  \r\n", &[], &[], None);
    check(
        &r,
        b"{\"a\":1}\r\n\n{\"a\": 2 }",
        &["{\"a\":1}", "{\"a\": 2 }"],
        &[],
        None,
    );
    check(
        &r,
        b"{\"a\":1}\n{\"a\":tru}\n{\"b\n{\"a\":\"\xff\"}\n{\"a\":3}\n",
        &["{\"a\":1}", "{\"a\":3}"],
        &[
            (2, "line 2: not JSON: no value at byte 5", b"{\"a\":tru}"),
            (3, "line 3: not JSON: it ends too early at byte 3", b"{\"b"),
            (
                4,
                &format!("line 4: {}", not_in("UTF-8")),
                b"{\"a\":\"\xff\"}",
            ),
        ],
        None,
    );
    let unchecked = Reading {
        check: false,
        ..r.clone()
    };
    check(
        &unchecked,
        b"{\"a\":tru}\n{\"b\n",
        &["{\"a\":tru}"],
        &[(2, "line 2: not JSON: it ends too early at byte 3", b"{\"b")],
        None,
    );
    let large = format!(
        "{{\"a\":1}}\n{{\"a\":\"{}\"}}\n{{\"a\":3}}\n",
        "x".repeat(9000)
    );
    let came = read(&r, large.as_bytes(), 10, MANY);
    assert_eq!(came.records, ["{\"a\":1}", "{\"a\":3}"]);
    let (number, reason, start) = &came.rejects[0];
    assert_eq!(
        (*number, reason),
        (2, &format!("line 2: {}", too_large(64)))
    );
    assert!(large.as_bytes()[8..].starts_with(start) && start.len() > 64);
    let came = read(&r, &large.as_bytes()[..9000], 5000, MANY);
    assert_eq!(came.rejects[0].2.len(), KEPT);
}

const MANY: Most = Most {
    records: 1000,
    bytes: 1 << 20,
};

#[test]
fn records_are_found_in_documents() {
    let r = reading(TextFormat::Json);
    check(&r, b" ", &[], &[], None);
    check(&r, b"[]", &[], &[], None);
    check(
        &r,
        b"[ {\"a\": [1, {\"b\": \"]}\\\\\\\"\"}]} ,\n{\n \"a\" : \"x y\"\n} , 3, \"z\"]\n",
        &[
            "{\"a\": [1, {\"b\": \"]}\\\\\\\"\"}]}",
            "{\"a\":\"x y\"}",
            "3",
            "\"z\"",
        ],
        &[],
        None,
    );
    check(&r, b"{\"a\":1}", &["{\"a\":1}"], &[], None);
    check(
        &r,
        b"{\"a\":1}\n{\"a\":2} [{\"a\":3}]",
        &["{\"a\":1}", "{\"a\":2}", "{\"a\":3}"],
        &[],
        None,
    );
    check(
        &r,
        b"[{\"a\":1},\n{\"a\":nul},\n{\"a\":\"\xfe\"},{\"a\":4}]",
        &["{\"a\":1}", "{\"a\":4}"],
        &[
            (
                2,
                "line 2: is no JSON: expected ident at byte 9",
                b"{\"a\":nul}",
            ),
            (
                3,
                &format!("line 3: {}", not_in("UTF-8")),
                b"{\"a\":\"\xfe\"}",
            ),
        ],
        None,
    );
    check(
        &r,
        b"[{\"a\":1},{\"a\"",
        &["{\"a\":1}"],
        &[],
        Some("the document ends in its middle, after 1 whole records (9 bytes)"),
    );
    check(
        &r,
        b"[{\"a\":1} {\"a\":2}]",
        &["{\"a\":1}"],
        &[],
        Some("line 1, byte 10: expected `,` or `]` after a record; 1 records were read before it"),
    );
    check(
        &r,
        b"[{\"a\":1},]",
        &["{\"a\":1}"],
        &[],
        Some("line 1, byte 10: expected a record; 1 records were read before it"),
    );
    let large = format!("[1,{{\"a\":\"{}\"}},2]", "x,]}\\\"".repeat(2000));
    let came = read(&r, large.as_bytes(), 100, MANY);
    assert_eq!(came.records, ["1", "2"]);
    assert_eq!(
        came.rejects[0].1,
        format!("line 1: {}", too_large(64)),
        "{came:?}"
    );
}

#[test]
fn a_path_leads_to_the_records_of_a_document() {
    let r = Reading {
        records: vec!["data".into(), "items".into()],
        ..reading(TextFormat::Json)
    };
    let text = b"{\"data0\":[{\"items\":1}],\"data\":{\"n\":{\"items\":[9]},\"items\":[{\"a\":1}, {\"a\":2}],\"x\":1},\"y\":2}";
    check(&r, text, &["{\"a\":1}", "{\"a\":2}"], &[], None);
    check(&r, b"{\"data\":{\"items\":null}}", &[], &[], None);
    check(
        &r,
        b"{\"data\":{\"items\":{\"a\":1}}}",
        &["{\"a\":1}"],
        &[],
        None,
    );
    check(
        &r,
        b"{\"data\":{\"item\":[]}}",
        &[],
        &[],
        Some("there is no key `items` in the document (`records: data.items`)"),
    );
    check(
        &r,
        b"{\"data\":[1]}",
        &[],
        &[],
        Some(
            "line 1, byte 9: expected an object with the key `items`, as `records: data.items` says; 0 records were read before it",
        ),
    );
    check(
        &r,
        b"{\"data\":{\"items\":[1,2",
        &["1"],
        &[],
        Some("the document ends in its middle, after 1 whole records (20 bytes)"),
    );
}

#[test]
fn rows_become_records() {
    let r = csv(json!({}));
    check(&r, b"", &[], &[], None);
    check(&r, b"a,b\n", &[], &[], None);
    check(
        &r,
        b"a,b,\r\n1,\"x \"\"y\"\"\nz\",\r\n\r\n-2.50,,true\r\n",
        &[
            "{\"a\":1,\"b\":\"x \\\"y\\\"\\nz\",\"column_3\":null}",
            "{\"a\":-2.50,\"b\":null,\"column_3\":true}",
        ],
        &[],
        None,
    );
    check(
        &r,
        b"id,n\n007,1\n8\n9,2,3\n\"a\nb\",4\n\xff,5\n10,6\n",
        &[
            "{\"id\":\"007\",\"n\":1}",
            "{\"id\":\"a\\nb\",\"n\":4}",
            "{\"id\":\"10\",\"n\":6}",
        ],
        &[
            (2, "line 3: 1 fields, where the header has 2", b"8\n"),
            (3, "line 4: 3 fields, where the header has 2", b"9,2,3\n"),
            (5, &format!("line 7: {}", not_in("UTF-8")), b"\xff,5\n"),
        ],
        None,
    );
    check(
        &csv(
            json!({"header": ["x", "y"], "delimiter": ";", "quote": "", "infer": false, "nulls": ["NA"], "skip_lines": 1}),
        ),
        b"# a comment; of no use\n1;\"q\nNA;\n",
        &["{\"x\":\"1\",\"y\":\"\\\"q\"}", "{\"x\":null,\"y\":\"\"}"],
        &[],
        None,
    );
    check(
        &csv(
            json!({"header": false, "types": {"column_1": "integer", "column_2": "json", "column_3": "boolean"}}),
        ),
        b"+01,\"{\"\"a\"\": [1]}\",Yes\n1.5,1,no\n2,{,n\n3,4,maybe\n",
        &["{\"column_1\":1,\"column_2\":{\"a\": [1]},\"column_3\":true}"],
        &[
            (
                2,
                "line 2: column `column_1` holds \"1.5\", which is no integer",
                b"1.5,1,no\n",
            ),
            (
                3,
                "line 3: column `column_2` holds \"{\", which is no JSON",
                b"2,{,n\n",
            ),
            (
                4,
                "line 4: column `column_3` holds \"maybe\", which is no boolean",
                b"3,4,maybe\n",
            ),
        ],
        None,
    );
    let twice = "two columns are named `a`; name the columns yourself, and leave the first row out: `csv: {header: [..], skip_lines: 1}`";
    check(&r, b"a,a\n1,2\n", &[], &[], Some(twice));
    check(
        &csv(json!({"types": {"c": "number"}})),
        b"a,b\n1,2\n",
        &[],
        &[],
        Some("`csv.types` names the column `c`, which is not there; there are: a, b"),
    );
    let open = format!("a,b\n1,2\n\"{}\n3,4\n", "x,\n".repeat(5000));
    let came = read(&r, open.as_bytes(), 1000, MANY);
    assert_eq!(came.records, ["{\"a\":1,\"b\":2}"]);
    let hint = "is there a quote that is never closed?";
    assert_eq!(
        came.rejects[0].1,
        format!("line 3: {}; {hint}", too_large(64))
    );
}

#[test]
fn a_quote_that_is_never_closed_takes_one_line_and_no_more() {
    let said =
        |line: u64, quote: u64| format!("line {line}: the quote on line {quote} is never closed");
    check(
        &csv(json!({})),
        b"a,b\n1,\"open\n2,x\n3,y\n",
        &[r#"{"a":2,"b":"x"}"#, r#"{"a":3,"b":"y"}"#],
        &[(1, &said(2, 2), b"1,\"open\n")],
        None,
    );
    // The quote is on the row's second line, and the text ends there.
    check(
        &csv(json!({})),
        b"a,b\nq,x\n\"2\n\",\"y",
        &[r#"{"a":"q","b":"x"}"#],
        &[(2, &said(3, 4), b"\"2\n\",\"y")],
        None,
    );
    check(
        &csv(json!({})),
        b"a,\"b\n1,2\n",
        &[],
        &[],
        Some("the quote on line 1 is never closed"),
    );
}

#[test]
fn halves_of_characters_are_no_json() {
    let lone = r#"{"a":"\ud800"}"#;
    let whole = r#"{"a":"\ud83d\ude00"}"#;
    check(
        &reading(TextFormat::Ndjson),
        format!("{lone}\n{whole}\n").as_bytes(),
        &[whole],
        &[(
            1,
            "line 1: not JSON: half of a surrogate pair at byte 12",
            lone.as_bytes(),
        )],
        None,
    );
}

#[test]
fn a_type_told_from_the_first_rows_holds_for_all_of_them() {
    let mut text = String::from("n,code\n");
    for n in 0..2000 {
        text.push_str(&format!("{n},12e5\n"));
    }
    text.push_str("N/A,x\n");
    let r = csv(json!({}));
    let came = read(&r, text.as_bytes(), 4096, MANY);
    assert_eq!(came.records.len(), 2000);
    assert_eq!(came.records[1999], "{\"n\":1999,\"code\":\"12e5\"}");
    assert_eq!(came.rejects.len(), 1);
    assert!(
        came.rejects[0].1.starts_with(
            "line 2002: column `n` holds \"N/A\", which is no number as the first rows have"
        ),
        "{:?}",
        came.rejects
    );
}

#[test]
fn text_is_read_in_its_encoding() {
    let text = "n\u{e4}me,\u{20ac}\nb\u{e4}r,1\n";
    let wanted = ["{\"n\u{e4}me\":\"b\u{e4}r\",\"\u{20ac}\":1}"];
    let named = |label: &str| Reading {
        encoding: encoding_of(label).unwrap(),
        ..csv(json!({}))
    };
    let utf16 = |be: bool| -> Vec<u8> {
        let units = text.encode_utf16();
        units
            .flat_map(|u| if be { u.to_be_bytes() } else { u.to_le_bytes() })
            .collect()
    };
    check(&named("utf-8"), text.as_bytes(), &wanted, &[], None);
    let marked = [b"\xef\xbb\xbf", text.as_bytes()].concat();
    check(&named("utf-8"), &marked, &wanted, &[], None);
    let marked = [b"\xff\xfe".to_vec(), utf16(false)].concat();
    check(&named("utf-8"), &marked, &wanted, &[], None);
    check(&named("utf-16be"), &utf16(true), &wanted, &[], None);
    let latin = encoding_rs::WINDOWS_1252.encode(text).0;
    check(&named("latin1"), &latin, &wanted, &[], None);
    let lone = [utf16(false), vec![0x00, 0xd8, b',', 0, b'2', 0, b'\n', 0]].concat();
    check(
        &named("utf-16le"),
        &lone,
        &wanted,
        &[(2, &format!("line 3: {}", not_in("UTF-16LE")), b"\xff,2\n")],
        None,
    );
    assert!(encoding_of("klingon").unwrap_err().contains("windows-1252"));
}

#[test]
fn reading_goes_on_from_a_place() {
    let text = b"\xef\xbb\xbfa,b\r\n1,x\r\n2,y\r\n\r\n3,z\r\n";
    let r = csv(json!({}));
    let mut records = Records::new(&r, None).unwrap();
    records.feed(Bytes::from_static(text)).unwrap();
    records.end().unwrap();
    let one = Most {
        records: 1,
        bytes: 1 << 20,
    };
    let mut numbers = vec![];
    loop {
        let mut out = Gathered::new(one, 0);
        let stop = records.take(&mut out).unwrap();
        let place = records.place();
        let mut rest = Records::at(&r, &place).unwrap();
        let left = &text[usize::try_from(place.offset).unwrap()..];
        rest.feed(Bytes::from_static(left)).unwrap();
        rest.end().unwrap();
        let mut others = Gathered::new(MANY, 0);
        assert_eq!(rest.take(&mut others), Ok(Stop::Done));
        numbers.push((out.done().0.count, others.done().0.count, rest.place().line));
        if stop == Stop::Done {
            break;
        }
    }
    assert_eq!(numbers, [(1, 2, 5), (1, 1, 5), (1, 0, 5), (0, 0, 5)]);
}
