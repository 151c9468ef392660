//! Judges an object by what is known and chosen at one moment: reads what it asks for, finds the mode and the exemptions
//! that hold, and tells the worst of its Pods. Knows nothing of how a review is written.

use std::borrow::Cow;
use std::cmp::Reverse;

use serde_json::Value;

use super::Bypass;
use super::envelope::{Operation, Request};
use crate::admission::answer::{Answer, answer};
use crate::admission::assess::{Assessor, NodeList};
use crate::admission::configuration::Configuration;
use crate::admission::message;
use crate::admission::policy::{Mode, Permission};
use crate::cluster::demand::{
    self, ContainerDemand, Demand, DemandError, Origin, Reading, Skip, Workload,
};
use crate::cluster::watch::ClusterState;
use crate::compat::Code;
use crate::image::evidence::Knowledge;
use crate::image::reference::Reference;
use crate::image::repositories::Repositories;

/// Why an object cannot be judged.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotUnderstood {
    /// It does not say what it is.
    #[error("the object has no apiVersion and kind")]
    NoKind,
    /// A part that decides is of another form.
    #[error(transparent)]
    Demand(#[from] DemandError),
}

/// What is said about all Pods of an object, and what led to it.
pub(super) struct Finding {
    pub(super) answer: Answer,
    pub(super) mode: Chosen,
    pub(super) exemption: Option<String>,
}

/// A mode, and who chose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) mode: Mode,
    pub(super) by: Option<Bypass>,
}

/// What a review is decided with: the state of everything at its beginning.
pub(super) struct Moment<'a> {
    pub(super) cluster: &'a ClusterState,
    pub(super) configuration: &'a Configuration,
    pub(super) repositories: &'a Repositories,
    pub(super) namespace: &'a str,
}

impl Moment<'_> {
    /// The workload to judge; `None` for what is none of our business.
    pub(super) fn workload(
        &self,
        request: &Request<'_>,
    ) -> Result<Option<Workload>, NotUnderstood> {
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
        // An update that changes nothing that we judge must not break what is there. What was there and is not
        // understood is something else than what is now.
        let before = match self.read(request.old_object.as_ref()) {
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
            origin: Origin::Review,
        };
        match reader.read(object)? {
            Reading::Workload(workload) => Ok(Some(workload)),
            Reading::Skipped(Skip::NoKind) => Err(NotUnderstood::NoKind),
            Reading::Skipped(Skip::Kind(_) | Skip::MirrorPod | Skip::Deleted) => Ok(None),
        }
    }

    /// What is said about all Pods that an object makes: that about the worst.
    pub(super) fn review<'b>(&self, demands: impl Iterator<Item = &'b Demand>) -> Finding {
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
