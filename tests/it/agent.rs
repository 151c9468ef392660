//! The agent, with a kubelet and an API server that are faked on the wire.

mod kubelet;
mod labels;
mod program;
