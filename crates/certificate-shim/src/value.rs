//! The grammars of annotation values: those of Go's standard library, which cert-manager uses.

pub mod csv;
pub mod duration;
pub mod integer;
pub mod ip;
pub mod mail;
pub mod quote;
pub mod secret_template;
pub mod usage;
