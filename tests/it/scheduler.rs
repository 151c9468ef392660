//! Our candidates against the real kube-scheduler: random Pods and nodes, and the same answer for each pair.
//!
//! `CASES` sets how many pairs at least, `SEED` repeats a run. A pair is one Pod pinned to one node; the oracle is the
//! condition `PodScheduled` that the scheduler writes. Deliberately left out: what the scheduler also looks at and
//! candidates do not (cpu and memory, ports, volumes, Pods that are there), and nodes without GPUs.

mod arbitrary;
mod oracle;

use super::cluster::harness::{Cluster, Outcome};

/// Part of the names by which the cluster tests are chosen.
mod real_cluster {
    use super::{Cluster, Outcome, inside, oracle};

    #[test]
    fn cluster_agrees_with_the_real_scheduler() {
        let test = "cluster_agrees_with_the_real_scheduler";
        let Outcome::Started(cluster) = Cluster::start_control_plane(test) else {
            return;
        };
        cluster.kubectl(&[
            "wait",
            "serviceaccount/default",
            "--for=create",
            "--timeout=60s",
        ]);
        cluster.stop_controllers();
        // The API server is reachable only from the cluster's own network, so the comparison runs there.
        let this = std::env::current_exe().unwrap();
        let this = this.to_str().unwrap();
        let ran = cluster.run(this, &["--exact", inside(), "--ignored", "--nocapture"]);
        print!("{}", ran.stdout);
        assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains("1 passed"), "{}", ran.stdout);
        cluster.passed();
    }

    #[test]
    #[ignore = "runs inside the cluster that cluster_agrees_with_the_real_scheduler starts"]
    fn compares() {
        oracle::run();
    }
}

/// The name of the test that does the work, to the test runner.
const fn inside() -> &'static str {
    "scheduler::real_cluster::compares"
}
