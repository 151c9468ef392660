//! gpu-capgate tells a Kubernetes cluster what its GPUs can run, and refuses Pods whose image cannot run on them.
//!
//! This file is the map. One program, two roles that run in a cluster, and a layer a folder:
//!
//! | module | what it answers | files |
//! |---|---|---|
//! | [`compat`] | can this software run on this GPU and driver? **the decision; pure** | one rule a function, facts in `compat/data` |
//! | [`labels`] | how is a node's GPU inventory written on the Node? | the contract between the roles |
//! | [`image`] | what software does an image hold? | `reference`, `evidence` |
//! | [`cluster`] | what does a Pod ask for, which nodes could run it? | `manifest` reads, `workload` finds Pods, `demand` fills a `placement`, `schedule` asks the `fleet`, `watch` keeps it |
//! | [`admission`] | the webhook: a review in, an answer out | `configuration` is what administrators chose, `serve` wires, `review` reads, `assess` joins, `decision` decides, `message` tells, `steer` moves |
//! | [`node`] | the agent: GPUs in, labels and devices out | `serve` wires, `kubelet` and `plugin` talk to the kubelet, `labeller` to the API server, `attempts` and `counts` tell how they fare |
//! | [`command`] | the same answers in a shell: `check`, `nodes`, `snapshot`, `explain`, `catalog` | one file a command |
//! | [`cli`], [`telemetry`], [`lifecycle`] | arguments · logs, metric families · signals, readiness, health endpoint | |
//!
//! Who may import whom. `tests/it/layering.rs` reads this table and fails on any other edge, on a module that is not
//! listed, and on a pure file that names I/O, time, the environment or an asynchronous runtime:
//!
//! ```layers
//! compat:
//! labels: compat
//! telemetry:
//! lifecycle: telemetry
//! image: compat
//! cluster: compat labels
//! admission: compat labels image cluster telemetry lifecycle
//! node: compat labels telemetry lifecycle
//! cli: compat labels image cluster admission node telemetry lifecycle
//! command: cli compat labels image cluster admission telemetry
//! main: cli command admission node telemetry lifecycle
//! ```
//!
//! ```pure
//! compat labels
//! image/reference image/evidence
//! cluster/manifest cluster/workload cluster/pod_hints cluster/demand cluster/placement cluster/resource cluster/quantity cluster/selector cluster/taint
//! cluster/schedule cluster/fleet cluster/namespaces
//! admission/policy admission/configuration admission/drift admission/contents admission/recall admission/assess admission/decision admission/answer
//! admission/message admission/steer
//! node/inventory node/allocate
//! ```
//!
//! Who talks to whom outside: `cluster/watch`, `admission/{certificates,owner,events}`, `node/labeller` and, for
//! commands, `command/source/live` hold a Kubernetes client; `node/kubelet` and `node/plugin` speak the device-plugin
//! API; nothing else leaves the process.

pub mod admission;
pub mod cli;
pub mod cluster;
pub mod command;
pub mod compat;
pub mod image;
pub mod labels;
pub mod lifecycle;
pub mod node;
pub mod telemetry;
