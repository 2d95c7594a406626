//! The controller that creates and keeps the cert-manager Certificates of annotated Istio Gateways.

#[cfg(test)]
mod testing;
pub mod wanted;
