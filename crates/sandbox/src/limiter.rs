//! Caps on memories and tables: one sum over all of an instance's, so that many small ones are no way around the limit.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use wasmtime::ResourceLimiter;

use crate::usage::Counters;

/// Most linear memories of one instance.
pub(crate) const MAX_MEMORIES: usize = 4;
/// Most tables of one instance.
pub(crate) const MAX_TABLES: usize = 32;
/// Most core instances of one component instance.
pub(crate) const MAX_INSTANCES: usize = 64;

/// Counts what an instance holds.
pub(crate) struct Limiter {
    max_memory: usize,
    max_table_elements: usize,
    memory: usize,
    table_elements: usize,
    /// A growth was refused since the last [`Limiter::take_refused`]: a trap after it means out of memory.
    refused: bool,
    counters: Arc<Counters>,
}

impl Limiter {
    pub(crate) fn new(
        max_memory: usize,
        max_table_elements: usize,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            max_memory,
            max_table_elements,
            memory: 0,
            table_elements: 0,
            refused: false,
            counters,
        }
    }

    /// Bytes of all memories together.
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }

    /// Was a growth refused since the last time this was asked?
    pub(crate) fn take_refused(&mut self) -> bool {
        std::mem::take(&mut self.refused)
    }

    fn grow(sum: &mut usize, max: usize, current: usize, desired: usize) -> bool {
        let wanted = sum.saturating_sub(current).saturating_add(desired);
        if wanted > max {
            return false;
        }
        *sum = wanted;
        true
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let within = maximum.is_none_or(|m| desired <= m)
            && Self::grow(&mut self.memory, self.max_memory, current, desired);
        if within {
            self.counters
                .memory_high_water
                .fetch_max(self.memory as u64, Ordering::Relaxed);
        } else {
            self.refused = true;
        }
        Ok(within)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let within = maximum.is_none_or(|m| desired <= m)
            && Self::grow(
                &mut self.table_elements,
                self.max_table_elements,
                current,
                desired,
            );
        self.refused |= !within;
        Ok(within)
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_are_summed() {
        let mut limiter = Limiter::new(100, 10, Arc::default());
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(
            !limiter.memory_growing(0, 60, None).unwrap(),
            "a second memory counts with the first"
        );
        assert!(limiter.take_refused());
        assert!(limiter.memory_growing(60, 100, None).unwrap());
        assert!(!limiter.table_growing(0, 11, None).unwrap());
        assert_eq!(limiter.memory(), 100);
    }
}
