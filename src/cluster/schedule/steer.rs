//! Moving a Pod: one requirement on labels that keeps the nodes that can run it and drops those that cannot.
//!
//! Pure. Only keys that those nodes carry are offered, and the answer has been asked of the candidate function.

use std::collections::BTreeSet;

use super::{Question, Sense, possible};
use crate::cluster::fleet::{Bits, ClassId, Fleet};
use crate::cluster::placement::{Operator, Placement, Requirement};
use crate::cluster::selector::integer;

/// Most values that a printed requirement lists.
const VALUES: usize = 3;

/// Labels that tell GPUs apart, the plainest first; all of them by their numbers.
const NUMBERS: [&str; 9] = [
    "gpu-capgate.io/compute.min",
    "gpu-capgate.io/compute.max",
    "gpu-capgate.io/driver.major",
    "gpu-capgate.io/cuda.max",
    "nvidia.com/gpu.compute.major",
    "nvidia.com/cuda.driver-version.major",
    "nvidia.com/cuda.driver.major",
    "gpu-capgate.io/cuda.major",
    "nvidia.com/cuda.runtime-version.major",
];

/// The same by their words.
const WORDS: [&str; 11] = [
    "gpu-capgate.io/family",
    "nvidia.com/gpu.family",
    "nvidia.com/gpu.product",
    "cloud.google.com/gke-accelerator",
    "karpenter.k8s.aws/instance-gpu-name",
    "eks.amazonaws.com/instance-gpu-name",
    "karpenter.azure.com/sku-gpu-name",
    "gpu.nvidia.com/class",
    "kubernetes.io/arch",
    "gpu-capgate.io/platform",
    "node.kubernetes.io/instance-type",
];

/// Prefixes of our labels whose mere presence tells that a kind of GPU is there.
const PRESENCES: [&str; 2] = ["gpu-capgate.io/sm-", "gpu-capgate.io/product."];

/// A requirement that separates, and how many nodes it leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Separation {
    /// To be added to the Pod's required node affinity.
    pub requirement: Requirement,
    /// Nodes that the Pod could then get, all of them of the good classes.
    pub nodes: usize,
}

/// The plainest requirement under which a Pod could get every node of the good classes that it can get now, and no other. The caller drops
/// selectors first ([`Placement::unselected`]) if it wants to know of nodes elsewhere.
#[must_use]
pub fn separating_term(
    placement: &Placement,
    fleet: &Fleet,
    good: &[ClassId],
    bad: &[ClassId],
) -> Option<Separation> {
    let question = Question::new(placement, fleet, Sense::Possible)?;
    let (good_nodes, bad_nodes) = (question.of(fleet, good), question.of(fleet, bad));
    let total = good_nodes.total();
    if total == 0 || bad_nodes.total() == 0 {
        return None;
    }
    let view = View {
        fleet,
        good: &good_nodes,
        bad: &bad_nodes,
        total,
    };
    let numbers = NUMBERS.iter().filter_map(|key| view.by_number(key));
    let words = WORDS.iter().filter_map(|key| view.by_word(key));
    let mut offered = numbers.chain(words).chain(view.by_presence());
    offered.find_map(|requirement| checked(placement, fleet, good, requirement))
}

/// The plainest requirement that takes the nodes of the bad classes from a Pod, and no other that it can get now; nodes
/// without the label meet it as well, so that those of which nothing is known stay, and those that a pool brings.
#[must_use]
pub fn excluding_term(
    placement: &Placement,
    fleet: &Fleet,
    kept: &[ClassId],
    bad: &[ClassId],
) -> Option<Separation> {
    let question = Question::new(placement, fleet, Sense::Possible)?;
    let (kept, bad_nodes) = (question.of(fleet, kept), question.of(fleet, bad));
    if bad_nodes.total() == 0 {
        return None;
    }
    let view = View {
        fleet,
        good: &bad_nodes,
        bad: &kept,
        total: bad_nodes.total(),
    };
    let keys = NUMBERS.iter().chain(&WORDS);
    let mut found = keys.filter_map(|key| view.by_word(key));
    found.find_map(|marked| {
        let requirement = requirement(&marked.key, Operator::NotIn, marked.values);
        let left = possible(&placement.requiring(&requirement), fleet);
        let gone = |id| {
            left.classes
                .iter()
                .all(|class| class.id != id || class.nodes == 0)
        };
        let all_gone = bad.iter().all(|id| gone(*id));
        (all_gone && left.nodes() == kept.total()).then(|| Separation {
            requirement,
            nodes: left.nodes(),
        })
    })
}

/// Runs the candidate function with the requirement: what it leaves must be of the good classes only.
fn checked(
    placement: &Placement,
    fleet: &Fleet,
    good: &[ClassId],
    requirement: Requirement,
) -> Option<Separation> {
    let moved = placement.requiring(&requirement);
    let left = possible(&moved, fleet);
    let pure = left.classes.iter().all(|class| good.contains(&class.id));
    (pure && left.nodes() > 0).then(|| Separation {
        requirement,
        nodes: left.nodes(),
    })
}

impl Question<'_> {
    /// The positions of the nodes of some classes that the Pod could get.
    fn of(&self, fleet: &Fleet, classes: &[ClassId]) -> Bits {
        let (offers, taints) = (self.fitting(fleet), self.admitting(fleet));
        let holds = |flags: &[bool], number: u32| flags.get(number as usize) == Some(&true);
        let mut set = Bits::none(fleet.nodes());
        for cell in fleet.cells() {
            let fits = holds(&offers, cell.offer) && holds(&taints, cell.taints);
            if fits && cell.os == self.os && classes.contains(&cell.class) {
                (cell.start..cell.end).for_each(|position| set.insert(position));
            }
        }
        if let Some(positions) = self.positions(fleet) {
            set.intersect(positions.words());
        }
        set
    }
}

/// The two sides of a separation.
struct View<'a> {
    fleet: &'a Fleet,
    good: &'a Bits,
    bad: &'a Bits,
    total: usize,
}

impl View<'_> {
    /// `key Gt least good - 1` or `key Lt greatest good + 1`.
    fn by_number(&self, key: &str) -> Option<Requirement> {
        let (least, most) = bounds(self.fleet.values_within(key, self.good), Some(self.total))?;
        let bad = bounds(self.fleet.values_within(key, self.bad), None);
        let (operator, bound) = match bad {
            None => (Operator::Gt, least.checked_sub(1)?),
            Some((_, highest)) if highest < least => (Operator::Gt, least.checked_sub(1)?),
            Some((lowest, _)) if lowest > most => (Operator::Lt, most.checked_add(1)?),
            Some(_) => return None,
        };
        // A label value cannot begin with a minus sign.
        (bound >= 0).then(|| requirement(key, operator, vec![bound.to_string()]))
    }

    /// `key In (...)`, where the good nodes have few values and the bad ones none of them.
    fn by_word(&self, key: &str) -> Option<Requirement> {
        let found: Vec<(&str, usize)> = self.fleet.values_within(key, self.good).collect();
        let carriers: usize = found.iter().map(|(_, count)| count).sum();
        let values: BTreeSet<&str> = found.into_iter().map(|(value, _)| value).collect();
        let mut others = self.fleet.values_within(key, self.bad);
        let apart = others.all(|(value, _)| !values.contains(value));
        (carriers == self.total && apart && values.len() <= VALUES).then(|| {
            let values = values.into_iter().map(str::to_owned).collect();
            requirement(key, Operator::In, values)
        })
    }

    /// `key Exists`, for keys that stand for a kind of GPU.
    fn by_presence(&self) -> Option<Requirement> {
        let carriers = |key: &str, set| -> usize {
            self.fleet
                .values_within(key, set)
                .map(|(_, count)| count)
                .sum()
        };
        let tells = |key: &&str| PRESENCES.iter().any(|prefix| key.starts_with(prefix));
        let mut keys: Vec<&str> = self.fleet.label_keys().filter(tells).collect();
        keys.sort_unstable_by(|one, other| other.cmp(one));
        let separates =
            |key: &&str| carriers(key, self.good) == self.total && carriers(key, self.bad) == 0;
        let key = keys.into_iter().find(separates)?;
        Some(requirement(key, Operator::Exists, Vec::new()))
    }
}

fn requirement(key: &str, operator: Operator, values: Vec<String>) -> Requirement {
    Requirement {
        key: key.to_owned(),
        operator,
        values,
    }
}

/// The least and the greatest integer among values; `None` if there is none, or if not all of `carriers` have one.
fn bounds<'a>(
    values: impl Iterator<Item = (&'a str, usize)>,
    carriers: Option<usize>,
) -> Option<(i64, i64)> {
    let numbers: Vec<(i64, usize)> = values
        .filter_map(|(value, count)| Some((integer(value)?, count)))
        .collect();
    let counted: usize = numbers.iter().map(|(_, count)| count).sum();
    let least = numbers.iter().map(|(number, _)| *number).min()?;
    let most = numbers.iter().map(|(number, _)| *number).max()?;
    carriers
        .is_none_or(|carriers| carriers == counted)
        .then_some((least, most))
}
