//! What administrators, namespaces and Pods choose.

use super::{
    annotated, ask, ask_in, bad, good, is_refused, is_silent, is_unchecked, is_warned, metrics,
    objects,
};
use crate::cluster::chart;
use crate::cluster::harness::{Cluster, until};

const ARCH: &str = "[GPU-ARCH]";
const MODE: &str = "gpu-capgate.io/mode";
const SKIP: &str = "\n  skip   annotation gpu-capgate.io/mode: warn\n";

pub(super) fn all(cluster: &Cluster) {
    put_namespaces(cluster);
    a_pod_chooses_and_is_told_how(cluster);
    a_namespace_chooses(cluster);
}

fn put_namespaces(cluster: &Cluster) {
    for mode in ["warn", "audit"] {
        cluster.kubectl(&["create", "namespace", mode]);
        cluster.kubectl(&["label", "namespace", mode, &format!("{MODE}={mode}")]);
        let namespace = format!("--namespace={mode}");
        cluster.kubectl(&["wait", "serviceaccount/default", "--for=create", &namespace]);
    }
}

fn a_pod_chooses_and_is_told_how(cluster: &Cluster) {
    is_refused(&ask(cluster, &bad(&["p100"])), SKIP);
    let count = || counted(cluster, "pod");
    let before = count();
    let choosing = |mode: &str| ask(cluster, &annotated(bad(&["p100"]), MODE, mode));
    is_warned(&choosing("warn"), ARCH);
    is_silent(&choosing("audit"));
    is_silent(&choosing("off"));
    is_refused(&choosing("enforce"), ARCH);
    assert_eq!(count(), before + 3);
    is_audited(cluster, "\"check.gpu-capgate.io/mode\":\"off (pod)\"");
}

fn a_namespace_chooses(cluster: &Cluster) {
    let before = counted(cluster, "namespace");
    until("the webhook knows the labels", || {
        ask_in(cluster, "audit", &bad(&["p100"])).code == Some(0)
    });
    is_silent(&ask_in(cluster, "audit", &bad(&["p100"])));
    is_warned(&ask_in(cluster, "warn", &bad(&["p100"])), ARCH);
    let stricter = annotated(bad(&["p100"]), MODE, "enforce");
    is_refused(&ask_in(cluster, "warn", &stricter), ARCH);
    assert!(counted(cluster, "namespace") >= before + 3);
    is_audited(
        cluster,
        "\"check.gpu-capgate.io/mode\":\"audit (namespace)\"",
    );
}

/// In the API server's own log of who did what.
fn is_audited(cluster: &Cluster, annotation: &str) {
    let log = cluster.state().join("log/audit.log");
    until("it is in the audit log", || {
        std::fs::read_to_string(&log).is_ok_and(|text| text.contains(annotation))
    });
}

/// Bypasses by whoever chose.
fn counted(cluster: &Cluster, by: &str) -> u64 {
    let page = metrics(cluster);
    let start = format!("gpu_capgate_bypasses_total{{by=\"{by}\"}} ");
    let mut lines = page.lines();
    let count = lines.find_map(|line| line.strip_prefix(&start));
    count.unwrap_or_else(|| panic!("{page}")).parse().unwrap()
}

/// Everything that makes a refusal less likely is taken away, while the webhook runs.
pub(super) fn of_the_strictest_configuration(cluster: &Cluster) {
    let strict = "webhook.config.partialFit=deny,webhook.config.podModes=false,webhook.config.namespaceModes=false,\
        webhook.config.enforceExisting=true";
    is_warned(&ask(cluster, &bad(&["p100", "t4"])), "[GPU-PARTIAL]");
    let pods = || chart::of_webhook_pods(cluster, ".metadata.name");
    let before = pods();
    chart::reconfigure(cluster, strict, "strict");
    until("partial fits are refused", || {
        ask(cluster, &bad(&["p100", "t4"])).code == Some(1)
    });
    assert_eq!(pods(), before, "no restart");
    is_refused(
        &ask(cluster, &bad(&["p100", "t4"])),
        "it runs on 1 of 2 nodes",
    );
    is_refused(&ask(cluster, &bad(&["mixed"])), "[GPU-PARTIAL]");
    is_silent(&ask(cluster, &bad(&["t4", "blank"])));
    is_silent(&ask(cluster, &good(&["p100", "t4"])));
    let choosing = ask(cluster, &annotated(bad(&["p100"]), MODE, "off"));
    is_refused(&choosing, ARCH);
    assert!(!choosing.stderr.contains("\n  skip "), "{choosing:?}");
    is_refused(&ask_in(cluster, "warn", &bad(&["p100"])), ARCH);
    objects::owners_older_than_the_installation_are_refused_too(cluster);
}

/// Neither the nodes that there are nor what discovery says of them is relied on.
pub(super) fn of_an_open_fleet(cluster: &Cluster) {
    is_refused(&ask(cluster, &bad(&["discovered"])), ARCH);
    let open = "webhook.config.trustGfd=false,webhook.config.autoscaler=undeclared";
    chart::reconfigure(cluster, open, "open");
    let untrusted =
        "cannot tell for 1 node this Pod can land on: only GPU Feature Discovery labels are there";
    // The policy is in force a moment before the nodes are read anew.
    until("the webhook that runs now does not trust discovery", || {
        let asked = ask(cluster, &bad(&["discovered"]));
        asked.stderr.contains(untrusted)
    });
    is_unchecked(&ask(cluster, &bad(&["discovered"])), untrusted);
    is_warned(&ask(cluster, &bad(&["p100"])), "declare its pools");
    is_silent(&ask(cluster, &good(&["p100"])));
}
