//! Libraries beside torch: cuDNN, cuBLAS, NCCL and extensions, each with its own list of targets.

use super::Case;
use super::kernel::{self, Fit};
use super::report::{Report, looked_up};
use crate::compat::catalog::LibraryCode;
use crate::compat::software::{Evidence, FactName, Library};
use crate::compat::target::{ComputeCapability, PtxList, PtxTarget, TargetList};
use crate::compat::verdict::{Cause, Code, FactValue, LibraryNeed, Verdict};

/// Warns of each library that has nothing for the GPU. Any code at all counts (`any against none`): vendor
/// libraries never have every kernel for every target. Not asked where torch itself has no code.
pub(super) fn check(case: &Case<'_>, report: &mut Report) {
    let (Some(capability), Some((libraries, evidence))) =
        (case.host.capability, case.software.libraries.known())
    else {
        return;
    };
    if [Code::Tegra, Code::Arch, Code::Ptx]
        .into_iter()
        .any(|code| report.has(code))
    {
        return;
    }
    for library in libraries.iter() {
        check_one(case, library, capability, evidence, report);
    }
}

/// A library's code, when it matters and where it was read.
struct LibraryContents {
    sass: TargetList,
    ptx: PtxList,
    need: LibraryNeed,
    evidence: Evidence,
}

fn check_one(
    case: &Case<'_>,
    library: &Library,
    capability: ComputeCapability,
    evidence: &Evidence,
    report: &mut Report,
) {
    let codes = codes_of(case, library, evidence);
    let has_code = |code: &LibraryContents| {
        kernel::best_sass(case.catalog, &code.sass, capability, None) != Fit::No
            || code
                .ptx
                .iter()
                .any(|ptx| kernel::ptx_fit(case.catalog, ptx.target, capability) != Fit::No)
    };
    for code in codes
        .into_iter()
        .filter(|code| code.need != LibraryNeed::Optional && !has_code(code))
    {
        let verdict = match code.need {
            LibraryNeed::Always => Verdict::Degraded,
            LibraryNeed::SeveralGpus | LibraryNeed::Optional => Verdict::Runs,
        };
        let facts = vec![
            looked_up(
                FactName::Library,
                FactValue::Library(library.clone()),
                evidence.clone(),
            ),
            looked_up(
                FactName::Library,
                FactValue::Targets(code.sass.clone()),
                code.evidence,
            ),
        ];
        let (library, need) = (library.clone(), code.need);
        let found = Cause::Library {
            library,
            sass: code.sass,
            ptx: code.ptx,
            capability,
            need,
        };
        report.warns(Code::Library, verdict, found, facts);
    }
}

/// What was measured, or else what the catalog holds for that version.
fn codes_of(case: &Case<'_>, library: &Library, evidence: &Evidence) -> Vec<LibraryContents> {
    if let Some((sass, ptx)) = &library.code {
        let (sass, ptx) = (sass.clone(), ptx.clone());
        return vec![LibraryContents {
            sass,
            ptx,
            need: LibraryNeed::Always,
            evidence: evidence.clone(),
        }];
    }
    let known = (
        library.version,
        case.software.cuda.value(),
        case.host.architecture,
    );
    let (Some(version), Some(cuda), Some(arch)) = known else {
        return Vec::new();
    };
    let entries = case
        .catalog
        .library(&library.name, arch, cuda.major, version);
    let code = |entry: &LibraryCode| LibraryContents {
        sass: entry.sass.clone(),
        ptx: entry
            .ptx
            .iter()
            .map(|target| PtxTarget {
                target: *target,
                isa: None,
            })
            .collect(),
        need: entry.need,
        evidence: entry.evidence(),
    };
    entries.map(code).collect()
}
