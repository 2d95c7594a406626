//! certificate-shim
