//! The agent: reads what GPUs a node has, labels the Node, and advertises the GPUs to the kubelet.
//!
//! Knows nothing of images, Pods or admission; it meets the webhook only in [`crate::labels`].

pub mod allocate;
pub mod attempts;
pub mod counts;
pub mod inventory;
pub mod kubelet;
pub mod labeller;
pub mod plugin;
pub mod serve;

pub use serve::{AgentError, Settings, run};
