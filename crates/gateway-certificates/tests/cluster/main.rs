//! The controller on a real control plane: `make test-cluster`.

mod adoption;
mod bench;
mod deletions;
mod deployment;
mod faults;
mod harness;
mod issuers;
mod kinds;
mod life_cycle;
mod outages;
mod ownership;
mod placement;
mod replicas;
mod reporting;
