//! The contract with plugins, `wit/v0.1`, as this program carries it: for projects in languages whose tools read WIT.

/// The files of the contract: where each goes in a project's folder `wit`, and its text.
pub(super) const FILES: &[(&str, &str)] = &[
    (
        "wit/deps/weir-plugin/worlds.wit",
        include_str!("../../../../wit/v0.1/worlds.wit"),
    ),
    (
        "wit/deps/weir-plugin/lifecycle.wit",
        include_str!("../../../../wit/v0.1/lifecycle.wit"),
    ),
    (
        "wit/deps/weir-plugin/chat.wit",
        include_str!("../../../../wit/v0.1/chat.wit"),
    ),
    (
        "wit/deps/weir-plugin/data.wit",
        include_str!("../../../../wit/v0.1/data.wit"),
    ),
    (
        "wit/deps/weir-plugin/extend.wit",
        include_str!("../../../../wit/v0.1/extend.wit"),
    ),
    (
        "wit/deps/weir-types/types.wit",
        include_str!("../../../../wit/v0.1/deps/types/types.wit"),
    ),
    (
        "wit/deps/weir-host/host.wit",
        include_str!("../../../../wit/v0.1/deps/host/host.wit"),
    ),
];

/// What an outgoing request needs of WASI.
pub(super) const WASI_HTTP: &[(&str, &str)] = &[
    (
        "wit/deps/wasi-http/http.wit",
        include_str!("../../templates/wasi/http.wit"),
    ),
    (
        "wit/deps/wasi-io/io.wit",
        include_str!("../../templates/wasi/io.wit"),
    ),
    (
        "wit/deps/wasi-clocks/clocks.wit",
        include_str!("../../templates/wasi/clocks.wit"),
    ),
];

/// The world of a plugin: its roles and what it asks for. All imports of a world end up in the component.
pub(super) fn world(roles: &[&str], imports: &[&str]) -> String {
    let mut text = String::from(
        "package local:plugin;\n\n\
         /// What the plugin is and uses. All imports of a world end up in the component, and each may need a grant: name no more than it uses.\n\
         world plugin {\n    include weir:plugin/base@0.1.0;\n",
    );
    for import in imports {
        text.push_str(&format!("    import {import};\n"));
    }
    for role in roles {
        text.push_str(&format!("    export weir:plugin/{role}@0.1.0;\n"));
    }
    text.push_str("}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carries_every_file_of_the_contract() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/v0.1");
        let mut there = Vec::new();
        for folder in ["", "/deps/types", "/deps/host"] {
            for entry in std::fs::read_dir(format!("{root}{folder}")).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    there.push(path.file_name().unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        let mut carried: Vec<_> = FILES
            .iter()
            .map(|(path, _)| path.rsplit('/').next().unwrap().to_owned())
            .collect();
        there.sort();
        carried.sort();
        assert_eq!(carried, there);
    }
}
