//! One review: gathers what the Pod asks for, which nodes it could get and what its images hold, then decides.

use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview, Operation};
use kube::core::response::{Status, StatusCause, StatusDetails, StatusSummary};

use super::answer::{Answer, CauseLine, answer};
use super::assess::Assessor;
use super::decision::Decision;
use super::message;
use super::policy::{Mode, Permission, Policy, UnknownMode};
use crate::cluster::demand::{self, Demand, Origin, Reading};
use crate::cluster::resource::GpuResources;
use crate::cluster::watch::SharedFleet;
use crate::cluster::workload::Kinds;
use crate::compat::Catalog;
use crate::image::evidence::Knowledge;
use crate::image::repositories::Repositories;

/// Most warnings that one review sends.
const WARNING_COUNT: usize = 10;
/// A body that is no review. The API server shows the text to the user.
#[derive(Debug, thiserror::Error)]
pub enum BadReview {
    /// Not JSON, or not of the shape of an AdmissionReview.
    #[error("the body is no AdmissionReview: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A review of another version.
    #[error("apiVersion and kind must be admission.k8s.io/v1 AdmissionReview")]
    WrongKind,
    /// A review without a request.
    #[error("the AdmissionReview has no request")]
    NoRequest,
}

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
    pub fn answer(&self, body: &[u8]) -> Result<AdmissionReview<DynamicObject>, BadReview> {
        let review: AdmissionReview<DynamicObject> = serde_json::from_slice(body)?;
        if review.types.api_version != "admission.k8s.io/v1"
            || review.types.kind != "AdmissionReview"
        {
            return Err(BadReview::WrongKind);
        }
        let request: AdmissionRequest<DynamicObject> =
            review.try_into().map_err(|_| BadReview::NoRequest)?;
        let outcome = self.demand(&request).map(|demand| self.review(&demand));
        Ok(respond(&request, outcome).into_review())
    }

    /// The demand to judge; `None` for what is none of our business.
    fn demand(&self, request: &AdmissionRequest<DynamicObject>) -> Option<Demand> {
        let creates = matches!(request.operation, Operation::Create | Operation::Update);
        if !creates || request.sub_resource.is_some() || request.kind.kind != "Pod" {
            return None;
        }
        let now = self.demand_of(request.object.as_ref())?;
        // An update that changes nothing that we judge must not break a Pod that is there.
        let before = self.demand_of(request.old_object.as_ref());
        (before.as_ref() != Some(&now)).then_some(now)
    }

    fn demand_of(&self, object: Option<&DynamicObject>) -> Option<Demand> {
        let object = serde_json::to_value(object?).ok()?;
        let reader = demand::Reader {
            kinds: &self.kinds,
            resources: &self.resources,
            origin: Origin::Review,
        };
        let reading = reader.read(&object).inspect_err(
            |error| tracing::warn!(%error, "a Pod that is not understood is admitted"),
        );
        match reading.ok()? {
            Reading::Workload(workload) => Some(workload.groups.into_iter().next()?.demand),
            Reading::Skipped(_) => None,
        }
    }

    fn review(&self, demand: &Demand) -> Answer {
        let (mode, complaint) = mode(demand, &self.policy);
        let mut answer = match mode {
            Mode::Off => Answer::silence(),
            Mode::Enforce | Mode::Warn | Mode::Audit => {
                let fleet = self.fleet.load();
                let assessor = Assessor {
                    knowledge: self.knowledge(),
                    policy: &self.policy,
                };
                let assessment = assessor.assess(demand, &fleet);
                answer(&assessor, &assessment, &fleet, mode)
            }
        };
        answer.warnings.extend(complaint);
        answer
    }

    fn knowledge(&self) -> Knowledge<'_> {
        Knowledge {
            catalog: self.catalog,
            repositories: &self.repositories,
        }
    }
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

fn respond(request: &AdmissionRequest<DynamicObject>, answer: Option<Answer>) -> AdmissionResponse {
    let mut response = AdmissionResponse::from(request);
    let Some(answer) = answer else {
        return response;
    };
    let codes: Vec<&str> = answer.codes.iter().map(|code| code.word()).collect();
    tracing::info!(
        uid = request.uid,
        namespace = request.namespace,
        decision = %answer.decision,
        ?codes,
        "reviewed"
    );
    let annotations = &mut response.audit_annotations;
    annotations.insert("decision".to_owned(), answer.decision.to_string());
    if !codes.is_empty() {
        annotations.insert("codes".to_owned(), codes.join(","));
    }
    if answer.decision == Decision::Deny {
        response.allowed = false;
        response.result = forbidden(answer.text, &answer.causes);
    }
    let warnings: Vec<String> = answer.warnings.into_iter().take(WARNING_COUNT).collect();
    response.warnings = (!warnings.is_empty()).then_some(warnings);
    response
}

fn forbidden(message: String, causes: &[CauseLine]) -> Status {
    let cause = |cause: &CauseLine| StatusCause {
        reason: cause.code.map(|code| code.to_string()).unwrap_or_default(),
        message: cause.line.clone(),
        field: cause.field.to_string(),
    };
    let causes = causes.iter().map(cause).collect();
    let empty = String::new;
    let details = StatusDetails {
        name: empty(),
        group: empty(),
        kind: empty(),
        uid: empty(),
        causes,
        retry_after_seconds: 0,
    };
    Status {
        status: Some(StatusSummary::Failure),
        code: 403,
        message,
        reason: "Forbidden".to_owned(),
        details: Some(details),
        ..Status::default()
    }
}
