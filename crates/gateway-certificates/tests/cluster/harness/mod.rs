//! A cluster, the controller as a process, and helpers for scenarios.

pub mod audit;
pub mod cert_manager;
pub mod client;
pub mod cluster;
pub mod control_plane;
pub mod controller;
pub mod eventually;
pub mod objects;
pub mod process;
pub mod proxy;
pub mod scenario;

pub use eventually::{eventually, eventually_within};
pub use objects::*;
pub use proxy::{Fault, Proxy, Rule, calls};
pub use scenario::{Scenario, scenario, scenario_on_own_cluster};
