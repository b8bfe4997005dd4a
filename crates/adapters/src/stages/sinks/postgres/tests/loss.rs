//! A server that goes away in the middle: nothing is lost, nothing is there twice.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::super::sql::rig::check_fault;
use super::*;

#[tokio::test]
async fn a_server_that_comes_back_gets_the_rest() {
    let mut db = Database::start();
    run(
        &db,
        "CREATE TABLE ins (id int); CREATE TABLE ups (id int PRIMARY KEY)",
    );
    let mut ins = sink(&db, "ins", json!({})).await;
    let mut ups = sink(&db, "ups", json!({"mode": "upsert", "key": ["id"]})).await;
    let line = |n: i32| format!("{{\"id\":{n}}}");
    for (round, kill) in [(0, false), (10, true)] {
        for sink in [&mut ins, &mut ups] {
            sink.take(&format!("a{round}"), &[&line(round), &line(round + 1)])
                .await;
        }
        if kill {
            db.kill()
        } else {
            db.stop()
        }
        for sink in [&mut ins, &mut ups] {
            for _ in 0..2 {
                let gone = sink.push(&format!("b{round}"), &[&line(round + 2)]).await;
                check_fault(gone, "transient", &[&db.address()]);
            }
        }
        db.start_again();
        for sink in [&mut ins, &mut ups] {
            sink.take(&format!("b{round}"), &[&line(round + 2)]).await;
        }
    }
    for table in ["ins", "ups"] {
        assert_eq!(
            db.query(&format!(
                "SELECT string_agg(id::text, ' ' ORDER BY id) FROM {table}"
            )),
            "0 1 2 10 11 12"
        );
    }
}

#[tokio::test]
async fn a_batch_held_up_or_cut_off_is_written_once() {
    let db = Database::start();
    run(&db, "CREATE TABLE t (id int PRIMARY KEY)");
    let three = [r#"{"id":1}"#, r#"{"id":2}"#, r#"{"id":3}"#];
    // Another holds the table: the batch is given up, and comes again; in the meantime others see none of it.
    let slow = json!({"timeout": "300ms", "batch_size": 2});
    let mut held = sink(&db, "t", slow).await;
    let (client, connection) = tokio_postgres::connect(&db.url(), tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client.batch_execute("BEGIN; LOCK TABLE t").await.unwrap();
    check_fault(held.push("1", &three).await, "transient", &["timeout"]);
    client.batch_execute("ROLLBACK").await.unwrap();
    held.take("1", &three).await;
    assert_eq!(db.query("SELECT count(*) FROM t"), "3");
    // An operator ends the connection.
    run(
        &db,
        "DO $$ BEGIN PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'weir'; END $$",
    );
    drop(held.push("2", &[r#"{"id":4}"#]).await);
    held.take("2", &[r#"{"id":4}"#]).await;
    assert_eq!(db.query("SELECT count(*) FROM t"), "4");
}

#[tokio::test]
async fn an_answer_that_never_came_does_not_make_rows_twice() {
    let db = Database::start();
    run(&db, "CREATE TABLE t (id int)");
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let through = db
        .url()
        .replace(&db.address(), &proxy.local_addr().unwrap().to_string());
    tokio::spawn(cut_after_second_commit(proxy, db.address()));
    let options =
        json!({"url": format!("{through}?sslmode=disable"), "table": "t", "batch_size": 2});
    let mut sink = Sink::open(&Postgres, &options).await.unwrap();
    let lines = [
        r#"{"id":1}"#,
        r#"{"id":"x"}"#,
        r#"{"id":3}"#,
        r#"{"id":"y"}"#,
        r#"{"id":5}"#,
    ];
    check_fault(
        sink.push("1", &lines).await,
        "transient",
        &["database postgres"],
    );
    assert_eq!(
        db.query("SELECT id FROM t"),
        "1\n3",
        "two transactions took place, the second unknown to the sink"
    );
    sink.reject("1", &lines, &[(1, "\"x\""), (3, "\"y\"")])
        .await;
    assert_eq!(db.query("SELECT id FROM t"), "1\n3\n5");
}

/// Passes bytes on, but for the answer to the second COMMIT: there it cuts the connection, once.
async fn cut_after_second_commit(from: TcpListener, to: String) {
    let mut commits = 0;
    loop {
        let (mut client, _) = from.accept().await.unwrap();
        let mut server = TcpStream::connect(&to).await.unwrap();
        let (mut up, mut down) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        loop {
            tokio::select! {
                n = client.read(&mut up) => {
                    let Ok(n @ 1..) = n else { break };
                    server.write_all(&up[..n]).await.unwrap();
                    commits += usize::from(up[..n].windows(7).any(|w| w == b"COMMIT\0"));
                }
                n = server.read(&mut down) => {
                    let Ok(n @ 1..) = n else { break };
                    if commits == 2 {
                        commits += 1;
                        break;
                    }
                    client.write_all(&down[..n]).await.unwrap();
                }
            }
        }
    }
}
