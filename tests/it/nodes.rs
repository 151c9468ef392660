//! The program `nodes`, with files: what it prints where, and how it ends.

mod live;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// What a run left behind.
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run_with_input(arguments: &[&str], input: &[u8]) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_gpu-capgate"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("NO_COLOR", "1")
        .env("KUBECONFIG", "tests/no-such-kubeconfig")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that does not read its input closes it, which is no fault of the test.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn run(arguments: &[&str]) -> Run {
    run_with_input(arguments, b"")
}

#[test]
fn the_example_cluster_is_a_line_for_each_class() {
    let run = run(&["nodes", "--nodes", "examples/nodes.yaml"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert_eq!(
        run.stdout,
        "\
NODES  GPUS  PRODUCT                  SM     MEMORY  DRIVER      CUDA  ARCH   NOTES
2      16    NVIDIA A100-SXM4-80GB    sm_80  80 GiB  535.183.01  12.2  amd64
2      16    NVIDIA H100 80GB HBM3    sm_90  80 GiB  550.144.03  12.4  amd64
1      7     NVIDIA-A100-SXM4-80GB-M  sm_80  80 GiB  550.144.03  12.4  amd64  MIG mixed
             IG-1g.10gb + NVIDIA
             A100-SXM4-80GB
1      1     Orin (nvgpu)             sm_87  61 GiB  ?           12.6  arm64
4      16    Tesla P100-PCIE-16GB     sm_60  16 GiB  550.54.15   12.4  amd64
1      4     Tesla T4                 sm_75  15 GiB  535.183.01  12.2  amd64  replicas 4; shared by
                                                                              time-slicing
"
    );
}

#[test]
fn programs_get_every_class_and_where_it_was_read() {
    let run = run(&["nodes", "--nodes", "examples/nodes.yaml", "-o", "json"]);
    let document: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        (&document["nodes"], &document["gpuNodes"]),
        (&json!(13), &json!(11))
    );
    assert_eq!(
        document["classes"][4],
        json!({
            "nodes": 4, "resources": {"nvidia.com/gpu": 16}, "memoryMiB": [16384], "sharing": [],
            "readFrom": ["inventory"], "examples": ["batch-1", "batch-2", "batch-3"],
            "gpus": [{"product": "Tesla P100-PCIE-16GB", "computeCapability": "6.0", "target": "sm_60",
                "driver": "550.54.15", "cuda": "12.4", "architecture": "amd64", "runtime": "legacy"}]
        })
    );
}

#[test]
fn wide_has_examples_of_names_and_says_why_nothing_is_known() {
    let nodes = "apiVersion: v1\nkind: Node\nmetadata: {name: n1}\nstatus: {capacity: {nvidia.com/gpu: 2}}\n";
    let run = run_with_input(
        &["nodes", "--nodes", "-", "-o", "wide", "--no-headers"],
        nodes.as_bytes(),
    );
    assert_eq!(
        run.stdout.split_whitespace().collect::<Vec<_>>().join(" "),
        "1 2 unknown ? ? ? ? ? ? - nvidia.com/gpu 2 resource only nothing tells which GPUs these are n1"
    );
}

#[test]
fn names_are_the_products_and_markdown_is_a_table() {
    let names = run(&["nodes", "--nodes", "examples/nodes.yaml", "-o", "name"]);
    assert!(
        names.stdout.contains("\nTesla P100-PCIE-16GB\n"),
        "{}",
        names.stdout
    );
    let markdown = run(&["nodes", "--nodes", "examples/nodes.yaml", "-o", "markdown"]);
    assert!(
        markdown
            .stdout
            .contains("| 4 | 16 | Tesla P100-PCIE-16GB | sm\\_60 | 16 GiB |"),
        "{}",
        markdown.stdout
    );
}

#[test]
fn input_without_nodes_ends_with_two_and_says_how_to_make_some() {
    let run = run(&["nodes", "--nodes", "examples/p100-batch.yaml"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    assert_eq!(
        run.stderr,
        "gpu-capgate: error: --nodes examples/p100-batch.yaml: no Node in it: make the file with \"kubectl get nodes -o yaml\" or with \"gpu-capgate snapshot\"\n"
    );
}

#[test]
fn broken_input_without_nodes_says_first_how_to_make_some_and_then_what_is_broken() {
    let run = run_with_input(&["nodes", "--nodes", "-"], b"\xff\n");
    assert_eq!(run.code, Some(2));
    assert_eq!(
        run.stderr,
        "gpu-capgate: error: --nodes -: no Node in it that can be used: make the file with \"kubectl get nodes -o yaml\" or with \"gpu-capgate snapshot\"
  standard input:1:1: this byte is not UTF-8: save the file as plain text in UTF-8\n"
    );
}

#[test]
fn standard_input_that_is_named_twice_is_refused() {
    let pod = b"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n";
    let told = |arguments: &[&str]| {
        let run = run_with_input(arguments, pod);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
        run.stderr
    };
    let once = "standard input can be read once: write one of the two to a file\n";
    assert_eq!(
        told(&["nodes", "--nodes", "-", "--nodes", "-"]),
        format!("gpu-capgate: error: --nodes - and --nodes -: {once}")
    );
    assert_eq!(
        told(&["check", "-f", "-", "--nodes", "-"]),
        format!("gpu-capgate: error: --filename - and --nodes -: {once}")
    );
    assert_eq!(
        told(&["check", "-f", "-", "--gpu", "L4", "--config", "-"]),
        format!("gpu-capgate: error: --filename - and --config -: {once}")
    );
}

#[test]
fn files_that_cannot_be_read_end_with_two() {
    let empty = tempfile::tempdir().unwrap();
    let cases = [
        ("no-such-file.yaml", "cannot be read"),
        (
            empty.path().to_str().unwrap(),
            "no file in this folder ends in",
        ),
    ];
    for (path, text) in cases {
        let run = run(&["nodes", "--nodes", path]);
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert!(run.stderr.contains(text), "{}", run.stderr);
    }
}

#[test]
fn a_broken_object_is_told_and_the_sound_ones_are_shown() {
    let nodes = "apiVersion: v1\nkind: Node\nmetadata: {name: n1}\nstatus: {capacity: {nvidia.com/gpu: 2}}\n---\nkind: Node\n";
    let run = run_with_input(&["nodes", "--nodes", "-"], nodes.as_bytes());
    assert_eq!(run.code, Some(2));
    assert!(run.stdout.contains("unknown"), "{}", run.stdout);
    assert!(
        run.stderr
            .contains("standard input:6:7: this object does not say what it is"),
        "{}",
        run.stderr
    );
}

#[test]
fn several_files_and_folders_are_one_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let node = |name: &str| {
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
        "status": {"capacity": {"nvidia.com/gpu": "1"}}})
    };
    let write = |path: &Path, name: &str| std::fs::write(path, node(name).to_string()).unwrap();
    write(&folder.path().join("a.json"), "a");
    write(&folder.path().join("b.yml"), "b");
    write(&folder.path().join("README.md"), "not-read");
    let more = tempfile::NamedTempFile::new().unwrap();
    write(more.path(), "c");
    let arguments = [
        "nodes",
        "-o",
        "json",
        "--nodes",
        folder.path().to_str().unwrap(),
        "--nodes",
        more.path().to_str().unwrap(),
    ];
    let document: Value = serde_json::from_str(&run(&arguments).stdout).unwrap();
    assert_eq!(document["classes"][0]["examples"], json!(["a", "b", "c"]));
}
