//! The webhook: an AdmissionReview in, an answer out.
//!
//! The only place where images and nodes meet. `review` reads a request, [`assess`] joins what its Pod asks for, the nodes
//! and what its images hold ([`contents`], which [`recall`] remembers), [`decision`] decides, [`answer`] and
//! [`message`] tell, and the rest carries bytes: `http`, `tls`, `certificates`, `serve`.

pub mod answer;
pub mod assess;
pub mod certificates;
pub mod configuration;
mod connections;
pub mod contents;
pub mod decision;
pub mod drift;
pub mod events;
pub mod hearing;
pub mod http;
pub mod installation;
mod measured;
pub mod message;
pub mod owner;
pub mod policy;
pub mod recall;
pub mod reload;
pub mod review;
pub mod serve;
mod slots;
pub mod steer;
pub mod tls;

pub use serve::{Settings, WebhookError, run};
