//! A limit on the Events of each object, as client-go has it (`EventSourceObjectSpamFilter` in
//! tools/record/events_cache.go): 25 at once, and one more every five minutes.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// The number of Events that an object gets at once.
const BURST: u32 = 25;
/// The time until an object can get one more Event.
const REFILL: Duration = Duration::from_secs(300);
/// The time until the number of suppressed Events is reported, so that one Event has the complete number.
const COLLECT: Duration = Duration::from_secs(10);

/// The limits of all objects that have had an Event lately.
#[derive(Debug)]
pub struct Limits<K>(BTreeMap<K, Limit>);

#[derive(Debug)]
struct Limit {
    /// The time at which the limit has no effect any more: later by [`REFILL`] for each Event.
    full_at: Instant,
    /// The number of suppressed Events that have not been reported.
    suppressed: u64,
    /// When to report them.
    report_at: Instant,
}

impl<K> Default for Limits<K> {
    fn default() -> Self {
        Limits(BTreeMap::new())
    }
}

impl<K: Ord + Clone> Limits<K> {
    /// Whether an object can get an Event now, which then counts.
    pub fn allows(&mut self, key: &K, now: Instant) -> bool {
        let limit = self.limit(key, now);
        let full_at = limit.full_at.max(now) + REFILL;
        let is_allowed = full_at - now <= REFILL * BURST;
        if is_allowed {
            limit.full_at = full_at;
        }
        is_allowed
    }

    /// Counts an Event that is not written.
    pub fn suppress(&mut self, key: &K, now: Instant) {
        let limit = self.limit(key, now);
        if limit.suppressed == 0 {
            limit.report_at = limit.report_at.max(now + COLLECT);
        }
        limit.suppressed += 1;
    }

    /// The numbers of suppressed Events that are to be reported now, once every five minutes at most for each
    /// object.
    pub fn due(&mut self, now: Instant) -> Vec<(K, u64)> {
        let mut due = Vec::new();
        self.0.retain(|key, limit| {
            if limit.suppressed > 0 && limit.report_at <= now {
                due.push((key.clone(), limit.suppressed));
                limit.suppressed = 0;
                limit.report_at = now + REFILL;
            }
            // An object without an entry has the whole burst.
            limit.suppressed > 0 || limit.full_at > now || limit.report_at > now
        });
        due
    }

    fn limit(&mut self, key: &K, now: Instant) -> &mut Limit {
        let new = Limit { full_at: now, suppressed: 0, report_at: now };
        self.0.entry(key.clone()).or_insert(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_and_then_one_every_five_minutes() {
        let mut limits = Limits::default();
        let mut allowed = |count: usize| (0..count).filter(|_| limits.allows(&"a", Instant::now())).count();
        assert_eq!(allowed(100), 25);
        tokio::time::advance(REFILL - Duration::from_secs(1)).await;
        assert_eq!(allowed(10), 0);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(allowed(10), 1);
        tokio::time::advance(REFILL * 100).await;
        assert_eq!(allowed(100), 25);
        assert!(limits.allows(&"b", Instant::now()), "each object has its own limit");
    }

    #[tokio::test(start_paused = true)]
    async fn suppressed_events_are_reported_together() {
        let mut limits = Limits::default();
        for _ in 0..BURST {
            assert!(limits.allows(&"a", Instant::now()));
        }
        for _ in 0..7 {
            limits.suppress(&"a", Instant::now());
        }
        assert_eq!(limits.due(Instant::now()), []);
        tokio::time::advance(COLLECT).await;
        assert_eq!(limits.due(Instant::now()), [("a", 7)]);
        limits.suppress(&"a", Instant::now());
        tokio::time::advance(COLLECT).await;
        assert_eq!(limits.due(Instant::now()), [], "not again so soon");
        tokio::time::advance(REFILL).await;
        assert_eq!(limits.due(Instant::now()), [("a", 1)]);
        tokio::time::advance(REFILL * BURST).await;
        assert_eq!(limits.due(Instant::now()), []);
        assert!(limits.0.is_empty());
    }
}
