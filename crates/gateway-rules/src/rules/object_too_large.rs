//! The object is too large to be checked.
//!
//! A policy server gives each request a fixed time. Without a limit, a tenant could apply an object that
//! takes longer, and slow down all other requests. The policy counts the values in the spec, labels and
//! annotations, and the items of cert-manager's annotations that are lists: each host is one value, a
//! server with one host about six. Objects that no rule would check are accepted. An update that does not
//! change labels, annotations and spec is accepted with a warning. The controller has no such limit.
//!
//! Rejected: an object with more than 3,500 values, or with more than 512 KiB of labels and annotations:
//! ```yaml
//! hosts: [shop-1.example.com, shop-2.example.com, shop-3.example.com]  # and 4,000 more
//! ```
//! Accepted: several Gateways, each with a part of the hosts:
//! ```yaml
//! hosts: [shop-1.example.com, shop-2.example.com]
//! ```

use json_prune::Head;

use crate::context::Context;
use crate::finding::Finding;
use crate::rule::{Findings, Rule};

/// `object-too-large`
pub const RULE: Rule = Rule::reject("object-too-large", check).of_all().for_admission().fixed();

/// The maximum number of values in an object.
pub const VALUES: usize = 3_500;
/// The maximum size of labels and annotations in bytes: twice the API server's limit for annotations.
pub const METADATA_BYTES: usize = 512 * 1024;

/// Reports nothing: the policy counts before it reads the object, see [`report`].
fn check(_context: &Context<'_>, _findings: &mut Findings<'_>) {}

/// Whether an object is too large to be read.
pub fn is_too_large(head: &Head) -> bool {
    head.values > VALUES || head.metadata_bytes > METADATA_BYTES
}

/// Reports an object that is too large to be read.
pub fn report(head: &Head, findings: &mut Vec<Finding>) {
    let problem = if head.values > VALUES {
        format!("it has about {} values, but at most {VALUES} are checked", head.values)
    } else {
        let most = METADATA_BYTES / 1024;
        format!(
            "its labels and annotations have {} KiB, but at most {most} KiB are checked",
            head.metadata_bytes / 1024
        )
    };
    Findings::of(&RULE, RULE.level, findings)
        .report("spec", problem)
        .help("Split it into several objects, each with a part of the servers or listeners.");
}
