//! policy-host
