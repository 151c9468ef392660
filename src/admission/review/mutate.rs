//! A Pod that is being created: read as for a review, and given what steers it, if anything does.
//!
//! The answer admits in any case; whether the Pod is refused is the review's to say, which follows with what stands here
//! then. Nothing but CREATE of a Pod is ever changed: a Pod's affinity is fixed once it is there, and templates are their
//! authors'.

use std::sync::Arc;

use k8s_openapi::ByteString;
use serde_json::Value;

use super::envelope::{BadReview, Operation, Request, Response};
use super::object::Object;
use super::{Judged, Moment, Reviewer, Workload};
use crate::admission::policy::Mode;
use crate::admission::steer::{self, Course, Steer};
use crate::cluster::demand::Demand;
use crate::telemetry::metrics::{Counters, Label, Registry};

/// The only kind of patch that the API knows.
const PATCH_TYPE: &str = "JSONPatch";
/// Key of the audit annotation that says by what a Pod was steered, and why.
const STEERED: &str = "steered";

/// Steers Pods.
pub struct Steering {
    reviewer: Arc<Reviewer>,
    outcomes: Counters<Outcome>,
}

/// What steering made of a Pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It keeps away from some nodes.
    Steered,
    /// It need not.
    Needless,
    /// It should, and no one requirement tells the nodes apart.
    Inseparable,
    /// It is not ours to steer.
    LeftAlone,
    /// It is not understood.
    Unchecked,
}

impl Steering {
    /// With its metrics.
    #[must_use]
    pub fn new(reviewer: Arc<Reviewer>, registry: &Registry) -> Self {
        Self {
            reviewer,
            outcomes: registry.counters(
                "gpu_capgate_steered_total",
                "Pods that were asked about before they are reviewed, by what steering made of them.",
            ),
        }
    }

    /// What a request in JSON comes to: an answer that admits, and holds the patch if there is one.
    ///
    /// # Errors
    /// The body is no review at all. A Pod that is not understood is admitted as it is.
    pub fn answer(&self, body: &[u8]) -> Result<Judged, BadReview> {
        let request = Request::read(body)?;
        let (judged, outcome) = self.steered(&request);
        self.outcomes.add(outcome);
        Ok(judged)
    }

    fn steered(&self, request: &Request<'_>) -> (Judged, Outcome) {
        let reviewer = &self.reviewer;
        let state = reviewer.state();
        let moment = reviewer.moment(&state, request);
        let silent = |outcome| (Judged::silent(&request.uid), outcome);
        let workload = match moment.workload(request) {
            Ok(workload) => workload,
            Err(error) => {
                tracing::warn!(%error, uid = %request.uid, "a Pod that is not understood is not steered");
                return (Judged::not_understood(&request.uid), Outcome::Unchecked);
            }
        };
        let course = workload.map_or(Course::LeftAlone, |workload| {
            moment.course(request, &workload)
        });
        match (course, &request.object) {
            (Course::Steered(steer), Some(Object(pod))) => patched(request, pod, &steer),
            (Course::Steered(_) | Course::LeftAlone, _) => silent(Outcome::LeftAlone),
            (Course::Needless, _) => silent(Outcome::Needless),
            (Course::Inseparable, _) => silent(Outcome::Inseparable),
        }
    }
}

impl Moment<'_> {
    /// What becomes of an object: only a Pod that is being created is steered, and only where it is checked.
    fn course(&self, request: &Request<'_>, workload: &Workload) -> Course {
        let is_pod = workload.kind.group.is_empty() && workload.kind.kind == "Pod";
        let [group] = workload.groups.as_slice() else {
            return Course::LeftAlone;
        };
        let pod = request.object.as_ref().map(|object| &object.0);
        let declines = pod.is_some_and(steer::declines);
        let created = is_pod && request.operation == Operation::Create;
        if !created || declines || !self.checks(&group.demand) {
            return Course::LeftAlone;
        }
        let exemptions = &self.configuration.exemptions;
        let (demand, _) = exemptions.apply(self.namespace, &group.demand);
        if demand.containers.is_empty() {
            return Course::LeftAlone;
        }
        let (owner, fleet) = (workload.owner.as_ref(), &self.cluster.fleet);
        steer::steer(&self.assessor(), &demand, owner, fleet)
    }

    fn checks(&self, demand: &Demand) -> bool {
        let (chosen, _) = self.mode(demand);
        match chosen.mode {
            Mode::Enforce | Mode::Warn => true,
            Mode::Audit | Mode::Off => false,
        }
    }
}

fn patched(request: &Request<'_>, pod: &Value, steer: &Steer) -> (Judged, Outcome) {
    let steps = steer::patch(pod, steer);
    let patch = serde_json::to_vec(&steps).unwrap_or_default();
    if steps.is_empty() || patch.is_empty() {
        return (Judged::silent(&request.uid), Outcome::Needless);
    }
    let text = steer.text();
    tracing::info!(
        uid = %request.uid,
        namespace = request.namespace.as_deref(),
        dry_run = request.dry_run,
        by = text,
        "steered"
    );
    let mut response = Response::admitted(&request.uid);
    response.audit_annotations.insert(STEERED, text);
    response.patch = Some(ByteString(patch));
    response.patch_type = Some(PATCH_TYPE);
    let judged = Judged {
        reply: response.into_reply(),
        ..Judged::silent(&request.uid)
    };
    (judged, Outcome::Steered)
}

impl Label for Outcome {
    const KEY: &'static str = "outcome";
    const ALL: &'static [Self] = &[
        Self::Steered,
        Self::Needless,
        Self::Inseparable,
        Self::LeftAlone,
        Self::Unchecked,
    ];

    fn value(self) -> &'static str {
        match self {
            Self::Steered => "steered",
            Self::Needless => "needless",
            Self::Inseparable => "inseparable",
            Self::LeftAlone => "left-alone",
            Self::Unchecked => "unchecked",
        }
    }
}
