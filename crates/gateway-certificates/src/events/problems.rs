//! The problems that last: each gets an Event when it appears, and another look every 30 minutes, so that
//! it does not vanish with its Event, which the API server keeps for an hour.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{NewEvent, Reason, Regarding, Subject};
use crate::objects::Key;

/// The time after which the Event of a problem is refreshed (`refreshTime` in client-go's tools/events).
pub const REFRESH: Duration = Duration::from_secs(30 * 60);
/// The maximum number of problems of an object with the same reason. The last Event has the number of the
/// others.
const SHOWN: usize = 10;

/// A problem of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The text of the Event.
    pub text: String,
    /// The time that it must last before it is reported.
    pub after: Duration,
}

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Problem { text, after: Duration::ZERO }
    }
}

/// The current problems of all objects.
#[derive(Debug, Default)]
pub struct Problems(BTreeMap<(Subject, Key), Vec<Lasting>>);

#[derive(Debug)]
struct Lasting {
    event: NewEvent,
    due: Instant,
}

impl Problems {
    /// Sets the problems of an object with that reason. Returns the Events to write now: those of new problems.
    pub fn set(
        &mut self,
        regarding: &Regarding,
        reason: Reason,
        problems: Vec<Problem>,
        now: Instant,
    ) -> Vec<NewEvent> {
        let key = (regarding.subject, regarding.key.clone());
        let mut all = self.0.remove(&key).unwrap_or_default();
        let mut before: Vec<Lasting> = all.extract_if(.., |lasting| lasting.event.reason == reason).collect();
        let mut new = Vec::new();
        let (shown, others) = bounded(reason, problems);
        for problem in shown {
            let event = NewEvent {
                regarding: regarding.clone(),
                reason,
                text: problem.text,
                occurrence: String::new(),
            };
            let same = before.iter().position(|lasting| lasting.event == event);
            let lasting = match same {
                Some(at) => before.swap_remove(at),
                None if problem.after.is_zero() => {
                    new.push(event.clone());
                    Lasting { event, due: now + REFRESH }
                }
                None => Lasting { event, due: now + problem.after },
            };
            all.push(lasting);
        }
        if !all.is_empty() {
            self.0.insert(key, all);
        }
        // Each is logged once: the number of them is in the Event that is new.
        if new.iter().any(|event| event.text == reason.more(others.len())) {
            for Problem { text, .. } in &others {
                tracing::info!(object = %regarding.key, reason = reason.as_str(), note = text, "no Event of its own");
            }
        }
        new
    }

    /// Forgets all problems of an object.
    pub fn forget(&mut self, subject: Subject, key: &Key) {
        self.0.remove(&(subject, key.clone()));
    }

    /// The Events to write or refresh now.
    pub fn due(&mut self, now: Instant) -> Vec<NewEvent> {
        let mut due = Vec::new();
        for lasting in self.0.values_mut().flatten().filter(|lasting| lasting.due <= now) {
            lasting.due = now + REFRESH;
            due.push(lasting.event.clone());
        }
        due
    }

    /// Sets the time of the next attempt for an Event that could not be written.
    pub fn postpone(&mut self, event: &NewEvent, until: Instant) {
        let problems = self.0.get_mut(&(event.regarding.subject, event.regarding.key.clone()));
        if let Some(lasting) = problems.into_iter().flatten().find(|lasting| lasting.event == *event) {
            lasting.due = lasting.due.min(until);
        }
    }
}

/// The problems that get an Event, and the others, whose number is in the last Event.
fn bounded(reason: Reason, mut problems: Vec<Problem>) -> (Vec<Problem>, Vec<Problem>) {
    if problems.len() <= SHOWN {
        return (problems, Vec::new());
    }
    let others = problems.split_off(SHOWN - 1);
    let after = others.iter().map(|problem| problem.after).min().unwrap_or_default();
    problems.push(Problem { text: reason.more(others.len()), after });
    (problems, others)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop() -> Regarding {
        Regarding::gateway(&Key { namespace: "team-a".to_owned(), name: "shop".to_owned() }, "u")
    }

    fn problems(texts: &[&str]) -> Vec<Problem> {
        texts.iter().map(|text| Problem::from((*text).to_owned())).collect()
    }

    fn texts(events: Vec<NewEvent>) -> Vec<String> {
        events.into_iter().map(|event| event.text).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_problem_is_written_once_and_refreshed_while_it_lasts() {
        let mut all = Problems::default();
        let set = |all: &mut Problems, found: &[&str]| {
            texts(all.set(&shop(), Reason::CertificateWithheld, problems(found), Instant::now()))
        };
        assert_eq!(set(&mut all, &["a", "b"]), ["a", "b"]);
        assert_eq!(set(&mut all, &["a", "b", "c"]), ["c"]);
        tokio::time::advance(REFRESH).await;
        assert_eq!(set(&mut all, &["a", "b", "c"]), [""; 0]);
        assert_eq!(texts(all.due(Instant::now())), ["a", "b", "c"]);
        assert_eq!(texts(all.due(Instant::now())), [""; 0]);
        assert_eq!(set(&mut all, &["b"]), [""; 0]);
        tokio::time::advance(REFRESH).await;
        assert_eq!(texts(all.due(Instant::now())), ["b"]);
        set(&mut all, &[]);
        assert!(all.0.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn reasons_are_independent_and_a_new_object_has_new_problems() {
        let mut all = Problems::default();
        let now = Instant::now();
        assert_eq!(all.set(&shop(), Reason::CertificateWithheld, problems(&["a"]), now).len(), 1);
        assert_eq!(all.set(&shop(), Reason::PlacementMismatch, problems(&["a"]), now).len(), 1);
        assert_eq!(all.set(&shop(), Reason::PlacementMismatch, Vec::new(), now).len(), 0);
        assert_eq!(all.set(&shop(), Reason::CertificateWithheld, problems(&["a"]), now).len(), 0);
        let again = Regarding { uid: "other".to_owned(), ..shop() };
        assert_eq!(all.set(&again, Reason::CertificateWithheld, problems(&["a"]), now).len(), 1);
        all.forget(Subject::Gateway, &shop().key);
        assert!(all.0.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_problem_that_ends_in_time_is_never_written() {
        let mut all = Problems::default();
        let after = Duration::from_secs(600);
        let slow = || vec![Problem { text: "slow".to_owned(), after }];
        let set = |all: &mut Problems, problems| {
            texts(all.set(&shop(), Reason::CertificateFailed, problems, Instant::now()))
        };
        assert_eq!(set(&mut all, slow()), [""; 0]);
        tokio::time::advance(after / 2).await;
        assert_eq!(set(&mut all, slow()), [""; 0]);
        assert_eq!(texts(all.due(Instant::now())), [""; 0]);
        tokio::time::advance(after / 2).await;
        assert_eq!(texts(all.due(Instant::now())), ["slow"]);
        set(&mut all, Vec::new());
        set(&mut all, slow());
        tokio::time::advance(after / 2).await;
        set(&mut all, Vec::new());
        tokio::time::advance(after).await;
        assert_eq!(texts(all.due(Instant::now())), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn many_problems_get_few_events() {
        let mut all = Problems::default();
        let many = |count: usize| (0..count).map(|number| Problem::from(format!("{number:04}"))).collect();
        let now = Instant::now();
        let written = texts(all.set(&shop(), Reason::CertificateWithheld, many(1_000), now));
        assert_eq!(written.len(), SHOWN);
        assert_eq!(written[8], "0008");
        assert!(written[9].starts_with("and 991 more Certificates are withheld"), "{}", written[9]);
        assert_eq!(texts(all.set(&shop(), Reason::CertificateWithheld, many(1_000), now)), [""; 0]);
        assert_eq!(texts(all.set(&shop(), Reason::CertificateWithheld, many(10), now)), ["0009"]);
    }
}
