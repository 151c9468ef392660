//! The answer of `check`, in the shape that its JSON has. Names in it are a contract: new ones may come, none change.

use serde::Serialize;

use crate::admission::configuration::ChosenMode;
use crate::admission::contents::Contents;
use crate::admission::decision::{Decision, Ruling};
use crate::admission::policy::Mode;
use crate::compat::rules::LeastDriver;
use crate::compat::{
    Code, ComputeCapability, CpuArchitecture, CudaVersion, DriverFloor, DriverVersion, Evidence,
    FactName, Host, Judgement, Origin, Proof, RuntimeMode, UsedFact, Verdict,
};
use crate::image::evidence::{Conflict, Knowledge, Winner};

/// Version of the contract.
const API_VERSION: &str = "gpu-capgate.io/v1";

/// The answer.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    api_version: &'static str,
    kind: &'static str,
    /// The worst decision of all documents.
    pub decision: Decision,
    /// What was checked.
    pub documents: Vec<Document>,
    /// What was not, and why.
    pub skipped: Vec<Skipped>,
    /// One for each document and GPU.
    pub results: Vec<CheckResult>,
    /// Days on which the facts were compiled.
    pub facts_of: FactsOf,
    /// Parts of the input that could not be used, as text; nothing else is lost by them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// Lines for stderr.
    #[serde(skip)]
    pub notes: Vec<String>,
}

/// Days on which facts were compiled, `YYYY-MM-DD`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FactsOf {
    catalog: String,
    repositories: String,
    overlay: Option<String>,
}

/// Something that was checked as a whole.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// The file, or where else it was read.
    pub source: String,
    /// Where it stands in the file.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub position: Option<Place>,
    /// What it is.
    pub kind: String,
    /// Its namespace, if it says one.
    pub namespace: Option<String>,
    /// What it is called.
    pub name: String,
    /// Where its Pods are written, where it has several templates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<String>,
    /// What becomes of it.
    pub decision: Decision,
    /// All causes, the worst first.
    pub codes: Vec<Code>,
    /// Nodes, or GPUs that were named, that it could get.
    pub candidates: usize,
    /// Those of them that can run it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs_on: Option<usize>,
    /// What the webhook would tell, at length.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What the webhook would warn of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What of that the message does not say.
    #[serde(skip)]
    pub advice: Vec<String>,
    /// Why a refusal only warns.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub note: &'static str,
    /// The mode that keeps it from being refused, if one holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Milder>,
    /// Why some of its containers, or all, are not judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exemption: Option<String>,
    /// Its containers that get GPUs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<ContainerReport>,
}

/// A mode that does not refuse, and who chose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Milder {
    /// `warn`, `audit` or `off`.
    pub is: &'static str,
    /// Whose word that is: `pod`, `namespace` or `configuration`.
    pub by: &'static str,
}

/// A line and a column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Line.
    pub line: u64,
    /// Column, in characters.
    pub column: u64,
}

/// A container of a document.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerReport {
    /// Its name.
    pub name: String,
    /// Its image, in full.
    pub image: String,
    /// Where the image stands in the object.
    pub field: String,
    /// Where it stands in the file.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub position: Option<Place>,
    /// What becomes of it alone.
    pub decision: Decision,
    /// Its causes, the worst first.
    pub codes: Vec<Code>,
}

/// Something that was not checked.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Skipped {
    /// The file and the place in it.
    pub source: String,
    /// Why.
    pub reason: String,
}

/// One piece of software on one kind of GPU.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckResult {
    /// Number of the document, from 0.
    pub document: usize,
    /// The container.
    pub container: Option<String>,
    /// The image, in full.
    pub image: Option<String>,
    /// The image that was judged instead, by an alias.
    pub alias_of: Option<String>,
    /// The torch inside, if known.
    pub torch: Option<String>,
    /// Where.
    pub host: HostReport,
    /// What becomes of it there.
    pub verdict: Verdict,
    /// All causes, the worst first.
    pub codes: Vec<Code>,
    /// What the verdict rests on.
    pub facts: Vec<FactReport>,
    /// What is not known and would decide.
    pub gaps: Vec<GapReport>,
    /// Where sources disagree.
    pub conflicts: Vec<ConflictReport>,
    /// The image that was probably meant.
    pub suggestion: Option<String>,
    /// What the webhook would tell.
    pub message: String,
    /// The same at length.
    #[serde(skip)]
    pub explanation: String,
}

/// One kind of GPU and what surrounds it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostReport {
    /// Product name.
    pub gpu: Option<String>,
    /// Capability, as `8.9`.
    pub compute_capability: Option<ComputeCapability>,
    /// Driver; nothing on a Jetson.
    pub driver: Option<DriverVersion>,
    /// CUDA that the driver of a Jetson offers.
    pub cuda: Option<CudaVersion>,
    /// Whether driver or CUDA were not told.
    pub driver_assumed: bool,
    /// Least driver that this needs there; nothing if none helps or it is not known.
    pub least_driver: Option<DriverFloor>,
    /// Whether no driver makes it run there.
    pub no_driver_helps: bool,
    /// CPU architecture.
    pub arch: Option<CpuArchitecture>,
    /// How containers get GPUs.
    pub runtime: Option<RuntimeMode>,
    /// How many such nodes.
    pub nodes: usize,
}

/// A fact, and where it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FactReport {
    /// Which.
    pub fact: FactName,
    /// Its value.
    pub value: String,
    /// Where it was read.
    pub origin: Origin,
    /// How it is known.
    pub proof: Proof,
    /// Citation.
    pub source: String,
}

/// Something that is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GapReport {
    /// Which fact.
    pub fact: FactName,
    /// Why.
    pub reason: String,
}

/// Two sources that disagree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConflictReport {
    /// Which fact.
    pub fact: FactName,
    /// The value that counts, if one does.
    pub winner: Option<String>,
    /// Both.
    pub values: [FactReport; 2],
}

impl Document {
    /// The container that fares worst, if one is not simply allowed, and where its image is written; else where the
    /// document begins.
    pub(super) fn worst(&self) -> (Option<Place>, Option<&ContainerReport>) {
        let containers = self.containers.iter();
        let worst = containers
            .max_by_key(|container| container.decision)
            .filter(|container| container.decision > Decision::Allow);
        let place = worst.and_then(|container| container.position);
        (place.or(self.position), worst)
    }
}

/// What a result says in words.
#[derive(Default)]
pub(super) struct Texts {
    pub(super) message: String,
    pub(super) explanation: String,
}

impl Report {
    pub(super) fn of(
        documents: Vec<Document>,
        results: Vec<CheckResult>,
        notes: Vec<String>,
        knowledge: Knowledge<'_>,
    ) -> Self {
        let decisions = documents.iter().map(|document| document.decision);
        Self {
            api_version: API_VERSION,
            kind: "CheckResult",
            decision: decisions.max().unwrap_or(Decision::Allow),
            documents,
            skipped: Vec::new(),
            results,
            facts_of: FactsOf {
                catalog: knowledge.catalog.date().to_owned(),
                repositories: knowledge.repositories.as_of().to_owned(),
                overlay: knowledge.catalog.overlay_date().map(str::to_owned),
            },
            errors: Vec::new(),
            notes,
        }
    }
}

impl Milder {
    /// `None` for the mode that refuses.
    pub(super) fn of(chosen: &ChosenMode) -> Option<Self> {
        (chosen.mode != Mode::Enforce).then(|| Self {
            is: chosen.mode.word(),
            by: chosen.by.word(),
        })
    }
}

impl Document {
    /// What was named on the command line.
    pub(super) fn of(kind: &str, name: &str, ruling: &Ruling, candidates: usize) -> Self {
        Self {
            source: "command line".to_owned(),
            position: None,
            kind: kind.to_owned(),
            namespace: None,
            name: name.to_owned(),
            pods: None,
            decision: ruling.decision,
            codes: ruling.codes.clone(),
            candidates,
            runs_on: None,
            message: String::new(),
            warnings: Vec::new(),
            advice: Vec::new(),
            note: "",
            mode: None,
            exemption: None,
            containers: Vec::new(),
        }
    }
}

/// One host, and what was found there.
pub(super) struct Finding<'a> {
    pub(super) host: HostReport,
    pub(super) contents: &'a Contents,
    pub(super) judgement: &'a Judgement,
}

impl Finding<'_> {
    /// The result for that host.
    pub(super) fn result(
        self,
        image: Option<String>,
        codes: Vec<Code>,
        texts: Texts,
    ) -> CheckResult {
        let Finding {
            host,
            contents,
            judgement,
        } = self;
        let gap = |missing: &crate::compat::verdict::MissingFact| GapReport {
            fact: missing.name,
            reason: missing.gap.to_string(),
        };
        CheckResult {
            document: 0,
            container: None,
            image,
            alias_of: contents.image.as_ref().map(ToString::to_string),
            torch: contents.software.torch.value().map(ToString::to_string),
            host,
            verdict: judgement.verdict,
            codes,
            facts: judgement.facts.iter().map(fact).collect(),
            gaps: judgement.gaps.iter().map(gap).collect(),
            conflicts: contents.conflicts.iter().map(conflict).collect(),
            suggestion: contents.suggestion.as_ref().map(ToString::to_string),
            message: texts.message,
            explanation: texts.explanation,
        }
    }
}

impl CheckResult {
    /// The result for nodes of which nothing is known.
    pub(super) fn unknown(host: HostReport, reason: String) -> Self {
        Self {
            document: 0,
            container: None,
            image: None,
            alias_of: None,
            torch: None,
            host,
            verdict: Verdict::Unknown,
            codes: Vec::new(),
            facts: Vec::new(),
            gaps: vec![GapReport {
                fact: FactName::Gpu,
                reason,
            }],
            conflicts: Vec::new(),
            suggestion: None,
            message: String::new(),
            explanation: String::new(),
        }
    }
}

impl HostReport {
    pub(super) fn of(host: &Host, assumed: bool, least: LeastDriver, nodes: usize) -> Self {
        let (least_driver, no_driver_helps) = match least {
            LeastDriver::Is(floor) => (Some(floor), false),
            LeastDriver::Impossible => (None, true),
            LeastDriver::Unknown => (None, false),
        };
        Self {
            gpu: host.product.as_deref().map(str::to_owned),
            compute_capability: host.capability,
            driver: host.driver,
            cuda: host.cuda,
            driver_assumed: assumed,
            least_driver,
            no_driver_helps,
            arch: host.architecture,
            runtime: host.runtime,
            nodes,
        }
    }
}

fn fact(used: &UsedFact) -> FactReport {
    stated(used.name, used.value.to_string(), &used.evidence)
}

fn stated(fact: FactName, value: String, evidence: &Evidence) -> FactReport {
    FactReport {
        fact,
        value,
        origin: evidence.origin,
        proof: evidence.proof,
        source: evidence.source.to_string(),
    }
}

fn conflict(conflict: &Conflict) -> ConflictReport {
    let value =
        |(value, evidence): &(String, Evidence)| stated(conflict.fact, value.clone(), evidence);
    ConflictReport {
        fact: conflict.fact,
        winner: match conflict.winner {
            Winner::First => Some(conflict.first.0.clone()),
            Winner::Nobody => None,
        },
        values: [value(&conflict.first), value(&conflict.second)],
    }
}
