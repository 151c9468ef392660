//! The webhook: an AdmissionReview in, an answer out.
//!
//! The only place where images and nodes meet. `review` gathers, [`decision`] decides, [`message`] tells, and the rest
//! carries bytes: `http`, `tls`, `certificates`, `serve`.

pub mod certificates;
pub mod decision;
pub mod http;
pub mod message;
pub mod policy;
pub mod review;
pub mod serve;
pub mod tls;

pub use serve::{Settings, WebhookError, run};
