//! Getting to the server, or not: passwords, encryption, access.

use std::process::Command;

use model::access::Files;

use super::super::super::sql::rig::{Sink, check_fault, context};
use super::*;

#[tokio::test]
async fn a_server_that_cannot_be_used_says_why() {
    let mut db = Database::start();
    run(
        &db,
        "CREATE TABLE t (id int); CREATE ROLE reader LOGIN PASSWORD 'r'; GRANT SELECT ON t TO reader",
    );
    let address = db.address();
    let open = async |url: String, more: Value| {
        let mut options = json!({"url": url, "table": "t"});
        options
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let opened = Sink::open(&Postgres, &options).await;
        if let Err(fault) = &opened {
            assert!(!fault.to_string().contains("hush"), "{fault}");
        }
        opened
    };
    let good = format!("postgres://postgres@{address}/postgres");
    assert!(
        open(good.clone(), json!({"password": "weir"}))
            .await
            .is_ok()
    );
    let wrong = open(good.clone(), json!({"password": "hush"})).await;
    check_fault(
        wrong.map(drop),
        "refused",
        &["password authentication failed", &address],
    );
    let wrong = open(
        format!("postgres://postgres:hush@{address}/postgres"),
        json!({}),
    )
    .await;
    check_fault(
        wrong.map(drop),
        "refused",
        &["password authentication failed"],
    );
    check_fault(
        open(good.clone(), json!({})).await.map(drop),
        "invalid",
        &["password missing"],
    );
    let wrong = open(format!("{}x", db.url()), json!({})).await;
    check_fault(wrong.map(drop), "invalid", &["postgresx", "does not exist"]);
    for mode in ["require", "verify-full"] {
        let refused = open(format!("{}?sslmode={mode}", db.url()), json!({})).await;
        check_fault(refused.map(drop), "invalid", &["does not support TLS"]);
    }
    for mode in ["prefer", "disable"] {
        assert!(
            open(format!("{}?sslmode={mode}", db.url()), json!({}))
                .await
                .is_ok()
        );
    }
    let mut reader = open(format!("postgres://reader:r@{address}/postgres"), json!({}))
        .await
        .unwrap();
    check_fault(
        reader.push("1", &[r#"{"id":1}"#]).await,
        "refused",
        &["permission denied for table t"],
    );
    db.stop();
    let gone = open(db.url(), json!({})).await;
    check_fault(gone.map(drop), "transient", &[&address, "refused"]);
    // One that takes the connection, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://u@{}/d", silent.local_addr().unwrap());
    let slow = open(url, json!({"timeout": "50ms"})).await;
    check_fault(slow.map(drop), "transient", &["timeout"]);
}

#[tokio::test]
async fn only_servers_that_are_allowed_are_asked() {
    let db = Database::start();
    run(&db, "CREATE TABLE t (id int)");
    let nothing = || Files::Within(Vec::new());
    let plain = options(&db, "t", &json!({}));
    let listed = context(nothing(), Some(vec!["a:1".into(), db.address()]));
    assert!(Sink::open_in(&Postgres, &plain, listed).await.is_ok());
    let other = context(nothing(), Some(vec!["a:1".into()]));
    let denied = Sink::open_in(&Postgres, &plain, other).await;
    check_fault(
        denied.map(drop),
        "denied",
        &[&db.address(), "allowed: `a:1`", "[pipelines] databases"],
    );
    // Of several hosts each is to be allowed; so is a certificate's file.
    let two = json!({"url": format!("postgres://u@{},b:5432/d", db.address()), "table": "t"});
    let listed = || context(nothing(), Some(vec![db.address()]));
    let denied = Sink::open_in(&Postgres, &two, listed()).await;
    check_fault(denied.map(drop), "denied", &["b:5432"]);
    let file = format!("{}?sslmode=verify-full&sslrootcert=/etc/passwd", db.url());
    let denied = Sink::open_in(&Postgres, &json!({"url": file, "table": "t"}), listed()).await;
    check_fault(denied.map(drop), "denied", &["/etc/passwd"]);
}

#[tokio::test]
async fn connections_are_encrypted_and_certificates_checked() {
    let db = Database::start_with(
        &[
            "ssl=on",
            "ssl_cert_file=../server.crt",
            "ssl_key_file=../server.key",
        ],
        |folder| {
            // A certificate of itself for this address; its own root.
            let config = "[req]\nprompt=no\ndistinguished_name=n\nx509_extensions=x\n[n]\nCN=weir test\n[x]\nbasicConstraints=critical,CA:FALSE\nsubjectAltName=IP:127.0.0.1\n";
            std::fs::write(folder.join("openssl.cnf"), config).unwrap();
            let made = Command::new("openssl")
                .args([
                    "req",
                    "-x509",
                    "-config",
                    "openssl.cnf",
                    "-nodes",
                    "-newkey",
                    "ec",
                    "-pkeyopt",
                    "ec_paramgen_curve:P-256",
                ])
                .args(["-days", "2", "-keyout", "server.key", "-out", "server.crt"])
                .current_dir(folder)
                .output()
                .unwrap();
            assert!(
                made.status.success(),
                "{}",
                String::from_utf8_lossy(&made.stderr)
            );
            let secret = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(folder.join("server.key"), secret).unwrap();
        },
    );
    run(
        &db,
        "CREATE FUNCTION enc() RETURNS boolean LANGUAGE sql AS 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()'; CREATE TABLE t (id int, encrypted boolean DEFAULT enc())",
    );
    let root = db.folder().join("server.crt").display().to_string();
    let open = async |parameters: String| {
        let url = format!("{}?{parameters}", db.url());
        Sink::open(&Postgres, &json!({"url": url, "table": "t"})).await
    };
    let good = [
        ("sslmode=prefer".to_owned(), "t"),
        ("sslmode=require".into(), "t"),
        (format!("sslmode=verify-full&sslrootcert={root}"), "t"),
        ("sslmode=disable".into(), "f"),
    ];
    for (parameters, encrypted) in good {
        run(&db, "TRUNCATE t");
        open(parameters.clone())
            .await
            .unwrap()
            .take("1", &[r#"{"id":1}"#])
            .await;
        assert_eq!(
            db.query("SELECT * FROM t"),
            format!("1|{encrypted}"),
            "{parameters}"
        );
    }
    check_fault(
        open("sslmode=verify-full".into()).await.map(drop),
        "invalid",
        &["certificate"],
    );
    let none = open("sslmode=verify-full&sslrootcert=/nowhere".into()).await;
    check_fault(none.map(drop), "invalid", &["sslrootcert /nowhere"]);
    // The right certificate, another name.
    let url = db.url().replace("127.0.0.1", "localhost");
    let url = format!("{url}?sslmode=verify-full&sslrootcert={root}");
    let other = Sink::open(&Postgres, &json!({"url": url, "table": "t"})).await;
    check_fault(other.map(drop), "invalid", &["certificate"]);
}
