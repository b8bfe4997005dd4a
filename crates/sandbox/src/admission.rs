//! What is checked of a component before the compiler sees it: that it is one, its size, its functions, and what it imports and
//! exports. Compiling is where a small file can cost a lot; running is limited elsewhere.

use std::collections::BTreeSet;

use model::error::LoadError;
use model::grants::Capability;
use model::limits::{Limit, Limits};
use model::plugin::{Admission, Role};
use wasmparser::{Encoding, Parser, Payload, Validator, WasmFeatures};

use crate::limiter::{MAX_INSTANCES, MAX_MEMORIES};
use crate::link;

/// Names at the outer level of a component.
#[derive(Debug, Default)]
pub(crate) struct Interfaces {
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
}

/// Longest custom section, in bytes: names and debug data of a large guest stay well below.
const MAX_CUSTOM_SECTION: u64 = 32 << 20;

/// Is it a component at all? Cheap: looks at the first bytes.
pub(crate) fn check_kind(bytes: &[u8], limits: &Limits) -> Result<(), LoadError> {
    let no = |why: &str| Err(LoadError::NotAComponent(why.into()));
    if bytes.starts_with(b"\x7fELF") {
        return no(
            "it is native code (ELF); Weir compiles components itself and never takes compiled code",
        );
    }
    if !bytes.starts_with(b"\0asm") {
        return no("it does not begin with the WebAssembly magic number");
    }
    if Parser::is_core_wasm(bytes) {
        return no(
            "it is a core module; build it as a component, for example with `cargo build --target wasm32-wasip2`",
        );
    }
    if !Parser::is_component(bytes) {
        return no("it has a WebAssembly version this host does not know, or is cut off");
    }
    let (found, value) = (bytes.len() as u64, limits.get(Limit::ComponentBytes));
    if found > value {
        return Err(too_big(
            "the component's size in bytes",
            found,
            Limit::ComponentBytes,
            value,
        ));
    }
    Ok(())
}

/// Counts what would make a component costly and reads its interfaces. Cheap: function bodies are skipped.
pub(crate) fn examine(bytes: &[u8], limits: &Limits) -> Result<Interfaces, LoadError> {
    count(bytes, limits).map_err(|e| match e {
        Refusal::Malformed(e) => LoadError::NotAComponent(e.to_string()),
        Refusal::Load(e) => e,
    })
}

/// Validates a component, before the compiler sees it.
pub(crate) fn validate(bytes: &[u8]) -> Result<(), LoadError> {
    Validator::new_with_features(features())
        .validate_all(bytes)
        .map(drop)
        .map_err(|e| LoadError::NotAComponent(e.to_string()))
}

/// The WebAssembly this host takes; the engine's settings say the same.
fn features() -> WasmFeatures {
    let off = WasmFeatures::MEMORY64
        | WasmFeatures::MULTI_MEMORY
        | WasmFeatures::RELAXED_SIMD
        | WasmFeatures::THREADS
        | WasmFeatures::WIDE_ARITHMETIC
        | WasmFeatures::CUSTOM_PAGE_SIZES
        | WasmFeatures::GC
        | WasmFeatures::EXCEPTIONS
        | WasmFeatures::CM_ASYNC;
    WasmFeatures::default().difference(off)
}

enum Refusal {
    Malformed(wasmparser::BinaryReaderError),
    Load(LoadError),
}

impl From<wasmparser::BinaryReaderError> for Refusal {
    fn from(e: wasmparser::BinaryReaderError) -> Self {
        Self::Malformed(e)
    }
}

fn too_big(what: &'static str, found: u64, limit: Limit, value: u64) -> LoadError {
    LoadError::TooBig {
        what,
        found,
        limit,
        value,
    }
}

/// Counts, in one pass over all nested modules.
#[derive(Default)]
struct Counts {
    functions: u64,
    modules: u64,
    memories: u64,
    memory_bytes: u64,
    table_elements: u64,
    depth: usize,
    found: Interfaces,
}

fn count(bytes: &[u8], limits: &Limits) -> Result<Interfaces, Refusal> {
    let mut counts = Counts::default();
    for payload in Parser::new(0).parse_all(bytes) {
        counts.take(payload?, limits)?;
    }
    Ok(counts.found)
}

impl Counts {
    fn take(&mut self, payload: Payload<'_>, limits: &Limits) -> Result<(), Refusal> {
        match payload {
            Payload::Version { encoding, .. }
                if self.depth == 0 && encoding == Encoding::Module =>
            {
                return Err(Refusal::Load(LoadError::NotAComponent(
                    "it is a core module".into(),
                )));
            }
            Payload::ModuleSection { .. } => {
                self.modules += 1;
                self.depth += 1;
                let most = MAX_INSTANCES as u64;
                if self.modules > most {
                    return Err(nested(&format!("it holds more than {most} modules")));
                }
            }
            Payload::ComponentSection { .. } => {
                self.depth += 1;
                if self.depth > 16 {
                    return Err(nested("its components are nested more than 16 deep"));
                }
            }
            Payload::End(_) => self.depth = self.depth.saturating_sub(1),
            Payload::CodeSectionStart { count, .. } => {
                self.functions += u64::from(count);
                at_most(
                    "the number of functions",
                    self.functions,
                    Limit::ComponentFunctions,
                    limits,
                )?;
            }
            Payload::CodeSectionEntry(body) => {
                let size = body.range().len() as u64;
                at_most(
                    "the largest function's size in bytes",
                    size,
                    Limit::ComponentBodyBytes,
                    limits,
                )?;
            }
            Payload::CustomSection(section) => {
                let size = section.data().len() as u64;
                if size > MAX_CUSTOM_SECTION {
                    return Err(nested(&format!(
                        "a custom section has {size} bytes; at most {MAX_CUSTOM_SECTION} are allowed"
                    )));
                }
            }
            Payload::MemorySection(section) => self.memories(section, limits)?,
            Payload::TableSection(section) => self.tables(section, limits)?,
            Payload::ComponentImportSection(section) if self.depth == 0 => {
                for import in section {
                    self.found.imports.push(import?.name.name.into());
                }
            }
            Payload::ComponentExportSection(section) if self.depth == 0 => {
                for export in section {
                    self.found.exports.push(export?.name.name.into());
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn memories(
        &mut self,
        section: wasmparser::MemorySectionReader<'_>,
        limits: &Limits,
    ) -> Result<(), Refusal> {
        for memory in section {
            self.memories += 1;
            self.memory_bytes = self
                .memory_bytes
                .saturating_add(memory?.initial.saturating_mul(64 * 1024));
            at_most(
                "the initial size of its memories in bytes",
                self.memory_bytes,
                Limit::MemoryBytes,
                limits,
            )?;
            let most = MAX_MEMORIES as u64;
            if self.memories > most {
                return Err(nested(&format!("it has more than {most} memories")));
            }
        }
        Ok(())
    }

    fn tables(
        &mut self,
        section: wasmparser::TableSectionReader<'_>,
        limits: &Limits,
    ) -> Result<(), Refusal> {
        for table in section {
            self.table_elements = self.table_elements.saturating_add(table?.ty.initial);
            at_most(
                "the initial size of its tables in elements",
                self.table_elements,
                Limit::TableElements,
                limits,
            )?;
        }
        Ok(())
    }
}

fn nested(why: &str) -> Refusal {
    Refusal::Load(LoadError::NotAComponent(why.into()))
}

fn at_most(what: &'static str, found: u64, limit: Limit, limits: &Limits) -> Result<(), Refusal> {
    let value = limits.get(limit);
    if found > value {
        return Err(Refusal::Load(too_big(what, found, limit, value)));
    }
    Ok(())
}

/// The capabilities a component imports.
///
/// # Errors
/// An import that no host has, one of another track, or one that no settings could grant (`grantable`).
pub(crate) fn capabilities(
    imports: &[String],
    admission: &Admission,
) -> Result<BTreeSet<Capability>, LoadError> {
    let mut asks = BTreeSet::new();
    for import in imports {
        if link::is_base(import) {
            continue;
        }
        let version = import.split('@').nth(1).unwrap_or_default();
        let unknown = |reason: String| LoadError::UnknownImport {
            interface: import.clone(),
            reason,
        };
        let Some(capability) = Capability::of_interface(import) else {
            return Err(unknown("which this host does not provide".into()));
        };
        if import.starts_with("weir:") && !link::is_our_track(version) {
            return Err(unknown("and this host serves track 0.1".into()));
        }
        if !admission.grantable.contains(&capability) {
            return Err(missing_grant(import, capability, &admission.settings_file));
        }
        asks.insert(capability);
    }
    Ok(asks)
}

/// The error for an import that is not granted: names the line that would.
pub(crate) fn missing_grant(interface: &str, capability: Capability, file: &str) -> LoadError {
    LoadError::MissingGrant {
        interface: interface.into(),
        file: file.into(),
        line: capability.example().into(),
    }
}

/// The track of the contract a component was built for: `0.1` of `weir:plugin/lifecycle@0.1.3`.
pub(crate) fn track(exports: &[String]) -> String {
    let version = exports
        .iter()
        .find_map(|e| e.strip_prefix("weir:plugin/lifecycle@"))
        .unwrap_or_default();
    version.split('.').take(2).collect::<Vec<_>>().join(".")
}

/// The roles a component exports.
///
/// # Errors
/// It lacks `lifecycle` or any role, or was built for another track.
pub(crate) fn roles(exports: &[String]) -> Result<BTreeSet<Role>, LoadError> {
    let exported = |name: &str| -> Result<bool, LoadError> {
        let wanted = format!("weir:plugin/{name}@");
        let Some(version) = exports.iter().find_map(|e| e.strip_prefix(wanted.as_str())) else {
            return Ok(false);
        };
        if link::is_our_track(version) {
            Ok(true)
        } else {
            Err(LoadError::MissingExport(format!(
                "weir:plugin/{name}@0.1 (it was built for {version}; this host serves track 0.1)"
            )))
        }
    };
    if !exported("lifecycle")? {
        return Err(LoadError::MissingExport(
            "weir:plugin/lifecycle@0.1.0, which every plugin has".into(),
        ));
    }
    let mut roles = BTreeSet::new();
    for role in Role::ALL {
        if exported(role.name())? {
            roles.insert(role);
        }
    }
    if !roles.iter().any(|r| r.is_main()) {
        let names: Vec<_> = Role::ALL
            .iter()
            .filter(|r| r.is_main())
            .map(|r| r.name())
            .collect();
        return Err(LoadError::MissingExport(format!(
            "role; at least one is needed of: {}",
            names.join(", ")
        )));
    }
    if roles.contains(&Role::Manifold) && !roles.contains(&Role::Pipe) {
        return Err(LoadError::MissingExport(
            "weir:plugin/pipe@0.1.0, which a manifold needs to answer".into(),
        ));
    }
    Ok(roles)
}

#[cfg(test)]
mod tests;
