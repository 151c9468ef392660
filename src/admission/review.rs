//! One review: reads what an object asks for, judges each of its Pods on the fleet, and writes the answer.

mod envelope;
mod memo;
mod mutate;
mod object;
mod telling;

use std::cmp::Reverse;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::Value;

use super::answer::{Answer, answer};
use super::assess::{Assessment, Assessor, NodeList};
use super::configuration::{Chooser, ChosenMode, Configuration};
use super::events::Notice;
use super::message;
use super::policy::{Mode, Permission};
use super::recall::Recall;
use super::reload::SharedConfiguration;
use crate::cluster::demand::{self, Demand, DemandError, Reading, Skip, Workload};
use crate::cluster::watch::{ClusterState, SharedCluster, Standing, Watched};
use crate::compat::{Code, Origin};
use crate::image::evidence::{Knowledge, Winner};
use crate::image::repositories::Repositories;
pub use envelope::{BadReview, Reply};
use envelope::{Operation, Request, Response};
use memo::{Findings, Memo, Said, Surroundings};
pub use mutate::Steering;

/// What becomes of an object that is not understood, and why.
const UNCHECKED: &str = "unchecked";
const NOT_UNDERSTOOD: &str = "bad-body";
/// Why nothing is refused where labels of Namespaces cannot be read.
const UNREAD_LABELS: &str =
    "the modes of namespaces cannot be read, so nothing is refused (the webhook's log tells why)";
/// Longest word on a declaration in an audit annotation, in characters.
const DECLARED_LIMIT: usize = 200;

/// Answers reviews.
pub struct Reviewer {
    /// What is known of the cluster.
    pub cluster: SharedCluster,
    /// What the administrator chose.
    pub configuration: SharedConfiguration,
    /// Families of images.
    pub repositories: Repositories,
    /// What was answered a moment ago.
    memo: Memo,
    /// What was found a moment ago.
    findings: ArcSwap<Findings>,
}

/// What a review came to, before anybody outside is asked.
#[derive(Debug)]
pub struct Judged {
    /// The answer.
    pub reply: Reply,
    /// The answers by the age of the object's owner; none where it changes nothing.
    pub lenient: Option<Lenient>,
    /// What the object's owner is to be told, if there is an owner and something to say.
    pub notice: Option<Notice>,
    /// By whose words it may have got past a refusal, or past being looked at; each once.
    pub bypasses: Vec<Bypass>,
}

/// Answers that admit what would be refused, but for the object's owner.
#[derive(Debug)]
pub struct Lenient {
    /// It is older than the installation.
    pub older: Reply,
    /// Nobody could tell its age in time.
    pub unknown: Reply,
}

/// By whose word something is not refused, or not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bypass {
    /// The Pod's annotation.
    Pod,
    /// The Namespace's label.
    Namespace,
    /// An exemption of the configuration.
    Exemption,
    /// What the author declares of an image, which went before the catalog.
    Declaration,
}

impl Judged {
    fn silent(uid: &str) -> Self {
        Self {
            reply: Response::admitted(uid).into_reply(),
            lenient: None,
            notice: None,
            bypasses: Vec::new(),
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
    answer: Arc<Answer>,
    mode: Chosen,
    exemption: Option<String>,
    /// What an author's declaration set in place of what the catalog says.
    declared: Option<String>,
}

/// A mode, and who chose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chosen {
    mode: Mode,
    by: Option<Bypass>,
}

/// The state of everything when a review begins.
struct State {
    cluster: Arc<ClusterState>,
    configuration: Arc<Configuration>,
    findings: Arc<Findings>,
}

/// What a review is decided with.
struct Moment<'a> {
    cluster: &'a ClusterState,
    configuration: &'a Arc<Configuration>,
    repositories: &'a Repositories,
    memo: &'a Memo,
    recall: &'a Recall,
    namespace: &'a str,
}

impl Reviewer {
    /// One that has answered nothing yet.
    #[must_use]
    pub fn new(
        cluster: SharedCluster,
        configuration: SharedConfiguration,
        repositories: Repositories,
    ) -> Self {
        Self {
            cluster,
            configuration,
            repositories,
            memo: Memo::default(),
            findings: ArcSwap::default(),
        }
    }

    /// What a review in JSON comes to.
    ///
    /// # Errors
    /// The body is no review at all. An object that is not understood is admitted.
    pub fn answer(&self, body: &[u8]) -> Result<Judged, BadReview> {
        let request = Request::read(body)?;
        let state = self.state();
        let moment = self.moment(&state, &request);
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
        Ok(telling::judged(
            &request,
            &workload,
            &finding,
            &state.configuration.policy,
        ))
    }

    fn state(&self) -> State {
        let configuration = self.configuration.load_full();
        let mut findings = self.findings.load_full();
        if !findings.are_of(&configuration) {
            findings = Arc::new(Findings::none_of(&configuration));
            self.findings.store(Arc::clone(&findings));
        }
        State {
            cluster: self.cluster.load_full(),
            configuration,
            findings,
        }
    }

    fn moment<'a>(&'a self, state: &'a State, request: &'a Request<'_>) -> Moment<'a> {
        Moment {
            cluster: &state.cluster,
            configuration: &state.configuration,
            repositories: &self.repositories,
            memo: &self.memo,
            recall: &state.findings.recall,
            namespace: request.namespace.as_deref().unwrap_or_default(),
        }
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
        let now = self.read(request.object.as_ref().map(|object| &object.0))?;
        let Some(now) = now.filter(|now| !now.groups.is_empty()) else {
            return Ok(None);
        };
        // An update that changes nothing that we judge must not break what is there. What was there and is not
        // understood is something else than what is now.
        let before = match self.read(request.old_object.as_ref().map(|object| &object.0)) {
            Err(NotUnderstood::Demand(_)) => None,
            before => before?,
        };
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
            origin: demand::Origin::Review,
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
                answer: Arc::new(Answer::silence()),
                mode: Chosen {
                    mode: self.configuration.policy.mode,
                    by: None,
                },
                exemption: None,
                declared: None,
            })
    }

    fn judge(&self, demand: &Demand) -> Finding {
        let (mode, complaints) = self.mode(demand);
        let exemptions = &self.configuration.exemptions;
        let (demand, exemption) = exemptions.apply(self.namespace, demand);
        let (mut answer, declared) = if mode.mode == Mode::Off || demand.containers.is_empty() {
            (Arc::new(Answer::silence()), None)
        } else {
            self.assessed(&demand, mode.mode)
        };
        if !complaints.is_empty() {
            Arc::make_mut(&mut answer).advice.extend(complaints);
        }
        Finding {
            answer,
            mode,
            exemption: exemption.map(|exemption| exemption.reason().to_owned()),
            declared,
        }
    }

    /// What is said in a mode, and what its author's declaration overrode.
    fn assessed(&self, demand: &Demand, mode: Mode) -> Said {
        let (assessor, fleet) = (self.assessor(), &self.cluster.fleet);
        let surroundings = Surroundings {
            mode,
            fleet,
            nodes: assessor.nodes,
            configuration: self.configuration,
        };
        self.memo.said(demand, surroundings, || {
            let assessment = assessor.assess(demand, fleet);
            let declared = overridden(&assessment);
            let answer = answer(&assessor, &assessment, fleet, mode);
            (Arc::new(answer), declared)
        })
    }

    fn assessor(&self) -> Assessor<'_> {
        Assessor {
            knowledge: self.knowledge(),
            policy: &self.configuration.policy,
            recall: self.recall,
            nodes: if self.cluster.knows_all_nodes() {
                NodeList::Whole
            } else {
                NodeList::Partial
            },
        }
    }

    /// The mode that holds for a Pod, and what is wrong with the words that chose others.
    fn mode(&self, demand: &Demand) -> (Chosen, Vec<String>) {
        let policy = &self.configuration.policy;
        let label = self.cluster.namespaces.mode(self.namespace);
        let ChosenMode {
            mut mode,
            by,
            mut complaints,
        } = ChosenMode::of(policy, demand.mode.as_deref(), label);
        if by == Chooser::Configuration && mode == Mode::Enforce && self.may_miss_a_label() {
            mode = Mode::Warn;
            complaints.push(message::complaint(UNREAD_LABELS));
        }
        let by = Bypass::by(by).filter(|_| mode > policy.mode);
        (Chosen { mode, by }, complaints)
    }

    /// Whether a Namespace may have chosen a mode that cannot be read.
    fn may_miss_a_label(&self) -> bool {
        let lost = match self.cluster.standing(Watched::Namespaces) {
            Standing::Forbidden | Standing::Failing => true,
            Standing::Pending | Standing::Followed | Standing::Outdated | Standing::NotServed => {
                false
            }
        };
        lost && self.configuration.policy.namespace_modes == Permission::Allowed
    }

    fn knowledge(&self) -> Knowledge<'_> {
        Knowledge {
            catalog: self.configuration.catalog(),
            repositories: self.repositories,
        }
    }
}

impl Bypass {
    /// By whose choice of a mode; the administrator's own is none.
    const fn by(chooser: Chooser) -> Option<Self> {
        match chooser {
            Chooser::Pod => Some(Self::Pod),
            Chooser::Namespace => Some(Self::Namespace),
            Chooser::Configuration => None,
        }
    }

    /// The word for it in metrics and audit annotations.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Namespace => "namespace",
            Self::Exemption => "exemption",
            Self::Declaration => "declaration",
        }
    }
}

/// What an author's declaration set in place of what the catalog says of an image.
fn overridden(assessment: &Assessment<'_>) -> Option<String> {
    let contents = assessment.containers.iter().flat_map(|one| &one.contents);
    let mut set: Vec<String> = Vec::new();
    for conflict in contents.flat_map(|(_, contents)| &contents.conflicts) {
        let origins = (conflict.first.1.origin, conflict.second.1.origin);
        if conflict.winner == Winner::First && origins == (Origin::Declared, Origin::Catalog) {
            let (declared, known) = (&conflict.first.0, &conflict.second.0);
            set.push(format!("{} {declared} instead of {known}", conflict.fact));
        }
    }
    set.dedup();
    (!set.is_empty()).then(|| set.join("; ").chars().take(DECLARED_LIMIT).collect())
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
    let answer = Arc::make_mut(&mut worse.answer);
    let mut rest = Arc::unwrap_or_clone(better.answer);
    answer.causes.append(&mut rest.causes);
    answer.findings.append(&mut rest.findings);
    answer.advice.append(&mut rest.advice);
    answer.codes.append(&mut rest.codes);
    answer.codes.sort_unstable();
    answer.codes.dedup();
    worse.exemption = worse.exemption.or(better.exemption);
    worse.declared = worse.declared.or(better.declared);
    // A milder mode is told of whichever Pods it holds for.
    if worse.mode.by.is_none() {
        worse.mode = better.mode;
    }
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
