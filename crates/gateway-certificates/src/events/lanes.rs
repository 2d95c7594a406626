//! Work that waits, in one lane per namespace: lanes take turns, each has at most one item in flight, and
//! a lane whose request failed pauses. So a namespace that hangs or floods does not delay the others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

/// The maximum number of items that wait in one lane.
const LANE: usize = 1_000;
/// The maximum number of items that wait in all lanes.
const TOTAL: usize = 20_000;
/// The pause of a lane after its first failure, doubled with every further failure.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The maximum pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// The lanes. A lane exists while it has an item that waits or is in flight, and is then in exactly one of
/// three states: it has a turn, it is in flight, or it pauses.
#[derive(Debug)]
pub struct Lanes<T> {
    lanes: BTreeMap<String, Lane<T>>,
    /// The namespaces with an item that can be taken now, in the order of their turns.
    turns: VecDeque<String>,
    /// The namespaces that pause, with the end of the pause.
    paused: BTreeSet<(Instant, String)>,
    /// The number of items that wait.
    waiting: usize,
    /// The number of lanes in flight.
    in_flight: usize,
}

#[derive(Debug)]
struct Lane<T> {
    items: VecDeque<T>,
    failures: u32,
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Lanes {
            lanes: BTreeMap::new(),
            turns: VecDeque::new(),
            paused: BTreeSet::new(),
            waiting: 0,
            in_flight: 0,
        }
    }
}

impl<T> Lanes<T> {
    /// Adds an item at the end of a lane. Returns false if too many wait.
    pub fn push(&mut self, namespace: &str, item: T) -> bool {
        if self.waiting >= TOTAL {
            return false;
        }
        if let Some(lane) = self.lanes.get_mut(namespace) {
            if lane.items.len() >= LANE {
                return false;
            }
            lane.items.push_back(item);
        } else {
            self.lanes.insert(namespace.to_owned(), Lane { items: VecDeque::from([item]), failures: 0 });
            self.turns.push_back(namespace.to_owned());
        }
        self.waiting += 1;
        true
    }

    /// Takes the next item. The lane is in flight until [`Lanes::succeeded`] or [`Lanes::failed`].
    pub fn take(&mut self, now: Instant) -> Option<(String, T)> {
        while self.paused.first().is_some_and(|(until, _)| *until <= now) {
            self.turns.extend(self.paused.pop_first().map(|(_, namespace)| namespace));
        }
        let namespace = self.turns.pop_front()?;
        let item = self.lanes.get_mut(&namespace)?.items.pop_front()?;
        self.waiting -= 1;
        self.in_flight += 1;
        Some((namespace, item))
    }

    /// Ends the request of a lane.
    pub fn succeeded(&mut self, namespace: &str) {
        self.in_flight -= 1;
        let Some(lane) = self.lanes.get_mut(namespace) else { return };
        lane.failures = 0;
        if lane.items.is_empty() {
            self.lanes.remove(namespace);
        } else {
            self.turns.push_back(namespace.to_owned());
        }
    }

    /// Ends the request of a lane, which pauses. An item that is to be tried again is the next one of its lane.
    pub fn failed(&mut self, namespace: &str, again: Option<T>, now: Instant) {
        self.in_flight -= 1;
        let Some(lane) = self.lanes.get_mut(namespace) else { return };
        if let Some(item) = again {
            lane.items.push_front(item);
            self.waiting += 1;
        }
        if lane.items.is_empty() {
            self.lanes.remove(namespace);
            return;
        }
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(lane.failures)).min(LONGEST_PAUSE);
        lane.failures = lane.failures.saturating_add(1);
        self.paused.insert((now + pause, namespace.to_owned()));
    }

    /// Whether an item can be taken without waiting for the end of a pause.
    pub fn has_turn(&self) -> bool {
        !self.turns.is_empty()
    }

    /// Whether everything is done, apart from lanes that pause.
    pub fn is_idle(&self) -> bool {
        self.turns.is_empty() && self.in_flight == 0
    }

    /// The end of the first pause.
    pub fn wakes_at(&self) -> Option<Instant> {
        self.paused.first().map(|(until, _)| *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(lanes: &mut Lanes<u32>) -> Vec<(String, u32)> {
        std::iter::from_fn(|| lanes.take(Instant::now())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn namespaces_take_turns_with_one_item_in_flight_each() {
        let mut lanes = Lanes::default();
        for (namespace, item) in [("a", 1), ("a", 2), ("b", 3), ("a", 4)] {
            assert!(lanes.push(namespace, item));
        }
        assert_eq!(taken(&mut lanes), [("a".to_owned(), 1), ("b".to_owned(), 3)]);
        lanes.succeeded("b");
        assert_eq!(taken(&mut lanes), []);
        lanes.succeeded("a");
        assert_eq!(taken(&mut lanes), [("a".to_owned(), 2)]);
        lanes.succeeded("a");
        assert_eq!(taken(&mut lanes), [("a".to_owned(), 4)]);
        assert!(!lanes.is_idle());
        lanes.succeeded("a");
        assert!(lanes.is_idle() && lanes.lanes.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_fails_pauses_and_keeps_its_order() {
        let mut lanes = Lanes::default();
        lanes.push("a", 1);
        lanes.push("a", 2);
        for expected in [5, 10, 20, 40, 80, 120, 120] {
            let (namespace, item) = lanes.take(Instant::now()).unwrap();
            assert_eq!(item, 1);
            lanes.failed(&namespace, Some(item), Instant::now());
            assert!(lanes.is_idle() && !lanes.has_turn());
            assert_eq!(lanes.take(Instant::now()), None);
            let pause = lanes.wakes_at().unwrap() - Instant::now();
            assert_eq!(pause.as_secs(), expected);
            tokio::time::advance(pause).await;
        }
        let (namespace, _) = lanes.take(Instant::now()).unwrap();
        lanes.succeeded(&namespace);
        assert_eq!(lanes.take(Instant::now()), Some(("a".to_owned(), 2)));
        // Without an item there is nothing to pause.
        lanes.failed("a", None, Instant::now());
        assert!(lanes.lanes.is_empty() && lanes.paused.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_and_all_lanes_are_bounded() {
        let mut lanes = Lanes::default();
        assert_eq!((0..2_000).filter(|item| lanes.push("a", *item)).count(), LANE);
        assert!(lanes.push("b", 1));
        let pushed = (0..TOTAL).filter(|item| lanes.push(&format!("n{item}"), 1)).count();
        assert_eq!(pushed, TOTAL - LANE - 1);
    }
}
