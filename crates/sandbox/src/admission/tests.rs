//! Components that must not reach the compiler.

use super::*;

fn check(bytes: &[u8], word: &str) {
    let limits = Limits::defaults();
    let error = check_kind(bytes, &limits)
        .and_then(|()| examine(bytes, &limits))
        .and_then(|_| validate(bytes))
        .unwrap_err()
        .to_string();
    assert!(error.contains(word), "{word:?} in {error:?}");
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

#[test]
fn what_is_no_component_is_named() {
    check(b"print('hello')", "magic number");
    check(b"", "magic number");
    check(b"\x7fELF\x02\x01\x01", "native code");
    check(&wat("(module)"), "core module");
    check(b"\0asm", "cut off");
    let whole = wat("(component (core module (func (export \"f\"))))");
    check(&whole[..whole.len() - 3], "");
}

#[test]
fn what_is_costly_is_counted() {
    check(
        &wat("(component (core module (memory 20000)))"),
        "memory_bytes",
    );
    check(
        &wat("(component (core module (table 200000 funcref)))"),
        "table_elements",
    );
    let memories = "(core module (memory 1))".repeat(5);
    check(
        &wat(&format!("(component {memories})")),
        "more than 4 memories",
    );
    let modules = "(core module)".repeat(65);
    check(&wat(&format!("(component {modules})")), "64 modules");
    let nested = "(component ".repeat(18) + &")".repeat(18);
    check(&wat(&nested), "nested");
    let body = "(drop (i64.mul (i64.const 3) (i64.const 5)))".repeat(100_000);
    check(
        &wat(&format!("(component (core module (func {body})))")),
        "component_body_bytes",
    );
    let functions = "(func)".repeat(100_001);
    check(
        &wat(&format!("(component (core module {functions}))")),
        "component_functions",
    );
    check(&wat("(component (core module (memory i64 1)))"), "memory64");
}

#[test]
fn the_track_is_that_of_the_export() {
    let of = |e: &str| track(&["weir:plugin/pipe@9.9.9".into(), e.into()]);
    assert_eq!(of("weir:plugin/lifecycle@0.1.3"), "0.1");
    assert_eq!(of("weir:plugin/lifecycle@1.20.0"), "1.20");
}

fn admission(grantable: &[Capability]) -> Admission {
    Admission {
        limits: Limits::defaults(),
        grantable: grantable.iter().copied().collect(),
        settings_file: "x.toml".into(),
    }
}

#[test]
fn imports_need_the_host_and_a_grant() {
    let ask = |import: &str, grantable: &[Capability]| {
        capabilities(&[import.into()], &admission(grantable)).map_err(|e| e.to_string())
    };
    assert!(ask("wasi:cli/environment@0.2.6", &[]).unwrap().is_empty());
    assert!(ask("weir:host/log@0.1.0", &[]).unwrap().is_empty());
    assert!(
        ask("weir:host/state@0.1.0", &[Capability::State])
            .unwrap()
            .contains(&Capability::State)
    );
    let missing = ask("weir:host/state@0.1.0", &[]).unwrap_err();
    assert!(
        missing.contains("x.toml") && missing.contains("grants.state = true"),
        "{missing}"
    );
    assert!(
        ask("weir:host/events@0.1.0", &[])
            .unwrap_err()
            .contains("grants.events")
    );
    assert!(
        ask("evil:host/escape@1.0.0", &[])
            .unwrap_err()
            .contains("does not provide")
    );
    assert!(
        ask("weir:host/state@0.9.0", &[Capability::State])
            .unwrap_err()
            .contains("track 0.1")
    );
}

#[test]
fn exports_must_make_a_plugin() {
    let of = |exports: &[&str]| {
        roles(&exports.iter().map(|e| (*e).to_owned()).collect::<Vec<_>>())
            .map_err(|e| e.to_string())
    };
    assert!(of(&[]).unwrap_err().contains("lifecycle"));
    assert!(
        of(&["weir:plugin/lifecycle@0.1.0"])
            .unwrap_err()
            .contains("pipe, manifold")
    );
    assert!(of(&["weir:plugin/lifecycle@0.1.0", "weir:plugin/valves@0.1.0"]).is_err());
    assert!(
        of(&["weir:plugin/lifecycle@0.2.0"])
            .unwrap_err()
            .contains("0.2.0")
    );
    assert!(
        of(&["weir:plugin/lifecycle@0.1.0", "weir:plugin/manifold@0.1.0"])
            .unwrap_err()
            .contains("pipe")
    );
    let good = of(&["weir:plugin/lifecycle@0.1.0", "weir:plugin/pipe@0.1.3"]).unwrap();
    assert_eq!(good.into_iter().collect::<Vec<_>>(), [Role::Pipe]);
}
