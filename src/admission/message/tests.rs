//! Messages as a person would want them, written by hand; the engine fills in the findings.

use super::*;
use crate::admission::decision::{Decision, decide as decide_all};
use crate::admission::policy::Policy;
use crate::compat::{Catalog, CpuArchitecture, Evidence, Origin, Proof, judge};
use crate::image::evidence::Override;
use crate::image::repositories::Repositories;

const POD: Subject<'static> = Subject {
    container: Some("train"),
    thing: Thing::Image("docker.io/pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime"),
    place: Place::Nodes {
        selection: "nodeSelector pool=batch",
        way: None,
    },
    skip: Skip::Offered,
};

fn host(gpu: &str, driver: &str) -> Host {
    let gpu = Catalog::embedded().find_gpu(gpu).found().unwrap();
    let host = Host::of_gpu(gpu).with_architecture(CpuArchitecture::Amd64);
    host.with_driver(driver.parse().unwrap())
}

fn with_knowledge<T>(run: impl FnOnce(Knowledge<'_>) -> T) -> T {
    let repositories = Repositories::bundled().unwrap();
    run(Knowledge {
        catalog: Catalog::embedded(),
        repositories: &repositories,
    })
}

fn decide(candidates: &[Candidate<'_>]) -> Ruling {
    decide_all(&[candidates], &Policy::default())
}

fn all<'a>(candidates: &'a [Candidate<'a>]) -> Vec<&'a Candidate<'a>> {
    candidates.iter().collect()
}

/// What a subject is on hosts of which there are so many nodes.
fn candidates<'a>(
    subject: &Subject<'_>,
    hosts: &'a [(usize, Host)],
    knowledge: Knowledge<'_>,
) -> Vec<Candidate<'a>> {
    let candidate = |(nodes, host): &'a (usize, Host)| {
        let architecture = alternative::architecture(host);
        let software = match subject.thing {
            Thing::Image(name) => {
                let named = knowledge.named(&name.parse().unwrap(), architecture);
                named.unwrap().software
            }
            Thing::Torch(version) => {
                let label = Evidence::new(Origin::Declared, Proof::Doc, "label");
                let version = version.parse().unwrap();
                knowledge
                    .catalog
                    .pip_software(&version, architecture, &label)
            }
            Thing::Declaration(text) => {
                let nothing = crate::compat::Software::unknown("not declared");
                let requires = text.parse().unwrap();
                knowledge.declared(nothing, &requires, Override::Refused).0
            }
        };
        Candidate {
            nodes: *nodes,
            hosts: vec![Judged {
                host,
                judgement: judge(&software, host).into(),
            }],
            ..Candidate::default()
        }
    };
    hosts.iter().map(candidate).collect()
}

fn refused(subject: &Subject<'_>, hosts: &[(usize, Host)]) -> String {
    with_knowledge(|knowledge| {
        let candidates = candidates(subject, hosts, knowledge);
        let ruling = decide(&candidates);
        assert_eq!(ruling.decision, Decision::Deny);
        denial(subject, &all(&candidates), &ruling, knowledge)
    })
}

fn warned(subject: &Subject<'_>, hosts: &[(usize, Host)]) -> String {
    with_knowledge(|knowledge| {
        let candidates = candidates(subject, hosts, knowledge);
        warning(subject, &all(&candidates), &decide(&candidates), "")
    })
}

fn named(thing: Thing<'_>) -> Subject<'_> {
    Subject {
        container: None,
        thing,
        place: Place::Named,
        skip: Skip::Withheld,
    }
}

#[test]
fn a_missing_kernel_is_told_with_what_there_is_and_an_image_that_runs() {
    assert_eq!(
        refused(&POD, &[(4, host("Tesla P100-PCIE-16GB", "580"))]),
        "\
container \"train\": image has no GPU code for Tesla P100-PCIE-16GB (sm_60), the only GPU type this Pod can land on [GPU-ARCH]
  image  docker.io/pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime
  has    sm_70 sm_75 sm_80 sm_86 sm_90 sm_100 sm_120, no PTX   (torch 2.8.0 cu128, a known build)
  nodes  4 match nodeSelector pool=batch: 4x Tesla P100-PCIE-16GB (sm_60) -> 0 of 4 can run it
  else   the first CUDA call fails: \"no kernel image is available for execution on the device\"
  fix    use pytorch/pytorch:2.8.0-cuda12.6-cudnn9-runtime (it has sm_60), or another GPU
  skip   annotation gpu-capgate.io/mode: warn
  more   gpu-capgate explain GPU-ARCH"
    );
}

#[test]
fn an_old_driver_is_told_with_the_floor_and_a_tag_that_runs_on_it() {
    let image = Thing::Image("docker.io/pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime");
    assert_eq!(
        refused(&named(image), &[(1, host("NVIDIA A100-SXM4-80GB", "470"))]),
        "\
image needs NVIDIA driver >= 525.60.13 (CUDA 12.4), and NVIDIA A100-SXM4-80GB (sm_80) has 470 (CUDA 11.4) [GPU-DRIVER]
  image  docker.io/pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime
  has    CUDA 12.4   (torch 2.6.0 cu124, a known build)
  needs  NVIDIA driver 525.60.13 or newer
  else   CUDA does not start: \"CUDA driver version is insufficient for CUDA runtime version\"
  fix    use pytorch/pytorch:2.6.0-cuda11.8-cudnn9-runtime (it runs on driver 470), or update the driver to 525.60.13 or newer
  more   gpu-capgate explain GPU-DRIVER"
    );
}

#[test]
fn a_driver_that_no_longer_drives_the_gpu_is_no_fix() {
    let image = Thing::Image("docker.io/pytorch/pytorch:2.4.1-cuda12.4-cudnn9-runtime");
    assert_eq!(
        refused(&named(image), &[(1, host("Tesla K80", "470"))]),
        "\
image needs NVIDIA driver >= 525.60.13 (CUDA 12.4), and Tesla K80 (sm_37) has 470 (CUDA 11.4), and 1 other cause [GPU-DRIVER]
  image  docker.io/pytorch/pytorch:2.4.1-cuda12.4-cudnn9-runtime
  has    CUDA 12.4   (torch 2.4.1 cu124, a known build)
  needs  NVIDIA driver 525.60.13 or newer
  else   CUDA does not start: \"CUDA driver version is insufficient for CUDA runtime version\"
  fix    use pytorch/pytorch:2.3.0-cuda11.8-cudnn8-runtime (it runs on driver 470), or use another GPU (branch 470 is the last that drives this one)
  more   gpu-capgate explain GPU-DRIVER"
    );
}

#[test]
fn a_tag_that_should_not_exist_is_told_with_the_one_that_was_meant() {
    let subject = named(Thing::Image(
        "docker.io/pytorch/pytorch:2.6.0-cuda11.8-cudnn8-runtime",
    ));
    let meant = "pytorch/pytorch:2.6.0-cuda11.8-cudnn9-runtime"
        .parse()
        .unwrap();
    let text = with_knowledge(|knowledge| {
        let hosts = [(1, host("Tesla T4", "580"))];
        let candidates = candidates(&subject, &hosts, knowledge);
        unchecked(&subject, &all(&candidates), Some(&meant))
    });
    assert_eq!(
        text,
        "\
cannot tell whether image runs on Tesla T4 (sm_75) [GPU-UNCHECKED]
  image  docker.io/pytorch/pytorch:2.6.0-cuda11.8-cudnn8-runtime
  why    pytorch/pytorch:2.6.0-cuda11.8-cudnn8-runtime should not exist (tags of one release carry one cuDNN version, and cuDNN 8 ended with torch 2.3)
  fix    did you mean pytorch/pytorch:2.6.0-cuda11.8-cudnn9-runtime?
  more   gpu-capgate explain GPU-UNCHECKED"
    );
}

#[test]
fn libraries_that_do_not_apply_are_told_with_the_flavour_without_them() {
    let image = Thing::Image("docker.io/pytorch/pytorch:2.6.0-cuda12.4-cudnn9-devel");
    let hosts = [(1, host("NVIDIA GeForce RTX 4090", "535"))];
    let subject = named(image);
    let (told, warned) = with_knowledge(|knowledge| {
        let candidates = candidates(&subject, &hosts, knowledge);
        let ruling = decide(&candidates);
        assert_eq!(ruling.decision, Decision::Warn);
        (
            denial(&subject, &all(&candidates), &ruling, knowledge),
            warning(&subject, &all(&candidates), &ruling, ""),
        )
    });
    assert_eq!(
        told,
        "\
image has forward-compatibility libraries, which do not apply on NVIDIA GeForce RTX 4090 (sm_89): not made for consumer GPUs [GPU-COMPAT]
  image  docker.io/pytorch/pytorch:2.6.0-cuda12.4-cudnn9-devel
  has    libraries of CUDA 12.4   (torch 2.6.0 cu124, a known build)
  else   CUDA does not start: \"forward compatibility was attempted on non supported HW\"
  fix    use pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime
  more   gpu-capgate explain GPU-COMPAT"
    );
    assert_eq!(
        warned,
        "gpu-capgate: image has forward-compatibility libraries, which do not apply on NVIDIA GeForce RTX 4090 (sm_89): \
         not made for consumer GPUs [GPU-COMPAT]"
    );
}

#[test]
fn of_torch_alone_the_fix_is_a_line_for_the_shell() {
    assert_eq!(
        refused(&named(Thing::Torch("2.6.0+cu124")), &[(1, host("NVIDIA B200", "580"))]),
        "\
torch 2.6.0+cu124 has no GPU code for NVIDIA B200 (sm_100) [GPU-ARCH]
  torch  2.6.0+cu124
  has    sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90, no PTX   (torch 2.6.0 cu124, a known build)
  else   the first CUDA call fails: \"no kernel image is available for execution on the device\"
  fix    pip install torch==2.7.0 --index-url https://download.pytorch.org/whl/cu128 (it has sm_100), or another GPU
  more   gpu-capgate explain GPU-ARCH"
    );
}

#[test]
fn a_dropped_generation_is_told_with_the_last_branch() {
    assert_eq!(
        refused(&named(Thing::Torch("2.6.0+cu126")), &[(1, host("Tesla V100-SXM2-16GB", "590"))]),
        "\
driver 590 no longer drives Tesla V100-SXM2-16GB (sm_70); branch 580 is the last that does [GPU-UNSUPPORTED]
  torch  2.6.0+cu126
  fix    keep these nodes on driver branch 580
  more   gpu-capgate explain GPU-UNSUPPORTED"
    );
}

#[test]
fn ptx_that_is_too_new_is_told_with_both_versions() {
    let declared = named(Thing::Declaration("cuda=13.2; ptx=89"));
    assert_eq!(
        refused(&declared, &[(1, host("NVIDIA GeForce RTX 4090", "580"))]),
        "\
the declared software has only compute_89 (PTX 9.2) for NVIDIA GeForce RTX 4090 (sm_89), and driver 580 compiles only up to PTX 9.0 [GPU-PTX]
  says   cuda=13.2; ptx=89
  has    compute_89 (PTX 9.2)   (declared by its author)
  needs  NVIDIA driver 595 or newer
  else   the first CUDA call fails: \"the provided PTX was compiled with an unsupported toolchain.\"
  fix    update the driver to 595 or newer
  more   gpu-capgate explain GPU-PTX"
    );
}

#[test]
fn a_start_condition_is_told_with_the_variable_and_the_words_of_the_runtime() {
    let image = Thing::Image("docker.io/pytorch/pytorch:2.6.0-cuda12.6-cudnn9-devel");
    let legacy =
        host("NVIDIA GeForce RTX 4090", "550").with_runtime(crate::compat::RuntimeMode::Legacy);
    assert_eq!(
        refused(&named(image), &[(1, legacy)]),
        "\
image demands cuda>=12.6 to start, which NVIDIA GeForce RTX 4090 (sm_89) and its driver do not meet, and 1 other cause [GPU-REQUIRE]
  image  docker.io/pytorch/pytorch:2.6.0-cuda12.6-cudnn9-devel
  needs  cuda>=12.6 (or another alternative of NVIDIA_REQUIRE_CUDA)
  else   the container does not start: \"unsatisfied condition: cuda>=12.6, please update your driver to a newer version, or use an earlier cuda container\"
  fix    use pytorch/pytorch:2.6.0-cuda12.6-cudnn9-runtime, or set NVIDIA_DISABLE_REQUIRE=true if you know better
  more   gpu-capgate explain GPU-REQUIRE"
    );
}

#[test]
fn another_vendors_build_is_told_by_its_name() {
    assert_eq!(
        refused(
            &named(Thing::Torch("2.6.0+rocm6.2")),
            &[(1, host("Tesla T4", "580"))]
        ),
        "\
torch 2.6.0+rocm6.2 is a ROCm (AMD GPU) build, which cannot use Tesla T4 (sm_75) [GPU-VENDOR]
  torch  2.6.0+rocm6.2
  has    rocm build   (torch 2.6.0 rocm6.2, by its label)
  fix    pip install torch==2.6.0 --index-url https://download.pytorch.org/whl/cu124 (it has sm_75)
  more   gpu-capgate explain GPU-VENDOR"
    );
}

#[test]
fn warnings_are_one_line() {
    let hosts = [
        (2, host("Tesla P100-PCIE-16GB", "580")),
        (6, host("NVIDIA L4", "580")),
    ];
    assert_eq!(
        warned(&POD, &hosts),
        "gpu-capgate: container \"train\": image has no GPU code for Tesla P100-PCIE-16GB (sm_60), \
         and this Pod can land there: it runs on 6 of 8 nodes [GPU-PARTIAL]"
    );
    let cpu = named(Thing::Torch("2.6.0+cpu"));
    assert_eq!(
        warned(&cpu, &[(1, host("NVIDIA L4", "580"))]),
        "gpu-capgate: torch 2.6.0+cpu is a CPU-only build, which will not use NVIDIA L4 (sm_89) [GPU-CPU-BUILD]"
    );
}

#[test]
fn what_is_not_known_is_told_with_a_way_to_tell_it() {
    let subject = named(Thing::Image("docker.io/acme/train:latest"));
    let text = with_knowledge(|knowledge| {
        let hosts = [(1, host("NVIDIA L40S", "580"))];
        let candidates = candidates(&subject, &hosts, knowledge);
        assert_eq!(decide(&candidates).decision, Decision::Undecided);
        unchecked(&subject, &all(&candidates), None)
    });
    assert_eq!(
        text,
        "\
cannot tell whether image runs on NVIDIA L40S (sm_89): nothing in this name says which CUDA it holds [GPU-UNCHECKED]
  image  docker.io/acme/train:latest
  fix    declare what it holds: --requires \"cuda=12.6; sm=80,90\" (on a Pod: annotation gpu-capgate.io/requires)
  more   gpu-capgate explain GPU-UNCHECKED"
    );
}

#[test]
fn no_message_is_longer_than_an_event_takes() {
    let name = format!(
        "registry.example.com/{}:2.6.0-cu124",
        "a/".repeat(100) + "b"
    );
    let subject = Subject {
        container: Some("a-container-with-a-name-of-sixty-three-characters-which-is-legal"),
        thing: Thing::Image(&name),
        place: Place::Nodes {
            selection: "nodeSelector a-long-key.example.com/pool=a-long-value,another-key.example.com/pool=another-value",
            way: None,
        },
        skip: Skip::Offered,
    };
    let text = refused(
        &subject,
        &[(4000, host("NVIDIA RTX 6000 Ada Generation", "470"))],
    );
    assert!(text.len() <= 900, "{}", text.len());
    let first = text.lines().next().unwrap();
    assert!(
        first.len() <= 160 && first.ends_with("[GPU-UNSUPPORTED]"),
        "{first}"
    );
    assert!(text.is_ascii() && text.contains("\n  fix    "), "{text}");
}
