//! The rules: one file for each idea, each rule with its source. [`judge`] applies them all.
//!
//! A rule reads [`Software`], [`Host`] and the [`Catalog`] and adds findings or gaps to a report. It holds no
//! number and no product name; those are data. Nothing here parses or does I/O.

pub mod build;
pub mod driver;
pub mod forward;
pub mod gpu;
pub mod kernel;
pub mod least;
pub mod library;
pub mod offer;
mod report;
pub mod start;
pub mod toolkit;
#[cfg(test)]
mod verdicts;

use std::ops::ControlFlow;

use super::catalog::{Catalog, Chip};
use super::host::Host;
use super::software::{Scope, Software};
use super::verdict::{CompatState, Judgement};
use offer::Offer;
use report::Report;

pub use least::{LeastDriver, least_driver};

/// Everything that a rule may read, with what several of them need worked out once.
pub(super) struct Case<'a> {
    catalog: &'a Catalog,
    software: &'a Software,
    host: &'a Host,
    chip: Option<&'a Chip>,
    offer: Offer,
    compat: CompatState,
}

impl<'a> Case<'a> {
    fn new(catalog: &'a Catalog, software: &'a Software, host: &'a Host) -> Self {
        let chip = host
            .capability
            .and_then(|capability| catalog.chip(capability));
        let offer = Offer::of(catalog, host, chip);
        let compat = forward::state(catalog, software, host, chip);
        Self {
            catalog,
            software,
            host,
            chip,
            offer,
            compat,
        }
    }
}

/// What becomes of that software on that host, by the embedded knowledge base.
#[must_use]
pub fn judge(software: &Software, host: &Host) -> Judgement {
    judge_with(Catalog::embedded(), software, host)
}

/// What becomes of that software on that host, by a knowledge base with an overlay.
#[must_use]
pub fn judge_with(catalog: &Catalog, software: &Software, host: &Host) -> Judgement {
    let mut report = Report::new();
    if build::check(software, host, &mut report) == ControlFlow::Break(()) {
        return report.into_judgement();
    }
    let case = Case::new(catalog, software, host);
    gpu::check(&case, &mut report);
    driver::check(&case, &mut report);
    match software.scope {
        Scope::Kernels => kernel::check(&case, &mut report),
        Scope::StartOnly => {}
    }
    start::check(&case, &mut report);
    library::check(&case, &mut report);
    forward::check(&case, &mut report);
    report.into_judgement()
}
