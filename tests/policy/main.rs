//! The built module on the bundled host. One test binary, so that the module is compiled once.

mod budget;
mod common;
mod examples;
mod host_calls;
mod lookups;
mod metadata;
mod reviews;
mod rules;
mod sequences;
mod tenants;
