//! The sink against a real PostgreSQL: what gets into tables, what is rejected, and what happens when the server is not there.

use e2e::postgres::Postgres as Database;
use serde_json::{Value, json};

use super::super::sql::rig::Sink;
use super::Postgres;

mod connect;
mod loss;
mod refuse;
mod write;

/// Options for a table of this server, and those of `more`.
fn options(database: &Database, table: &str, more: &Value) -> Value {
    let mut options = json!({"url": database.url(), "table": table});
    let all = options.as_object_mut().unwrap();
    all.extend(more.as_object().unwrap().clone());
    options
}

/// A sink that opens.
async fn sink(database: &Database, table: &str, more: Value) -> Sink {
    let options = options(database, table, &more);
    Sink::open(&Postgres, &options).await.unwrap()
}

/// Has a statement carried out.
fn run(database: &Database, sql: &str) {
    assert_eq!(database.query(sql), "", "{sql}");
}
