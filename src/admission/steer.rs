//! Steering: what a Pod is given so that it does not land on nodes where it is known to fail, and how that is written
//! into it.
//!
//! Pure. Only where at least one node is known to fit. Takes away only nodes that are known to fail, and no other unless
//! nothing else tells those. Never decides whether a Pod is refused.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::answer::full_name;
use super::assess::{Assessed, Assessment, Assessor, NodeList};
use super::decision::{Candidate, Fit, decide};
use super::message::{self, Place, Skip, Subject, Thing};
use super::policy::Autoscaler;
use crate::cluster::demand::{Demand, Owner};
use crate::cluster::fleet::{ClassId, Fleet};
use crate::cluster::placement::{Claims, Requirement};
use crate::cluster::schedule::{excluding_term, separating_term};

/// Annotation of a Pod that was steered: by what, and why.
pub const STEERED_ANNOTATION: &str = "gpu-capgate.io/steered";
/// Annotation by which a Pod asks not to be steered; as a label of its Namespace it is the registration's business.
pub const STEER_ANNOTATION: &str = "gpu-capgate.io/steer";
/// The only value that means anything.
const NOT: &str = "false";

/// Its controller, whatever its group, has chosen a node for each of its Pods already.
const DAEMON_SET: &str = "DaemonSet";
const AFFINITY: &str = "/spec/affinity";
const NODE: &str = "nodeAffinity";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const TERMS: &str = "nodeSelectorTerms";
const EXPRESSIONS: &str = "matchExpressions";

/// What steering makes of a Pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Course {
    /// It keeps away from some nodes.
    Steered(Steer),
    /// There is no node that is known to fit beside one that is known to fail.
    Needless,
    /// There are such, and no one requirement on labels tells them apart.
    Inseparable,
    /// It is not ours to steer.
    LeftAlone,
}

/// Where a Pod is steered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steer {
    /// To be added to its required node affinity.
    pub requirement: Requirement,
    /// Why, in one line.
    pub reason: String,
}

impl Steer {
    /// What the annotation says: by what, and why.
    #[must_use]
    pub fn text(&self) -> String {
        format!("nodeAffinity {}: {}", self.requirement, self.reason)
    }
}

/// One step of a JSON Patch (RFC 6902); there is no other kind here.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "op", rename = "add")]
pub struct Add {
    /// Where, as a JSON Pointer.
    pub path: String,
    /// What.
    pub value: Value,
}

/// Whether a Pod says that it is not to be steered. That is no bypass: the review follows.
#[must_use]
pub fn declines(pod: &Value) -> bool {
    let annotations = present(pod.get("metadata"), "annotations");
    annotations.and_then(|all| all.get(STEER_ANNOTATION)) == Some(&Value::from(NOT))
}

/// What becomes of a Pod that asks for GPUs.
#[must_use]
pub fn steer<'a>(
    assessor: &Assessor<'a>,
    demand: &'a Demand,
    owner: Option<&Owner>,
    fleet: &'a Fleet,
) -> Course {
    if !is_ours(assessor, demand, owner) {
        return Course::LeftAlone;
    }
    let assessment = assessor.assess(demand, fleet);
    let sides = Sides::of(assessor, &assessment);
    if sides.fitting.is_empty() || sides.failing.is_empty() {
        return Course::Needless;
    }
    let reason = reason(assessor, &assessment);
    match (sides.requirement(demand, fleet), reason) {
        (Some(requirement), Some(reason)) => Course::Steered(Steer {
            requirement,
            reason,
        }),
        (Some(_) | None, _) => Course::Inseparable,
    }
}

/// Whether a Pod may be steered at all. One that is bound to a node would only be kept from it; which devices a claim
/// picks is not known; another scheduler has rules of its own; and a node that nobody knows of has labels that nobody
/// knows of.
fn is_ours(assessor: &Assessor<'_>, demand: &Demand, owner: Option<&Owner>) -> bool {
    let placement = &demand.placement;
    let bound =
        placement.node_name.is_some() || owner.is_some_and(|owner| owner.kind.kind == DAEMON_SET);
    let all_known =
        assessor.nodes == NodeList::Whole && assessor.policy.autoscaler == Autoscaler::Settled;
    !bound && demand.scheduler.is_none() && placement.claims == Claims::None && all_known
}

/// The classes of nodes that a Pod could get, by how it fares there.
struct Sides {
    /// Something there can run it.
    fitting: Vec<ClassId>,
    /// All but those that fit.
    others: Vec<ClassId>,
    /// Known to fail.
    failing: Vec<ClassId>,
    /// All but those that are known to fail.
    kept: Vec<ClassId>,
    /// Whether a node may come that is none of the failing.
    coming: Coming,
}

/// Whether nodes may come that a Pod should be able to get. What makes nodes asks whether one would meet the Pod's
/// affinity, and does not know of labels that the node gets only once it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coming {
    None,
    Some,
}

impl Sides {
    fn of(assessor: &Assessor<'_>, assessment: &Assessment<'_>) -> Self {
        let mut sides = Self {
            fitting: Vec::new(),
            others: Vec::new(),
            failing: Vec::new(),
            kept: Vec::new(),
            coming: Coming::None,
        };
        let worst = assessment.worst(assessor.policy);
        for (class, (_, candidate)) in assessment.classes.iter().zip(worst) {
            let fit = candidate.fit(assessor.policy);
            match fit {
                Fit::Fits | Fit::Mixed => sides.fitting.push(class.id),
                Fit::Unknown | Fit::SeemsToFail | Fit::Fails => sides.others.push(class.id),
            }
            if fit == Fit::Fails {
                sides.failing.push(class.id);
                continue;
            }
            sides.kept.push(class.id);
            if !class.pools.is_empty() {
                sides.coming = Coming::Some;
            }
        }
        sides
    }

    /// The requirement that keeps the Pod from the failing nodes: one that leaves all others if there is one, else one
    /// that leaves those that fit.
    fn requirement(&self, demand: &Demand, fleet: &Fleet) -> Option<Requirement> {
        let placement = &demand.placement;
        let marked = |good: &[ClassId], bad: &[ClassId]| match self.coming {
            Coming::None => separating_term(placement, fleet, good, bad),
            Coming::Some => None,
        };
        let found = marked(&self.kept, &self.failing)
            .or_else(|| excluding_term(placement, fleet, &self.kept, &self.failing))
            .or_else(|| marked(&self.fitting, &self.others));
        found.map(|separation| separation.requirement)
    }
}

/// Why the first of the failing nodes fails, told of all on which the same container does.
fn reason(assessor: &Assessor<'_>, assessment: &Assessment<'_>) -> Option<String> {
    let fails = |candidate: &Candidate<'_>| candidate.fit(assessor.policy) == Fit::Fails;
    let mut worst = assessment.worst(assessor.policy);
    let (assessed, _) = worst.find(|(_, candidate)| fails(candidate))?;
    let failing: Vec<Candidate<'_>> = assessed
        .candidates
        .iter()
        .filter(|candidate| fails(candidate))
        .cloned()
        .collect();
    let ruling = decide(&[&failing], assessor.policy);
    let image = full_name(assessed.container.image.as_deref().unwrap_or_default());
    let subject = Subject {
        container: named(assessed, assessment),
        thing: Thing::Image(&image),
        place: Place::Named,
        skip: Skip::Withheld,
    };
    let candidates: Vec<&Candidate<'_>> = failing.iter().collect();
    Some(message::headline(&subject, &candidates, &ruling)).filter(|line| !line.is_empty())
}

/// The container's name, where the Pod has several.
fn named<'b>(assessed: &Assessed<'b>, assessment: &Assessment<'b>) -> Option<&'b str> {
    let several = assessment.demand.containers.len() > 1;
    several.then_some(assessed.container.name.as_str())
}

/// The steps that write a steer into a Pod: the requirement into each of its terms, since one of them is enough, and the
/// annotation. Empty if it has terms and none that anything could match.
#[must_use]
pub fn patch(pod: &Value, steer: &Steer) -> Vec<Add> {
    let mut steps = affinity(pod, &expression(&steer.requirement));
    if !steps.is_empty() {
        steps.push(annotation(pod, &steer.text()));
    }
    steps
}

fn affinity(pod: &Value, expression: &Value) -> Vec<Add> {
    let terms = json!({TERMS: [{EXPRESSIONS: [expression]}]});
    let Some(affinity) = present(pod.get("spec"), "affinity") else {
        return vec![add(AFFINITY.to_owned(), json!({NODE: {REQUIRED: terms}}))];
    };
    let path = format!("{AFFINITY}/{NODE}");
    let Some(node) = present(Some(affinity), NODE) else {
        return vec![add(path, json!({REQUIRED: terms}))];
    };
    let path = format!("{path}/{REQUIRED}");
    let Some(required) = present(Some(node), REQUIRED) else {
        return vec![add(path, terms)];
    };
    let own = present(Some(required), TERMS).and_then(Value::as_array);
    let own = own.into_iter().flatten().enumerate();
    own.filter_map(|(number, term)| {
        into_term(&format!("{path}/{TERMS}/{number}"), term, expression)
    })
    .collect()
}

/// A term without requirements matches nothing, and must not be revived.
fn into_term(path: &str, term: &Value, expression: &Value) -> Option<Add> {
    let list = |field| {
        let list = present(Some(term), field).and_then(Value::as_array);
        list.filter(|list| !list.is_empty())
    };
    match list(EXPRESSIONS) {
        Some(own) if own.contains(expression) => None,
        Some(_) => Some(add(format!("{path}/{EXPRESSIONS}/-"), expression.clone())),
        None => {
            list("matchFields").map(|_| add(format!("{path}/{EXPRESSIONS}"), json!([expression])))
        }
    }
}

fn annotation(pod: &Value, text: &str) -> Add {
    let annotations = "/metadata/annotations";
    match present(pod.get("metadata"), "annotations") {
        Some(_) => {
            let name = STEERED_ANNOTATION.replace('/', "~1");
            add(format!("{annotations}/{name}"), json!(text))
        }
        None => add(annotations.to_owned(), json!({STEERED_ANNOTATION: text})),
    }
}

/// A field that is there and not null.
fn present<'a>(value: Option<&'a Value>, field: &str) -> Option<&'a Value> {
    value?.get(field).filter(|found| !found.is_null())
}

const fn add(path: String, value: Value) -> Add {
    Add { path, value }
}

/// A requirement as the API has it (`NodeSelectorRequirement` in k8s.io/api/core/v1/types.go).
fn expression(requirement: &Requirement) -> Value {
    let mut fields = Map::new();
    fields.insert("key".to_owned(), json!(requirement.key));
    fields.insert("operator".to_owned(), json!(requirement.operator.word()));
    if !requirement.values.is_empty() {
        fields.insert("values".to_owned(), json!(requirement.values));
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::placement::Operator;

    fn steer() -> Steer {
        Steer {
            requirement: Requirement {
                key: "gpu-capgate.io/compute.min".to_owned(),
                operator: Operator::Gt,
                values: vec!["69".to_owned()],
            },
            reason: "image has no GPU code for Tesla P100 (sm_60) [GPU-ARCH]".to_owned(),
        }
    }

    fn ours() -> Value {
        json!({"key": "gpu-capgate.io/compute.min", "operator": "Gt", "values": ["69"]})
    }

    /// The Pod after the patch, applied by a library and not by us.
    fn patched(pod: &Value) -> Value {
        let steps = serde_json::to_value(patch(pod, &steer())).unwrap();
        let steps: json_patch::Patch = serde_json::from_value(steps).unwrap();
        let mut pod = pod.clone();
        json_patch::patch(&mut pod, &steps).unwrap();
        pod
    }

    fn terms(pod: &Value) -> &Value {
        &pod["spec"]["affinity"][NODE][REQUIRED][TERMS]
    }

    fn with_terms(terms: &Value) -> Value {
        json!({"metadata": {}, "spec": {"affinity": {NODE: {REQUIRED: {TERMS: terms}}}}})
    }

    #[test]
    fn missing_parents_are_made_and_present_ones_are_kept() {
        let only = json!([{EXPRESSIONS: [ours()]}]);
        let preferred = json!([{"weight": 1, "preference": {}}]);
        for affinity in [
            json!(null),
            json!({}),
            json!({NODE: null}),
            json!({NODE: {}}),
            json!({NODE: {REQUIRED: null}}),
            json!({NODE: {"preferred": preferred}, "podAffinity": {"a": 1}}),
            json!({"podAntiAffinity": {"a": 1}}),
        ] {
            let pod = json!({"metadata": {}, "spec": {"affinity": affinity, "containers": []}});
            let mut after = patched(&pod);
            assert_eq!(*terms(&after), only, "{affinity}");
            let node = after["spec"]["affinity"][NODE].as_object_mut().unwrap();
            node.remove(REQUIRED);
            let own = |name: &str| &affinity[name];
            assert_eq!(
                node.get("preferred").unwrap_or(&Value::Null),
                &own(NODE)["preferred"]
            );
            for other in ["podAffinity", "podAntiAffinity"] {
                assert_eq!(after["spec"]["affinity"][other], *own(other));
            }
        }
        let bare = json!({"metadata": {"name": "train"}, "spec": {"containers": []}});
        assert_eq!(*terms(&patched(&bare)), only);
    }

    #[test]
    fn the_requirement_is_added_to_every_term_since_one_is_enough() {
        let (zone, name) = (
            json!({"key": "zone", "operator": "Exists"}),
            json!({"key": "metadata.name", "operator": "NotIn", "values": ["a"]}),
        );
        let pod = with_terms(&json!([
            {EXPRESSIONS: [zone]},
            {"matchFields": [name]},
            {EXPRESSIONS: [], "matchFields": [name]},
        ]));
        let expected = json!([
            {EXPRESSIONS: [zone, ours()]},
            {EXPRESSIONS: [ours()], "matchFields": [name]},
            {EXPRESSIONS: [ours()], "matchFields": [name]},
        ]);
        assert_eq!(*terms(&patched(&pod)), expected);
    }

    #[test]
    fn a_term_that_matches_nothing_is_not_revived() {
        let zone = json!({"key": "zone", "operator": "Exists"});
        let pod = with_terms(&json!([{}, {EXPRESSIONS: []}, {EXPRESSIONS: [zone]}]));
        let expected = json!([{}, {EXPRESSIONS: []}, {EXPRESSIONS: [zone, ours()]}]);
        assert_eq!(*terms(&patched(&pod)), expected);
        assert_eq!(patch(&with_terms(&json!([{}])), &steer()), []);
    }

    #[test]
    fn what_has_been_added_is_not_added_again() {
        let once = patched(&with_terms(
            &json!([{EXPRESSIONS: [{"key": "a", "operator": "Exists"}]}]),
        ));
        assert_eq!(patch(&once, &steer()), []);
    }

    #[test]
    fn the_annotation_goes_beside_others_and_says_why() {
        let text = "nodeAffinity gpu-capgate.io/compute.min Gt \"69\": \
                    image has no GPU code for Tesla P100 (sm_60) [GPU-ARCH]";
        let annotated = |metadata: Value| patched(&json!({"metadata": metadata, "spec": {}}));
        let alone = annotated(json!({"name": "a"}));
        assert_eq!(
            alone["metadata"]["annotations"],
            json!({STEERED_ANNOTATION: text})
        );
        let both = annotated(json!({"annotations": {"a": "b", STEERED_ANNOTATION: "old"}}));
        assert_eq!(
            both["metadata"]["annotations"],
            json!({"a": "b", STEERED_ANNOTATION: text})
        );
    }
}
