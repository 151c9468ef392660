//! The answer of `check`, in the shape that its JSON has. Names in it are a contract: new ones may come, none change.

mod finding;

use serde::Serialize;

use crate::admission::configuration::ChosenMode;
use crate::admission::decision::{Decision, Ruling};
use crate::admission::policy::Mode;
use crate::compat::{
    Code, ComputeCapability, CpuArchitecture, CudaVersion, DriverFloor, DriverVersion, FactName,
    Origin, Proof, RuntimeMode, Verdict,
};
use crate::image::evidence::Knowledge;

pub(super) use finding::{Finding, Texts};

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

/// An object in words: `Deployment ml/train`.
pub(super) fn named(kind: &str, namespace: Option<&str>, name: &str) -> String {
    match namespace {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}
