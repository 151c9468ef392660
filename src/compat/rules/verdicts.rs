//! Verdicts over the whole engine, each expected by hand from a public source (named at the test).

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::compat::catalog::{Channel, GpuLookup};
use crate::compat::host::{CpuArchitecture, GpuClass, Platform, RuntimeMode};
use crate::compat::require::Requirements;
use crate::compat::software::{
    Binaries, BuildKind, CompatPackage, Evidence, Fact, FactName, Library, Origin, OtherGpuUsers,
    Proof,
};
use crate::compat::target::{PtxList, TargetList};
use crate::compat::verdict::{Cause, Code, DriverReach, Force, Verdict};
use crate::compat::version::{CudaVersion, DriverVersion, PtxIsa, TorchVersion};

fn evidence(origin: Origin) -> Evidence {
    Evidence::new(origin, Proof::Doc, "test")
}

fn torch(text: &str, channel: Channel, arch: CpuArchitecture) -> Software {
    let version: TorchVersion = text.parse().unwrap();
    let catalog = Catalog::embedded();
    let lookup = catalog.torch_build(&version, version.variant().unwrap(), arch, channel);
    catalog.software_of(lookup.build().unwrap(), &version)
}

fn pip(text: &str) -> Software {
    torch(text, Channel::Pip, CpuArchitecture::Amd64)
}

fn pip_arm64(text: &str) -> Software {
    torch(text, Channel::Pip, CpuArchitecture::Arm64)
}

/// With the forward-compatibility package of its toolkit, as a devel image has it.
fn devel(text: &str) -> Software {
    let software = pip(text);
    let cuda = *software.cuda.value().unwrap();
    let package = CompatPackage::Present {
        cuda,
        driver: None,
        branches: None,
    };
    Software {
        compat: Fact::Known(package, evidence(Origin::Catalog)),
        ..software
    }
}

fn host(gpu: &str, driver: &str) -> Host {
    let GpuLookup::Found(gpu) = Catalog::embedded().find_gpu(gpu) else {
        panic!("{gpu} is not one GPU")
    };
    Host::of_gpu(gpu)
        .with_driver(driver.parse().unwrap())
        .with_architecture(CpuArchitecture::Amd64)
}

fn arm_host(gpu: &str, driver: &str) -> Host {
    host(gpu, driver).with_architecture(CpuArchitecture::Arm64)
}

/// The verdict and the codes, as one line.
fn outcome(software: &Software, host: &Host) -> String {
    let judgement = judge(software, host);
    let words: Vec<String> = std::iter::once(judgement.verdict.to_string())
        .chain(
            judgement
                .findings
                .iter()
                .map(|finding| finding.code.to_string()),
        )
        .collect();
    words.join(" ")
}

fn sass(targets: &str) -> TargetList {
    targets
        .split_whitespace()
        .map(|target| target.parse().unwrap())
        .collect()
}

fn ptx(targets: &str, isa: Option<PtxIsa>) -> PtxList {
    targets
        .split_whitespace()
        .map(|target| PtxTarget {
            target: target.parse().unwrap(),
            isa,
        })
        .collect()
}

/// Measured code without any PTX version, as most measured images are described in these tests.
fn measured(cuda: &str, sass_targets: &str, ptx_targets: &str) -> Software {
    let origin = evidence(Origin::Measured);
    let cuda: CudaVersion = cuda.parse().unwrap();
    Software {
        build: Fact::Known(BuildKind::Cuda, origin.clone()),
        cuda: Fact::Known(cuda, origin.clone()),
        sass: Fact::Known(sass(sass_targets), origin.clone()),
        ptx: Fact::Known(ptx(ptx_targets, None), origin.clone()),
        compat: Fact::Known(CompatPackage::Absent, origin.clone()),
        ..Software::unknown("not measured")
    }
}

/// Only a CUDA version, from a tag that follows a convention.
fn named(cuda: &str) -> Software {
    Software {
        build: Fact::Known(BuildKind::Cuda, evidence(Origin::Name)),
        cuda: Fact::Known(cuda.parse().unwrap(), evidence(Origin::Name)),
        compat: Fact::Known(CompatPackage::Absent, evidence(Origin::Catalog)),
        ..Software::unknown("the name does not tell")
    }
}

use crate::compat::target::PtxTarget;

/// Wheels 2.6.0+cu124 (5.0 to 9.0, no PTX) and the CUDA release notes (12.x from 525.60.13).
#[test]
fn torch_2_6_cu124_on_the_gpus_of_a_usual_table() {
    let software = pip("2.6.0+cu124");
    for gpu in [
        "RTX 4090",
        "RTX 3090",
        "RTX 2080 Ti",
        "GTX 1660 Ti",
        "TITAN RTX",
        "TITAN V",
        "TITAN Xp",
        "A6000",
    ] {
        assert_eq!(outcome(&software, &host(gpu, "550.54.15")), "runs", "{gpu}");
    }
    for gpu in [
        "A100",
        "A40",
        "H100",
        "L4",
        "T4",
        "V100",
        "P100",
        "P40",
        "T1000",
        "MX150",
        "RTX 6000 Ada",
    ] {
        assert_eq!(outcome(&software, &host(gpu, "525")), "runs", "{gpu}");
    }
    for (gpu, expected) in [
        ("B200", "fails GPU-ARCH"),
        ("RTX 5090", "fails GPU-ARCH"),
        ("GB300", "fails GPU-ARCH"),
    ] {
        assert_eq!(outcome(&software, &host(gpu, "580")), expected, "{gpu}");
    }
    // The 470 branch is the last for Kepler and below the floor of 12.x.
    assert_eq!(
        outcome(&software, &host("K80", "470")),
        "fails GPU-DRIVER GPU-ARCH"
    );
    assert_eq!(
        outcome(&software, &host("A100", "520.61.05")),
        "fails GPU-DRIVER"
    );
    assert_eq!(outcome(&software, &host("A100", "525.60.13")), "runs");
    assert_eq!(
        outcome(&software, &host("A100", "525.60.11")),
        "fails GPU-DRIVER"
    );
}

/// NVIDIA architecture matrix: R470 is the last for Kepler, R580 for Maxwell, Pascal and Volta; CUDA release
/// notes: Ada and Hopper from 520.61.05, B200 from 570.26.
#[test]
fn a_driver_that_does_not_drive_the_gpu_fails() {
    let software = pip("2.6.0+cu118");
    assert_eq!(
        outcome(&software, &host("P40", "590")),
        "fails GPU-UNSUPPORTED"
    );
    assert_eq!(outcome(&software, &host("V100", "580")), "runs");
    assert_eq!(
        outcome(&pip("2.3.1+cu118"), &host("K80", "525")),
        "fails GPU-UNSUPPORTED"
    );
    assert_eq!(
        outcome(&software, &host("L4", "470")),
        "fails GPU-UNSUPPORTED"
    );
    assert_eq!(outcome(&software, &host("L4", "520")), "runs");
    let b200 = judge(&pip("2.8.0+cu128"), &host("B200", "550"));
    assert_eq!(b200.verdict, Verdict::Fails);
    let floor = "570.26".parse().unwrap();
    assert!(
        matches!(b200.findings[0].cause, Cause::Unsupported { reach: DriverReach::TooOld { floor: f }, .. } if f == floor)
    );
    // Within the first branch, but older than the first documented release.
    assert_eq!(
        judge(&software, &host("L4", "520.56.06")).verdict,
        Verdict::Unknown
    );
}

/// CUDA compatibility guide: minor-version compatibility, 450.80.02 for 11.x, 525.60.13 for 12.x, 580 for 13.x.
#[test]
fn minor_version_compatibility_covers_compiled_code() {
    assert_eq!(
        outcome(&pip("2.6.0+cu118"), &host("A100", "450.80.02")),
        "runs"
    );
    assert_eq!(
        outcome(&pip("2.6.0+cu118"), &host("A100", "450.51.06")),
        "fails GPU-DRIVER"
    );
    assert_eq!(
        outcome(&pip("2.8.0+cu129"), &host("A100", "550.54.15")),
        "runs"
    );
    assert_eq!(
        outcome(&pip("2.11.0+cu130"), &host("A100", "575")),
        "fails GPU-DRIVER"
    );
    assert_eq!(
        outcome(&pip("2.15.0+cu132"), &host("A100", "580.65.06")),
        "runs"
    );
    assert_eq!(
        outcome(&pip("1.12.1+cu102"), &host("V100", "418")),
        "fails GPU-DRIVER"
    );
}

/// `get_arch_list()` of 2.6.0+cu118 holds 3.7; the cuDNN 9.1.0.70 wheel has nothing below 5.0.
#[test]
fn a_k80_has_torch_code_and_no_cudnn_in_2_6_cu118() {
    let judgement = judge(&pip("2.6.0+cu118"), &host("Tesla K80", "470.82.01"));
    assert_eq!(judgement.verdict, Verdict::Degraded);
    assert_eq!(judgement.findings[0].code, Code::Library);
    assert_eq!(
        outcome(&pip("2.3.1+cu118"), &host("K80", "470.82.01")),
        "runs"
    );
    // K40 is 3.5: below 3.7, and no PTX in pip wheels.
    assert_eq!(
        outcome(&pip("2.6.0+cu118"), &host("Tesla K40", "470.82.01")),
        "fails GPU-ARCH"
    );
}

/// pytorch/builder: conda builds of CUDA 11 carry PTX for 3.7, pip wheels do not.
#[test]
fn conda_builds_of_cuda_11_have_ptx_that_pip_wheels_lack() {
    let conda = torch("2.4.0+cu118", Channel::Conda, CpuArchitecture::Amd64);
    assert_eq!(
        outcome(&conda, &host("B200", "570.124.06")),
        "degraded GPU-JIT"
    );
    assert_eq!(
        outcome(&pip("2.4.0+cu118"), &host("B200", "570.124.06")),
        "fails GPU-ARCH"
    );
    // cuDNN 9.1 and the rest have PTX 9.0, which is newer than a P40 but 5.0 to 6.1 code is there.
    assert_eq!(outcome(&conda, &host("P40", "550")), "runs");
}

/// Wheels: 7.0 is absent from 2.7 cu128, present in 2.8 to 2.10, absent from 2.11 (PR 175253).
#[test]
fn volta_comes_and_goes_in_the_cu128_variant() {
    let v100 = host("Tesla V100-SXM2-16GB", "570.124.06");
    let expected = [
        ("2.7.1", "fails GPU-ARCH"),
        ("2.8.0", "runs"),
        ("2.10.0", "runs"),
        ("2.11.0", "fails GPU-ARCH"),
    ];
    for (release, expected) in expected {
        assert_eq!(
            outcome(&pip(&format!("{release}+cu128")), &v100),
            expected,
            "{release}"
        );
    }
}

/// PTX ISA release history; documented: a PTX-only program of 13.2 on R580 ends in error 222.
#[test]
fn ptx_needs_a_driver_as_new_as_its_toolkit() {
    let only_ptx = measured("13.2", "", "9.0");
    assert_eq!(
        outcome(&only_ptx, &host("H100", "580.95.05")),
        "fails GPU-PTX"
    );
    assert_eq!(
        outcome(&only_ptx, &host("H100", "595.45.04")),
        "degraded GPU-JIT"
    );
    assert_eq!(
        outcome(&only_ptx, &host("B200", "595.45.04")),
        "degraded GPU-JIT"
    );
    assert_eq!(
        outcome(&only_ptx, &host("A100", "595.45.04")),
        "fails GPU-ARCH"
    );
    // An older PTX version is enough, whatever the toolkit: 8.5 came with 12.5.
    let isa = Some(PtxIsa::new(8, 5));
    let older = Software {
        ptx: Fact::Known(ptx("9.0", isa), evidence(Origin::Measured)),
        ..measured("12.8", "", "")
    };
    assert_eq!(
        outcome(&older, &host("H100", "555.42.02")),
        "degraded GPU-JIT"
    );
    assert_eq!(outcome(&older, &host("H100", "550.54.15")), "fails GPU-PTX");
    // R565 reports 12.7 and compiles up to 8.6.
    let isa = Some(PtxIsa::new(8, 7));
    let newer = Software {
        ptx: Fact::Known(ptx("9.0", isa), evidence(Origin::Measured)),
        ..measured("12.8", "", "")
    };
    assert_eq!(outcome(&newer, &host("H100", "565")), "fails GPU-PTX");
}

/// CUDA programming guide: `a` code runs on exactly its capability, `f` code within its family.
#[test]
fn suffixed_code_carries_as_far_as_its_letter_says() {
    let only = |targets| measured("13.0", targets, "");
    assert_eq!(outcome(&only("90a"), &host("H100", "580")), "runs");
    assert_eq!(
        outcome(&only("100a"), &host("GB300", "580")),
        "fails GPU-ARCH"
    );
    assert_eq!(outcome(&only("100f"), &host("GB300", "580")), "runs");
    assert_eq!(
        outcome(&only("103f"), &host("B200", "580")),
        "fails GPU-ARCH"
    );
    assert_eq!(outcome(&only("100"), &host("GB300", "580")), "runs");
    assert_eq!(outcome(&only("120f"), &host("GB10", "580")), "runs");
    assert_eq!(outcome(&only("86"), &host("A100", "580")), "fails GPU-ARCH");
    assert_eq!(outcome(&only("80"), &host("L4", "580")), "runs");
    assert_eq!(outcome(&only("80"), &host("H100", "580")), "fails GPU-ARCH");
    let ptx_a = Software {
        ptx: Fact::Known(ptx("90a", None), evidence(Origin::Measured)),
        ..only("")
    };
    assert_eq!(outcome(&ptx_a, &host("B200", "580")), "fails GPU-ARCH");
}

/// NVIDIA base images: the 12.4 compat package lists 470, 525 and 535; data-centre GPUs only (error 804).
#[test]
fn forward_compatibility_depends_on_branch_and_class() {
    assert_eq!(
        outcome(&devel("2.6.0+cu124"), &host("A100", "470.57.02")),
        "runs"
    );
    assert_eq!(
        outcome(&pip("2.6.0+cu124"), &host("A100", "470.57.02")),
        "fails GPU-DRIVER"
    );
    assert_eq!(
        outcome(&devel("2.6.0+cu124"), &host("A100", "520")),
        "fails GPU-DRIVER GPU-COMPAT"
    );
    assert_eq!(
        outcome(&devel("2.6.0+cu124"), &host("RTX 3090", "470.57.02")),
        "fails GPU-DRIVER GPU-COMPAT"
    );
    assert_eq!(
        outcome(&devel("2.6.0+cu124"), &host("RTX 3090", "535.54.03")),
        "runs GPU-COMPAT"
    );
    assert_eq!(
        outcome(&devel("2.6.0+cu124"), &host("RTX 3090", "550.54.15")),
        "runs"
    );
    assert_eq!(
        outcome(&devel("2.6.0+cu124"), &host("RTX A6000", "470.57.02")),
        "unknown"
    );
    // It gives the driver's compiler a newer PTX, too.
    let ptx_only = Software {
        compat: devel("2.6.0+cu124").compat,
        ..measured("12.4", "", "8.0")
    };
    assert_eq!(
        outcome(&ptx_only, &host("H100", "535.54.03")),
        "degraded GPU-JIT"
    );
}

/// nvidia/container-images/cuda issue 182: a K80 fails with compat libraries of 11.5 and newer.
#[test]
fn compat_libraries_that_forgot_the_chip_are_worth_a_warning() {
    assert_eq!(
        outcome(&devel("2.3.1+cu118"), &host("K80", "470.82.01")),
        "runs GPU-COMPAT"
    );
}

/// Design, section 3: an unknown package that would engage makes the driver verdict unknown.
#[test]
fn an_unknown_compat_package_counts_only_where_it_would_help() {
    let open = |text| Software {
        compat: Fact::gap("not read"),
        ..pip(text)
    };
    assert_eq!(
        outcome(&open("2.6.0+cu124"), &host("A100", "470")),
        "unknown"
    );
    assert_eq!(
        outcome(&open("2.6.0+cu124"), &host("RTX 3090", "470")),
        "fails GPU-DRIVER"
    );
    assert_eq!(
        outcome(&open("2.6.0+cu124"), &host("A100", "520")),
        "fails GPU-DRIVER"
    );
    assert_eq!(outcome(&open("2.6.0+cu124"), &host("A100", "550")), "runs");
}

/// Assemblers: 12.x compiles nothing below 5.0, 13.x nothing below 7.5, 12.6 nothing from 10.0 up.
#[test]
fn a_toolkit_from_a_name_rules_out_what_it_cannot_build() {
    let thirteen = judge(&named("13.0"), &host("V100", "580"));
    assert_eq!(
        (thirteen.verdict, thirteen.findings[0].force),
        (Verdict::Fails, Force::MayDeny)
    );
    assert!(matches!(
        thirteen.findings[0].cause,
        Cause::ArchByToolkit { .. }
    ));
    assert_eq!(outcome(&named("12.6"), &host("B200", "580")), "unknown");
    assert_eq!(outcome(&named("12.6"), &host("A100", "580")), "unknown");
    assert_eq!(
        outcome(&named("12.1"), &host("A100", "470")),
        "fails GPU-DRIVER"
    );
    let no_ptx = Software {
        ptx: Fact::Known(PtxList::default(), evidence(Origin::Measured)),
        ..named("12.6")
    };
    assert_eq!(outcome(&no_ptx, &host("B200", "580")), "fails GPU-ARCH");
}

/// jax-ml/jax 40492: 8.0 code does not run on Orin; PTX for 8.0 does. Reports under `JetPack` 7.2 leave builds
/// of CUDA 13 open.
#[test]
fn desktop_code_does_not_run_on_orin() {
    let orin = Host {
        cuda: Some(CudaVersion::new(12, 6)),
        driver: None,
        ..arm_host("Orin", "540.04")
    };
    assert_eq!(
        outcome(&measured("12.6", "8.0 9.0", ""), &orin),
        "fails GPU-TEGRA"
    );
    assert_eq!(outcome(&measured("12.6", "8.0 8.7", ""), &orin), "runs");
    assert_eq!(
        outcome(&measured("12.6", "", "8.0"), &orin),
        "degraded GPU-JIT"
    );
    assert_eq!(
        outcome(&measured("12.6", "9.0", ""), &orin),
        "fails GPU-ARCH"
    );
    let newer = Host {
        cuda: Some(CudaVersion::new(13, 2)),
        ..orin
    };
    // From CUDA 13.2 on torch counts server builds (device table in the 2.15.0 wheel).
    assert_eq!(outcome(&measured("13.2", "8.0 9.0", ""), &newer), "runs");
    assert_eq!(outcome(&measured("13.0", "8.0 9.0", ""), &newer), "unknown");
    assert_eq!(outcome(&pip("2.6.0+cu124"), &newer), "fails GPU-PLATFORM");
}

/// The torch 2.15.0 table: Thor is 10.1 to CUDA 12.8 and 12.9 and 11.0 to 13; design: unknown where unproven.
#[test]
fn thor_under_its_old_number_is_unknown() {
    let thor = arm_host("NVIDIA Thor", "580.65.06");
    assert_eq!(outcome(&pip_arm64("2.11.0+cu130"), &thor), "runs");
    assert_eq!(outcome(&measured("12.9", "10.1", ""), &thor), "unknown");
    assert_eq!(
        outcome(&measured("12.9", "10.0", ""), &thor),
        "fails GPU-ARCH"
    );
    assert_eq!(
        outcome(&measured("12.9", "", "10.0"), &thor),
        "degraded GPU-JIT"
    );
}

#[test]
fn builds_for_other_hardware_fail() {
    let rocm = Software {
        build: Fact::Known(BuildKind::Rocm, evidence(Origin::Catalog)),
        ..Software::unknown("none")
    };
    assert_eq!(outcome(&rocm, &host("A100", "550")), "fails GPU-VENDOR");
    let cpu = pip_arm64("2.9.1+cpu");
    let judgement = judge(&cpu, &arm_host("GH200", "580"));
    assert_eq!(
        (judgement.verdict, judgement.findings[0].code),
        (Verdict::Fails, Code::CpuBuild)
    );
    assert_eq!(judgement.findings[0].force, Force::MayWarn);
    let build = Fact::Known(BuildKind::CpuOnly, evidence(Origin::Measured));
    let bare = Software {
        build,
        others: OtherGpuUsers::Absent,
        ..cpu
    };
    assert_eq!(
        judge(&bare, &arm_host("GH200", "580")).findings[0].force,
        Force::MayDeny
    );
}

/// OCI image index: without the host's platform the container cannot start.
#[test]
fn the_cpu_architecture_must_be_there() {
    assert_eq!(
        outcome(&pip("2.6.0+cu124"), &arm_host("GH200 480GB", "550")),
        "fails GPU-PLATFORM"
    );
    let anywhere = Host {
        architecture: None,
        ..host("A100", "550")
    };
    assert_eq!(
        judge(&pip("2.6.0+cu124"), &anywhere).verdict,
        Verdict::Unknown
    );
}

/// The 2.11 default wheel on arm64 starts at 8.0, so that a T4G (7.5) has nothing.
#[test]
fn a_t4g_has_nothing_in_arm64_wheels() {
    assert_eq!(
        outcome(&pip_arm64("2.11.0+cu130"), &arm_host("T4G", "580")),
        "fails GPU-ARCH"
    );
    assert_eq!(outcome(&pip("2.11.0+cu130"), &host("T4", "580")), "runs");
}

fn requiring(value: &str) -> Software {
    let requirements = Requirements::from_environment([("NVIDIA_REQUIRE_CUDA", value)]).unwrap();
    Software {
        requirements: Fact::Known(requirements, evidence(Origin::Measured)),
        ..pip("2.6.0+cu118")
    }
}

/// libnvidia-container: only the legacy runtime evaluates the variables, and compat libraries do not count.
#[test]
fn start_conditions_fail_only_on_a_legacy_runtime() {
    let strict = requiring("cuda>=12.8");
    let a100 = host("A100", "550.54.15");
    let legacy = judge(&strict, &a100.clone().with_runtime(RuntimeMode::Legacy));
    assert_eq!(
        (legacy.verdict, legacy.findings[0].force),
        (Verdict::Fails, Force::MayDeny)
    );
    let cdi = judge(&strict, &a100.clone().with_runtime(RuntimeMode::Cdi));
    assert_eq!(
        (cdi.verdict, cdi.findings[0].force),
        (Verdict::Runs, Force::MayWarn)
    );
    assert_eq!(cdi.findings[0].code, Code::Require);
    assert_eq!(
        outcome(
            &requiring("cuda>=12.4"),
            &a100.with_runtime(RuntimeMode::Legacy)
        ),
        "runs"
    );
}

/// The 13.0 base image lists no `GeForce` for R535, so such a host must meet the plain `cuda>=13.0`.
#[test]
fn brands_decide_where_an_image_lists_them() {
    let line = requiring(
        "cuda>=13.0 brand=tesla,driver>=535,driver<536 brand=nvidia,driver>=535,driver<536",
    );
    let legacy = |gpu, driver| host(gpu, driver).with_runtime(RuntimeMode::Legacy);
    assert_eq!(
        outcome(&line, &legacy("RTX 3090", "535.54.03")),
        "fails GPU-REQUIRE"
    );
    assert_eq!(outcome(&line, &legacy("L4", "535.54.03")), "runs");
    // Whether its driver calls an A100 tesla or nvidia does not matter here: both are listed.
    assert_eq!(outcome(&line, &legacy("A100", "535.54.03")), "runs");
    let one = requiring("cuda>=13.0 brand=tesla,driver>=535,driver<536");
    assert_eq!(outcome(&one, &legacy("A100", "535.54.03")), "unknown");
}

/// RAPIDS build documentation: zstd-compressed code of CUDA 12 needs 550.54.14.
#[test]
fn compressed_code_puts_up_a_floor_for_the_code_that_loads() {
    let zstd = Fact::Known(sass("10.0 12.0"), evidence(Origin::Measured));
    let mixed = Software {
        zstd,
        ..measured("12.8", "8.0 9.0 10.0 12.0", "")
    };
    assert_eq!(outcome(&mixed, &host("H100", "535.54.03")), "runs");
    let all = Software {
        zstd: Fact::Known(sass("9.0"), evidence(Origin::Measured)),
        ..mixed
    };
    assert_eq!(
        outcome(&all, &host("H100", "535.54.03")),
        "fails GPU-DRIVER"
    );
    assert_eq!(outcome(&all, &host("H100", "550.54.14")), "runs");
}

#[test]
fn evidence_that_may_not_deny_leaves_a_gap_and_no_finding() {
    for (origin, proof) in [
        (Origin::Hint, Proof::Doc),
        (Origin::Catalog, Proof::Assumed),
    ] {
        let evidence = Evidence::new(origin, proof, "test");
        let base = measured("12.4", "5.0 6.0 7.0 7.5 8.0 8.6 9.0", "");
        let weak = Software {
            sass: Fact::Known(sass("8.0"), evidence),
            ..base
        };
        let judgement = judge(&weak, &host("T4", "550"));
        assert_eq!(
            (judgement.verdict, judgement.findings.len()),
            (Verdict::Unknown, 0)
        );
        assert_eq!(judgement.gaps[0].name, FactName::Sass);
    }
    // 2.7 cu118 was carried over from 2.6: a B200 has no code there, and that is not certain.
    assert_eq!(
        outcome(&pip("2.7.0+cu118"), &host("B200", "570.26")),
        "unknown"
    );
    // A tag named rocm7 held a CUDA build (YanWenKun/ComfyUI-Docker 187).
    let build = Fact::Known(BuildKind::Rocm, evidence(Origin::Name));
    assert_eq!(
        outcome(
            &Software {
                build,
                ..Software::unknown("no")
            },
            &host("A100", "550")
        ),
        "unknown"
    );
}

#[test]
fn an_authors_driver_and_a_publishers_oldest_gpu_count() {
    let floor = Fact::Known("560".parse().unwrap(), evidence(Origin::Declared));
    let declared = Software {
        driver: floor,
        ..measured("12.6", "8.9", "")
    };
    assert_eq!(
        outcome(&declared, &host("RTX 4090", "550")),
        "fails GPU-DRIVER"
    );
    assert_eq!(outcome(&declared, &host("RTX 4090", "560.35.03")), "runs");
    // NVIDIA release notes 25.04: compute capability 7.5 and up.
    let lowest = Fact::Known("7.5".parse().unwrap(), evidence(Origin::Catalog));
    let listless = Software {
        lowest,
        sass: Fact::gap("no list"),
        ..measured("12.9", "", "")
    };
    assert_eq!(outcome(&listless, &host("V100", "580")), "fails GPU-ARCH");
    assert_eq!(outcome(&listless, &host("T4", "580")), "unknown");
}

#[test]
fn without_a_driver_the_newest_is_assumed() {
    let assumed = |gpu: &str| {
        let host = Host {
            driver: None,
            ..host(gpu, "580")
        };
        host.assuming_newest(Catalog::embedded())
    };
    assert_eq!(assumed("K80").driver, Some(DriverVersion::newest_of(470)));
    assert_eq!(assumed("Xavier").cuda, Some(CudaVersion::new(12, 9)));
    assert_eq!(
        outcome(&measured("11.4", "7.0", ""), &assumed("Xavier")),
        "fails GPU-TEGRA"
    );
    assert_eq!(
        outcome(&measured("11.4", "7.2", ""), &assumed("Xavier")),
        "runs"
    );
}

#[test]
fn a_base_image_is_judged_by_its_start_only() {
    let base = Software {
        scope: Scope::StartOnly,
        ..named("12.4")
    };
    assert_eq!(outcome(&base, &host("B200", "580")), "runs");
    assert_eq!(outcome(&base, &host("A100", "470")), "fails GPU-DRIVER");
}

#[test]
fn nothing_known_is_unknown_and_says_what_is_missing() {
    let judgement = judge(&Software::unknown("401"), &host("A100", "550"));
    assert_eq!(
        (judgement.verdict, judgement.findings.len()),
        (Verdict::Unknown, 0)
    );
    assert_eq!(
        judgement
            .gaps
            .iter()
            .map(|gap| gap.name)
            .collect::<Vec<_>>(),
        [FactName::Cuda, FactName::Sass]
    );
    assert_eq!(
        judge(&pip("2.6.0+cu124"), &Host::default()).verdict,
        Verdict::Unknown
    );
}

#[test]
fn a_library_that_was_measured_is_judged_by_its_own_code() {
    let library = Library {
        name: "flash-attn".into(),
        version: None,
        code: Some((sass("8.0 9.0"), PtxList::default())),
    };
    let libraries: Arc<[Library]> = Arc::from([library]);
    let software = Software {
        libraries: Fact::Known(libraries, evidence(Origin::Measured)),
        ..pip("2.6.0+cu124")
    };
    assert_eq!(outcome(&software, &host("A100", "550")), "runs");
    assert_eq!(
        outcome(&software, &host("T4", "550")),
        "degraded GPU-LIBRARY"
    );
}

#[test]
fn binaries_for_tegra_are_unknown_elsewhere() {
    let binaries = Fact::Known(Binaries::Tegra, evidence(Origin::Catalog));
    let software = Software {
        binaries,
        ..measured("12.6", "8.7", "")
    };
    assert_eq!(
        judge(&software, &arm_host("GH200 480GB", "580")).verdict,
        Verdict::Fails
    );
    assert_eq!(
        judge(
            &Software {
                sass: Fact::gap("no"),
                ..software
            },
            &arm_host("GH200 480GB", "580")
        )
        .verdict,
        Verdict::Unknown
    );
}

/// Floors by hand: L4 520.61.05 and CUDA 12 525.60.13; B200 570.26; PTX of 13.2 from R595.
#[test]
fn the_least_driver_is_the_highest_floor() {
    let least = |software: &Software, capability: &str| {
        least_driver(Catalog::embedded(), software, capability.parse().unwrap())
    };
    let is = |text: &str| LeastDriver::Is(text.parse().unwrap());
    assert_eq!(least(&pip("2.6.0+cu124"), "8.9"), is("525.60.13"));
    assert_eq!(least(&pip("2.6.0+cu118"), "8.9"), is("520.61.05"));
    assert_eq!(least(&pip("2.6.0+cu118"), "8.0"), is("450.80.02"));
    assert_eq!(least(&pip("2.8.0+cu128"), "10.0"), is("570.26"));
    assert_eq!(least(&pip("2.6.0+cu124"), "10.0"), LeastDriver::Impossible);
    assert_eq!(least(&measured("13.2", "", "9.0"), "9.0"), is("595"));
    assert_eq!(least(&pip("2.11.0+cu130"), "7.0"), LeastDriver::Impossible);
    assert_eq!(least(&named("12.1"), "8.0"), is("525.60.13"));
    let newest = |capability: &str| Catalog::embedded().newest_driver(capability.parse().unwrap());
    assert_eq!(newest("7.0"), Some(DriverVersion::newest_of(580)));
    assert_eq!(newest("3.7"), Some(DriverVersion::newest_of(470)));
    assert_eq!(newest("9.0"), Some(DriverVersion::newest_of(620)));
    assert_eq!(newest("8.7"), None);
}

fn any_host() -> impl Strategy<Value = Host> {
    let number = proptest::option::of(10_u32..140);
    let driver = proptest::option::of(100_u16..700);
    let class = proptest::option::of(proptest::sample::select(GpuClass::ALL));
    let platform = proptest::option::of(proptest::sample::select(Platform::ALL));
    let runtime = proptest::option::of(proptest::sample::select(RuntimeMode::ALL));
    let architecture = proptest::option::of(proptest::sample::select(CpuArchitecture::ALL));
    (number, driver, class, platform, runtime, architecture).prop_map(
        |(number, driver, class, platform, runtime, architecture)| Host {
            capability: number.and_then(ComputeCapability::from_number),
            driver: driver.map(DriverVersion::newest_of),
            class,
            platform,
            runtime,
            architecture,
            ..Host::default()
        },
    )
}

use crate::compat::target::ComputeCapability;

fn any_software() -> impl Strategy<Value = Software> {
    let targets =
        || proptest::option::of(proptest::collection::vec((10_u32..140, 0_usize..3), 0..6));
    let cuda = proptest::option::of((8_u16..16, 0_u16..10));
    let origin = proptest::sample::select(Origin::ALL);
    let kind = proptest::option::of(proptest::sample::select(BuildKind::ALL));
    (targets(), targets(), cuda, origin, kind, 0_u8..3).prop_map(
        |(sass_targets, ptx_targets, cuda, origin, kind, compat)| {
            let evidence = evidence(origin);
            let list = |numbers: Vec<(u32, usize)>| -> TargetList {
                let text =
                    |(number, letter): (u32, usize)| format!("{number}{}", ["", "a", "f"][letter]);
                numbers
                    .into_iter()
                    .filter_map(|number| text(number).parse().ok())
                    .collect()
            };
            let cuda = cuda.map(|(major, minor)| CudaVersion::new(major, minor));
            let package = match (compat, cuda) {
                (0, _) => Fact::gap("not read"),
                (1, Some(cuda)) => Fact::Known(
                    CompatPackage::Present {
                        cuda,
                        driver: None,
                        branches: None,
                    },
                    evidence.clone(),
                ),
                _ => Fact::Known(CompatPackage::Absent, evidence.clone()),
            };
            let known = |list: Option<TargetList>| {
                list.map_or(Fact::gap("not read"), |list| {
                    Fact::Known(list, evidence.clone())
                })
            };
            let ptx_list = ptx_targets.map(list);
            Software {
                build: kind.map_or(Fact::gap("not read"), |kind| {
                    Fact::Known(kind, evidence.clone())
                }),
                sass: known(sass_targets.map(list)),
                ptx: known(ptx_list).map(|list| {
                    list.iter()
                        .map(|target| PtxTarget {
                            target: *target,
                            isa: None,
                        })
                        .collect()
                }),
                cuda: cuda.map_or(Fact::gap("not read"), |cuda| {
                    Fact::Known(cuda, evidence.clone())
                }),
                compat: package,
                ..Software::unknown("not read")
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_judgement_keeps_the_laws(software in any_software(), host in any_host()) {
        let judgement = judge(&software, &host);
        let worst = judgement.findings.iter().map(|finding| finding.verdict).max();
        prop_assert!(worst.is_none_or(|worst| worst <= judgement.verdict));
        prop_assert!(judgement.findings.is_sorted_by_key(|finding| finding.code));
        prop_assert_eq!(judgement.verdict == Verdict::Unknown, judgement.verdict != Verdict::Fails && !judgement.gaps.is_empty());
        for finding in &judgement.findings {
            let weak = finding.facts.iter().any(|fact| fact.evidence.origin == Origin::Hint);
            prop_assert!(!(weak && finding.force == Force::MayDeny));
        }
        prop_assert_eq!(judge(&software, &host), judgement);
    }

    #[test]
    fn more_knowledge_of_the_driver_never_turns_a_failure_into_success(software in any_software(), host in any_host()) {
        let blind = judge(&software, &Host { driver: None, ..host.clone() });
        if blind.verdict == Verdict::Fails {
            prop_assert_eq!(judge(&software, &host).verdict, Verdict::Fails);
        }
    }

    #[test]
    fn the_least_driver_never_panics(software in any_software(), number in 10_u32..140) {
        if let Some(capability) = ComputeCapability::from_number(number) {
            let _ = least_driver(Catalog::embedded(), &software, capability);
        }
    }
}
