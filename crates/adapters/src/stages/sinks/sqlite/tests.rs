//! The sink against real SQLite files: what gets into tables, what is rejected, and what a file that cannot be used says.

use model::access::Files;
use model::stage::Kind as _;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::sql::rig::{Sink, check_fault, conform, context, example};
use super::{Sqlite, file};

/// A folder with a database in it.
struct Database(TempDir);

impl Database {
    /// Makes one with these tables.
    fn with(sql: &str) -> Self {
        let database = Self(TempDir::new().unwrap());
        database.connect().execute_batch(sql).unwrap();
        database
    }

    fn path(&self) -> String {
        self.0.path().join("data.sqlite").display().to_string()
    }

    fn connect(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    /// The rows of a query: a line a row, `|` between columns, texts in quotes.
    fn query(&self, sql: &str) -> String {
        let connection = self.connect();
        let mut statement = connection.prepare(sql).unwrap();
        let width = statement.column_count();
        let rows = statement.query_map([], |row| {
            let shown = (0..width).map(|at| match row.get_ref(at).unwrap() {
                ValueRef::Null => "NULL".to_owned(),
                ValueRef::Integer(n) => n.to_string(),
                ValueRef::Real(n) => format!("{n:?}"),
                ValueRef::Text(text) => format!("'{}'", String::from_utf8_lossy(text)),
                ValueRef::Blob(bytes) => format!("{bytes:?}"),
            });
            Ok(shown.collect::<Vec<_>>().join("|"))
        });
        rows.unwrap()
            .map(Result::unwrap)
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn options(&self, table: &str, more: &Value) -> Value {
        let mut options = json!({"path": self.path(), "table": table});
        let all = options.as_object_mut().unwrap();
        all.extend(more.as_object().unwrap().clone());
        options
    }

    async fn sink(&self, table: &str, more: Value) -> Sink {
        Sink::open(&Sqlite, &self.options(table, &more))
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn records_become_rows() {
    let db = Database::with(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, real REAL, text TEXT, any ANY, made TEXT DEFAULT 'd', twice INT AS (id * 2)) STRICT",
    );
    let mut sink = db.sink("t", json!({})).await;
    sink.take(
        "1",
        &[
            r#"{"id":-4611686018427387904,"real":1,"text":12345678901234567890.10,"any":[1, "x"],"made":null}"#,
            r#"{"id":2.0,"real":-1.5e3,"text":true,"any":false}"#,
            r#"{"text":"q'\"\u0000z","real":null,"any":{"a":1.10}}"#,
        ],
    )
    .await;
    assert_eq!(
        db.query("SELECT * FROM t ORDER BY id"),
        "-4611686018427387904|1.0|'12345678901234567890.10'|'[1, \"x\"]'|NULL|-9223372036854775808\n2|-1500.0|'true'|0|'d'|4\n3|NULL|'q'\"\0z'|'{\"a\":1.10}'|'d'|6"
    );
    sink.finish().await;
}

#[tokio::test]
async fn a_record_replaces_the_row_with_its_key() {
    let db = Database::with(
        "CREATE TABLE t (id INT, part TEXT, n INT, mine TEXT DEFAULT 'kept', PRIMARY KEY (id, part)); INSERT INTO t VALUES (1, 'a', 0, 'hand-made')",
    );
    let mut sink = db
        .sink("t", json!({"mode": "upsert", "key": ["part", "id"]}))
        .await;
    let lines = [
        r#"{"id":1,"part":"a","n":1}"#,
        r#"{"id":2,"part":"a","n":2}"#,
        r#"{"id":"1","part":"a","n":3}"#,
    ];
    for _ in 0..2 {
        sink.take("1", &lines).await;
        assert_eq!(
            db.query("SELECT * FROM t"),
            "1|'a'|3|'hand-made'\n2|'a'|2|'kept'"
        );
    }
    sink.take("2", &[r#"{"id":2,"part":"a","mine":"new"}"#])
        .await;
    assert_eq!(db.query("SELECT * FROM t WHERE id = 2"), "2|'a'|NULL|'new'");
    sink.take("3", &[r#"{"id":2,"part":"a","n":5}"#]).await;
    assert_eq!(db.query("SELECT * FROM t WHERE id = 2"), "2|'a'|5|'kept'");
    let lines = [r#"{"id":null,"part":"a"}"#, r#"{"part":"a"}"#];
    let said = "`id`, which is of the key";
    sink.reject("4", &lines, &[(0, said), (1, said)]).await;
    let db = Database::with("CREATE TABLE k (id INT UNIQUE)");
    let mut keys = db.sink("k", json!({"mode": "upsert", "key": ["id"]})).await;
    keys.take("1", &[r#"{"id":1}"#, r#"{"id":1}"#]).await;
    assert_eq!(db.query("SELECT * FROM k"), "1");
}

#[tokio::test]
async fn file_and_table_are_made_from_the_first_records() {
    let db = Database(TempDir::new().unwrap());
    let more = json!({"create": true, "mode": "upsert", "key": ["id"], "columns": {"code": "TEXT", "later": "ANY"}});
    let name = r#"wei"rd; DROP TABLE x"#;
    let mut sink = db.sink(name, more.clone()).await;
    sink.reject("0", &["x", "{}"], &[(0, "not a record"), (1, "no field")])
        .await;
    let first = json!({"id": 1, "code": 7, "real": 1.5, "yes": true, "doc": {}, "none": null, "Grö\"ße": "x"}).to_string();
    sink.take("1", &[&first]).await;
    let types = format!("SELECT name, type, \"notnull\" FROM pragma_table_info('{name}')");
    assert_eq!(
        db.query(&types),
        "'id'|'INTEGER'|1\n'code'|'TEXT'|0\n'real'|'REAL'|0\n'yes'|'INTEGER'|0\n'doc'|'TEXT'|0\n'none'|'TEXT'|0\n'Grö\"ße'|'TEXT'|0\n'later'|'ANY'|0"
    );
    assert_eq!(
        db.query("SELECT strict FROM pragma_table_list WHERE name LIKE 'wei%'"),
        "1"
    );
    assert_eq!(db.query("PRAGMA journal_mode"), "'wal'");
    sink.reject(
        "2",
        &[
            r#"{"id":2,"other":1}"#,
            r#"{"id":9223372036854775808}"#,
            r#"{"id":3,"real":"abc"}"#,
            r#"{"id":4,"real":1e400}"#,
            r#"{"id":5,"none":"\ud800"}"#,
            r#"{"id":6,"code":9223372036854775808}"#,
            r#"{"id":7,"yes":1.5}"#,
        ],
        &[
            (0, "no column for `other`"),
            (1, "`id`: 9223372036854775808 is more than the 64 bits"),
            (2, "cannot store TEXT value in REAL column"),
            (3, "`real`: 1e400 is more"),
            (4, "half of a surrogate pair"),
            (6, "cannot store REAL value in INTEGER column"),
        ],
    )
    .await;
    sink.finish().await;
    db.sink(name, more)
        .await
        .take("1", &[r#"{"id":1,"code":"new"}"#])
        .await;
    assert_eq!(
        db.query(r#"SELECT id, code, real FROM "wei""rd; DROP TABLE x""#),
        "1|'new'|1.5\n6|'9223372036854775808'|NULL"
    );
}

#[tokio::test]
async fn a_record_that_does_not_fit_is_rejected_alone() {
    let db = Database::with(
        "CREATE TABLE t (id INT PRIMARY KEY, n INT NOT NULL CHECK (n < 100)); INSERT INTO t VALUES (1000, 1)",
    );
    let mut sink = db.sink("t", json!({"batch_size": 7})).await;
    let mut lines: Vec<String> = (0..100)
        .map(|id| format!("{{\"id\":{id},\"n\":1}}"))
        .collect();
    lines.insert(5, r#"{"id":200,"n":100}"#.into());
    lines.insert(50, r#"{"id":201}"#.into());
    lines.insert(51, r#"{"id":1000,"n":2}"#.into());
    lines.insert(52, r#"{"id":202,"n":"#.into());
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let expected = [
        (5, "CHECK constraint failed"),
        (50, "NOT NULL constraint failed: t.n"),
        (51, "UNIQUE constraint failed: t.id"),
        (52, "not a record"),
    ];
    sink.reject("1", &lines, &expected).await;
    assert_eq!(db.query("SELECT count(*), sum(n) FROM t"), "101|101");
}

#[tokio::test]
async fn a_file_that_another_holds_gets_the_batch_later() {
    let db = Database::with("CREATE TABLE t (id INT)");
    let mut sink = db.sink("t", json!({"batch_size": 2})).await;
    let lines = [r#"{"id":1}"#, r#"{"id":2}"#, r#"{"id":3}"#];
    let other = db.connect();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let held = sink.push("1", &lines).await;
    check_fault(
        held,
        "transient",
        &["data.sqlite", "locked", "another program"],
    );
    other.execute_batch("ROLLBACK").unwrap();
    sink.take("1", &lines).await;
    assert_eq!(db.query("SELECT group_concat(id, ' ') FROM t"), "'1 2 3'");
}

#[tokio::test]
async fn what_cannot_work_says_why() {
    let db = Database::with("CREATE TABLE t (id INT, name TEXT UNIQUE)");
    let open = async |options: Value| Sink::open(&Sqlite, &options).await.map(drop);
    let folder = db.0.path();
    let path = |name: &str| folder.join(name).display().to_string();
    let missing = json!({"path": path("nowhere.sqlite"), "table": "t"});
    check_fault(
        open(missing).await,
        "invalid",
        &["there is no file", "nowhere.sqlite", "create: true"],
    );
    assert!(!folder.join("nowhere.sqlite").exists());
    let missing = json!({"path": path("no/where.sqlite"), "table": "t", "create": true});
    check_fault(
        open(missing).await,
        "invalid",
        &["no/where.sqlite", "unable to open"],
    );
    std::fs::write(
        folder.join("other"),
        "not a database, but long enough to look at it".repeat(100),
    )
    .unwrap();
    let other = json!({"path": path("other"), "table": "t"});
    check_fault(open(other).await, "invalid", &["other", "not a database"]);
    check_fault(
        open(db.options("nix", &json!({}))).await,
        "invalid",
        &["no table nix in ", "data.sqlite"],
    );
    let upsert = |key: &str| db.options("t", &json!({"mode": "upsert", "key": [key]}));
    check_fault(
        open(upsert("id")).await,
        "invalid",
        &["`key` (id)", "neither its primary key nor unique"],
    );
    check_fault(
        open(upsert("nix")).await,
        "invalid",
        &["no column `nix`", "`id`, `name`"],
    );
    let lines = [r#"{"id":1,"title":"x"}"#];
    let mut sink = db.sink("t", json!({})).await;
    let said = [
        "no column for `title`",
        "fields given: `id`, `title`",
        "columns there: `id`, `name`",
    ];
    check_fault(sink.push("1", &lines).await, "invalid", &said);
    db.sink("t", json!({"extra_fields": "ignore"}))
        .await
        .take("1", &lines)
        .await;
    assert_eq!(db.query("SELECT * FROM t"), "1|NULL");
    let outside = context(Files::Within(vec![folder.join("in")]), None);
    let denied = Sink::open_in(&Sqlite, &db.options("t", &json!({})), outside).await;
    check_fault(denied.map(drop), "denied", &["data.sqlite", "allowed: "]);
}

#[tokio::test]
async fn options_that_do_not_fit_are_refused() {
    let check = |options: Value, pointers: &[&str]| {
        let found = Sqlite.check(&options);
        let places: Vec<_> = found.iter().map(|m| m.pointer.as_str()).collect();
        assert_eq!(places, pointers, "{found:?}");
    };
    check(json!({"path": "a", "table": "t"}), &[]);
    check(json!({"path": "", "table": "\0"}), &["/path", "/table"]);
    check(
        json!({"path": "a", "table": "t", "create": true, "columns": {"a": "text", "b": "VARCHAR"}}),
        &["/columns/b"],
    );
    check(json!({"path": "a", "table": "t", "other": 1}), &["/other"]);
}

#[test]
fn a_full_disk_may_have_room_later() {
    let db = Database::with("CREATE TABLE t (text TEXT)");
    let connection = db.connect();
    connection
        .execute_batch("PRAGMA max_page_count = 3")
        .unwrap();
    let error = connection
        .execute("INSERT INTO t VALUES (?1)", ["x".repeat(100_000)])
        .unwrap_err();
    let fault: Result<(), _> = Err(file::fault("data.sqlite".as_ref(), &error));
    check_fault(
        fault,
        "transient",
        &["data.sqlite: database or disk is full", "no space"],
    );
}

#[tokio::test]
async fn the_example_of_the_guide_works() {
    let db = Database(TempDir::new().unwrap());
    let mut options = example(&Sqlite);
    options.insert("path".into(), db.path().into());
    let mut sink = Sink::open(&Sqlite, &options.into()).await.unwrap();
    let day = r#"{"date":"2012-01-01","precipitation":0.5}"#;
    sink.take("1", &[day, day]).await;
    assert_eq!(db.query("SELECT * FROM weather"), "'2012-01-01'|0.5");
}

#[tokio::test]
async fn it_does_what_every_sink_does() {
    let db = Database::with("CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT NOT NULL, doc TEXT)");
    for mode in [json!({}), json!({"mode": "upsert", "key": ["n"]})] {
        let options = db.options("t", &mode);
        let clear = || db.connect().execute_batch("DELETE FROM t").unwrap();
        conform(&Sqlite, &options, &clear, &|| {
            let shown = db.query(
                "SELECT json_object('n', n, 'text', text, 'doc', json(doc)) FROM t ORDER BY n",
            );
            shown.replace("'{", "{").replace("}'", "}")
        })
        .await;
    }
}
