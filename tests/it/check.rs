//! The program `check` itself, with good and bad input: what it prints where, and how it ends.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

use clap::Parser;
use gpu_capgate::cli::{self, Cli};
use gpu_capgate::command::check;
use gpu_capgate::compat::Catalog;
use gpu_capgate::image::evidence::Knowledge;
use gpu_capgate::image::repositories::Repositories;
use proptest::prelude::*;
use serde_json::Value;

const IMAGE: &str = "pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime";

/// What a run left behind.
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run<S: AsRef<OsStr>>(arguments: &[S]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-capgate"));
    command
        .arg("check")
        .args(arguments)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    let output = command.output().unwrap();
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs with input that cannot be used, and gives what was told about it.
fn refused<S: AsRef<OsStr>>(arguments: &[S]) -> String {
    let run = run(arguments);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert_eq!(run.stdout, "");
    assert!(
        run.stderr.len() < 2000,
        "{} bytes are too much",
        run.stderr.len()
    );
    assert!(run.stderr.contains("error: "), "{}", run.stderr);
    run.stderr
}

fn json(arguments: &[&str]) -> Value {
    let run = run(&[arguments, &["-o", "json"]].concat());
    serde_json::from_str(&run.stdout).unwrap()
}

#[test]
fn a_denial_is_told_on_stdout_and_ends_with_one() {
    let run = run(&["--image", IMAGE, "--gpu", "Tesla P100-PCIE-16GB"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(1), ""));
    assert_eq!(
        run.stdout,
        "\
VERDICT  GPU                   SM     DRIVER         NEEDS       CODES
fails    Tesla P100-PCIE-16GB  sm_60  580 (assumed)  none helps  GPU-ARCH

image has no GPU code for Tesla P100-PCIE-16GB (sm_60) [GPU-ARCH]
  image  docker.io/pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime
  has    sm_70 sm_75 sm_80 sm_86 sm_90 sm_100 sm_120, no PTX   (torch 2.8.0 cu128, a known build)
  else   the first CUDA call fails: \"no kernel image is available for execution on the device\"
  fix    use pytorch/pytorch:2.8.0-cuda12.6-cudnn9-runtime (it has sm_60), or another GPU
  more   gpu-capgate explain GPU-ARCH
"
    );
}

#[test]
fn what_runs_is_one_line_and_ends_with_zero() {
    let run = run(&[
        "--image",
        IMAGE,
        "--gpu",
        "L4",
        "--driver",
        "550.54.15",
        "--no-headers",
    ]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert_eq!(
        run.stdout,
        "runs  NVIDIA L4  sm_89  550.54.15  >= 525.60.13  -\n"
    );
}

#[test]
fn exit_codes_follow_decision_strictness_and_what_is_not_known() {
    let code = |arguments: &[&str]| run(arguments).code;
    let partial = ["--image", IMAGE, "--gpu", "P100,L4"];
    assert_eq!(code(&partial), Some(0));
    assert_eq!(code(&[&partial[..], &["--strict"]].concat()), Some(1));
    let unknown = ["--image", "acme/train", "--gpu", "L4"];
    assert_eq!(code(&unknown), Some(0));
    assert_eq!(
        code(&[&unknown[..], &["--on-unknown=fail"]].concat()),
        Some(3)
    );
    let cpu = ["--torch", "2.6.0+cpu", "--gpu", "L4"];
    assert_eq!(code(&cpu), Some(0));
    assert_eq!(code(&[&cpu[..], &["--strict"]].concat()), Some(1));
}

#[test]
fn what_ends_with_zero_against_the_look_of_it_is_told_on_stderr_unless_quiet() {
    let unknown = ["--image", "acme/train", "--gpu", "L4"];
    let told = "gpu-capgate: not known whether it runs: exit status 0 (3 with --on-unknown=fail)\n";
    assert_eq!(run(&unknown).stderr, told);
    assert_eq!(run(&[&unknown[..], &["-q"]].concat()).stderr, "");
}

#[test]
fn json_has_one_document_and_one_result_for_each_gpu_in_order() {
    let answer = json(&["--image", IMAGE, "--gpu", "P100,L4,P100"]);
    let at = |path: &str| {
        answer
            .pointer(path)
            .unwrap_or_else(|| panic!("no {path}"))
            .clone()
    };
    assert_eq!(at("/apiVersion"), "gpu-capgate.io/v1");
    assert_eq!(at("/kind"), "CheckResult");
    assert_eq!(at("/decision"), "warn");
    assert_eq!(at("/documents").as_array().unwrap().len(), 1);
    assert_eq!(
        at("/documents/0/codes").to_string(),
        r#"["GPU-ARCH","GPU-PARTIAL"]"#
    );
    assert_eq!(at("/documents/0/candidates"), 2);
    assert_eq!(at("/skipped").to_string(), "[]");
    assert_eq!(at("/results").as_array().unwrap().len(), 2);
    assert_eq!(at("/results/0/document"), 0);
    assert_eq!(at("/results/0/image"), format!("docker.io/{IMAGE}"));
    assert_eq!(at("/results/0/host/computeCapability"), "6.0");
    assert_eq!(at("/results/0/host/driver"), "580");
    assert_eq!(at("/results/0/host/driverAssumed"), true);
    assert_eq!(at("/results/0/host/arch"), "amd64");
    assert_eq!(at("/results/0/verdict"), "fails");
    assert_eq!(at("/results/1/verdict"), "runs");
    assert_eq!(at("/results/1/message"), "");
    assert_eq!(at("/results/1/host/leastDriver"), "525.60.13");
    let facts = at("/results/0/facts");
    let sass = facts
        .as_array()
        .unwrap()
        .iter()
        .find(|fact| fact["fact"] == "sass")
        .unwrap();
    assert_eq!(sass["origin"], "catalog");
    assert_eq!(sass["proof"], "wheel");
    assert!(sass["source"].as_str().unwrap().contains("torch-2.8.0"));
}

#[test]
fn json_and_yaml_say_the_same_and_always_the_same() {
    let arguments = ["--image", IMAGE, "--gpu", "P100,L4"];
    let yaml = run(&[&arguments[..], &["-o", "yaml"]].concat()).stdout;
    let yaml: Value = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(yaml, json(&arguments));
    assert_eq!(json(&arguments), json(&arguments));
}

#[test]
fn names_are_the_gpus_that_it_runs_on() {
    let run = run(&["--image", IMAGE, "--gpu", "P100,L4,T4", "-o", "name"]);
    assert_eq!(run.stdout, "NVIDIA L4\nTesla T4\n");
}

#[test]
fn a_table_fits_a_hundred_columns() {
    let gpus = "RTX 4090,A100,K80,P100,T4,L40S,B200,GH200,Orin,NVIDIA RTX PRO 6000 Blackwell Server Edition";
    for image in [
        "pytorch/pytorch:2.6.0-cuda12.6-cudnn9-devel",
        "nvcr.io/nvidia/pytorch:24.05-py3",
        "acme/train:cu124",
    ] {
        for form in ["table", "wide"] {
            let run = run(&[
                "--image", image, "--gpu", gpus, "--driver", "535", "-o", form,
            ]);
            let wide = run.stdout.lines().find(|line| line.chars().count() > 100);
            assert_eq!(wide, None);
        }
    }
}

#[test]
fn colour_is_on_the_verdict_where_it_is_wanted() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-capgate"));
    command.args([
        "check", "--image", IMAGE, "--gpu", "L4", "--color", "always",
    ]);
    let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(
        output.contains("\u{1b}[1m\u{1b}[32mruns\u{1b}[0m  "),
        "{output:?}"
    );
    let plain = run(&["--image", IMAGE, "--gpu", "L4"]).stdout;
    assert!(!plain.contains('\u{1b}'), "{plain:?}");
}

#[test]
fn impossible_versions_are_refused_with_value_place_and_form() {
    for (arguments, told) in [
        (
            ["--torch", "two", "--gpu", "L4"],
            "--torch <VERSION[+VARIANT]>: \"two\" is not a torch version",
        ),
        (
            ["--torch", "2.6.0+c u", "--gpu", "L4"],
            "expected like 2.6.0 or 2.6.0+cu124",
        ),
        (
            ["--image", "Acme/Train:x:y", "--gpu", "L4"],
            "--image <IMAGE>: ",
        ),
        (
            ["--requires", "cuda=12", "--gpu", "L4"],
            "not a CUDA version such as 12.6",
        ),
        (
            ["--requires", "torch=2.6", "--gpu", "L4"],
            "key \"torch\" is not known: use cuda, sm, ptx, driver",
        ),
        (
            ["--torch", "2.6.0", "--compute-capability", "86.1.2"],
            "--compute-capability <X.Y>: \"86.1.2\" is not a compute capability",
        ),
    ] {
        let text = refused(&arguments);
        assert!(text.contains(told), "{text}");
    }
    let on_l4 =
        |option: &str, value: &str| refused(&["--torch", "2.6.0", "--gpu", "L4", option, value]);
    assert!(
        on_l4("--driver", "new").contains(
            "--driver <VERSION>: \"new\" is not a driver version (expected like 550.54.15"
        )
    );
    assert!(
        on_l4("--arch", "sparc").contains("--arch <ARCH>: \"sparc\" is not a CPU architecture")
    );
    assert!(
        on_l4("--runtime", "magic").contains("--runtime <MODE>: \"magic\" is not a runtime mode")
    );
    assert!(on_l4("--count", "0").contains("--count <N>: \"0\""));
    assert!(on_l4("-o", "html").contains("\"html\" is none of table, wide, json, yaml, name"));
    assert!(on_l4("--jetpack", "six").contains("--jetpack <VERSION>: \"six\" is not a version"));
    assert!(
        on_l4("--jetpack", "6.2")
            .contains("--jetpack 6.2 is for a Jetson, and none of the GPUs is one: use --driver")
    );
}

#[test]
fn gpus_that_are_not_known_or_not_one_are_refused_with_names() {
    let torch = |gpu: &str| refused(&["--torch", "2.6.0", "--gpu", gpu]);
    let text = torch("RTX 4909");
    assert!(
        text.contains("--gpu \"RTX 4909\" is not known: did you mean \"NVIDIA GeForce RTX 4090\""),
        "{text}"
    );
    assert!(text.contains("add --compute-capability X.Y"), "{text}");
    let text = torch("L4,RTX 6000");
    assert!(
        text.contains("--gpu \"RTX 6000\" stands for several GPUs"),
        "{text}"
    );
    assert!(text.contains("\"Quadro RTX 6000\" (sm_75)"), "{text}");
    assert!(torch("").contains("a GPU name is empty"));
    assert!(torch("L4,,T4").contains("a GPU name is empty"));
    let text = refused(&[
        "--torch",
        "2.6.0",
        "--gpu",
        "T4",
        "--compute-capability",
        "8.6",
    ]);
    assert!(
        text.contains(
            "--compute-capability 8.6 does not fit --gpu \"T4\", which is Tesla T4 with 7.5"
        ),
        "{text}"
    );
}

#[test]
fn a_gpu_that_is_not_listed_is_judged_by_its_capability() {
    let answer = json(&[
        "--torch",
        "2.8.0",
        "--gpu",
        "RTX 9999 Ultra",
        "--compute-capability",
        "8.6",
    ]);
    assert_eq!(answer["results"][0]["host"]["gpu"], "RTX 9999 Ultra");
    assert_eq!(answer["results"][0]["verdict"], "runs");
    let answer = json(&[
        "--torch",
        "2.8.0",
        "--gpu",
        "RTX 6000",
        "--compute-capability",
        "8.9",
    ]);
    assert_eq!(
        answer["results"][0]["host"]["gpu"],
        "NVIDIA RTX 6000 Ada Generation"
    );
    let answer = json(&["--torch", "2.8.0", "--compute-capability", "6.1"]);
    assert_eq!(answer["results"][0]["host"]["gpu"], Value::Null);
    assert_eq!(answer["results"][0]["verdict"], "fails");
}

#[test]
fn flags_that_contradict_and_flags_that_lack_are_refused() {
    let text = refused(&["--image", IMAGE, "--torch", "2.6.0", "--gpu", "L4"]);
    assert!(
        text.contains("--image") && text.contains("cannot be used with"),
        "{text}"
    );
    let text = refused(&[
        "--torch",
        "2.6.0",
        "--gpu",
        "Orin",
        "--driver",
        "535",
        "--jetpack",
        "6.2",
    ]);
    assert!(text.contains("cannot be used with"), "{text}");
    assert!(refused(&["--gpu", "L4"]).contains("required"));
    assert!(refused(&["--torch", "2.6.0"]).contains("--gpu"));
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    let wrong = OsStr::from_bytes(b"L4\xff\xfe").to_owned();
    let arguments: [OsString; 4] = [
        "--torch".into(),
        "2.6.0".into(),
        "--gpu".into(),
        wrong.clone(),
    ];
    assert!(refused(&arguments).contains("is not UTF-8"));
    let arguments: [OsString; 4] = ["--image".into(), wrong, "--gpu".into(), "L4".into()];
    assert!(refused(&arguments).contains("--image <IMAGE>: "));
}

#[test]
fn absurd_lengths_are_refused_and_not_repeated() {
    let long = "9".repeat(100_000);
    for option in ["--image", "--torch", "--requires"] {
        refused(&[option, &long, "--gpu", "L4"]);
    }
    for option in ["--gpu", "--compute-capability"] {
        refused(&["--torch", "2.6.0", option, &long]);
    }
    for option in [
        "--driver",
        "--jetpack",
        "--arch",
        "--count",
        "--runtime",
        "--on-unknown",
        "-o",
        "--color",
    ] {
        refused(&["--torch", "2.6.0", "--gpu", "L4", option, &long]);
    }
    let many = vec!["L4"; 40_000].join(",");
    assert!(
        refused(&["--torch", "2.6.0", "--gpu", &many])
            .contains("--gpu has 40000 names (at most 64)")
    );
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let text = refused(&["--torch", "2.6.0", "--gpu", "L4\u{1b}[31m"]);
    assert!(!text.contains('\u{1b}'), "{text:?}");
    let run = run(&[
        "--torch",
        "2.8.0",
        "--gpu",
        "L\u{1b}[31m9",
        "--compute-capability",
        "6.1",
    ]);
    assert!(!run.stdout.contains('\u{1b}'), "{:?}", run.stdout);
}

#[test]
fn a_broken_overlay_is_refused_with_file_line_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("facts.toml");
    let path = path.to_str().unwrap();
    let with = |text: &[u8]| {
        std::fs::write(path, text).unwrap();
        refused(&["--torch", "2.6.0", "--gpu", "L4", "--overlay", path])
    };
    let text = with(b"[[torch]]\nrelease = \"2.16.0\"\nvariant = \"cuda13\"\n");
    assert!(
        text.contains(&format!(
            "--overlay {path}: line 3: variant: \"cuda13\" is not a torch variant"
        )),
        "{text}"
    );
    let text = with(b"[[torch]]\nrelease = \"2.16.0\"\nsass = [\n\"7.5\"\n\n");
    assert!(text.contains("line "), "{text}");
    assert!(with(b"date = \"2026\xff\"").contains("line 1: the overlay is not UTF-8"));
    assert!(with(&vec![b'#'; 5 * 1024 * 1024]).contains("at most 4194304"));
    let text = refused(&[
        "--torch",
        "2.6.0",
        "--gpu",
        "L4",
        "--overlay",
        "/nowhere/facts.toml",
    ]);
    assert!(
        text.contains("--overlay /nowhere/facts.toml: cannot be read"),
        "{text}"
    );
    let text = refused(&["--torch", "2.6.0", "--gpu", "L4", "--overlay", "/dev"]);
    assert!(text.contains("--overlay /dev: cannot be read"), "{text}");
}

#[test]
fn an_alias_of_an_overlay_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("facts.toml");
    let text = format!(
        "[[alias]]\nimage = \"registry.example.com/torch:prod\"\nis = \"docker.io/{IMAGE}\"\n"
    );
    std::fs::write(&path, text).unwrap();
    let image = "registry.example.com/torch:prod";
    let answer = json(&[
        "--image",
        image,
        "--gpu",
        "P100",
        "--overlay",
        path.to_str().unwrap(),
    ]);
    assert_eq!(answer["results"][0]["verdict"], "fails");
    assert_eq!(
        answer["results"][0]["aliasOf"],
        format!("docker.io/{IMAGE}")
    );
    assert_eq!(answer["decision"], "deny");
}

#[test]
fn a_declaration_fills_gaps_and_contradictions_are_told() {
    let declared = json(&[
        "--image",
        "acme/train:1",
        "--requires",
        "cuda=12.6; sm=80,90",
        "--gpu",
        "T4",
    ]);
    assert_eq!(declared["results"][0]["verdict"], "fails");
    let contradicted = json(&[
        "--image",
        IMAGE,
        "--requires",
        "cuda=12.6; sm=60",
        "--gpu",
        "P100",
    ]);
    assert_eq!(contradicted["results"][0]["verdict"], "fails");
    assert_eq!(contradicted["results"][0]["conflicts"][0]["fact"], "cuda");
    assert_eq!(contradicted["results"][0]["conflicts"][0]["winner"], "12.8");
}

#[test]
fn a_tag_that_should_not_exist_comes_with_the_one_that_was_meant() {
    let answer = json(&[
        "--image",
        "pytorch/pytorch:2.6.0-cuda11.8-cudnn8-runtime",
        "--gpu",
        "T4",
    ]);
    assert_eq!(answer["results"][0]["verdict"], "unknown");
    let meant = "docker.io/pytorch/pytorch:2.6.0-cuda11.8-cudnn9-runtime";
    assert_eq!(answer["results"][0]["suggestion"], meant);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// In process, since a panic there is a panic of the program.
    #[test]
    fn no_name_panics_and_no_message_is_too_long(
        image in "[a-z0-9./:-]{0,60}|pytorch/pytorch:[0-9.]{3,6}-cuda[0-9.]{2,5}-cudnn[0-9]-(runtime|devel)",
        gpu in "\\PC{0,40}|(NVIDIA |GeForce |Tesla )?(RTX|GTX|[A-Z]) ?[0-9]{1,4}",
        capability in proptest::option::of(10_u32..130),
        driver in 300_u32..700,
    ) {
        let repositories = Repositories::bundled().unwrap();
        let knowledge = Knowledge { catalog: Catalog::embedded(), repositories: &repositories };
        let mut command: Vec<String> = ["gpu-capgate", "check", "--image"].map(str::to_owned).to_vec();
        command.push(image);
        command.extend([format!("--gpu={gpu}"), format!("--driver={driver}")]);
        command.extend(capability.map(|number| format!("--compute-capability={number}")));
        if let Ok(Cli { command: cli::Command::Check(arguments) }) = Cli::try_parse_from(command)
            && let Ok(report) = check::report(&arguments, knowledge)
        {
            for result in report.results {
                prop_assert!(result.message.len() <= 900 && result.explanation.len() <= 900);
                prop_assert!(result.explanation.is_ascii(), "{}", result.explanation);
                let first = result.explanation.lines().next().unwrap_or_default();
                prop_assert!(first.len() <= 160, "{}", first);
            }
        }
    }
}
