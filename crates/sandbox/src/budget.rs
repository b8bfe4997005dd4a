//! What one call may use besides fuel and time: host calls and output; log lines and HTTP requests are counted where they are
//! made. And the price of host functions in fuel: without one, a guest makes tens of millions of free calls on a small budget.

use model::limits::{Limit, Limits};

/// Fuel of one host call.
const CALL_PRICE: u64 = 500;
/// Bytes that cross for one unit of fuel.
const BYTES_PER_FUEL: u64 = 4;
/// Fuel owed before it is taken from the store: setting a store's fuel restarts its yield interval, so it is done seldom.
const SETTLE_AT: u64 = 250_000;

/// A limit that was reached inside a host function; becomes the call's fault.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the limit {limit} = {value} was reached")]
pub(crate) struct Reached {
    pub(crate) limit: Limit,
    pub(crate) value: u64,
}

/// The counters of one call.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    pub(crate) host_calls: u64,
    pub(crate) output_bytes: u64,
    pub(crate) output_items: u64,
    /// Bytes the call was given; it may answer with as many beyond its limit.
    given: u64,
    /// Output was cut at a limit.
    pub(crate) cut: Option<Limit>,
    /// The yield interval is one unit of fuel, so that the guest yields as soon as it runs on.
    pub(crate) yielding: bool,
    owed: u64,
}

impl Budget {
    /// The budget of a call that was given this many bytes.
    pub(crate) fn new(given: usize) -> Self {
        Self {
            given: given as u64,
            ..Self::default()
        }
    }

    /// Counts one host call. Returns the fuel to take from the store now, if it is time.
    pub(crate) fn host_call(&mut self, limits: &Limits) -> Result<Option<u64>, Reached> {
        self.host_calls += 1;
        let value = limits.get(Limit::HostCalls);
        if self.host_calls > value {
            return Err(Reached {
                limit: Limit::HostCalls,
                value,
            });
        }
        self.owed += CALL_PRICE;
        Ok((self.owed >= SETTLE_AT).then(|| std::mem::take(&mut self.owed)))
    }

    /// Charges bytes that crossed.
    pub(crate) fn bytes(&mut self, bytes: usize) {
        self.owed = self.owed.saturating_add(bytes as u64 / BYTES_PER_FUEL);
    }

    /// Fuel owed and not yet taken.
    pub(crate) fn owed(&self) -> u64 {
        self.owed
    }

    /// Counts output. False when it goes over a limit; the call ends with that limit as its fault.
    pub(crate) fn output(&mut self, bytes: usize, limits: &Limits) -> bool {
        self.bytes(bytes);
        let over_bytes = self.output_bytes.saturating_add(bytes as u64)
            > limits.get(Limit::OutputBytes).saturating_add(self.given);
        let over_items = self.output_items >= limits.get(Limit::OutputItems);
        if over_bytes || over_items {
            self.cut = Some(if over_bytes {
                Limit::OutputBytes
            } else {
                Limit::OutputItems
            });
            return false;
        }
        self.output_bytes += bytes as u64;
        self.output_items += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_calls_cost_fuel_and_end() {
        let mut limits = Limits::defaults();
        limits
            .set("host_calls", 1_000, &Limits::ceilings())
            .unwrap();
        let mut budget = Budget::default();
        let taken: u64 = (0..1_000)
            .map(|_| budget.host_call(&limits).unwrap().unwrap_or(0))
            .sum();
        assert_eq!(taken + budget.owed(), 1_000 * CALL_PRICE);
        assert_eq!(
            budget.host_call(&limits).unwrap_err().limit,
            Limit::HostCalls
        );
    }

    #[test]
    fn what_came_in_may_go_out_again() {
        let mut limits = Limits::defaults();
        limits.set("output_bytes", 10, &Limits::ceilings()).unwrap();
        let mut budget = Budget::new(90);
        assert!(budget.output(100, &limits));
        assert!(!budget.output(1, &limits));
    }

    #[test]
    fn output_is_cut_at_the_first_limit() {
        let mut limits = Limits::defaults();
        limits.set("output_items", 2, &Limits::ceilings()).unwrap();
        let mut budget = Budget::default();
        assert!(budget.output(1, &limits) && budget.output(1, &limits));
        assert!(!budget.output(1, &limits));
        assert_eq!(budget.cut, Some(Limit::OutputItems));
    }
}
