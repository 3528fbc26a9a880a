//! What the operator sees of a running server: JSON logs and Prometheus metrics.

pub mod logs;
pub mod metrics;
mod process;
