//! Start conditions: `NVIDIA_REQUIRE_*`, and binaries made for another kind of machine.

use std::sync::Arc;

use super::Case;
use super::report::{Ground, Report, force};
use crate::compat::host::{Brand, Host, Platform, RuntimeMode};
use crate::compat::require::{Answer, Expression, HostProperties, Requirements};
use crate::compat::software::{Binaries, FactName};
use crate::compat::verdict::{
    Cause, Code, FactValue, Finding, Force, RequireProblem, UsedFact, Verdict,
};

type Line = (Arc<str>, Expression);

pub(super) fn check(case: &Case<'_>, report: &mut Report) {
    check_binaries(case, report);
    let Some(requirements) = case.software.requirements.value() else {
        return;
    };
    let brands: &[Brand] = &case.host.brands;
    let Some((line, answer)) = evaluate(case, requirements, brands) else {
        return;
    };
    match answer {
        Answer::Satisfied => {}
        Answer::Unsatisfied => not_met(case, line, RequireProblem::Unsatisfied, report),
        Answer::Invalid => not_met(case, line, RequireProblem::Invalid, report),
        Answer::Unknown => check_open(case.host, line, report),
    }
}

/// Evaluates for each brand that the GPU may have; if they differ, the answer is unknown.
fn evaluate<'a>(
    case: &Case<'_>,
    requirements: &'a Requirements,
    brands: &[Brand],
) -> Option<(&'a Line, Answer)> {
    let properties = |brand| HostProperties {
        cuda: case.offer.exact(),
        driver: case.host.driver,
        capability: case.host.capability,
        brand,
    };
    let Some((first, rest)) = brands.split_first() else {
        return requirements.evaluate(&properties(None));
    };
    let answer = requirements.evaluate(&properties(Some(first)));
    let differing = rest
        .iter()
        .map(|brand| requirements.evaluate(&properties(Some(brand))))
        .find(|one| *one != answer);
    match differing {
        None => answer,
        Some(other) => answer.or(other).map(|(line, _)| (line, Answer::Unknown)),
    }
}

/// Only the legacy runtime evaluates the conditions (NVIDIA container toolkit 1.20.0, issue 1470); elsewhere,
/// and where the runtime is not known, an unmet condition is worth a warning.
fn not_met(case: &Case<'_>, line: &Line, problem: RequireProblem, report: &mut Report) {
    let (variable, expression) = line;
    let facts = line_fact(case, expression);
    let weak = facts
        .iter()
        .any(|fact| force(&fact.evidence, Ground::Contents) == Force::MayWarn);
    let (verdict, force) = match case.host.runtime {
        Some(RuntimeMode::Legacy) if !weak => (Verdict::Fails, Force::MayDeny),
        Some(RuntimeMode::Legacy | RuntimeMode::Cdi | RuntimeMode::Absent) | None => {
            (Verdict::Runs, Force::MayWarn)
        }
    };
    let found = Cause::Require {
        variable: variable.clone(),
        condition: expression.first_alternative().into(),
        offers: case.offer.exact(),
        problem,
    };
    report.add(Finding {
        code: Code::Require,
        verdict,
        force,
        cause: found,
        facts,
    });
}

/// The line that counts, with where it was read.
fn line_fact(case: &Case<'_>, line: &Expression) -> Vec<UsedFact> {
    let known = case.software.requirements.known();
    let fact = known.map(|(_, evidence)| UsedFact {
        name: FactName::Require,
        value: FactValue::Text(line.to_string().into()),
        evidence: evidence.clone(),
    });
    fact.into_iter().collect()
}

fn check_open(host: &Host, line: &Line, report: &mut Report) {
    match host.runtime {
        Some(RuntimeMode::Legacy) => {
            report.missing_because(
                FactName::Require,
                format!("whether the host satisfies {} is not known", line.0),
            );
        }
        Some(RuntimeMode::Cdi | RuntimeMode::Absent) | None => {}
    }
}

/// Binaries for Linux for Tegra need its libraries; what they do elsewhere is not known.
fn check_binaries(case: &Case<'_>, report: &mut Report) {
    let platform = case.host.platform.or(case.chip.map(|chip| chip.platform));
    match (case.software.binaries.value(), platform) {
        (Some(Binaries::Tegra), Some(Platform::Dgpu)) => {
            report.missing_because(FactName::Binaries, "it is made for Linux for Tegra");
        }
        (
            Some(Binaries::Tegra | Binaries::Desktop) | None,
            Some(Platform::Dgpu | Platform::Tegra) | None,
        ) => {}
    }
}
