//! One review: reads what an object asks for, judges each of its Pods on the fleet, and writes the answer.

mod envelope;

use std::borrow::Cow;
use std::cmp::Reverse;

use serde_json::Value;

use super::answer::{Answer, CauseLine, answer};
use super::assess::{Assessor, NodeList};
use super::configuration::Configuration;
use super::decision::Decision;
use super::events::{Notice, Run};
use super::message;
use super::policy::{Existing, Mode, Permission, Policy};
use super::reload::SharedConfiguration;
use crate::cluster::demand::{
    self, ContainerDemand, Demand, DemandError, Origin, Reading, Skip, Workload,
};
use crate::cluster::watch::{ClusterState, SharedCluster};
use crate::compat::Code;
use crate::image::evidence::Knowledge;
use crate::image::reference::Reference;
use crate::image::repositories::Repositories;
pub use envelope::{BadReview, Reply};
use envelope::{Operation, Request, Response, Status, StatusCause};

/// Most warnings that one review sends.
const WARNING_COUNT: usize = 10;
/// What becomes of an object that is not understood, and why.
const UNCHECKED: &str = "unchecked";
const NOT_UNDERSTOOD: &str = "bad-body";
/// What is added to a refusal that only warns.
const LENIENT: &str =
    "; admitted, for its owner is older than this check (enforceExisting refuses it)";

/// Answers reviews.
pub struct Reviewer {
    /// What is known of the cluster.
    pub cluster: SharedCluster,
    /// What the administrator chose.
    pub configuration: SharedConfiguration,
    /// Families of images.
    pub repositories: Repositories,
}

/// What a review came to, before anybody outside is asked.
#[derive(Debug)]
pub struct Judged {
    /// The answer.
    pub reply: Reply,
    /// The answer if the object's owner turns out to be older than the installation; none where that changes nothing.
    pub lenient: Option<Reply>,
    /// What the object's owner is to be told, if there is an owner and something to say.
    pub notice: Option<Notice>,
    /// By what it got past a refusal, or past being looked at.
    pub bypass: Option<Bypass>,
}

/// By whose word something is not refused, or not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bypass {
    /// The Pod's annotation.
    Pod,
    /// The Namespace's label.
    Namespace,
    /// An exemption of the configuration.
    Exemption,
}

impl Judged {
    fn silent(uid: &str) -> Self {
        Self {
            reply: Response::admitted(uid).into_reply(),
            lenient: None,
            notice: None,
            bypass: None,
        }
    }

    /// An object that cannot be read: it is admitted, and the answer says so.
    fn not_understood(uid: &str) -> Self {
        let mut response = Response::admitted(uid);
        let annotations = &mut response.audit_annotations;
        annotations.insert("decision", UNCHECKED.to_owned());
        annotations.insert("reason", NOT_UNDERSTOOD.to_owned());
        Self {
            reply: response.into_reply(),
            ..Self::silent(uid)
        }
    }
}

/// Why an object cannot be judged.
#[derive(Debug, thiserror::Error)]
enum NotUnderstood {
    /// It does not say what it is.
    #[error("the object has no apiVersion and kind")]
    NoKind,
    /// A part that decides is of another form.
    #[error(transparent)]
    Demand(#[from] DemandError),
}

/// What is said about all Pods of an object, and what led to it.
struct Finding {
    answer: Answer,
    mode: Chosen,
    exemption: Option<String>,
}

/// A mode, and who chose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chosen {
    mode: Mode,
    by: Option<Bypass>,
}

/// What a review is decided with: the state of everything at its beginning.
struct Moment<'a> {
    cluster: &'a ClusterState,
    configuration: &'a Configuration,
    repositories: &'a Repositories,
    namespace: &'a str,
}

impl Reviewer {
    /// What a review in JSON comes to.
    ///
    /// # Errors
    /// The body is no review at all. An object that is not understood is admitted.
    pub fn answer(&self, body: &[u8]) -> Result<Judged, BadReview> {
        let request = Request::read(body)?;
        let (cluster, configuration) = (self.cluster.load(), self.configuration.load());
        let moment = Moment {
            cluster: &cluster,
            configuration: &configuration,
            repositories: &self.repositories,
            namespace: request.namespace.as_deref().unwrap_or_default(),
        };
        let workload = match moment.workload(&request) {
            Ok(Some(workload)) => workload,
            Ok(None) => return Ok(Judged::silent(&request.uid)),
            Err(error) => {
                tracing::warn!(%error, uid = %request.uid, "an object that is not understood is admitted");
                return Ok(Judged::not_understood(&request.uid));
            }
        };
        let finding = moment.review(workload.groups.iter().map(|group| &group.demand));
        log(&request, &workload, &finding);
        Ok(judged(&request, &workload, &finding, &configuration.policy))
    }
}

impl Moment<'_> {
    /// The workload to judge; `None` for what is none of our business.
    fn workload(&self, request: &Request<'_>) -> Result<Option<Workload>, NotUnderstood> {
        let subresource = request.sub_resource.as_deref().unwrap_or_default();
        match request.operation {
            Operation::Create | Operation::Update if subresource.is_empty() => {}
            Operation::Create | Operation::Update | Operation::Delete | Operation::Connect => {
                return Ok(None);
            }
        }
        let now = self.read(request.object.as_ref())?;
        let Some(now) = now.filter(|now| !now.groups.is_empty()) else {
            return Ok(None);
        };
        // An update that changes nothing that we judge must not break what is there.
        let before = self.read(request.old_object.as_ref())?;
        let same = before.is_some_and(|before| before.asks_the_same(&now));
        Ok((!same).then_some(now))
    }

    fn read(&self, object: Option<&Value>) -> Result<Option<Workload>, NotUnderstood> {
        let Some(object) = object.filter(|object| !object.is_null()) else {
            return Ok(None);
        };
        let reader = demand::Reader {
            kinds: &self.configuration.kinds,
            resources: &self.configuration.resources,
            origin: Origin::Review,
        };
        match reader.read(object)? {
            Reading::Workload(workload) => Ok(Some(workload)),
            Reading::Skipped(Skip::NoKind) => Err(NotUnderstood::NoKind),
            Reading::Skipped(Skip::Kind(_) | Skip::MirrorPod | Skip::Deleted) => Ok(None),
        }
    }

    /// What is said about all Pods that an object makes: that about the worst.
    fn review<'b>(&self, demands: impl Iterator<Item = &'b Demand>) -> Finding {
        demands
            .map(|demand| self.judge(demand))
            .reduce(worse)
            .unwrap_or_else(|| Finding {
                answer: Answer::silence(),
                mode: Chosen {
                    mode: self.configuration.policy.mode,
                    by: None,
                },
                exemption: None,
            })
    }

    fn judge(&self, demand: &Demand) -> Finding {
        let (mode, complaints) = self.mode(demand);
        let (demand, exemption) = self.unexempted(demand);
        let mut answer = if mode.mode == Mode::Off || demand.containers.is_empty() {
            Answer::silence()
        } else {
            let assessor = Assessor {
                knowledge: self.knowledge(),
                policy: &self.configuration.policy,
                nodes: if self.cluster.knows_all_nodes() {
                    NodeList::Whole
                } else {
                    NodeList::Partial
                },
            };
            let fleet = &self.cluster.fleet;
            let assessment = assessor.assess(&demand, fleet);
            answer(&assessor, &assessment, fleet, mode.mode)
        };
        answer.advice.extend(complaints);
        Finding {
            answer,
            mode,
            exemption,
        }
    }

    /// The demand without the containers that are exempt, and why the first of those is.
    fn unexempted<'b>(&self, demand: &'b Demand) -> (Cow<'b, Demand>, Option<String>) {
        let exemption = |container: &ContainerDemand| {
            let exemptions = &self.configuration.exemptions;
            let image = container.image.as_deref().unwrap_or_default().parse();
            let of_image = |image: Reference| exemptions.find(self.namespace, &image);
            let found = image.ok().and_then(of_image);
            found.or_else(|| exemptions.of_namespace(self.namespace))
        };
        if self.configuration.exemptions.is_empty() {
            return (Cow::Borrowed(demand), None);
        }
        let reason = demand.containers.iter().find_map(exemption);
        let reason = reason.map(|exemption| exemption.reason().to_owned());
        let mut rest = demand.clone();
        rest.containers
            .retain(|container| exemption(container).is_none());
        (Cow::Owned(rest), reason)
    }

    /// The mode that holds for a Pod, and what is wrong with the words that chose others.
    fn mode(&self, demand: &Demand) -> (Chosen, Vec<String>) {
        let policy = &self.configuration.policy;
        let mut complaints = Vec::new();
        let label = self.cluster.namespaces.mode(self.namespace);
        let choices = [
            (policy.pod_modes, demand.mode.as_deref(), Bypass::Pod),
            (policy.namespace_modes, label, Bypass::Namespace),
        ];
        for (permission, word, by) in choices {
            let word = match permission {
                Permission::Allowed => word,
                Permission::Ignored => None,
            };
            match word.map(str::parse::<Mode>) {
                Some(Ok(mode)) => {
                    let by = (mode > policy.mode).then_some(by);
                    return (Chosen { mode, by }, complaints);
                }
                Some(Err(error)) => complaints.push(message::complaint(&format!(
                    "{} {}: {error}; it is ignored",
                    by.place(),
                    demand::MODE_ANNOTATION
                ))),
                None => {}
            }
        }
        let chosen = Chosen {
            mode: policy.mode,
            by: None,
        };
        (chosen, complaints)
    }

    fn knowledge(&self) -> Knowledge<'_> {
        Knowledge {
            catalog: self.configuration.catalog(),
            repositories: self.repositories,
        }
    }
}

impl Bypass {
    /// Where it is written.
    const fn place(self) -> &'static str {
        match self {
            Self::Pod => "annotation",
            Self::Namespace => "the namespace's label",
            Self::Exemption => "exemption",
        }
    }

    /// The word for it in metrics and audit annotations.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Namespace => "namespace",
            Self::Exemption => "exemption",
        }
    }
}

/// The worse of two findings with the warnings and codes of both; of two refusals the text of the worse cause.
fn worse(one: Finding, other: Finding) -> Finding {
    let rank = |finding: &Finding| {
        let code = finding.answer.codes.first().copied();
        (
            finding.answer.decision,
            Reverse(code.unwrap_or(Code::Unchecked)),
        )
    };
    let (mut worse, better) = if rank(&other) > rank(&one) {
        (other, one)
    } else {
        (one, other)
    };
    let (answer, mut rest) = (&mut worse.answer, better.answer);
    answer.causes.append(&mut rest.causes);
    answer.findings.append(&mut rest.findings);
    answer.advice.append(&mut rest.advice);
    answer.codes.append(&mut rest.codes);
    answer.codes.sort_unstable();
    answer.codes.dedup();
    worse.exemption = worse.exemption.or(better.exemption);
    worse
}

fn log(request: &Request<'_>, workload: &Workload, finding: &Finding) {
    tracing::info!(
        uid = %request.uid,
        namespace = request.namespace.as_deref(),
        kind = workload.kind.kind,
        decision = %finding.answer.decision,
        verdict = %finding.answer.verdict,
        mode = finding.mode.mode.word(),
        codes = words(&finding.answer.codes),
        "reviewed"
    );
}

fn words(codes: &[Code]) -> String {
    let words: Vec<&str> = codes.iter().map(|code| code.word()).collect();
    words.join(",")
}

fn judged(
    request: &Request<'_>,
    workload: &Workload,
    finding: &Finding,
    policy: &Policy,
) -> Judged {
    let bypass = match (&finding.exemption, finding.mode.by) {
        (Some(_), _) => Some(Bypass::Exemption),
        (None, by) => by,
    };
    let owned = workload.owner.is_some() && policy.existing == Existing::Warned;
    let lenient = (owned && finding.answer.decision == Decision::Deny)
        .then(|| lenient(&request.uid, finding));
    Judged {
        lenient,
        notice: notice(request, workload, &finding.answer),
        bypass,
        reply: reply(&request.uid, finding),
    }
}

fn reply(uid: &str, finding: &Finding) -> Reply {
    let answer = &finding.answer;
    let mut response = Response::admitted(uid);
    annotate(&mut response, finding);
    if answer.decision == Decision::Deny {
        let causes = answer.causes.iter().map(status_cause).collect();
        response.allowed = false;
        response.status = Some(Status::forbidden(answer.text.clone(), causes));
    }
    response.warnings = answer.clone().warnings();
    response.warnings.truncate(WARNING_COUNT);
    response.into_reply()
}

/// The same as a warning, for an owner that is older than the installation.
fn lenient(uid: &str, finding: &Finding) -> Reply {
    let answer = &finding.answer;
    let mut response = Response::admitted(uid);
    annotate(&mut response, finding);
    let annotations = &mut response.audit_annotations;
    annotations.insert("decision", Decision::Warn.to_string());
    annotations.insert("owner", "older than the installation".to_owned());
    let causes = answer.causes.iter();
    let lines = causes.map(|cause| message::complaint(&format!("{}{LENIENT}", cause.line)));
    response.warnings = lines.chain(answer.advice.iter().cloned()).collect();
    response.warnings.truncate(WARNING_COUNT);
    response.into_reply()
}

fn annotate(response: &mut Response, finding: &Finding) {
    let (answer, mode) = (&finding.answer, finding.mode);
    let mut annotate = |key, text: String| {
        if !text.is_empty() {
            response.audit_annotations.insert(key, text);
        }
    };
    annotate("decision", answer.decision.to_string());
    annotate("codes", words(&answer.codes));
    annotate(
        "cause",
        answer.text.lines().next().unwrap_or_default().to_owned(),
    );
    annotate("image", answer.image.clone());
    annotate("evidence", answer.evidence.clone());
    if answer.verdict != answer.decision {
        annotate("verdict", answer.verdict.to_string());
    }
    if let Some(by) = mode.by {
        annotate("mode", format!("{} ({})", mode.mode.word(), by.word()));
    }
    annotate("exemption", finding.exemption.clone().unwrap_or_default());
}

fn status_cause(cause: &CauseLine) -> StatusCause {
    StatusCause {
        reason: cause.code.map(|code| code.to_string()).unwrap_or_default(),
        message: cause.line.clone(),
        field: cause.field.to_string(),
    }
}

/// What the owner is to be told of a refusal or a warning.
fn notice(request: &Request<'_>, workload: &Workload, answer: &Answer) -> Option<Notice> {
    let text = match answer.decision {
        Decision::Deny => answer.text.clone(),
        Decision::Warn => answer.clone().warnings().into_iter().next()?,
        Decision::Allow | Decision::Undecided => return None,
    };
    Some(Notice {
        namespace: request.namespace.as_deref()?.to_owned(),
        owner: workload.owner.clone()?,
        code: *answer.codes.first()?,
        text,
        run: if request.dry_run { Run::Dry } else { Run::Real },
    })
}
