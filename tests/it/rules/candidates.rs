//! Which nodes count, and what is known of them.

use serde_json::{Value, json};

use super::{ask, bad, good, is_refused, is_silent, is_unchecked, is_warned, making, on};
use crate::cluster::harness::Cluster;

const ARCH: &str = "[GPU-ARCH]";
const PARTIAL: &str = "[GPU-PARTIAL]";
const NO_NODE: &str = "no node is known that this Pod could land on";

pub(super) fn all(cluster: &Cluster) {
    only_certainty_refuses(cluster);
    what_passes_by_itself_excludes_no_node(cluster);
    what_does_not_pass_excludes_a_node(cluster);
    what_runs_somewhere_is_admitted(cluster);
    what_may_still_come_counts(cluster);
    devices_that_a_driver_publishes_count(cluster);
    an_inventory_counts_while_it_is_fresh(cluster);
    labels_of_discovery_count_unless_they_betray_several_models(cluster);
}

fn only_certainty_refuses(cluster: &Cluster) {
    is_refused(&ask(cluster, &bad(&["p100"])), ARCH);
    is_silent(&ask(cluster, &good(&["p100"])));
    is_unchecked(&ask(cluster, &bad(&["nowhere"])), NO_NODE);
    let unreadable = on(&["p100"], "registry.example.com/team/own:1");
    is_unchecked(
        &ask(cluster, &unreadable),
        "cannot tell whether image runs on",
    );
    // A node with neither GPUs nor labels is none; one with GPUs alone is unknown.
    is_unchecked(&ask(cluster, &bad(&["bare"])), NO_NODE);
    let unknown = "cannot tell for 1 node this Pod can land on: nothing tells which GPUs these are";
    is_unchecked(&ask(cluster, &bad(&["blank"])), unknown);
    is_unchecked(&ask(cluster, &bad(&["p100", "blank"])), unknown);
    is_refused(&ask(cluster, &bad(&["p100", "bare"])), ARCH);
}

fn what_passes_by_itself_excludes_no_node(cluster: &Cluster) {
    for pool in ["cordoned", "unhealthy", "unregistered"] {
        is_refused(&ask(cluster, &bad(&[pool])), ARCH);
        is_silent(&ask(cluster, &good(&[pool])));
    }
    // Of all numbers of GPUs the greatest counts: there are four, none of them healthy.
    let asking = |gpus: &str| {
        let mut pod = bad(&["unhealthy"]);
        pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] = json!(gpus);
        pod
    };
    is_refused(&ask(cluster, &asking("4")), ARCH);
    is_unchecked(&ask(cluster, &asking("5")), NO_NODE);
}

fn what_does_not_pass_excludes_a_node(cluster: &Cluster) {
    is_unchecked(&ask(cluster, &bad(&["reserved"])), NO_NODE);
    let tolerating = |operator: &str| {
        let mut pod = bad(&["reserved"]);
        pod["spec"]["tolerations"] =
            json!([{"key": "team", "operator": operator, "value": "", "effect": "NoSchedule"}]);
        pod
    };
    is_refused(&ask(cluster, &tolerating("Exists")), ARCH);
    is_unchecked(&ask(cluster, &tolerating("Equal")), NO_NODE);
    // Nobody asks the scheduler about a Pod that names its node.
    let mut named = bad(&["reserved"]);
    named["spec"]["nodeName"] = json!("reserved");
    is_refused(&ask(cluster, &named), ARCH);
    // The API server itself gives a Pod the toleration of what it asks for.
    is_refused(&ask(cluster, &bad(&["gpus-only"])), ARCH);
    is_unchecked(&ask(cluster, &bad(&["windows"])), NO_NODE);
    let mut windows = bad(&["windows"]);
    windows["spec"]["os"] = json!({"name": "windows"});
    is_refused(&ask(cluster, &windows), ARCH);
    // A template may be given tolerations before it makes a Pod.
    is_refused(&ask(cluster, &deployment(&bad(&["reserved"]))), ARCH);
    is_unchecked(&ask(cluster, &deployment(&bad(&["nowhere"]))), NO_NODE);
}

fn deployment(pod: &Value) -> Value {
    making("apps/v1", "Deployment", pod)
}

fn what_runs_somewhere_is_admitted(cluster: &Cluster) {
    let told = "it runs on 1 of 2 nodes; nodeAffinity gpu-capgate.io/compute.min Gt \"74\" keeps it off the others";
    let some = ask(cluster, &bad(&["p100", "t4"]));
    is_warned(&some, told);
    is_warned(&some, PARTIAL);
    is_warned(&ask(cluster, &bad(&["mixed"])), PARTIAL);
    is_warned(&ask(cluster, &bad(&["p100", "t4", "blank"])), PARTIAL);
    is_silent(&ask(cluster, &bad(&["t4", "blank"])));
    is_silent(&ask(cluster, &bad(&["t4"])));
}

fn what_may_still_come_counts(cluster: &Cluster) {
    let open = "cannot tell for 1 node this Pod can land on: pools without nodes yet, whose GPUs nothing fixes";
    for (fixed, unfixed) in [("declared", "open"), ("karpenter-m60", "karpenter-any")] {
        is_refused(&ask(cluster, &bad(&[fixed])), ARCH);
        is_refused(&ask(cluster, &bad(&["p100", fixed])), ARCH);
        is_unchecked(&ask(cluster, &bad(&[unfixed])), open);
        is_unchecked(&ask(cluster, &bad(&["p100", unfixed])), open);
    }
    is_silent(&ask(cluster, &good(&["declared"])));
    is_unchecked(&ask(cluster, &bad(&["karpenter-cpu"])), NO_NODE);
}

/// By the resource that a class serves, where the API server knows that field (1.37 does), and by a claim.
fn devices_that_a_driver_publishes_count(cluster: &Cluster) {
    let class = "deviceclass/gpu.nvidia.com";
    let resource = "-o=jsonpath={.spec.extendedResourceName}";
    let by_resource = ask(cluster, &bad(&["sliced"]));
    if cluster.kubectl(&["get", class, resource]).is_empty() {
        is_unchecked(&by_resource, NO_NODE);
    } else {
        is_refused(&by_resource, ARCH);
        let vague = "cannot tell for 1 node this Pod can land on: the ResourceSlices do not tell";
        is_unchecked(&ask(cluster, &bad(&["vague"])), vague);
        is_silent(&ask(cluster, &good(&["sliced"])));
    }
    let claiming = |pool: &str| {
        let mut pod = bad(&[pool]);
        pod["spec"]["resourceClaims"] = json!([{"name": "gpu", "resourceClaimName": "gpu"}]);
        pod["spec"]["containers"][0]["resources"] = json!({"claims": [{"name": "gpu"}]});
        pod
    };
    // Which devices a claim picks is not known, so that it never refuses.
    is_warned(&ask(cluster, &claiming("sliced")), ARCH);
    is_unchecked(&ask(cluster, &claiming("vague")), "cannot tell for 1 node");
    is_unchecked(&ask(cluster, &claiming("p100")), NO_NODE);
}

fn an_inventory_counts_while_it_is_fresh(cluster: &Cluster) {
    for (pool, reason) in [
        ("rebooted", "the inventory is older than the last boot"),
        ("newer", "the inventory cannot be read"),
        ("upgrading", "the GPU Operator is upgrading the driver"),
        ("deserted", "the agent there is not ready"),
    ] {
        let told = format!("cannot tell for 1 node this Pod can land on: {reason}");
        is_unchecked(&ask(cluster, &bad(&[pool])), &told);
        is_unchecked(&ask(cluster, &bad(&[pool, "p100"])), &told);
    }
    for pool in ["upgrade-due", "upgraded", "attended"] {
        is_refused(&ask(cluster, &bad(&[pool])), ARCH);
    }
}

fn labels_of_discovery_count_unless_they_betray_several_models(cluster: &Cluster) {
    is_refused(&ask(cluster, &bad(&["discovered"])), ARCH);
    let told = "cannot tell for 1 node this Pod can land on: the discovery labels count other GPUs";
    is_unchecked(&ask(cluster, &bad(&["betrayed"])), told);
}
