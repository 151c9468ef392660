//! Whose GPUs a build is for, and for which processors: questions that come before any driver or kernel.

use std::ops::ControlFlow;

use super::report::{Ground, Report, force, used};
use crate::compat::host::Host;
use crate::compat::software::{
    BuildKind, Evidence, FactName, Origin, OtherGpuUsers, Software, Standing,
};
use crate::compat::verdict::{Cause, Code, FactValue, Finding, Force, UsedFact, Verdict};

/// Adds what is wrong with the build itself; breaks if nothing further makes sense.
pub(super) fn check(software: &Software, host: &Host, report: &mut Report) -> ControlFlow<()> {
    let platform = check_platform(software, host, report);
    let kind = check_kind(software, report);
    if platform.is_break() { platform } else { kind }
}

/// An image without a build for the host's processors does not start: `exec format error` (OCI image index,
/// `platform`). What is known about its contents then belongs to another architecture.
fn check_platform(software: &Software, host: &Host, report: &mut Report) -> ControlFlow<()> {
    let Some((platforms, _)) = software.platforms.known() else {
        return ControlFlow::Continue(());
    };
    let fact = used(
        FactName::Platforms,
        &software.platforms,
        FactValue::Platforms,
    );
    match host.architecture {
        Some(needs) if platforms.contains(&needs) => report.rests_on(fact),
        Some(needs) => {
            let cause = Cause::Platform {
                has: platforms.clone(),
                needs,
            };
            report.fails(
                Code::Platform,
                Ground::Contents,
                cause,
                fact.into_iter().collect(),
            );
            return ControlFlow::Break(());
        }
        None => report.missing_because(
            FactName::Platforms,
            "the host's CPU architecture is not known",
        ),
    }
    ControlFlow::Continue(())
}

/// A `ROCm` or XPU build cannot use an NVIDIA GPU, and a CPU build uses none (`torch/version.py`).
fn check_kind(software: &Software, report: &mut Report) -> ControlFlow<()> {
    let Some((kind, evidence)) = software.build.known() else {
        return ControlFlow::Continue(());
    };
    let fact = used(FactName::Build, &software.build, FactValue::Build);
    match kind {
        BuildKind::Cuda => {
            report.rests_on(fact);
            return ControlFlow::Continue(());
        }
        BuildKind::Rocm | BuildKind::Xpu => other_vendor(*kind, evidence, fact, report),
        BuildKind::CpuOnly => cpu_build(software, evidence, fact, report),
    }
    ControlFlow::Break(())
}

/// A name is not enough: tags that name another vendor have held CUDA builds (YanWenKun/ComfyUI-Docker 187).
fn other_vendor(kind: BuildKind, evidence: &Evidence, fact: Option<UsedFact>, report: &mut Report) {
    if force(evidence, Ground::Contents) == Force::MayWarn {
        return report
            .missing_because(FactName::Build, format!("a {kind} build is only hinted at"));
    }
    let facts = fact.into_iter().collect();
    report.fails(
        Code::Vendor,
        Ground::Contents,
        Cause::Vendor { build: kind },
        facts,
    );
}

fn cpu_build(
    software: &Software,
    evidence: &Evidence,
    fact: Option<UsedFact>,
    report: &mut Report,
) {
    let verdict = verdict(evidence);
    if verdict == Verdict::Unknown {
        report.missing_because(FactName::Build, "a CPU build is only hinted at");
    }
    report.add(Finding {
        code: Code::CpuBuild,
        verdict,
        force: cpu_force(software, evidence),
        cause: Cause::CpuBuild {
            torch: software.torch.value().cloned(),
        },
        facts: fact.into_iter().collect(),
    });
}

/// The verdict on a CPU build is `fails`, also where its evidence may only warn (design 1.1).
fn verdict(evidence: &Evidence) -> Verdict {
    match evidence.standing() {
        Standing::MayDeny | Standing::MayDenyFloors => Verdict::Fails,
        Standing::NeverDenies => Verdict::Unknown,
    }
}

/// A CPU build is refused only if its files were read and nothing else in it can use a GPU (design 1.2).
fn cpu_force(software: &Software, evidence: &Evidence) -> Force {
    let read = matches!(evidence.origin, Origin::Measured | Origin::Attached);
    match software.others {
        OtherGpuUsers::Absent if read => force(evidence, Ground::Contents),
        OtherGpuUsers::Absent | OtherGpuUsers::Present | OtherGpuUsers::Unknown => Force::MayWarn,
    }
}
