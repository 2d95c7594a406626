//! gateway-rules
