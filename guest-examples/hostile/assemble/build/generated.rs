//! Attacks that are too large or too broken for a text: bombs for the compiler, and files that are no plugin. A bomb is a good plugin with one
//! more section; what is in it is never run.

use anyhow::{Context, Result};
use wasm_encoder::{
    CodeSection, Component, ComponentSection, Function, FunctionSection, InstanceSection,
    MemorySection, MemoryType, Module, ModuleArg, ModuleSection, NestedComponentSection,
    TypeSection, ValType,
};
use wasmparser::{Parser, Payload, Validator};

use crate::plugin::{GOOD, core, encode};

/// Name and bytes of each.
pub fn all() -> Result<Vec<(&'static str, Vec<u8>)>> {
    let core_module = core(GOOD, "core-module")?;
    let truncated = good("truncated")?;
    let half = truncated.len() / 2;
    Ok(vec![
        (
            "bomb-body",
            bomb("bomb-body", &straight_lines(1, 1024 * 1024))?,
        ),
        (
            "bomb-bodies",
            bomb("bomb-bodies", &straight_lines(30, 500 * 1024))?,
        ),
        (
            "bomb-functions",
            bomb("bomb-functions", &tiny_functions(120_000))?,
        ),
        (
            "bomb-functions-under",
            bomb("bomb-functions-under", &tiny_functions(90_000))?,
        ),
        ("bomb-instances", many_instances("bomb-instances", 900)?),
        ("bomb-nesting", nested("bomb-nesting", 90)?),
        ("core-module", core_module),
        (
            "truncated",
            truncated
                .get(..half)
                .context("a component has two halves")?
                .to_vec(),
        ),
        ("wrong-version", wrong_version()?),
        ("text", b"This is not WebAssembly.\n".to_vec()),
        ("empty-file", Vec::new()),
        ("compiled", compiled()),
    ])
}

fn good(id: &str) -> Result<Vec<u8>> {
    encode(GOOD, &core(GOOD, id)?)
}

/// A good plugin with one more core module in it.
fn bomb(id: &str, module: &Module) -> Result<Vec<u8>> {
    let mut bytes = good(id)?;
    ModuleSection(module).append_to_component(&mut bytes);
    valid(bytes)
}

/// `count` functions without a branch, each of about `size` bytes: a compiler takes more than twice the time for twice the size.
fn straight_lines(count: u32, size: usize) -> Module {
    functions(count, |function| {
        let mut code = function.instructions();
        code.local_get(0);
        for _ in 0..size / 3 {
            code.local_get(0).i64_mul();
        }
        code.end();
    })
}

/// `count` functions that return what they are given: little code, much to keep track of.
fn tiny_functions(count: u32) -> Module {
    functions(count, |function| {
        function.instructions().local_get(0).end();
    })
}

fn functions(count: u32, fill: impl Fn(&mut Function)) -> Module {
    let mut types = TypeSection::new();
    types.ty().function([ValType::I64], [ValType::I64]);
    let (mut declared, mut code) = (FunctionSection::new(), CodeSection::new());
    for _ in 0..count {
        declared.function(0);
        let mut function = Function::new([]);
        fill(&mut function);
        code.function(&function);
    }
    let mut module = Module::new();
    module.section(&types).section(&declared).section(&code);
    module
}

/// A good plugin that also makes `count` instances of a module with a memory, each time it is instantiated.
fn many_instances(id: &str, count: u32) -> Result<Vec<u8>> {
    let mut bytes = good(id)?;
    let modules = Parser::new(0)
        .parse_all(&bytes)
        .filter(|payload| matches!(payload, Ok(Payload::ModuleSection { .. })))
        .count();
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 1,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut module = Module::new();
    module.section(&memories);
    ModuleSection(&module).append_to_component(&mut bytes);
    let mut instances = InstanceSection::new();
    for _ in 0..count {
        instances.instantiate(
            u32::try_from(modules)?,
            std::iter::empty::<(&str, ModuleArg)>(),
        );
    }
    instances.append_to_component(&mut bytes);
    valid(bytes)
}

/// A good plugin with components in components, `depth` levels deep.
fn nested(id: &str, depth: usize) -> Result<Vec<u8>> {
    let mut inner = Component::new();
    for _ in 0..depth {
        let mut outer = Component::new();
        outer.section(&NestedComponentSection(&inner));
        inner = outer;
    }
    let mut bytes = good(id)?;
    NestedComponentSection(&inner).append_to_component(&mut bytes);
    valid(bytes)
}

/// A good plugin of a contract that there is not.
fn wrong_version() -> Result<Vec<u8>> {
    let (ours, theirs) = (
        b"weir:plugin/lifecycle@0.1.0",
        b"weir:plugin/lifecycle@9.1.0",
    );
    let mut bytes = good("wrong-version")?;
    let mut at = 0;
    while let Some(window) = bytes.get_mut(at..at + ours.len()) {
        if window == ours {
            window.copy_from_slice(theirs);
        }
        at += 1;
    }
    valid(bytes)
}

/// What compiled code looks like from outside: an ELF header, and a word that a careless host might look for. Loading it for real would run it.
fn compiled() -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01\xc8\0\0\0\0\0\0\0\0\x01\0\x3e\0\x01\0\0\0".to_vec();
    bytes.resize(64, 0);
    bytes.extend(b".wasmtime.engine\0.wasmtime.bti\0.text\0");
    bytes.resize(4096, 0x90);
    bytes
}

/// The bytes, if they are a component that a host has to take seriously.
fn valid(bytes: Vec<u8>) -> Result<Vec<u8>> {
    Validator::new().validate_all(&bytes)?;
    Ok(bytes)
}
