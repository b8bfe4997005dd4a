//! The guide's "From CSV to Postgres in five minutes", carried out word for word with a real server, and its outcome held against the file itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use e2e::guests::root;
use e2e::postgres::Postgres;
use e2e::server::binary;
use tempfile::TempDir;

/// The blocks of a page in this language, in order.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let open = format!("```{language}\n");
    let blocks = page.split(&open).skip(1);
    blocks
        .filter_map(|rest| rest.split("```").next())
        .map(str::to_owned)
        .collect()
}

/// Runs a block of commands as a shell would, with `weir` on the path; returns what it prints.
fn shell(folder: &Path, database: &Postgres, commands: &str) -> String {
    let weir = binary();
    let path = std::env::var("PATH").unwrap();
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", commands])
        .current_dir(folder)
        .env(
            "PATH",
            format!("{}:{path}", weir.parent().unwrap().display()),
        )
        .env("DATABASE_URL", database.url())
        .output()
        .unwrap();
    let (out, said) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{commands}\n{out}\n{said}");
    out.into_owned()
}

/// Of the days in the file with some rain: for each weather how many, and the most rain.
fn expected(csv: &str) -> BTreeMap<String, (u32, f64)> {
    let mut found = BTreeMap::new();
    for line in csv.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let rain: f64 = cells[1].parse().unwrap();
        if rain > 0.0 {
            let (days, most) = found.entry(cells[5].to_owned()).or_insert((0, 0.0_f64));
            *days += 1;
            *most = most.max(rain);
        }
    }
    found
}

#[test]
fn the_guide_from_csv_to_postgres_works_as_written() {
    let page =
        std::fs::read_to_string(root().join("docs/pipeline-guide/csv-to-postgres.md")).unwrap();
    let csv = std::fs::read_to_string(root().join("tests/data/seattle-weather.csv")).unwrap();
    let (folder, database) = (TempDir::new().unwrap(), Postgres::start());
    let commands = blocks(&page, "sh");
    let [fetch, run, query, again] = commands.as_slice() else {
        panic!("the page has other commands: {commands:?}");
    };
    // The first fetches the file, which is here already; the page shows how it begins.
    assert!(fetch.contains("seattle-weather.csv"));
    assert!(csv.starts_with(&blocks(&page, "text")[0]));
    std::fs::write(folder.path().join("seattle-weather.csv"), &csv).unwrap();
    std::fs::write(
        folder.path().join("weather.pipeline.yaml"),
        &blocks(&page, "yaml")[0],
    )
    .unwrap();
    let run: String = run
        .lines()
        .filter(|line| !line.starts_with("export "))
        .map(|line| format!("{line}\n"))
        .collect();
    shell(folder.path(), &database, &run);
    let days = || database.query("SELECT count(*) FROM weather");
    assert!(
        page.contains(&format!("writes {} rows", days())),
        "{} rows",
        days()
    );
    let rows = shell(
        folder.path(),
        &database,
        &format!("{} --no-align --tuples-only", query.trim_end()),
    );
    let rows: BTreeMap<String, (u32, f64)> = rows
        .lines()
        .map(|line| {
            let cells: Vec<&str> = line.split('|').collect();
            (
                cells[0].to_owned(),
                (cells[1].parse().unwrap(), cells[2].parse().unwrap()),
            )
        })
        .collect();
    assert_eq!(rows, expected(&csv));
    shell(folder.path(), &database, again);
    assert!(page.contains(&format!("there are still {}", days())));
    let types = "SELECT string_agg(format_type(atttypid, atttypmod), ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'weather'::regclass AND attnum > 0";
    assert_eq!(
        database.query(types),
        "date double precision double precision double precision double precision text"
    );
}
