//! gateway-lint
