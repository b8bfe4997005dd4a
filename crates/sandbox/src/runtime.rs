//! The wasmtime engine: which WebAssembly it takes, how it meters, where memories come from. One configuration for the host and
//! for the compile worker, since compiled code fits only the settings it was made with.

use std::num::NonZeroUsize;

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// Where linear memories come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocation {
    /// Slots reserved at start: fast to make and to reset. Needs terabytes of address space (not of memory).
    Pooling,
    /// A mapping for each instance, small and growing: slower, for hosts whose address space is limited.
    OnDemand,
}

impl Allocation {
    /// Its word on the compile worker's command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pooling => "pooling",
            Self::OnDemand => "on-demand",
        }
    }

    /// The allocation of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        [Self::Pooling, Self::OnDemand]
            .into_iter()
            .find(|a| a.name() == name)
    }
}

/// Why a sandbox could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// wasmtime refused its configuration.
    #[error("the WebAssembly engine cannot start: {0:#}")]
    Engine(wasmtime::Error),
    /// The cache folder cannot be used.
    #[error("the cache folder {path} cannot be used: {reason}")]
    Cache {
        /// The folder.
        path: String,
        /// Why.
        reason: String,
    },
    /// Threads for long calls could not be started.
    #[error("cannot start threads: {0}")]
    Threads(std::io::Error),
}

/// Stack of a guest, in bytes. SpiderMonkey and CPython recurse deeply; a Rust guest needs a tenth.
const WASM_STACK: usize = 1 << 20;
/// Stack of a call's fiber: the guest's, and room for host functions.
const ASYNC_STACK: usize = WASM_STACK + (1 << 20);
/// Pages of a slot that stay in memory between instances; measured best with `PAGEMAP_SCAN` (docs/adr/0002).
const KEEP_RESIDENT: usize = 256 * 1024;
/// Places of the pool that keep such pages while nobody uses them: more would only make the process look larger with time.
const UNUSED_WARM: u32 = 32;
/// Bytes at the top of a stack that are cleared by hand when its instance goes, and kept; the rest goes back to the system.
const STACK_RESIDENT: usize = 8 * 1024;
/// Address space the pool of 1,000 memories wants, with room for everything else.
const POOL_ADDRESS_SPACE: u64 = 8 << 40;

/// The settings that decide what compiled code looks like.
pub(crate) fn config(allocation: Allocation) -> Config {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .concurrency_support(false)
        .wasm_component_model(true)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_relaxed_simd(false)
        .wasm_wide_arithmetic(false)
        .wasm_custom_page_sizes(false)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(ASYNC_STACK)
        // No guest finds on its stack what another left there.
        .async_stack_zeroing(true)
        .wasm_backtrace_max_frames(NonZeroUsize::new(20))
        .memory_init_cow(true);
    if allocation == Allocation::OnDemand {
        config
            .memory_reservation(0)
            .memory_guard_size(64 * 1024)
            .memory_reservation_for_growth(16 << 20);
    }
    config
}

/// Makes the engine: pooling if asked for or if the address space allows, else on-demand.
pub(crate) fn engine(
    wanted: Option<Allocation>,
    max_instances: u32,
) -> Result<(Engine, Allocation), SetupError> {
    let allocation = wanted.unwrap_or_else(probe);
    if allocation == Allocation::Pooling {
        let mut with_pool = config(allocation);
        with_pool.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(max_instances)));
        match Engine::new(&with_pool) {
            Ok(engine) => return Ok((engine, allocation)),
            Err(error) if wanted.is_none() => {
                tracing::warn!(error = %format!("{error:#}"), "memory pool refused, falling back to on-demand memories");
            }
            Err(error) => return Err(SetupError::Engine(error)),
        }
    }
    let engine = Engine::new(&config(Allocation::OnDemand)).map_err(SetupError::Engine)?;
    Ok((engine, Allocation::OnDemand))
}

/// Pooling, unless the address space is limited.
fn probe() -> Allocation {
    let limit = rustix::process::getrlimit(rustix::process::Resource::As).current;
    match limit {
        Some(bytes) if bytes < POOL_ADDRESS_SPACE => {
            tracing::warn!(
                address_space_bytes = bytes,
                needed_bytes = POOL_ADDRESS_SPACE,
                "address space is short, memories are mapped on demand and instances start slower"
            );
            Allocation::OnDemand
        }
        Some(_) | None => Allocation::Pooling,
    }
}

fn pool(max_instances: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::default();
    // A Rust component has 3 or 4 core instances and 1 memory; a Python one about 20 core instances.
    pool.total_component_instances(max_instances)
        .total_memories(max_instances)
        .total_stacks(max_instances)
        .total_core_instances(max_instances.saturating_mul(8))
        .total_tables(max_instances.saturating_mul(4))
        .max_component_instance_size(1 << 20)
        .max_core_instance_size(4 << 20)
        .max_core_instances_per_component(64)
        .max_memories_per_component(4)
        .max_tables_per_component(32)
        .max_tables_per_module(8)
        .max_memories_per_module(1)
        .table_elements(1_000_000)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(4 * 1024)
        .async_stack_keep_resident(STACK_RESIDENT)
        .max_unused_warm_slots(UNUSED_WARM)
        .pagemap_scan(Enabled::Auto);
    pool
}
