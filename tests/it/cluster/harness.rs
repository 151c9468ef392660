//! Starts the test cluster (tests/cluster/run) and runs commands in it.

use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// Waiting for something that ought to happen ends after that long.
const LIMIT: Duration = Duration::from_secs(90);
/// Pause between two looks at something that is waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A running cluster. It ends, and is cleaned away, with this value; its logs stay if the test did not pass.
pub(crate) struct Cluster {
    runner: Child,
    commands: Option<ChildStdin>,
    state: PathBuf,
}

/// Whether there is a cluster.
pub(crate) enum Outcome {
    Started(Cluster),
    /// This machine cannot have one, and the output says why.
    Skipped,
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Cluster {
    /// Starts a cluster for a test. On a machine that cannot have one the test is skipped by name; in CI that fails.
    pub(crate) fn start(test: &str) -> Outcome {
        Self::start_with(test, &[])
    }

    /// The same without a node: API server, scheduler and controllers only.
    pub(crate) fn start_control_plane(test: &str) -> Outcome {
        Self::start_with(test, &[("CLUSTER_NODE", "0")])
    }

    fn start_with(test: &str, environment: &[(&str, &str)]) -> Outcome {
        if let Some(reason) = missing() {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "{test} needs a cluster: {reason}"
            );
            // Past the test runner's capture, so that it shows without --nocapture.
            let line = format!("SKIPPED {test}: {reason}\n");
            std::io::stderr().write_all(line.as_bytes()).unwrap();
            return Outcome::Skipped;
        }
        // The cluster lives as long as this shell does, which is until its input ends: also if the test is killed.
        // It ends well only if told so, and then the logs are not kept.
        let script = "echo \"$CLUSTER_STATE\"; read -r verdict; test \"$verdict\" = passed";
        let mut runner = Command::new("tests/cluster/run")
            .args(["sh", "-c", script])
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let commands = runner.stdin.take();
        let mut first = String::new();
        BufReader::new(runner.stdout.take().unwrap())
            .read_line(&mut first)
            .unwrap();
        assert!(
            !first.is_empty(),
            "the cluster did not start; its own words are above"
        );
        Outcome::Started(Self {
            runner,
            commands,
            state: PathBuf::from(first.trim()),
        })
    }

    /// Where the cluster keeps its state; the same path inside and outside.
    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    /// A command in the cluster's namespaces, with its KUBECONFIG and PATH.
    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("tests/cluster/enter");
        command
            .arg(&self.state)
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Runs a command and tells what came of it.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Ran {
        let output = self.command(program, arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ran {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Runs a command that must succeed, and gives what it printed.
    pub(crate) fn succeeds(&self, program: &str, arguments: &[&str]) -> String {
        let ran = self.run(program, arguments);
        assert_eq!(
            ran.code,
            Some(0),
            "{program} {}\n{}{}",
            arguments.join(" "),
            ran.stdout,
            ran.stderr
        );
        ran.stdout
    }

    /// Runs a kubectl command that must succeed.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        self.succeeds("kubectl", arguments)
    }

    /// Puts the program under test and the stand-in for a torch image on the node.
    pub(crate) fn load_images(&self) {
        let script = format!(
            "set -o pipefail; load() {{ ctr --namespace k8s.io images import - > /dev/null; }}
             tests/cluster/product-image {} docker.io/library/gpu-capgate:{} | load
             tests/cluster/stand-in-image docker.io/pytorch/pytorch:2.8.0-cuda12.6-cudnn9-runtime | load",
            env!("CARGO_BIN_EXE_gpu-capgate"),
            env!("CARGO_PKG_VERSION"),
        );
        self.succeeds("bash", &["-e", "-c", &script]);
    }

    /// Kills the kubelet and starts it again.
    pub(crate) fn restart_kubelet(&self) {
        let start = self.state.join("node/start-kubelet");
        let log = self.state.join("log/kubelet-restarted.log");
        let script = format!(
            "pkill -KILL -x kubelet; while pgrep -x kubelet > /dev/null; do :; done; setsid {} > {} 2>&1 &",
            start.display(),
            log.display()
        );
        self.succeeds("bash", &["-c", &script]);
    }

    /// Ends the controllers, which would taint nodes that have no kubelet and evict their Pods.
    pub(crate) fn stop_controllers(&self) {
        // The kernel cuts a process's name to 15 letters.
        let script = "pkill -KILL -x kube-controller; while pgrep -x kube-controller > /dev/null; do :; done";
        self.succeeds("bash", &["-c", script]);
    }

    /// Says that the test passed, so that nothing is kept.
    pub(crate) fn passed(mut self) {
        writeln!(self.commands.take().unwrap(), "passed").unwrap();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.commands.take());
        let _ = self.runner.wait();
    }
}

/// Waits until something holds.
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + LIMIT;
    while !holds() {
        assert!(
            Instant::now() < end,
            "not within {} s: {what}",
            LIMIT.as_secs()
        );
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Why this machine cannot have a cluster.
fn missing() -> Option<&'static str> {
    if !cfg!(target_os = "linux") {
        return Some("it needs Linux");
    }
    let id = Command::new("id").arg("-u").output().ok()?;
    (id.stdout != b"0\n").then_some("it needs root (namespaces, a kubelet)")
}
