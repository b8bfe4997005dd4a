//! Components written by hand: a core module in the text format, with parts that every plugin needs, made into a component.

use model::component::{ComponentFile, FileName};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// What every plugin has: memory, an allocator that never frees, `lifecycle`, and functions that make answers of type
/// `result<json, failure>` in the ABI of components.
const PARTS: &str = r#"
  (memory (export "memory") 4)
  (global $heap (mut i32) (i32.const 131072))
  (func $realloc (export "cabi_realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32) (local $end i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
    (local.set $end (i32.add (local.get $at) (local.get $size)))
    (if (i32.gt_u (local.get $end) (i32.shl (memory.size) (i32.const 16)))
      (then (if (i32.eq (i32.const -1) (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get $size) (i32.const 16)))))
        (then (unreachable)))))
    (global.set $heap (local.get $end))
    (local.get $at))
  (func (export "weir:plugin/lifecycle@0.1.0#describe") (result i32)
    (call $on_describe)
    (i32.store (i32.const 16) (i32.const 4096))
    (i32.store (i32.const 20) (i32.const {manifest_len}))
    (i32.const 16))
  (func (export "weir:plugin/lifecycle@0.1.0#init") (param i32 i32) (result i32)
    (i32.store8 (i32.const 32) (i32.const 0)) (i32.const 32))
  (func (export "weir:plugin/lifecycle@0.1.0#start") (result i32)
    (i32.store8 (i32.const 32) (i32.const 0)) (i32.const 32))
  (func (export "weir:plugin/lifecycle@0.1.0#stop"))
  ;; Answers ok with a text.
  (func $ok (param $at i32) (param $len i32) (result i32)
    (i32.store8 (i32.const 64) (i32.const 0))
    (i32.store (i32.const 68) (local.get $at))
    (i32.store (i32.const 72) (local.get $len))
    (i32.const 64))
  ;; Answers with a failure: 0 invalid, 2 refused, 3 internal.
  (func $fail (param $kind i32) (param $at i32) (param $len i32) (result i32)
    (i32.store8 (i32.const 64) (i32.const 1))
    (i32.store8 (i32.const 68) (local.get $kind))
    (i32.store (i32.const 72) (local.get $at))
    (i32.store (i32.const 76) (local.get $len))
    (i32.const 64))
  ;; Answers ok with a number of one digit.
  (func $digit (param $n i32) (result i32)
    (i32.store8 (i32.const 80) (i32.add (i32.const 48) (local.get $n)))
    (call $ok (i32.const 80) (i32.const 1)))
  ;; What a host function left at an address, as a number: 9 if it went well, else the case of its error, which lies `at` bytes on.
  (func $outcome (param $result i32) (param $at i32) (result i32)
    (if (result i32) (i32.load8_u (local.get $result))
      (then (i32.load8_u (i32.add (local.get $result) (local.get $at))))
      (else (i32.const 9))))
"#;

/// A component: its manifest, the roles and host interfaces in its world, and its own code, imports first.
pub(crate) struct Wat<'a> {
    pub(crate) manifest: &'a str,
    pub(crate) exports: &'a [&'a str],
    pub(crate) imports: &'a [&'a str],
    /// Imports in the text format.
    pub(crate) head: &'a str,
    pub(crate) code: &'a str,
}

impl Wat<'_> {
    pub(crate) fn component(&self) -> ComponentFile {
        let on_describe = if self.code.contains("$on_describe") {
            ""
        } else {
            "(func $on_describe)"
        };
        let text = format!(
            "(module {} {} (data (i32.const 4096) {:?}) {on_describe} {})",
            self.head,
            PARTS.replace("{manifest_len}", &self.manifest.len().to_string()),
            self.manifest,
            self.code
        );
        let mut module = wat::parse_str(&text).unwrap();
        let mut world = String::from("package test:guest; world guest {\n");
        for import in self.imports {
            world.push_str(&format!("import weir:host/{import}@0.1.0;\n"));
        }
        for export in ["lifecycle"].iter().chain(self.exports) {
            world.push_str(&format!("export weir:plugin/{export}@0.1.0;\n"));
        }
        world.push('}');
        let mut resolve = Resolve::default();
        let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/v0.1");
        resolve.push_dir(wit).unwrap();
        let package = resolve.push_str("guest.wit", &world).unwrap();
        let world = resolve.select_world(&[package], Some("guest")).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        let mut encoder = ComponentEncoder::default();
        let encoder = encoder.validate(true).module(&module).unwrap();
        let bytes = encoder.encode().unwrap();
        ComponentFile {
            name: FileName::new("guest.wasm").unwrap(),
            bytes: bytes.into(),
        }
    }
}
