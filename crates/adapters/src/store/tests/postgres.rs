//! What is special about a server: that others are there, that it goes away, and comes back.

use e2e::postgres::Postgres as Server;

use super::super::Database;
use super::*;

/// A store in a database of its own.
async fn store(server: &Server, database: &str) -> Database {
    assert_eq!(server.query(&format!("CREATE DATABASE {database}")), "");
    open(&url(server, database)).await.unwrap()
}

fn url(server: &Server, database: &str) -> String {
    format!("postgres://postgres:weir@{}/{database}", server.address())
}

async fn open(url: &str) -> Result<Database, model::ports::StoreError> {
    Database::postgres(url, None, std::path::Path::new("/")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_the_suite() {
    let server = Server::start();
    for (number, (name, check)) in on_postgres::checks().into_iter().enumerate() {
        println!("{name}");
        let store = store(&server, &format!("store{number}")).await;
        check(Given(store)).await;
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_used_says_why() {
    let mut server = Server::start();
    let address = server.address();
    for (url, words) in [
        (
            "mysql://u@h/d".to_owned(),
            "not the address of a PostgreSQL database",
        ),
        (
            format!("postgres://postgres:hush@{address}/postgres"),
            "password authentication failed",
        ),
        (url(&server, "none"), "does not exist"),
    ] {
        let said = open(&url).await.unwrap_err().to_string();
        assert!(said.contains(words) && !said.contains("hush"), "{said}");
    }
    let newer = store(&server, "newer").await;
    drop(newer);
    let psql = |sql: &str| {
        let url = url(&server, "newer");
        let done = std::process::Command::new("psql")
            .args(["-d", &url, "-c", sql])
            .output();
        assert!(done.unwrap().status.success());
    };
    psql("INSERT INTO weir.layout (step) VALUES (99)");
    let said = open(&url(&server, "newer")).await.unwrap_err().to_string();
    assert!(
        said.contains("layout 99") && said.contains(&address),
        "{said}"
    );
    server.stop();
    let said = open(&url(&server, "newer")).await.unwrap_err().to_string();
    assert!(said.contains(&address), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_begin_at_once() {
    let server = Server::start();
    assert_eq!(server.query("CREATE DATABASE shared"), "");
    let url = url(&server, "shared");
    let all = futures_util::future::join_all((0..6).map(|_| open(&url))).await;
    let stores: Vec<_> = all.into_iter().map(Result::unwrap).collect();
    for (number, store) in (1..).zip(stores) {
        let store: Shared = Arc::new(store);
        assert!(submit(&store, number).await.new);
        assert!(!submit(&store, 1).await.new);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_is_used_again() {
    let mut server = Server::start();
    let store: Shared = Arc::new(store(&server, "lasting").await);
    let fence = working(&store, 1).await;
    // Several connections that wait.
    let all = futures_util::future::join_all((2..10).map(|n| store.submit(submission(n)))).await;
    assert!(all.iter().all(|s| s.as_ref().unwrap().new));
    for number in 0..2 {
        if number == 0 {
            server.stop();
        } else {
            server.kill();
        }
        let gone = store.commit(fence, changes(1, RunState::Running)).await;
        let Err(Failure::Unavailable(said)) = gone else {
            panic!("{gone:?}");
        };
        assert!(said.contains(&server.address()), "{said}");
        server.start_again();
        // Not even the first one fails.
        store
            .commit(fence, changes(1, RunState::Running))
            .await
            .unwrap();
        assert!(submit(&store, 20 + number).await.new);
    }
    assert_eq!(run_state(&store, 1).await, RunState::Running);
    for number in (1..10).chain(20..22) {
        assert!(store.job(RunId::of(number)).await.unwrap().is_some());
    }
}
