//! The program `check` with manifests: what it prints where, and how it ends.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

const IMAGE: &str = "pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime";
const NODES: [&str; 2] = ["--nodes", "examples/nodes.yaml"];

struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs `check` on what comes by standard input.
fn piped(manifest: &str, arguments: &[&str]) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_gpu-capgate"))
        .args(["check", "-f", "-"])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that does not read its input closes it, which is no fault of the test.
    let _ = child.stdin.take().unwrap().write_all(manifest.as_bytes());
    let output = child.wait_with_output().unwrap();
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn on_nodes(manifest: &str, arguments: &[&str]) -> Run {
    piped(manifest, &[&NODES[..], arguments].concat())
}

/// A Pod on the P100 nodes.
fn pod(name: &str, image: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: ml}}
spec:
  nodeSelector: {{pool: batch}}
  containers:
  - name: train
    image: {image}
    resources: {{limits: {{nvidia.com/gpu: 1}}}}
"
    )
}

const REFUSED: &str = "\
container \"train\": image has no GPU code for Tesla P100-PCIE-16GB (sm_60), the only GPU type this
Pod can land on [GPU-ARCH]
  image  docker.io/pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime
  has    sm_70 sm_75 sm_80 sm_86 sm_90 sm_100 sm_120, no PTX   (torch 2.8.0 cu128, a known build)
  nodes  4 match nodeSelector pool=batch: 4x Tesla P100-PCIE-16GB (sm_60) -> 0 of 4 can run it
  else   the first CUDA call fails: \"no kernel image is available for execution on the device\"
  fix    use pytorch/pytorch:2.8.0-cuda12.6-cudnn9-runtime (it has sm_60), or another GPU
  skip   annotation gpu-capgate.io/mode: warn
  more   gpu-capgate explain GPU-ARCH
";

#[test]
fn a_refusal_is_told_with_the_line_of_the_image_and_ends_with_one() {
    let run = on_nodes(&pod("a", IMAGE), &[]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(1), ""));
    let head = "DECISION  OBJECT    RUNS ON  CODES\ndeny      Pod ml/a  0 of 4   GPU-ARCH\n";
    let at = "standard input:8:12: Pod ml/a\n";
    let tail = "\n1 object: 1 denied\n";
    assert_eq!(run.stdout, format!("{head}\n{at}{REFUSED}{tail}"));
}

#[test]
fn a_mode_that_does_not_refuse_is_shown_and_ends_with_zero() {
    let audited = pod("a", IMAGE).replace(
        "namespace: ml",
        "namespace: ml, annotations: {gpu-capgate.io/mode: audit}",
    );
    let run = on_nodes(&audited, &[]);
    assert_eq!(run.code, Some(0));
    assert!(
        run.stdout.contains("allow     Pod ml/a  0 of 4   GPU-ARCH"),
        "{}",
        run.stdout
    );
}

#[test]
fn a_broken_document_costs_nothing_but_itself() {
    let wrong = pod("wrong", IMAGE).replace("nvidia.com/gpu: 1", "nvidia.com/gpu: 1.5");
    let requires = pod("says", IMAGE).replace(
        "namespace: ml",
        "namespace: ml, annotations: {gpu-capgate.io/requires: cuda=banana}",
    );
    let manifest = format!(
        "{wrong}---\nfoo: [\n---\n{requires}---\n{}",
        pod("good", IMAGE)
    );
    let run = on_nodes(&manifest, &["-o", "json"]);
    assert_eq!(run.code, Some(2));
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    let names: Vec<&str> = report["documents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|document| document["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["says", "good"]);
    for told in [
        "standard input:8:12: spec.containers[0].resources: nvidia.com/gpu: \"1.5\" is not whole",
        "standard input:11:6: unclosed bracket '['",
        "standard input:20:12: annotation gpu-capgate.io/requires for container \"train\": cuda=\"banana\"",
    ] {
        assert!(
            run.stderr.contains(told),
            "{told} is not in\n{}",
            run.stderr
        );
    }
    assert_eq!(report["errors"].as_array().unwrap().len(), 3);
}

#[test]
fn what_is_not_known_ends_as_it_was_asked_to() {
    let unknown = pod("a", "registry.example.com/team/train:1");
    assert_eq!(on_nodes(&unknown, &[]).code, Some(0));
    assert_eq!(on_nodes(&unknown, &["--on-unknown=fail"]).code, Some(3));
    let both = format!("{unknown}---\n{}", pod("b", IMAGE));
    assert_eq!(on_nodes(&both, &["--on-unknown=fail"]).code, Some(1));
}

#[test]
fn strictly_what_runs_on_some_nodes_only_is_refused() {
    let anywhere = pod("a", IMAGE).replace("  nodeSelector: {pool: batch}\n", "");
    assert_eq!(on_nodes(&anywhere, &[]).code, Some(0));
    let strict = on_nodes(&anywhere, &["--strict"]);
    assert_eq!(strict.code, Some(1));
    assert!(
        strict.stdout.contains("it runs on 6 of 10 nodes"),
        "{}",
        strict.stdout
    );
}

#[test]
fn an_autoscaler_turns_a_refusal_into_a_warning() {
    let run = on_nodes(&pod("a", IMAGE), &["--autoscaled"]);
    assert_eq!(run.code, Some(0));
    assert!(
        run.stdout
            .contains("an autoscaler may bring other nodes: declare its pools"),
        "{}",
        run.stdout
    );
}

#[test]
fn on_gpus_by_name_selectors_do_not_count() {
    let run = piped(&pod("a", IMAGE), &["--gpu", "NVIDIA H100 PCIe,NVIDIA L4"]);
    assert_eq!(run.code, Some(0));
    assert!(
        run.stdout.contains("allow     Pod ml/a  2 of 2   -"),
        "{}",
        run.stdout
    );
    assert_eq!(
        piped(&pod("a", IMAGE), &["--gpu", "Tesla P100-PCIE-16GB"]).code,
        Some(1)
    );
}

#[test]
fn every_form_names_the_place_of_the_image() {
    let form = |form: &str| on_nodes(&pod("a", IMAGE), &["-o", form]).stdout;
    assert!(
        form("github").starts_with("::error title=GPU-ARCH Pod ml/a%2C container train::container")
    );
    let sarif: Value = serde_json::from_str(&form("sarif")).unwrap();
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "GPU-ARCH");
    assert!(form("junit").contains("<failure"));
    assert!(form("markdown").contains("| deny | Pod ml/a, container train |"));
    assert_eq!(form("name"), "");
    let yaml: Value = serde_saphyr::from_str(&form("yaml")).unwrap();
    let place = &yaml["documents"][0]["containers"][0];
    assert_eq!(
        (&place["line"], &place["column"]),
        (&Value::from(8), &Value::from(12))
    );
    assert!(
        form("wide").contains("train      fails    4      Tesla P100-PCIE-16GB  550.54.15"),
        "{}",
        form("wide")
    );
}

#[test]
fn an_image_alone_is_judged_on_every_node() {
    let output = Command::new(env!("CARGO_BIN_EXE_gpu-capgate"))
        .args(["check", "--image", IMAGE, "-o", "json"])
        .args(NODES)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let document = &report["documents"][0];
    assert_eq!(
        (&document["kind"], &document["candidates"]),
        (&"Image".into(), &11.into())
    );
    assert_eq!(document["runsOn"], 6);
}

#[test]
fn what_asks_for_no_gpu_is_told_apart() {
    let run = on_nodes(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
        &[],
    );
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (Some(0), "nothing asks for a GPU\n")
    );
    assert_eq!(
        run.stderr,
        "gpu-capgate: 1 object not judged (-o wide tells why)\n"
    );
    let empty = on_nodes("", &[]);
    assert_eq!(empty.code, Some(2));
    assert!(
        empty
            .stderr
            .contains("standard input: no Kubernetes object in it"),
        "{}",
        empty.stderr
    );
}
