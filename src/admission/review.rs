//! One review: reads what an object asks for, judges each of its Pods on the fleet, and writes the answer.

mod envelope;

use serde_json::Value;

use super::answer::{Answer, CauseLine, answer};
use super::assess::Assessor;
use super::decision::Decision;
use super::message;
use super::policy::{Mode, Permission, Policy, UnknownMode};
use crate::cluster::demand::{self, Demand, Origin, Reading, Workload};
use crate::cluster::fleet::Fleet;
use crate::cluster::resource::GpuResources;
use crate::cluster::watch::SharedFleet;
use crate::cluster::workload::Kinds;
use crate::compat::{Catalog, Code};
use crate::image::evidence::Knowledge;
use crate::image::repositories::Repositories;
pub use envelope::{BadReview, Reply};
use envelope::{Operation, Request, Response, Status, StatusCause};

/// Most warnings that one review sends.
const WARNING_COUNT: usize = 10;

/// Answers reviews.
pub struct Reviewer {
    /// The cluster's nodes.
    pub fleet: SharedFleet,
    /// The extended resources that count GPUs.
    pub resources: GpuResources,
    /// The kinds of objects that make Pods.
    pub kinds: Kinds,
    /// The knowledge base.
    pub catalog: &'static Catalog,
    /// Families of images.
    pub repositories: Repositories,
    /// What the administrator chose.
    pub policy: Policy,
}

impl Reviewer {
    /// The answer to a review in JSON.
    ///
    /// # Errors
    /// The body is no review at all. An object that is not understood is admitted.
    pub fn answer(&self, body: &[u8]) -> Result<Reply, BadReview> {
        let request = Request::read(body)?;
        let mut response = Response::admitted(&request.uid);
        if let Some(workload) = self.workload(&request) {
            let answer = self.review(&workload);
            log(&request, &workload, &answer);
            fill(&mut response, answer);
        }
        Ok(response.into_reply())
    }

    /// The workload to judge; `None` for what is none of our business.
    fn workload(&self, request: &Request<'_>) -> Option<Workload> {
        let subresource = request.sub_resource.as_deref().unwrap_or_default();
        match request.operation {
            Operation::Create | Operation::Update if subresource.is_empty() => {}
            Operation::Create | Operation::Update | Operation::Delete | Operation::Connect => {
                return None;
            }
        }
        let now = self.read(request.object.as_ref()?)?;
        if now.groups.is_empty() {
            return None;
        }
        // An update that changes nothing that we judge must not break what is there.
        let before = request.old_object.as_ref().and_then(|old| self.read(old));
        let same = before.is_some_and(|before| before.asks_the_same(&now));
        (!same).then_some(now)
    }

    fn read(&self, object: &Value) -> Option<Workload> {
        if object.is_null() {
            return None;
        }
        let reader = demand::Reader {
            kinds: &self.kinds,
            resources: &self.resources,
            origin: Origin::Review,
        };
        let reading = reader.read(object).inspect_err(
            |error| tracing::warn!(%error, "an object that is not understood is admitted"),
        );
        match reading.ok()? {
            Reading::Workload(workload) => Some(workload),
            Reading::Skipped(_) => None,
        }
    }

    /// The answers on all Pods that the object makes, as one: that on the worst.
    fn review(&self, workload: &Workload) -> Answer {
        let fleet = self.fleet.load();
        let groups = workload.groups.iter();
        groups
            .map(|group| self.judge(&group.demand, &fleet))
            .reduce(worse)
            .unwrap_or_else(Answer::silence)
    }

    fn judge(&self, demand: &Demand, fleet: &Fleet) -> Answer {
        let (mode, complaint) = mode(demand, &self.policy);
        let mut answer = match mode {
            Mode::Off => Answer::silence(),
            Mode::Enforce | Mode::Warn | Mode::Audit => {
                let assessor = Assessor {
                    knowledge: self.knowledge(),
                    policy: &self.policy,
                };
                let assessment = assessor.assess(demand, fleet);
                answer(&assessor, &assessment, fleet, mode)
            }
        };
        answer.advice.extend(complaint);
        answer
    }

    fn knowledge(&self) -> Knowledge<'_> {
        Knowledge {
            catalog: self.catalog,
            repositories: &self.repositories,
        }
    }
}

/// The worse of two answers with the warnings and codes of both; of two refusals the text of the worse cause.
fn worse(one: Answer, other: Answer) -> Answer {
    let rank = |answer: &Answer| {
        let code = answer.codes.first().copied().unwrap_or(Code::Unchecked);
        (answer.decision, std::cmp::Reverse(code))
    };
    let (mut worse, mut better) = if rank(&other) > rank(&one) {
        (other, one)
    } else {
        (one, other)
    };
    worse.causes.append(&mut better.causes);
    worse.findings.append(&mut better.findings);
    worse.advice.append(&mut better.advice);
    worse.codes.append(&mut better.codes);
    worse.codes.sort_unstable();
    worse.codes.dedup();
    worse
}

/// The mode that holds for a Pod, and what is wrong with the one that it chose.
fn mode(demand: &Demand, policy: &Policy) -> (Mode, Option<String>) {
    let chosen = match policy.pod_modes {
        Permission::Allowed => demand.mode.as_deref(),
        Permission::Ignored => None,
    };
    match chosen.map(str::parse) {
        None => (policy.mode, None),
        Some(Ok(mode)) => (mode, None),
        Some(Err(error)) => {
            let error: UnknownMode = error;
            let complaint = message::complaint(&format!(
                "annotation {}: {error}; {} applies",
                demand::MODE_ANNOTATION,
                policy.mode.word()
            ));
            (policy.mode, Some(complaint))
        }
    }
}

fn log(request: &Request<'_>, workload: &Workload, answer: &Answer) {
    tracing::info!(
        uid = %request.uid,
        namespace = request.namespace.as_deref(),
        kind = workload.kind.kind,
        decision = %answer.decision,
        codes = words(&answer.codes),
        "reviewed"
    );
}

fn words(codes: &[Code]) -> String {
    let words: Vec<&str> = codes.iter().map(|code| code.word()).collect();
    words.join(",")
}

fn fill(response: &mut Response, answer: Answer) {
    let annotations = &mut response.audit_annotations;
    annotations.insert("decision", answer.decision.to_string());
    if !answer.codes.is_empty() {
        annotations.insert("codes", words(&answer.codes));
    }
    if answer.decision == Decision::Deny {
        let causes = answer.causes.iter().map(status_cause).collect();
        response.allowed = false;
        response.status = Some(Status::forbidden(answer.text.clone(), causes));
    }
    response.warnings = answer.warnings();
    response.warnings.truncate(WARNING_COUNT);
}

fn status_cause(cause: &CauseLine) -> StatusCause {
    StatusCause {
        reason: cause.code.map(|code| code.to_string()).unwrap_or_default(),
        message: cause.line.clone(),
        field: cause.field.to_string(),
    }
}
