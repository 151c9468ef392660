//! Taints and tolerations: whether a node keeps a Pod away.
//!
//! Pure. Source: k8s.io/component-helpers/scheduling/corev1 and `Toleration.ToleratesTaint` of k8s.io/api/core/v1;
//! well-known keys: `well_known_taints.go` of k8s.io/api/core/v1.

use super::placement::{PodNetwork, Toleration, TolerationOperator};
use super::selector::integer;

/// The taint of a cordoned node.
pub const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const MEMORY_PRESSURE: &str = "node.kubernetes.io/memory-pressure";
const DISK_PRESSURE: &str = "node.kubernetes.io/disk-pressure";
const PID_PRESSURE: &str = "node.kubernetes.io/pid-pressure";
const NETWORK_UNAVAILABLE: &str = "node.kubernetes.io/network-unavailable";

/// Taints that come and go with a node's condition and say nothing of its hardware.
const PASSING: [&str; 11] = [
    NOT_READY,
    UNREACHABLE,
    UNSCHEDULABLE,
    MEMORY_PRESSURE,
    DISK_PRESSURE,
    PID_PRESSURE,
    NETWORK_UNAVAILABLE,
    "node.kubernetes.io/out-of-service",
    "node.cloudprovider.kubernetes.io/uninitialized",
    "node.cloudprovider.kubernetes.io/shutdown",
    "ToBeDeletedByClusterAutoscaler",
];

/// What a taint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// Keeps new Pods away.
    NoSchedule,
    /// Keeps new Pods away and ends those that are there.
    NoExecute,
}

impl Effect {
    /// The effect of that name; `None` for one that never excludes (`PreferNoSchedule`).
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "NoSchedule" => Some(Self::NoSchedule),
            "NoExecute" => Some(Self::NoExecute),
            _ => None,
        }
    }

    pub(in crate::cluster) const fn word(self) -> &'static str {
        match self {
            Self::NoSchedule => "NoSchedule",
            Self::NoExecute => "NoExecute",
        }
    }
}

/// A taint that can keep Pods away.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Taint {
    /// Its key.
    pub key: Box<str>,
    /// Its value, empty if it has none.
    pub value: Box<str>,
    /// What it does.
    pub effect: Effect,
}

impl Taint {
    /// The taint that the scheduler sees on a node whose spec says `unschedulable`.
    #[must_use]
    pub fn cordon() -> Self {
        Self {
            key: UNSCHEDULABLE.into(),
            value: "".into(),
            effect: Effect::NoSchedule,
        }
    }

    /// Whether it passes by itself, so that the node may be there again at any time.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        PASSING.contains(&&*self.key)
    }

    /// Whether one of the tolerations is about it.
    #[must_use]
    pub fn is_tolerated<'a>(&self, mut by: impl Iterator<Item = &'a Toleration>) -> bool {
        by.any(|toleration| tolerates(toleration, self))
    }
}

/// Whether a toleration covers a taint.
#[must_use]
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let meant = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
    if !meant(&toleration.effect, taint.effect.word()) || !meant(&toleration.key, &taint.key) {
        return false;
    }
    match toleration.operator {
        TolerationOperator::Equal => *toleration.value == *taint.value,
        TolerationOperator::Exists => true,
        TolerationOperator::Lt => {
            compared(taint, toleration).is_some_and(|(has, bound)| has < bound)
        }
        TolerationOperator::Gt => {
            compared(taint, toleration).is_some_and(|(has, bound)| has > bound)
        }
        TolerationOperator::Unreadable => false,
    }
}

/// What the DaemonSet controller adds to its Pods (pkg/controller/daemon/util, `AddOrUpdateDaemonPodTolerations`).
#[must_use]
pub fn of_daemon(network: PodNetwork) -> Vec<Toleration> {
    let host: &[_] = match network {
        PodNetwork::Own => &[],
        PodNetwork::Host => &[(NETWORK_UNAVAILABLE, Effect::NoSchedule)],
    };
    let always = [
        (NOT_READY, Effect::NoExecute),
        (UNREACHABLE, Effect::NoExecute),
        (DISK_PRESSURE, Effect::NoSchedule),
        (MEMORY_PRESSURE, Effect::NoSchedule),
        (PID_PRESSURE, Effect::NoSchedule),
        (UNSCHEDULABLE, Effect::NoSchedule),
    ];
    always
        .iter()
        .chain(host)
        .map(|&(key, effect)| exists(key, effect))
        .collect()
}

/// What the admission plugin DefaultTolerationSeconds adds to a Pod: a key that a toleration is about already is left
/// alone, whatever the toleration's value. For how long says nothing about scheduling.
pub fn by_default(own: &[Toleration]) -> impl Iterator<Item = Toleration> {
    let is_about = |toleration: &Toleration, key: &str| {
        let meant = |word: &str, wanted: &str| word.is_empty() || word == wanted;
        meant(&toleration.key, key) && meant(&toleration.effect, Effect::NoExecute.word())
    };
    [NOT_READY, UNREACHABLE]
        .into_iter()
        .filter(move |key| !own.iter().any(|toleration| is_about(toleration, key)))
        .map(|key| exists(key, Effect::NoExecute))
}

/// What the admission plugin ExtendedResourceToleration adds for a resource.
#[must_use]
pub fn of_resource(resource: &str) -> Toleration {
    exists(resource, Effect::NoSchedule)
}

fn exists(key: &str, effect: Effect) -> Toleration {
    Toleration {
        key: key.to_owned(),
        operator: TolerationOperator::Exists,
        value: String::new(),
        effect: effect.word().to_owned(),
    }
}

fn compared(taint: &Taint, toleration: &Toleration) -> Option<(i64, i64)> {
    plain_integer(&taint.value).zip(plain_integer(&toleration.value))
}

/// An integer as tolerations compare them: decimal, without leading zeros or plus sign.
fn plain_integer(text: &str) -> Option<i64> {
    let number = integer(text)?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taint(key: &str, value: &str, effect: Effect) -> Taint {
        Taint {
            key: key.into(),
            value: value.into(),
            effect,
        }
    }

    fn toleration(key: &str, operator: &str, value: &str, effect: &str) -> Toleration {
        Toleration {
            key: key.to_owned(),
            operator: TolerationOperator::named(operator),
            value: value.to_owned(),
            effect: effect.to_owned(),
        }
    }

    #[test]
    fn tolerations_cover_what_the_scheduler_says() {
        let red = taint("team", "red", Effect::NoSchedule);
        for (key, operator, value, effect, expected) in [
            ("team", "Equal", "red", "NoSchedule", true),
            ("team", "", "red", "", true),
            ("team", "Equal", "blue", "", false),
            ("team", "Exists", "", "", true),
            ("", "Exists", "", "", true),
            ("", "Exists", "", "NoExecute", false),
            ("other", "Exists", "", "", false),
            ("team", "Exists", "", "NoExecute", false),
            ("team", "Sometimes", "red", "", false),
            ("team", "Gt", "1", "", false),
        ] {
            let toleration = toleration(key, operator, value, effect);
            assert_eq!(tolerates(&toleration, &red), expected, "{toleration:?}");
        }
    }

    #[test]
    fn numbers_are_compared_with_the_taints_value_on_the_left() {
        let five = taint("level", "5", Effect::NoExecute);
        for (operator, value, expected) in [
            ("Gt", "4", true),
            ("Gt", "5", false),
            ("Lt", "6", true),
            ("Lt", "5", false),
            ("Gt", "04", false),
            ("Gt", "+4", false),
            ("Gt", "4.0", false),
            ("Gt", "-1", true),
        ] {
            let toleration = toleration("level", operator, value, "");
            assert_eq!(tolerates(&toleration, &five), expected, "{toleration:?}");
        }
    }

    #[test]
    fn a_daemon_is_let_onto_a_cordoned_node() {
        let added = of_daemon(PodNetwork::Own);
        assert!(Taint::cordon().is_tolerated(added.iter()));
        let offline = taint(NETWORK_UNAVAILABLE, "", Effect::NoSchedule);
        assert!(!offline.is_tolerated(added.iter()));
        assert!(offline.is_tolerated(of_daemon(PodNetwork::Host).iter()));
    }
}
