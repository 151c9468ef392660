//! Judges manifests, or everything that a cluster runs, on nodes: what `kubectl apply` would be answered.
//!
//! Gathers documents and nodes, asks the same functions as the webhook, and tells which line each answer is about. An
//! object that cannot be read is an error of its own and costs no other.

mod ground;
mod object;

use self::ground::{Selectors, ground};
use self::object::{Object, written};
use super::hosts::HostError;
use super::judgements::least;
use super::report::{
    self, CheckResult, ContainerReport, Document, HostReport, Milder, Report, Skipped,
};
use crate::admission::answer::{self, Answer};
use crate::admission::assess::{Assessed, Assessment, Assessor, NodeList};
use crate::admission::configuration::{ChosenMode, Configuration, Exemptions};
use crate::admission::contents;
use crate::admission::decision::{Candidate, Decision, Fit, Ruling};
use crate::admission::recall::Recall;
use crate::cli::{CheckArguments, OnUnknown};
use crate::cluster::demand::{self, Demand, Origin, Reader, Reading, Skip, Workload};
use crate::cluster::fleet::Fleet;
use crate::cluster::placement::Toleration;
use crate::command::files::FileError;
use crate::command::source::{self, Namespaces, SourceError};
use crate::compat::rules::LeastDriver;
use crate::compat::{Host, Verdict};
use crate::image::evidence::Knowledge;

/// Why nothing can be judged.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadsError {
    /// A file of manifests.
    #[error(transparent)]
    File(#[from] FileError),
    /// The nodes.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The GPUs that were named.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// What `check -f` answers.
///
/// # Errors
/// No nodes or no files. What is wrong with a part of them is in [`Report::errors`].
pub(super) fn report(
    arguments: &CheckArguments,
    configuration: &Configuration,
    knowledge: Knowledge<'_>,
) -> Result<Report, WorkloadsError> {
    let ground = ground(arguments, configuration)?;
    let mut errors = ground.errors;
    let mut chatter = ground.notes;
    let objects = if arguments.all {
        let found = source::workloads(&arguments.source, &configuration.kinds)?;
        chatter.extend(found.notes);
        found.objects.into_iter().map(Object::Cluster).collect()
    } else {
        written(arguments, &configuration.resources, &mut errors)?
    };
    let spaces = spaces(arguments, &objects)?;
    chatter.extend(spaces.notes.iter().cloned());
    let mut judge = Judge {
        assessor: Assessor {
            knowledge,
            policy: &configuration.policy,
            nodes: NodeList::Whole,
            recall: &Recall::default(),
        },
        reader: Reader {
            kinds: &configuration.kinds,
            resources: &configuration.resources,
            origin: Origin::Manifest,
        },
        fleet: &ground.fleet,
        exemptions: &configuration.exemptions,
        spaces,
        selectors: ground.selectors,
        strict: arguments.strict,
        told: Told::default(),
    };
    for object in &objects {
        judge.object(object);
    }
    let told = judge.told;
    errors.extend(told.errors);
    let mut report = Report::of(told.documents, told.results, chatter, knowledge);
    report.skipped = told.skipped;
    report.errors = errors;
    report.notes.extend(notes(&report, arguments));
    Ok(report)
}

/// What has been told so far.
#[derive(Default)]
struct Told {
    documents: Vec<Document>,
    results: Vec<CheckResult>,
    skipped: Vec<Skipped>,
    errors: Vec<String>,
}

struct Judge<'a> {
    assessor: Assessor<'a>,
    reader: Reader<'a>,
    fleet: &'a Fleet,
    exemptions: &'a Exemptions,
    spaces: Namespaces,
    selectors: Selectors,
    strict: bool,
    told: Told,
}

impl Judge<'_> {
    fn object(&mut self, object: &Object) {
        match self.reader.read(object.value()) {
            Ok(Reading::Workload(workload)) if workload.groups.is_empty() => {
                self.skip(object, "it asks for no GPU");
            }
            Ok(Reading::Workload(workload)) => self.workload(object, &workload),
            Ok(Reading::Skipped(skip)) => self.skip(object, reason(&skip)),
            Err(error) => {
                let place = object.at(object.place_of(error.field()));
                self.told.errors.push(format!("{place}: {error}"));
            }
        }
    }

    fn skip(&mut self, object: &Object, reason: &str) {
        self.told.skipped.push(Skipped {
            source: object.at(object.place()),
            reason: format!("{}: {reason}", object.named()),
        });
    }

    fn workload(&mut self, object: &Object, workload: &Workload) {
        let namespace = namespace(object, &self.spaces.default);
        for group in &workload.groups {
            self.told.errors.extend(declarations(object, &group.demand));
            let placed = self.placed(&group.demand);
            let (demand, exemption) = self.exemptions.apply(&namespace, &placed);
            let assessment = self.assessor.assess(&demand, self.fleet);
            let label = self.spaces.modes.mode(&namespace);
            let chosen = ChosenMode::of(self.assessor.policy, demand.mode.as_deref(), label);
            let mode = Milder::of(&chosen);
            let answer = self.answer(&assessment, chosen);
            let number = self.told.documents.len();
            let results = results(&assessment, &self.assessor, number);
            let mut told = self.told(object, &assessment, &answer);
            told.mode = mode;
            told.exemption = exemption.map(|exemption| exemption.reason().to_owned());
            if workload.groups.len() > 1 {
                told.pods = Some(group.demand.path.to_string());
            }
            self.told.documents.push(told);
            self.told.results.extend(results);
        }
    }

    fn answer(&self, assessment: &Assessment<'_>, chosen: ChosenMode) -> Answer {
        let mut answer = if assessment.demand.containers.is_empty() {
            Answer::silence()
        } else {
            answer::answer(&self.assessor, assessment, self.fleet, chosen.mode)
        };
        answer.advice.extend(chosen.complaints);
        answer
    }

    /// The demand; on GPUs that a person named, one that may land on each of them.
    fn placed(&self, demand: &Demand) -> Demand {
        let mut demand = demand.clone();
        if self.selectors == Selectors::Ignored {
            demand.placement = demand.placement.unselected();
            demand.placement.tolerations.push(Toleration::everything());
        }
        demand
    }

    /// Strictly, one kind of GPU on which it fails is enough, whatever the evidence.
    fn strictly(&self, decision: Decision, assessment: &Assessment<'_>) -> Decision {
        let mut candidates = assessment.containers.iter().flat_map(|one| &one.candidates);
        let fails = candidates.any(|candidate| candidate.verdict() == Verdict::Fails);
        if self.strict && fails {
            Decision::Deny
        } else {
            decision
        }
    }

    fn told(&self, object: &Object, assessment: &Assessment<'_>, answer: &Answer) -> Document {
        let ruling = Ruling {
            decision: self.strictly(answer.decision, assessment),
            codes: answer.codes.clone(),
        };
        let policy = self.assessor.policy;
        let worst = assessment.worst(policy);
        let fits = worst.filter(|(_, candidate)| candidate.fit(policy) <= Fit::Mixed);
        let count = |candidate: &Candidate<'_>| candidate.nodes + candidate.pools;
        let classes = assessment.classes.iter();
        let candidates = classes.map(|class| class.nodes + class.pools.len()).sum();
        Document {
            source: object.source(),
            position: object.place(),
            namespace: object.namespace(),
            runs_on: Some(fits.map(|(_, candidate)| count(candidate)).sum()),
            message: answer.text.clone(),
            advice: answer.advice.clone(),
            note: answer.note,
            containers: containers(object, assessment),
            warnings: answer.warnings().map(str::to_owned).collect(),
            ..Document::of(&object.kind(), &object.name(), &ruling, candidates)
        }
    }
}

/// Declarations of the author that cannot be read.
fn declarations(object: &Object, demand: &Demand) -> Vec<String> {
    let mut errors = Vec::new();
    for container in &demand.containers {
        if let Some(Err(error)) = contents::declaration(container) {
            errors.push(format!(
                "{}: annotation {} for container \"{}\": {error}",
                object.at(object.place_of(&container.field)),
                demand::REQUIRES_ANNOTATION,
                container.name.escape_default()
            ));
        }
    }
    errors
}

/// The Namespaces of the cluster if one is read, and those among the objects, which come first.
fn spaces(arguments: &CheckArguments, objects: &[Object]) -> Result<Namespaces, WorkloadsError> {
    let is_live = arguments.source.is_live() || arguments.all;
    let mut spaces = if is_live {
        source::namespaces(&arguments.source)?
    } else {
        Namespaces::default()
    };
    if let Some(name) = &arguments.namespace {
        spaces.default.clone_from(name);
    }
    for object in objects.iter().filter(|object| object.is_namespace()) {
        spaces.put(object.value());
    }
    Ok(spaces)
}

/// Where an object would be; nowhere if its kind belongs to the whole cluster, as the chart's registration has it.
fn namespace(object: &Object, default: &str) -> String {
    match object.namespace() {
        Some(namespace) => namespace,
        None if object.kind().starts_with("Cluster") => String::new(),
        None => default.to_owned(),
    }
}

const fn reason(skip: &Skip) -> &'static str {
    match skip {
        Skip::NoKind => "it does not say what it is",
        Skip::Kind(_) => "it makes no Pods",
        Skip::MirrorPod => "the kubelet runs static Pods whatever is answered",
        Skip::Deleted => "it is being deleted",
    }
}

fn containers(object: &Object, assessment: &Assessment<'_>) -> Vec<ContainerReport> {
    let told = |assessed: &Assessed<'_>| ContainerReport {
        name: assessed.container.name.clone(),
        image: answer::full_name(assessed.container.image.as_deref().unwrap_or_default()),
        field: assessed.container.field.to_string(),
        position: object.place_of(&assessed.container.field),
        decision: assessed.ruling.decision,
        codes: assessed.ruling.codes.clone(),
    };
    assessment.containers.iter().map(told).collect()
}

/// One for each container and kind of GPU.
fn results(
    assessment: &Assessment<'_>,
    assessor: &Assessor<'_>,
    document: usize,
) -> Vec<CheckResult> {
    let mut results = Vec::new();
    for assessed in &assessment.containers {
        for candidate in &assessed.candidates {
            let mut found = on_class(assessed, candidate, assessor);
            if found.is_empty() {
                found.push(unknown(candidate));
            }
            for result in &mut found {
                result.document = document;
                result.container = Some(assessed.container.name.clone());
                result.image = assessed.container.image.as_deref().map(answer::full_name);
            }
            results.extend(found);
        }
    }
    results
}

fn on_class(
    assessed: &Assessed<'_>,
    candidate: &Candidate<'_>,
    assessor: &Assessor<'_>,
) -> Vec<CheckResult> {
    let nodes = candidate.nodes + candidate.pools;
    let hosts = candidate.hosts.iter().filter_map(|judged| {
        let contents = assessed.on(judged.host)?;
        let least = least(assessor.knowledge.catalog, &contents.software, judged.host);
        let found = report::Finding {
            host: HostReport::of(judged.host, false, least, nodes),
            contents,
            judgement: &judged.judgement,
        };
        let findings = judged.judgement.findings.iter();
        let codes = findings.map(|finding| finding.code).collect();
        Some(found.result(None, codes, report::Texts::default()))
    });
    hosts.collect()
}

/// Nodes of which nothing is known.
fn unknown(candidate: &Candidate<'_>) -> CheckResult {
    let why = candidate.doubt.map(|doubt| doubt.to_string());
    let reason = why.unwrap_or_else(|| "its GPUs are not known".to_owned());
    let nodes = candidate.nodes + candidate.pools;
    let host = HostReport::of(&Host::default(), false, LeastDriver::Unknown, nodes);
    CheckResult::unknown(host, reason)
}

/// What is worth a line on stderr.
fn notes(report: &Report, arguments: &CheckArguments) -> Vec<String> {
    let mut notes = Vec::new();
    let decided = |wanted| {
        let documents = report.documents.iter();
        documents
            .filter(|document| document.decision == wanted)
            .count()
    };
    let open = decided(Decision::Undecided);
    if open > 0 && arguments.on_unknown == OnUnknown::Ok {
        notes.push(format!(
            "not known of {open} of {}: exit status 0 (3 with --on-unknown=fail)",
            report.documents.len()
        ));
    }
    if !report.skipped.is_empty() {
        let skipped = report.skipped.len();
        let noun = if skipped == 1 { "object" } else { "objects" };
        notes.push(format!("{skipped} {noun} not judged (-o wide tells why)"));
    }
    notes
}
