//! The built module on the bundled host. One test binary, so that the module is compiled once.

mod budget;
mod common;
mod lookups;
mod metadata;
mod reviews;
mod rules;
mod tenants;
