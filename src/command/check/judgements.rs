//! Judges what was asked: the software on each host, the decision over all of them, and a message for each.

use std::sync::Arc;

use super::hosts::{self, AskedHost, HostError};
use super::report::{self, CheckResult, Document, HostReport, Report};
use crate::admission::assess::for_gpus;
use crate::admission::contents::Contents;
use crate::admission::decision::{Candidate, Decision, Judged as JudgedHost, Ruling, decide};
use crate::admission::message::{self, Place, Skip, Subject, Thing};
use crate::admission::policy::Policy;
use crate::cli::{CheckArguments, OnUnknown};
use crate::compat::rules::{LeastDriver, least_driver};
use crate::compat::{
    Catalog, Code, CpuArchitecture, Evidence, Host, Judgement, Origin, Proof, Software, Verdict,
    judge_with,
};
use crate::image::alias::AliasError;
use crate::image::evidence::{Knowledge, Override};

/// Why something cannot be judged as asked.
#[derive(Debug, thiserror::Error)]
pub enum JudgementError {
    /// The GPUs.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The aliases of the overlay.
    #[error("--image {image}: the aliases of --overlay lead nowhere")]
    Alias {
        /// The image, in full.
        image: String,
        /// How they fail.
        #[source]
        source: Box<AliasError>,
    },
}

/// One host with all that was found there.
pub(super) struct Judged {
    pub(super) asked: AskedHost,
    pub(super) software: Contents,
    pub(super) judgement: Arc<Judgement>,
    pub(super) least: LeastDriver,
}

/// What `check` answers, from arguments and knowledge alone.
///
/// # Errors
/// GPUs that are not known or do not fit the other arguments, and aliases that lead nowhere.
pub fn report(
    arguments: &CheckArguments,
    knowledge: Knowledge<'_>,
) -> Result<Report, JudgementError> {
    let hosts = hosts::hosts(arguments, knowledge.catalog)?;
    let judged = hosts
        .into_iter()
        .map(|asked| judged(asked, arguments, knowledge))
        .collect::<Result<Vec<Judged>, _>>()?;
    let candidates: Vec<Candidate<'_>> = judged.iter().map(candidate).collect();
    let ruling = decide(&[&candidates], &Policy::default());
    let ruling = strict(ruling, &candidates, arguments);
    let names = Names::of(arguments);
    let results: Vec<CheckResult> = judged
        .iter()
        .zip(&candidates)
        .map(|(judged, candidate)| result(judged, candidate, &names, knowledge))
        .collect();
    let notes = notes(&ruling, &judged, arguments, knowledge);
    let document = Document::of(names.kind, &names.name, &ruling, candidates.len());
    Ok(Report::of(vec![document], results, notes, knowledge))
}

fn judged(
    asked: AskedHost,
    arguments: &CheckArguments,
    knowledge: Knowledge<'_>,
) -> Result<Judged, JudgementError> {
    let architecture = asked.host.architecture.unwrap_or(CpuArchitecture::Amd64);
    let software = software(arguments, architecture, knowledge)?;
    let judgement = judge_with(knowledge.catalog, &software.software, &asked.host);
    let judgement = Arc::new(for_gpus(judgement, arguments.count.get().into()));
    let least = least(knowledge.catalog, &software.software, &asked.host);
    Ok(Judged {
        asked,
        software,
        judgement,
        least,
    })
}

/// The least driver with which software runs on a host's GPU.
pub(super) fn least(catalog: &Catalog, software: &Software, host: &Host) -> LeastDriver {
    host.capability.map_or(LeastDriver::Unknown, |capability| {
        least_driver(catalog, software, capability)
    })
}

/// The software by its name, with the gaps that a declaration fills.
fn software(
    arguments: &CheckArguments,
    architecture: CpuArchitecture,
    knowledge: Knowledge<'_>,
) -> Result<Contents, JudgementError> {
    let contents = match (&arguments.image, &arguments.torch) {
        (Some(image), _) => {
            let named = knowledge.named(image, architecture);
            let named = named.map_err(|source| JudgementError::Alias {
                image: image.to_string(),
                source: Box::new(source),
            })?;
            Contents::of_image(named, image)
        }
        (None, Some(torch)) => {
            // Whoever names a package by its label says which build it is.
            let label = Evidence::new(Origin::Declared, Proof::Doc, format!("--torch {torch}"));
            Contents::of_software(knowledge.catalog.pip_software(torch, architecture, &label))
        }
        (None, None) => Contents::unknown("--requires does not tell this"),
    };
    Ok(match &arguments.requires {
        Some(requires) => contents.declared(requires, Override::Refused, knowledge),
        None => contents,
    })
}

/// One GPU name is one class of nodes.
fn candidate(judged: &Judged) -> Candidate<'_> {
    Candidate {
        nodes: 1,
        hosts: vec![JudgedHost {
            host: &judged.asked.host,
            judgement: Arc::clone(&judged.judgement),
        }],
        ..Candidate::default()
    }
}

/// Strictly, one GPU on which it fails is enough, whatever the evidence.
fn strict(ruling: Ruling, candidates: &[Candidate<'_>], arguments: &CheckArguments) -> Ruling {
    let fails = |candidate: &Candidate<'_>| candidate.verdict() == Verdict::Fails;
    if arguments.strict && candidates.iter().any(fails) {
        return Ruling {
            decision: Decision::Deny,
            ..ruling
        };
    }
    ruling
}

/// What the software is called.
struct Names {
    kind: &'static str,
    name: String,
    image: Option<String>,
    torch: Option<String>,
}

impl Names {
    fn of(arguments: &CheckArguments) -> Self {
        let image = arguments.image.as_ref().map(ToString::to_string);
        let torch = arguments.torch.as_ref().map(ToString::to_string);
        let declared = arguments.requires.as_ref().map(ToString::to_string);
        let (kind, name) = match (&image, &torch, &declared) {
            (Some(image), _, _) => ("Image", image.clone()),
            (None, Some(torch), _) => ("Torch", format!("torch {torch}")),
            (None, None, declared) => ("Declaration", declared.clone().unwrap_or_default()),
        };
        Self {
            kind,
            name,
            image,
            torch,
        }
    }

    /// What messages call it; of torch, the build that pip would have chosen.
    fn subject<'a>(&'a self, torch: Option<&'a str>) -> Subject<'a> {
        let thing = match (&self.image, &self.torch) {
            (Some(image), _) => Thing::Image(image),
            (None, Some(asked)) => Thing::Torch(torch.unwrap_or(asked)),
            (None, None) => Thing::Declaration(&self.name),
        };
        Subject {
            container: None,
            thing,
            place: Place::Named,
            skip: Skip::Withheld,
        }
    }
}

fn result(
    judged: &Judged,
    candidate: &Candidate<'_>,
    names: &Names,
    knowledge: Knowledge<'_>,
) -> CheckResult {
    let torch = judged
        .software
        .software
        .torch
        .value()
        .map(ToString::to_string);
    let subject = names.subject(torch.as_deref());
    let candidates = &[candidate];
    let ruling = decide(&[std::slice::from_ref(candidate)], &Policy::default());
    let explanation = match judged.judgement.verdict {
        Verdict::Unknown => {
            message::unchecked(&subject, candidates, judged.software.suggestion.as_ref())
        }
        Verdict::Runs | Verdict::Degraded | Verdict::Fails => {
            message::denial(&subject, candidates, &ruling, knowledge)
        }
    };
    let message = match ruling.decision {
        Decision::Warn => message::warning(&subject, candidates, &ruling, ""),
        Decision::Allow | Decision::Undecided | Decision::Deny => explanation.clone(),
    };
    let host = &judged.asked.host;
    let found = report::Finding {
        host: HostReport::of(host, judged.asked.assumed, judged.least, 1),
        contents: &judged.software,
        judgement: &judged.judgement,
    };
    let texts = report::Texts {
        message,
        explanation,
    };
    found.result(names.image.clone(), ruling.codes, texts)
}

/// What is worth a line on stderr.
fn notes(
    ruling: &Ruling,
    judged: &[Judged],
    arguments: &CheckArguments,
    knowledge: Knowledge<'_>,
) -> Vec<String> {
    let mut notes = Vec::new();
    let all_fail = judged
        .iter()
        .all(|one| one.judgement.verdict == Verdict::Fails);
    match ruling.decision {
        Decision::Undecided if arguments.on_unknown == OnUnknown::Ok => notes.push(
            "not known whether it runs: exit status 0 (3 with --on-unknown=fail)".to_owned(),
        ),
        Decision::Warn if all_fail => notes.push(
            "it runs on none of these GPUs, but this evidence only warns: exit status 0 (1 with --strict)"
                .to_owned(),
        ),
        Decision::Warn if ruling.codes.contains(&Code::Partial) => notes.push(
            "it runs on some of these GPUs only: exit status 0 (1 with --strict)".to_owned(),
        ),
        Decision::Allow | Decision::Warn | Decision::Undecided | Decision::Deny => {}
    }
    if judged.iter().any(|one| !one.software.conflicts.is_empty()) {
        notes.push("sources disagree about this software: see -o wide".to_owned());
    }
    let jetson = |one: &Judged| hosts::is_jetson(&one.asked.host, knowledge.catalog);
    if judged.iter().any(jetson) {
        notes.extend(about_jetson(arguments));
    }
    notes
}

/// What of the command line does not count on a Jetson.
fn about_jetson(arguments: &CheckArguments) -> Option<String> {
    let jetpack = arguments.jetpack.map(|version| {
        format!(
            "which CUDA JetPack {version} offers is not known here: only what the chip guarantees counts"
        )
    });
    let driver = arguments.driver.map(|driver| {
        format!("--driver {driver} says nothing about a Jetson and does not count there")
    });
    jetpack.or(driver)
}
