//! Fake peers on the wire, and how a test waits: for an event, with a limit, never for a while.

use std::future::Future;
use std::time::Duration;

pub(crate) mod api_server;
pub(crate) mod asked_server;
pub(crate) mod http;
pub(crate) mod json;
pub(crate) mod kubelet;
pub(crate) mod process;
pub(crate) mod served;
pub(crate) mod tls;
pub(crate) mod watch_server;

/// Longer than any wait of ours; a test that passes never uses it up.
const LIMIT: Duration = Duration::from_secs(30);

/// Waits for an event; a test that waits in vain says what for.
pub(crate) async fn within<T>(event: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future)
        .await
        .unwrap_or_else(|_| panic!("not within {LIMIT:?}: {event}"))
}

/// Lets a minute pass on a clock that stands still otherwise: it moves when everybody waits, so whatever was to happen
/// by then has happened.
pub(crate) async fn a_minute_passes() {
    tokio::time::sleep(Duration::from_secs(60)).await;
}

/// Skips a minute on a clock that runs otherwise, as if no answer had come for so long.
pub(crate) async fn skip_a_minute() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(60)).await;
    tokio::time::resume();
}

/// One GPU in the flow style of an inventory file.
pub(crate) fn gpu(uuid: &str, product: &str, capability: &str) -> String {
    format!(
        "{{uuid: {uuid}, product: {product}, computeCapability: \"{capability}\", memoryMiB: 16384}}"
    )
}
