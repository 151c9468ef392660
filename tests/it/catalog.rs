//! `catalog`, `explain`, `completion`, `man` and `version`, as the real binary prints them. Asserted is what the output
//! says, not each byte of it; expected facts are from the sources that docs/compatibility.md names.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use gpu_capgate::compat::{Catalog, Code};
use serde_json::Value;

const WIDTH: usize = 100;
const OVERLAY: &str = r#"
date = "2027-01-15"

[[torch]]
release = "2.16.0"
variant = "cu134"
channel = "pip"
arch = "amd64"
sass = ["7.5", "8.0"]
ptx = []
source = "our own build"
proof = "wheel"
"#;

struct Output {
    code: i32,
    out: String,
    err: String,
}

impl Output {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }

    fn lines(&self) -> Vec<&str> {
        self.out.lines().collect()
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-capgate"));
    command
        .args(arguments)
        .env_remove("NO_COLOR")
        .env("TERM", "xterm-256color");
    command
}

fn finish(mut command: Command) -> Output {
    let output = command.output().unwrap();
    Output {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn run(arguments: &[&str]) -> Output {
    finish(command(arguments))
}

/// What a command prints that must succeed and say nothing beside its data.
fn shown(arguments: &[&str]) -> Output {
    let output = run(arguments);
    assert_eq!((output.code, output.err.as_str()), (0, ""), "{arguments:?}");
    output
}

/// The item of that name, with what runs there.
fn product(name: &str) -> Value {
    let document = run(&["catalog", "gpu", name, "-o", "json"]).json();
    let items = document.get("items").and_then(Value::as_array).unwrap();
    assert_eq!(items.len(), 1, "{name}");
    items.first().unwrap().clone()
}

/// Verdict and least driver of each variant of the newest release, on one CPU architecture.
fn newest(product: &Value, arch: &str) -> Vec<(String, String, Option<String>)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let builds = product["newestTorch"].as_array().unwrap().iter();
    let builds = builds.filter(|build| build["arch"] == arch);
    builds
        .map(|build| {
            let torch = text(&build["torch"]).unwrap();
            (
                torch,
                text(&build["verdict"]).unwrap(),
                text(&build["leastDriver"]),
            )
        })
        .collect()
}

fn variant<'a>(
    builds: &'a [(String, String, Option<String>)],
    variant: &str,
) -> (&'a str, Option<&'a str>) {
    let build = builds
        .iter()
        .find(|(torch, _, _)| torch.ends_with(variant))
        .unwrap();
    (&build.1, build.2.as_deref())
}

#[test]
fn every_table_fits_a_hundred_columns_and_has_no_escape_codes() {
    let mut tables = vec![vec!["explain".to_owned()]];
    for kind in ["torch", "cuda", "driver", "gpu", "image"] {
        tables.push(vec!["catalog".to_owned(), kind.to_owned()]);
    }
    let filters = [
        ("torch", "2.6"),
        ("torch", "conda"),
        ("gpu", "RTX 4090"),
        (
            "gpu",
            "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition",
        ),
        ("gpu", "K80"),
        ("gpu", "Orin"),
        ("gpu", "Thor"),
        ("gpu", "laptop"),
        ("image", "pytorch/pytorch"),
        ("image", "nvcr.io/nvidia/pytorch"),
        ("image", "hugging"),
        ("image", "cu"),
    ];
    for (kind, filter) in filters {
        tables.push(["catalog", kind, filter].map(str::to_owned).to_vec());
    }
    tables.extend(
        Code::ALL
            .iter()
            .map(|code| vec!["explain".to_owned(), code.to_string()]),
    );
    for arguments in tables {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = run(&arguments);
        assert_eq!(output.code, 0, "{arguments:?}: {}", output.err);
        assert!(output.lines().len() > 1, "{arguments:?}");
        assert!(!output.out.contains('\u{1b}'), "{arguments:?}");
        for line in output.lines() {
            assert!(line.chars().count() <= WIDTH, "{arguments:?}: {line}");
            assert_eq!(line.trim_end(), line, "{arguments:?}");
        }
    }
}

#[test]
fn colours_come_only_when_asked_for_and_no_color_wins_over_auto() {
    let always = shown(&["catalog", "driver", "550", "--color", "always"]);
    assert!(always.out.starts_with("\u{1b}[1mBRANCH"), "{}", always.out);
    assert!(
        !shown(&["catalog", "driver", "550", "--color", "never"])
            .out
            .contains('\u{1b}')
    );
    let forced = |no_color: &str| {
        let mut command = command(&["explain", "GPU-ARCH"]);
        command.env("CLICOLOR_FORCE", "1").env("NO_COLOR", no_color);
        finish(command).out.contains('\u{1b}')
    };
    assert!(forced("") && !forced("1"));
}

/// 2.6.0 exists for 11.8, 12.4 (the default) and 12.6; only 11.8 has 3.7.
#[test]
fn a_release_of_torch_lists_its_variants_with_targets_cudnn_and_proof() {
    let table = shown(&["catalog", "torch", "2.6"]).out;
    let line = |start: &str| table.lines().find(|line| line.starts_with(start)).unwrap();
    assert_eq!(table.lines().count(), 4);
    assert!(line("2.6.0+cu118").contains("3.7 5.0") && line("2.6.0+cu118").contains("observed"));
    assert!(line("2.6.0+cu124").contains("yes") && line("2.6.0+cu124").contains("wheel"));
    assert!(line("2.6.0+cu126").contains("9.5.1.17"));
    let document = shown(&["catalog", "torch", "2.6.0+cu124", "-o", "json"]).json();
    assert_eq!(document["apiVersion"], "gpu-capgate.io/v1");
    assert_eq!(document["facts"], Catalog::embedded().date());
    let build = &document["items"][0];
    assert_eq!(build["sass"][0], "sm_50");
    assert_eq!(build["pipDefault"], true);
    assert!(
        build["source"].as_str().unwrap().contains("torch-2.6.0"),
        "{build}"
    );
}

/// PR 175253: only cu126 has code for Volta in 2.11.
#[test]
fn builds_can_be_picked_by_the_gpu_that_they_have_code_for() {
    let names = shown(&["catalog", "torch", "2.11", "sm_70", "-o", "name"]);
    assert_eq!(names.lines(), ["2.11.x+cu126"]);
}

/// CUDA release notes: 12.4 ships with 550.54.14 and runs from 525.60.13; its compat package accepts 470, 525, 535.
#[test]
fn toolkits_and_drivers_are_listed_with_what_they_need_and_drive() {
    let toolkit = shown(&["catalog", "cuda", "12.4", "-o", "json"]).json();
    let toolkit = &toolkit["items"][0];
    assert_eq!(toolkit["leastDriver"], "525.60.13");
    assert_eq!(toolkit["forwardFrom"], serde_json::json!([470, 525, 535]));
    let branch = shown(&["catalog", "driver", "550.54.15", "-o", "json"]).json();
    assert_eq!(branch["items"][0]["cuda"], "12.4");
    let volta = shown(&["catalog", "driver", "sm_70", "-o", "name"]);
    assert_eq!(volta.lines().last(), Some(&"580"));
}

/// An RTX 4090 (8.9) runs 8.6 code; Ada needs driver 520, CUDA 12 525.60.13, CUDA 13 580.
#[test]
fn a_gpu_shows_what_runs_there() {
    let gpu = product("RTX 4090");
    assert_eq!(gpu["name"], "NVIDIA GeForce RTX 4090");
    assert_eq!(gpu["computeCapability"], "8.9");
    assert_eq!(gpu["class"], "consumer");
    let builds = newest(&gpu, "amd64");
    assert_eq!(variant(&builds, "+cu126"), ("runs", Some("525.60.13")));
    assert_eq!(variant(&builds, "+cu130"), ("runs", Some("580")));
    let floors: Vec<&Value> = gpu["cuda"]
        .as_array()
        .unwrap()
        .iter()
        .map(|major| &major["leastDriver"])
        .collect();
    assert!(floors[0].as_str().unwrap().starts_with("520"), "{floors:?}");
    assert_eq!(floors[1..], ["525.60.13", "580"]);
    let table = shown(&["catalog", "gpu", "RTX", "4090"]).out;
    for text in [
        "8.9 (sm_89, Ada)",
        "consumer",
        "2.15.0+cu126",
        "LEAST DRIVER",
    ] {
        assert!(table.contains(text), "{text}");
    }
}

/// V100 has no CUDA 13 code and ends at driver 580; K80 ends at 470 and at torch 2.3; both are stated by NVIDIA's
/// architecture matrix and the wheels.
#[test]
fn an_old_gpu_shows_where_it_ends() {
    let volta = product("V100");
    assert_eq!(volta["lastDriver"], 580);
    let builds = newest(&volta, "amd64");
    assert_eq!(variant(&builds, "+cu126").0, "runs");
    assert_eq!(variant(&builds, "+cu130"), ("fails", None));
    let kepler = product("K80");
    assert_eq!(kepler["lastDriver"], 470);
    let spans = kepler["torch"].as_array().unwrap();
    let runs = spans.iter().find(|span| span["verdict"] == "runs").unwrap();
    assert_eq!(runs["last"], "2.3");
    assert!(
        newest(&kepler, "amd64")
            .iter()
            .all(|(_, verdict, _)| verdict == "fails")
    );
}

/// Arm wheels with CUDA begin with 8.0: a T4 has nothing there.
#[test]
fn architectures_are_told_apart() {
    let builds = newest(&product("Tesla T4"), "arm64");
    assert!(
        builds.iter().all(|(_, verdict, _)| verdict == "fails"),
        "{builds:?}"
    );
    assert!(
        newest(&product("H100"), "arm64")
            .iter()
            .all(|(_, verdict, _)| verdict == "runs")
    );
}

#[test]
fn a_name_of_several_gpus_lists_them_and_a_generation_all_of_its_own() {
    let several = run(&["catalog", "gpu", "RTX 6000"]);
    assert_eq!(several.code, 0);
    assert!(several.out.contains("Quadro RTX 6000") && several.out.contains("RTX 6000 Ada"));
    assert!(several.err.contains("name one"), "{}", several.err);
    let hopper = shown(&["catalog", "gpu", "hopper"]).out;
    assert!(hopper.contains("H100") && !hopper.contains("A100"));
    let embedded = shown(&["catalog", "gpu", "embedded", "sm_87", "-o", "name"]);
    assert!(
        embedded.lines().contains(&"Orin (nvgpu)"),
        "{}",
        embedded.out
    );
}

#[test]
fn images_are_found_by_name_and_by_tag() {
    let families = shown(&["catalog", "image"]).out;
    for family in ["pytorch/pytorch", "nvcr.io/nvidia/pytorch", "vLLM"] {
        assert!(families.contains(family), "{family}");
    }
    let forms = shown(&["catalog", "image", "pytorch/pytorch"]).out;
    assert!(forms.contains("-runtime") && forms.contains("-devel") && !forms.contains("rocm"));
    let tag = shown(&[
        "catalog",
        "image",
        "nvcr.io/nvidia/pytorch:25.10-py3",
        "-o",
        "json",
    ])
    .json();
    let image = tag["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|item| item["tag"] == "25.10-py3")
        .unwrap();
    assert!(image["holds"].as_str().unwrap().contains("CUDA 13.0"));
    assert!(
        image["gpuCode"]
            .as_str()
            .unwrap()
            .contains("amd64: 7.5 8.0")
    );
}

#[test]
fn names_and_rows_can_be_had_bare() {
    let bare = shown(&["catalog", "cuda", "12", "--no-headers"]);
    assert!(bare.out.starts_with("12.0"), "{}", bare.out);
    let wide = shown(&["catalog", "cuda", "12", "-o", "wide"]);
    assert_eq!(wide.lines().len(), bare.lines().len() + 1);
    assert!(wide.out.contains("SOURCE") && wide.out.contains("release notes"));
    let yaml = shown(&["catalog", "cuda", "12.4", "-o", "yaml"]).out;
    assert!(yaml.contains("cuda: \"12.4\""), "{yaml}");
    assert_eq!(
        shown(&["catalog", "torch"]).out,
        shown(&["catalog", "torch"]).out
    );
}

#[test]
fn nothing_that_matches_is_said_on_standard_error_with_exit_1() {
    for arguments in [
        ["catalog", "torch", "9.9"],
        ["catalog", "cuda", "12.7"],
        ["catalog", "image", "no/such"],
    ] {
        let output = run(&arguments);
        assert_eq!((output.code, output.out.as_str()), (1, ""), "{arguments:?}");
        assert!(output.err.contains("nothing in catalog"), "{}", output.err);
    }
    let output = run(&["catalog", "torch", "9.9", "-o", "json"]);
    assert_eq!(output.json()["items"], serde_json::json!([]));
}

#[test]
fn input_that_cannot_be_used_is_refused_with_what_was_expected_and_exit_2() {
    let long = "9".repeat(5000);
    for (arguments, expected) in [
        (
            vec!["catalog", "gpu", "RTX 4909"],
            "NVIDIA GeForce RTX 4090",
        ),
        (vec!["catalog", "torch", "two"], "a release (2.6"),
        (vec!["catalog", "torch", "2.6.0.0.0"], "a release (2.6"),
        (vec!["catalog", "cuda", "12,4"], "a version (12.4)"),
        (vec!["catalog", "driver", "55"], "a branch (550)"),
        (vec!["catalog", "driver", &long], "a branch (550)"),
        (vec!["catalog", "gpu", &long], "no GPU"),
        (
            vec![
                "catalog",
                "image",
                "pytorch/pytorch:2.6.0-cuda11.8-cudnn8-runtime",
            ],
            "2.6.0-cuda11.8-cudnn9-runtime",
        ),
        (vec!["catalog", "wheels"], "torch"),
        (vec!["catalog"], "KIND"),
        (vec!["catalog", "torch", "-o", "sarif"], "possible values"),
        (vec!["explain", "GPU-ARHC"], "GPU-ARCH"),
        (
            vec!["explain", "kernel image missing on my device"],
            "no kernel image is available",
        ),
        (vec!["explain", &long], "no code and no known error"),
        (vec!["completion", "tcsh"], "possible values"),
        (vec!["completion"], "SHELL"),
        (vec!["version", "-o", "wide"], "possible values"),
    ] {
        let output = run(&arguments);
        assert_eq!((output.code, output.out.as_str()), (2, ""), "{arguments:?}");
        assert!(
            output.err.contains(expected),
            "{arguments:?}: {}",
            output.err
        );
        assert!(output.err.len() < 1_000, "{arguments:?}");
    }
}

fn overlay(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn with_overlay(path: &Path) -> Output {
    run(&[
        "catalog",
        "torch",
        "2.16",
        "-o",
        "json",
        "--overlay",
        path.to_str().unwrap(),
    ])
}

#[test]
fn an_overlay_is_laid_over_the_facts() {
    let file = overlay(OVERLAY.as_bytes());
    let output = with_overlay(file.path());
    assert_eq!((output.code, output.err.as_str()), (0, ""));
    let document = output.json();
    assert_eq!(document["overlay"], "2027-01-15");
    assert_eq!(document["items"][0]["origin"], "attached");
}

#[test]
fn a_broken_overlay_is_refused_with_file_line_key_and_what_is_expected() {
    let long = vec![b'#'; 5 * 1024 * 1024];
    let wrong = OVERLAY.replace("cu134", "cuda13");
    for (bytes, expected) in [
        (
            wrong.as_bytes(),
            "line 6: variant: \"cuda13\" is not a torch variant",
        ),
        (
            b"# fine\n\xff".as_slice(),
            "line 2: the overlay is not UTF-8",
        ),
        (&long, "at most"),
    ] {
        let file = overlay(bytes);
        let output = with_overlay(file.path());
        assert_eq!((output.code, output.out.as_str()), (2, ""), "{expected}");
        assert!(output.err.contains(expected), "{}", output.err);
        assert!(
            output.err.contains(file.path().to_str().unwrap()),
            "{}",
            output.err
        );
    }
    let missing = with_overlay(Path::new("no/such/overlay.toml"));
    assert_eq!(missing.code, 2);
    assert!(
        missing
            .err
            .contains("cannot read overlay no/such/overlay.toml"),
        "{}",
        missing.err
    );
}

#[test]
fn each_code_is_explained_with_its_level_remedy_and_the_date_of_the_facts() {
    let overview = shown(&["explain"]).out;
    for code in Code::ALL {
        let text = shown(&["explain", code.word()]).out;
        assert!(text.starts_with(code.word()), "{text}");
        for part in [
            "Cause",
            "What to do",
            "Sources",
            "Facts of 20",
            "docs/codes.md#gpu-",
        ] {
            assert!(text.contains(part), "{code}: {part}");
        }
        assert!(overview.contains(code.word()), "{code}");
        assert_eq!(
            shown(&["explain", &code.word().to_ascii_lowercase()]).out,
            text
        );
    }
}

#[test]
fn programs_get_of_each_code_what_people_read() {
    let json = |arguments: &[&str]| -> Value {
        let arguments = [&["explain"], arguments, &["-o", "json"]].concat();
        serde_json::from_str(&run(&arguments).out).unwrap()
    };
    let all = json(&[]);
    assert_eq!(
        (&all["apiVersion"], &all["kind"]),
        (&"gpu-capgate.io/v1".into(), &"Explanation".into())
    );
    assert_eq!(all["codes"].as_array().unwrap().len(), Code::ALL.len());
    for code in all["codes"].as_array().unwrap() {
        for key in [
            "level",
            "meaning",
            "cause",
            "raisedWhen",
            "message",
            "whatToDo",
            "sources",
            "more",
        ] {
            let text = code[key].as_str().unwrap();
            assert!(
                !text.is_empty() && !text.contains("###"),
                "{}: {key}: {text}",
                code["code"]
            );
        }
    }
    let shm = json(&["shm"]);
    assert_eq!(shm["codes"][0]["code"], "GPU-SHM");
    assert_eq!(shm["codes"][0]["level"], "warn");
    assert_eq!(shm["codes"][0]["errors"][1], "No space left on device");
    assert_eq!(shm["codes"][0]["more"], "docs/codes.md#gpu-shm");
    let error = json(&["CUDA", "error", "209"]);
    assert_eq!(error["error"]["number"], 209);
    assert_eq!(error["codes"][0]["code"], "GPU-ARCH");
    let yaml = run(&["explain", "shm", "-o", "yaml"]).out;
    assert_eq!(serde_saphyr::from_str::<Value>(&yaml).unwrap(), shm);
    assert_eq!(run(&["explain", "shm", "-o", "name"]).out, "GPU-SHM\n");
}

/// Design 1.2 fixes the levels.
#[test]
fn levels_are_those_of_the_contract() {
    let overview = shown(&["explain", "--color", "never"]).out;
    let level = |code: &str| {
        let line = overview
            .lines()
            .find(|line| line.starts_with(code))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .trim_end_matches(',')
            .to_owned()
    };
    for code in [
        "GPU-VENDOR",
        "GPU-PLATFORM",
        "GPU-TEGRA",
        "GPU-UNSUPPORTED",
        "GPU-DRIVER",
        "GPU-ARCH",
        "GPU-PTX",
        "GPU-REQUIRE",
    ] {
        assert_eq!(level(code), "deny", "{code}");
    }
    for code in [
        "GPU-CPU-BUILD",
        "GPU-PARTIAL",
        "GPU-JIT",
        "GPU-LIBRARY",
        "GPU-COMPAT",
        "GPU-SHM",
        "GPU-RUNTIME",
        "GPU-IMPLICIT",
        "GPU-UNCHECKED",
    ] {
        assert_eq!(level(code), "warn", "{code}");
    }
}

#[test]
fn an_error_is_explained_as_it_was_pasted() {
    for (error, code) in [
        (
            "RuntimeError: CUDA error: no kernel image is available for execution on the device",
            "GPU-ARCH",
        ),
        (
            "the provided PTX was compiled with an unsupported toolchain.",
            "GPU-PTX",
        ),
        ("CUDA error 804", "GPU-COMPAT"),
        ("Torch not compiled with CUDA enabled", "GPU-CPU-BUILD"),
    ] {
        let output = run(&["explain", error]);
        assert_eq!(output.code, 0, "{error}");
        assert!(output.out.starts_with(code), "{error}: {}", output.out);
        assert!(output.err.contains(code), "{error}: {}", output.err);
    }
    let old = "The NVIDIA driver on your system is too old (found version 12040). Please update your GPU driver";
    let output = run(&["explain", old]);
    assert!(output.out.starts_with("GPU-DRIVER"), "{}", output.out);
    assert!(output.err.contains("offers CUDA 12.4"), "{}", output.err);
    let other = run(&["explain", "Error 802: system not yet initialized"]);
    assert_eq!(other.code, 0);
    assert!(other.out.contains("fabric manager"), "{}", other.out);
}

#[test]
fn shells_get_completion_for_every_command() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = shown(&["completion", shell]).out;
        for word in ["catalog", "explain", "no-headers"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn the_manual_page_holds_every_command() {
    let page = shown(&["man"]).out;
    assert!(page.contains(".TH gpu-capgate 1"), "{page}");
    for command in [
        "AGENT",
        "WEBHOOK",
        "CHECK",
        "EXPLAIN",
        "CATALOG",
        "COMPLETION",
        "MAN",
        "VERSION",
    ] {
        assert!(page.contains(&format!(".SH \"{command}\"")), "{command}");
    }
    assert!(page.contains("Exit status"));
}

#[test]
fn the_version_tells_the_date_of_the_facts() {
    let version = env!("CARGO_PKG_VERSION");
    let facts = Catalog::embedded().date();
    let text = shown(&["version"]).out;
    assert!(
        text.contains(version) && text.contains(facts) && text.contains("none"),
        "{text}"
    );
    let document = shown(&["version", "-o", "json"]).json();
    assert_eq!(
        (&document["version"], &document["facts"]),
        (&version.into(), &facts.into())
    );
    assert_eq!(document["overlay"], Value::Null);
    assert_eq!(
        shown(&["--version"]).out,
        format!("gpu-capgate {version} (facts of {facts})\n")
    );
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut command = command(&["catalog", "gpu", "-o", "json"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.stderr.is_empty());
}

/// The targets of the links in a text: `codes.md#gpu-arch`.
fn links(markdown: &str) -> Vec<&str> {
    let behind = markdown.split("](").skip(1);
    behind
        .filter_map(|text| Some(text.split_once(')')?.0))
        .collect()
}

#[test]
fn links_in_the_documents_lead_to_headings_that_exist() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let read = |name: &str| fs::read_to_string(docs.join(name)).unwrap();
    let anchor = |heading: &str| {
        let lower = heading.to_lowercase().replace(' ', "-");
        format!("#{}", lower.replace([',', ':'], ""))
    };
    let mut checked = 0;
    for name in ["codes.md", "compatibility.md"] {
        for link in links(&read(name)) {
            let at = link.find('#').unwrap_or(link.len());
            let (file, wanted) = link.split_at(at);
            let target = read(if file.is_empty() { name } else { file });
            let mut headings = target.lines().filter_map(|line| line.strip_prefix("## "));
            let found = wanted.is_empty() || headings.any(|heading| anchor(heading) == wanted);
            assert!(found, "{name}: {link}");
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked} links found");
}
