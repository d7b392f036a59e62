//! What an operator watches: the server's own log, numbers, traces, and errors. Rooms say
//! what has happened by a function of `count`; what is named how is said here, once. No
//! label has a project's name, so that there are never many.

pub mod count;
mod errors;
mod log;
mod metrics;
mod process;
mod traces;

pub use log::{Guard, start_logging};
pub use metrics::{Kind, METRICS, Metric, install, render};
pub use traces::endpoint as traces_endpoint;
