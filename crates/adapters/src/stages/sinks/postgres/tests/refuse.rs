//! Records that do not fit: each is rejected with its reason, and all others are there.

use super::super::super::sql::rig::check_fault;
use super::*;

#[tokio::test]
async fn a_record_that_does_not_fit_is_rejected_alone() {
    let db = Database::start();
    run(
        &db,
        "CREATE TABLE other (id int PRIMARY KEY); INSERT INTO other VALUES (1);
         CREATE TABLE t (id int PRIMARY KEY, c2 int CHECK (c2 < 100), at timestamptz, word varchar(3), r int REFERENCES other DEFERRABLE INITIALLY DEFERRED, need text NOT NULL, doc jsonb)",
    );
    let bad = [
        (
            r#"{"id":1,"need":"","c2":"abc"}"#,
            "`c2` does not fit its column (integer): invalid input syntax for type integer: \"abc\"",
        ),
        (r#"{"id":2,"need":"","c2":99999999999}"#, "out of range"),
        (r#"{"id":3,"need":"","c2":1.5}"#, "`c2`"),
        (r#"{"id":4,"need":"","c2":100}"#, "t_c2_check"),
        (
            r#"{"id":5,"need":"","at":"yesterday-ish"}"#,
            "`at` does not fit its column (timestamp with time zone)",
        ),
        (
            r#"{"id":6,"need":"","word":"long"}"#,
            "`word` does not fit its column (character varying(3))",
        ),
        (r#"{"id":7,"need":"","r":2}"#, "(r)=(2)"),
        (r#"{"id":8}"#, "`need` is missing"),
        (r#"{"id":9,"need":null}"#, "`need` is null"),
        (
            r#"{"id":10,"need":"\u0000"}"#,
            "`need`: it holds the character NUL",
        ),
        (r#"{"id":11,"need":"\udc00"}"#, "half of a surrogate pair"),
        (
            r#"{"id":12,"need":"","doc":"\u0000"}"#,
            "`doc` does not fit",
        ),
        (r#"{"id":13,"need":"","c2":{"a":1}}"#, "`c2`"),
        (r#"{"id":14,"need":"","c2":NaN}"#, "not a record"),
        (r#"["id"]"#, "expected a JSON object"),
        (r#"{"id":15,"need":"""#, "not a record"),
        (r#"{"id":16,"need":"","c2":1e400}"#, "`c2`"),
        (r#"{"id":1000,"need":""}"#, "(id)=(1000)"),
    ];
    for (at, mode) in ["insert", "upsert"].into_iter().enumerate() {
        run(
            &db,
            "TRUNCATE t; INSERT INTO t (id, need) VALUES (1000, '')",
        );
        // Of upserts a known key is none that clashes.
        let bad = bad.get(..bad.len() - at).unwrap();
        let mut more = json!({"mode": mode});
        if mode == "upsert" {
            more["key"] = json!(["id"]);
        }
        let mut sink = sink(&db, "t", more).await;
        let mut lines: Vec<String> = (2_000..2_200).map(|id| format!("{{\"id\":{id},\"need\":\"x\",\"c2\":1,\"at\":null,\"word\":\"w\",\"r\":1,\"doc\":[]}}")).collect();
        let mut expected = Vec::new();
        for (n, (line, said)) in bad.iter().enumerate() {
            lines.insert(n * 9, (*line).to_owned());
            expected.push((u32::try_from(n * 9).unwrap(), *said));
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        sink.reject("1", &lines, &expected).await;
        assert_eq!(
            db.query("SELECT count(*), min(id) FROM t"),
            "201|1000",
            "{mode}"
        );
        // None of a batch fits, and it goes on after it.
        let none: Vec<&str> = bad.iter().map(|(line, _)| *line).collect();
        assert_eq!(sink.push("2", &none).await.unwrap().len(), none.len());
        sink.take("3", &[r#"{"id":3000,"need":"","r":1}"#]).await;
        assert_eq!(db.query("SELECT count(*) FROM t"), "202");
    }
}

#[tokio::test]
async fn what_a_trigger_or_a_policy_says_counts() {
    let db = Database::start();
    run(
        &db,
        "CREATE TABLE t (id int, made text NOT NULL);
         CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           IF NEW.id = 13 THEN RAISE EXCEPTION 'no thirteens'; END IF;
           NEW.made := 'by trigger'; RETURN NEW; END $$;
         CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();
         CREATE VIEW v AS SELECT * FROM t WHERE id < 50 WITH CHECK OPTION;
         CREATE TABLE p (id int, n int) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)",
    );
    let lines = [r#"{"id":1}"#, r#"{"id":13}"#, r#"{"id":2}"#];
    sink(&db, "t", json!({}))
        .await
        .reject("1", &lines, &[(1, "no thirteens")])
        .await;
    let lines = [r#"{"id":3}"#, r#"{"id":60}"#];
    sink(&db, "v", json!({}))
        .await
        .reject("1", &lines, &[(1, "check option")])
        .await;
    let lines = [r#"{"id":3}"#, r#"{"id":60}"#];
    sink(&db, "p", json!({}))
        .await
        .reject("1", &lines, &[(1, "no partition")])
        .await;
    assert_eq!(db.query("SELECT id FROM t"), "1\n2\n3");
}

#[tokio::test]
async fn a_table_that_will_not_do_says_why() {
    let db = Database::start();
    run(
        &db,
        "CREATE TABLE t (id int, name text, UNIQUE (id, name)); CREATE UNIQUE INDEX ON t (name) WHERE id > 0",
    );
    let open = async |table: &str, more: Value| {
        Sink::open(&Postgres, &options(&db, table, &more))
            .await
            .map(drop)
    };
    let said = [
        "no table nowhere in database postgres at 127.0.0.1:",
        "create: true",
    ];
    check_fault(open("nowhere", json!({})).await, "invalid", &said);
    check_fault(
        open("no.where", json!({})).await,
        "invalid",
        &["no table no.where"],
    );
    let upsert = json!({"mode": "upsert", "key": ["name"]});
    check_fault(
        open("t", upsert).await,
        "invalid",
        &["no unique index", "(name)", "`id, name`"],
    );
    let upsert = json!({"mode": "upsert", "key": ["nix"]});
    check_fault(
        open("t", upsert).await,
        "invalid",
        &["no column `nix`", "`id`, `name`"],
    );
    let mut with_others = sink(&db, "t", json!({})).await;
    let lines = [r#"{"id":1,"title":"x"}"#, r#"{"id":2,"year":1}"#];
    let said = [
        "has no column for `title`, `year`",
        "fields given: `id`, `title`, `year`",
        "columns there: `id`, `name`",
        "extra_fields",
    ];
    check_fault(with_others.push("1", &lines).await, "invalid", &said);
    sink(&db, "t", json!({"extra_fields": "ignore"}))
        .await
        .take("1", &lines)
        .await;
    assert_eq!(db.query("SELECT id FROM t"), "1\n2");
    let create = json!({"create": true, "mode": "upsert", "key": ["id"]});
    let mut keyless = sink(&db, "keyless", create).await;
    check_fault(
        keyless.push("1", &[r#"{"a":1}"#]).await,
        "invalid",
        &["key column `id`", "`a`"],
    );
    let mut untyped = sink(
        &db,
        "untyped",
        json!({"create": true, "columns": {"a": "no_such_type"}}),
    )
    .await;
    check_fault(
        untyped.push("1", &[r#"{"a":1}"#]).await,
        "invalid",
        &["no_such_type"],
    );
}

#[tokio::test]
async fn options_that_do_not_fit_are_refused() {
    let check = |options: Value, pointers: &[&str]| {
        use model::stage::Kind as _;
        let found = Postgres.check(&options);
        let places: Vec<_> = found.iter().map(|m| m.pointer.as_str()).collect();
        assert_eq!(places, pointers, "{found:?}");
        assert!(!format!("{found:?}").contains("hush"), "{found:?}");
    };
    let url = "postgres://u:hush@h/d";
    check(json!({"url": url, "table": "t"}), &[]);
    check(
        json!({"url": "${env:DATABASE}", "table": "{{params.table}}"}),
        &[],
    );
    check(
        json!({"url": "mysql://u:hush@h", "table": "a.b.c"}),
        &["/url", "/table"],
    );
    check(
        json!({"url": "postgres://u:hu@sh/hush@h:x/d", "table": "t"}),
        &["/url"],
    );
    check(json!({"url": "postgres:///d", "table": "t"}), &["/url"]);
    check(
        json!({"url": "postgres://u:hush@h/d?sslmode=verify-ca", "table": "t"}),
        &["/url"],
    );
    check(
        json!({"url": "postgres://u:hush@h/d?hostaddr=1.2.3.4", "table": "t"}),
        &["/url"],
    );
    for table in ["", ".", "a.", "\"", "a\"b", "\"a\"\"", "a\0"] {
        check(json!({"url": url, "table": table}), &["/table"]);
    }
    let good = [
        "bigint",
        "numeric(10,2)",
        "numeric( 10 , 2 )[]",
        "timestamp(3) with time zone",
        "double precision",
        "my.type",
        "text[][]",
    ];
    let bad = [
        "",
        "text)",
        "text; DROP TABLE t",
        "text default 5",
        "bigint primary key",
        "numeric(10,x)",
        "a.b.c",
        "\"text\"",
        "text--",
        "(5)",
        "numeric)(",
        "1a",
    ];
    for (types, pointers) in [
        (good.as_slice(), [].as_slice()),
        (bad.as_slice(), ["/columns/a"].as_slice()),
    ] {
        for given in types {
            check(
                json!({"url": url, "table": "t", "create": true, "columns": {"a": given}}),
                pointers,
            );
        }
    }
}
