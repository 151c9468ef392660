//! One review: gathers what the Pod asks for, which nodes it could get and what its images hold, then decides.

use std::collections::HashMap;

use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview, Operation};
use kube::core::response::{Status, StatusCause, StatusDetails, StatusSummary};

use super::decision::{Candidate, Decision, Ruling, decide};
use super::message::{self, Place, Skip, Subject, Thing};
use super::policy::Mode;
use crate::cluster::demand::{self, ContainerDemand, Demand, Origin, Reading};
use crate::cluster::fleet::Fleet;
use crate::cluster::resource::{GpuResources, ResourceKind};
use crate::cluster::schedule;
use crate::cluster::watch::SharedFleet;
use crate::cluster::workload::Kinds;
use crate::compat::{Catalog, CpuArchitecture, Host, Software, judge_with};
use crate::image::evidence::Knowledge;
use crate::image::reference::Reference;
use crate::image::repositories::Repositories;

/// Most warnings that one review sends.
const WARNING_COUNT: usize = 10;
/// Longest image name that is echoed, in characters.
const IMAGE_LIMIT: usize = 160;

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
}

/// What a review of one Pod came to.
struct Outcome {
    decision: Decision,
    /// Text, for a denial.
    refusals: Vec<Refusal>,
    warnings: Vec<String>,
}

/// Where a Pod could land: the same for all of its containers.
struct Placed<'a> {
    classes: Vec<Class<'a>>,
    /// In words, for messages.
    selection: String,
}

/// Nodes with equal GPUs.
struct Class<'a> {
    /// One for each kind of GPU there; empty if that is not known.
    hosts: Vec<&'a Host>,
    nodes: usize,
}

struct Refusal {
    field: String,
    code: String,
    text: String,
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

    fn review(&self, demand: &Demand) -> Outcome {
        let mode = demand.mode.as_deref().map_or(Ok(Mode::Enforce), str::parse);
        let mut outcome = Outcome {
            decision: Decision::Allow,
            refusals: Vec::new(),
            warnings: Vec::new(),
        };
        let mode = mode.unwrap_or_else(|error| {
            outcome.warnings.push(format!(
                "gpu-capgate: annotation {}: {error}; enforce applies",
                demand::MODE_ANNOTATION
            ));
            Mode::Enforce
        });
        if mode == Mode::Off {
            return outcome;
        }
        let fleet = self.fleet.load();
        let selection = schedule::selection(&demand.placement);
        let asking = |container: &&ContainerDemand| !container.gpus.is_empty();
        for container in demand.containers.iter().filter(asking) {
            let resource = container.gpus.keys().next();
            let kind = resource.and_then(|resource| self.resources.kind(resource));
            let placed = Placed {
                classes: classes(demand, &fleet, kind.as_ref()),
                selection: selection.clone(),
            };
            self.review_container(container, &placed, mode, &mut outcome);
        }
        outcome
    }

    fn review_container(
        &self,
        container: &ContainerDemand,
        placed: &Placed<'_>,
        mode: Mode,
        outcome: &mut Outcome,
    ) {
        let candidates = self.candidates(container, &placed.classes);
        let ruling = decide(&candidates);
        let image: String = full_name(container.image.as_deref().unwrap_or_default())
            .chars()
            .take(IMAGE_LIMIT)
            .collect();
        let subject = Subject {
            container: Some(&container.name),
            thing: Thing::Image(&image),
            place: Place::Nodes {
                selection: &placed.selection,
            },
            skip: Skip::Offered,
        };
        let decision = in_mode(&ruling, mode);
        match decision {
            Decision::Deny => outcome.refusals.push(Refusal {
                field: container.field.to_string(),
                code: ruling
                    .codes
                    .first()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
                text: message::denial(&subject, &candidates, &ruling, self.knowledge()),
            }),
            Decision::Warn => {
                outcome
                    .warnings
                    .push(message::warning(&subject, &candidates, &ruling));
            }
            Decision::Allow | Decision::Undecided => {}
        }
        outcome.decision = outcome.decision.max(decision);
    }

    /// What each class of nodes makes of a container.
    fn candidates(&self, container: &ContainerDemand, classes: &[Class<'_>]) -> Vec<Candidate> {
        let mut software = HashMap::new();
        let mut judged = |host: &Host| {
            let architecture = host.architecture.unwrap_or(CpuArchitecture::Amd64);
            let software = software
                .entry(architecture)
                .or_insert_with(|| self.software(container, architecture));
            (host.clone(), judge_with(self.catalog, software, host))
        };
        classes
            .iter()
            .map(|class| Candidate {
                nodes: class.nodes,
                hosts: class.hosts.iter().copied().map(&mut judged).collect(),
            })
            .collect()
    }

    fn knowledge(&self) -> Knowledge<'_> {
        Knowledge {
            catalog: self.catalog,
            repositories: &self.repositories,
        }
    }

    fn software(&self, container: &ContainerDemand, architecture: CpuArchitecture) -> Software {
        if let Some(change) = &container.changed {
            return Software::unknown(change.to_string());
        }
        let image = container.image.as_deref().unwrap_or_default();
        let Ok(reference) = image.parse::<Reference>() else {
            return Software::unknown("the image's name cannot be read");
        };
        match self.knowledge().named(&reference, architecture) {
            Ok(named) => named.software,
            Err(error) => Software::unknown(error.to_string()),
        }
    }
}

/// The classes of nodes that a Pod could land on, in an order that is always the same.
fn classes<'a>(
    demand: &Demand,
    fleet: &'a Fleet,
    resource: Option<&ResourceKind>,
) -> Vec<Class<'a>> {
    schedule::possible(&demand.placement, fleet)
        .classes
        .into_iter()
        .map(|class| Class {
            hosts: class
                .knowledge
                .groups(resource)
                .map(|group| &group.host)
                .collect(),
            nodes: class.nodes + class.pools.len(),
        })
        .collect()
}

/// What a decision becomes in a mode.
fn in_mode(ruling: &Ruling, mode: Mode) -> Decision {
    match (mode, ruling.decision) {
        (Mode::Off | Mode::Audit, _) => Decision::Allow,
        (Mode::Warn, Decision::Deny) => Decision::Warn,
        (Mode::Enforce | Mode::Warn, decision) => decision,
    }
}

/// The image with its registry and tag, as it is shown; one that is not understood is shown escaped.
fn full_name(image: &str) -> String {
    match image.parse::<Reference>() {
        Ok(reference) => reference.to_string(),
        Err(_) => image.escape_default().to_string(),
    }
}

fn respond(
    request: &AdmissionRequest<DynamicObject>,
    outcome: Option<Outcome>,
) -> AdmissionResponse {
    let mut response = AdmissionResponse::from(request);
    let Some(outcome) = outcome else {
        return response;
    };
    tracing::info!(
        uid = request.uid,
        namespace = request.namespace,
        decision = %outcome.decision,
        codes = ?outcome.refusals.iter().map(|refusal| refusal.code.as_str()).collect::<Vec<_>>(),
        "reviewed"
    );
    response
        .audit_annotations
        .insert("decision".to_owned(), outcome.decision.to_string());
    if let Some(worst) = outcome.refusals.first() {
        response.allowed = false;
        response.result = forbidden(worst.text.clone(), &outcome.refusals);
    }
    let warnings: Vec<String> = outcome.warnings.into_iter().take(WARNING_COUNT).collect();
    response.warnings = (!warnings.is_empty()).then_some(warnings);
    response
}

fn forbidden(message: String, refusals: &[Refusal]) -> Status {
    let cause = |refusal: &Refusal| StatusCause {
        reason: refusal.code.clone(),
        message: refusal.text.lines().next().unwrap_or_default().to_owned(),
        field: refusal.field.clone(),
    };
    let causes = refusals.iter().map(cause).collect();
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
