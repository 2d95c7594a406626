//! Replay: answers from a recording that kwctl wrote with `--record-host-capabilities-interactions`.
//!
//! Format, order and texts are those of `crates/kwctl/src/callback_handler/proxy.rs`.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Mutex;

use serde::Deserialize;

use super::{Cluster, HostError};
use crate::{Error, Lookup};

/// A recording. Each lookup must be equal to the next one in the recording. Errors are recorded without
/// causes and backtrace, so the policy gets them without.
#[derive(Debug)]
pub struct Replay {
    exchanges: Mutex<VecDeque<(Lookup, Response)>>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
enum Entry {
    Exchange { request: String, response: Response },
}

#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "type")]
enum Response {
    Success { payload: String },
    Error { message: String },
}

impl Replay {
    /// Reads a recording.
    ///
    /// # Errors
    /// [`Error::Read`] if the file cannot be read, and [`Error::Replay`] if it is not a recording.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Self::read(&path.display().to_string(), &text)
    }

    /// Parses the text of a recording.
    ///
    /// # Errors
    /// [`Error::Replay`] if the text is not a recording.
    pub fn from_yaml(text: &str) -> Result<Self, Error> {
        Self::read("the recording", text)
    }

    /// The lookups of the recording that the policy has not made.
    #[must_use]
    pub fn leftovers(&self) -> Vec<Lookup> {
        let exchanges = self.exchanges.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        exchanges.iter().map(|(lookup, _)| lookup.clone()).collect()
    }

    fn read(origin: &str, text: &str) -> Result<Self, Error> {
        let invalid = |reason: String| Error::Replay { origin: origin.to_owned(), reason };
        let entries: Vec<Entry> = yaml_serde::from_str(text).map_err(|error| invalid(error.to_string()))?;
        let mut exchanges = VecDeque::new();
        for (index, Entry::Exchange { request, response }) in entries.into_iter().enumerate() {
            let lookup = yaml_serde::from_str(&request)
                .map_err(|error| invalid(format!("exchange {}: request: {error}", index + 1)))?;
            exchanges.push_back((lookup, response));
        }
        Ok(Self { exchanges: Mutex::new(exchanges) })
    }
}

impl Cluster for Replay {
    fn answer(&self, lookup: &Lookup) -> Result<String, HostError> {
        let next = self.exchanges.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).pop_front();
        match next {
            None => Err(HostError::callback("the list of recorded responses is empty")),
            Some((expected, _)) if expected != *lookup => Err(HostError::callback(&format!(
                "Replay error: unexpected request. Was expecting {expected:?}, got {lookup:?} instead"
            ))),
            Some((_, Response::Success { payload })) => Ok(payload),
            Some((_, Response::Error { message })) => Err(HostError::callback(&message)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "\
- type: Exchange
  request: |
    !KubernetesGetResource
    api_version: v1
    kind: Namespace
    name: a
    namespace: null
    disable_cache: false
    field_masks: [spec]
  response: {type: Success, payload: '{}'}
";

    proptest! {
        #[test]
        fn a_damaged_recording_is_parsed_or_rejected(at in 0..GOOD.len(), with in ".{0,3}") {
            prop_assert_eq!(Replay::from_yaml(GOOD).unwrap().leftovers().len(), 1);
            let mut text = GOOD.to_owned();
            text.replace_range(at..=at, &with);
            let _ = Replay::from_yaml(&text);
        }
    }
}
