//! The controller's requests to the API server, from the audit log.

use std::fmt;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The audit log from a point in time.
#[derive(Debug, Clone)]
pub struct Audit {
    log: PathBuf,
    from: u64,
}

/// One request with its response.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// `get`, `list`, `watch`, `create`, `patch`, `delete` ..
    pub verb: String,
    #[serde(default)]
    object_ref: Object,
    #[serde(default)]
    response_status: Status,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Object {
    resource: String,
    namespace: String,
    name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
}

impl Request {
    /// `certificates`, `events` ..
    pub fn resource(&self) -> &str {
        &self.object_ref.resource
    }

    /// The name of the object.
    pub fn name(&self) -> &str {
        &self.object_ref.name
    }

    /// The HTTP status of the response.
    pub fn code(&self) -> u16 {
        self.response_status.code
    }

    /// Whether it is a write.
    pub fn is_write(&self) -> bool {
        matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection")
    }

    /// Whether it succeeded.
    pub fn is_done(&self) -> bool {
        (200..300).contains(&self.code())
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Object { resource, namespace, name } = &self.object_ref;
        write!(f, "{} {resource} {namespace}/{name}: {}", self.verb, self.code())
    }
}

impl Audit {
    /// The log from now on.
    pub fn from_now(log: &Path) -> Self {
        Audit { log: log.to_owned(), from: std::fs::metadata(log).map_or(0, |file| file.len()) }
    }

    /// The requests since then.
    pub fn requests(&self) -> Vec<Request> {
        let mut text = String::new();
        let Ok(mut file) = std::fs::File::open(&self.log) else { return Vec::new() };
        file.seek(SeekFrom::Start(self.from)).unwrap();
        file.read_to_string(&mut text).unwrap();
        // The last line can be incomplete.
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The successful writes to a resource since then.
    pub fn writes_of(&self, resource: &str) -> Vec<Request> {
        let mut requests = self.requests();
        requests.retain(|request| request.is_write() && request.is_done() && request.resource() == resource);
        requests
    }

    /// All writes since then, successful or not, except those to the Lease.
    pub fn writes(&self) -> Vec<Request> {
        let mut requests = self.requests();
        requests.retain(|request| request.is_write() && request.resource() != "leases");
        requests
    }
}

/// The requests for a message, one per line.
pub fn listed(requests: &[Request]) -> String {
    requests.iter().map(|request| format!("  {request}\n")).collect()
}
