//! Random nodes and Pods that often fit each other: few keys, few values, everything that can be written about them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

pub(super) const GPU: &str = "nvidia.com/gpu";
const MIG: &str = "nvidia.com/mig-1g.5gb";
const HCA: &str = "rdma/hca";

const KEYS: [&str; 3] = ["a", "example.com/b", "sm"];
const VALUES: [&str; 8] = [
    "x",
    "y",
    "",
    "80",
    "75",
    "8.0",
    "080",
    "9223372036854775808",
];
const BOUNDS: [&str; 6] = ["79", "80", "0", "8.0", "x", "9223372036854775807"];
const TAINTS: [&str; 5] = [
    "team",
    "level",
    GPU,
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/not-ready",
];
const TAINT_VALUES: [&str; 4] = ["", "red", "5", "05"];
const EFFECTS: [&str; 3] = ["NoSchedule", "NoExecute", "PreferNoSchedule"];

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers everywhere for one seed.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    /// True so many times in a hundred.
    fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    fn some<T>(&mut self, most: usize, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| one(self)).collect()
    }
}

/// What the API server knows of toleration operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparisons {
    Refused,
    Accepted,
}

/// A node as it is to be, by what is patched where.
pub(super) struct ArbitraryNode {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) spec: Value,
    pub(super) status: Value,
}

impl ArbitraryNode {
    pub(super) fn name(&self) -> &str {
        &self.labels["pin"]
    }

    /// A value of a label: often the node's own.
    fn value<'a>(&'a self, random: &mut Random, key: &str) -> &'a str {
        let own = self.labels.get(key).filter(|_| random.percent(50));
        own.map_or_else(|| random.pick(&VALUES), |own| own.as_str())
    }

    /// Key and value of a taint: often one of the node's own.
    fn taint<'a>(&'a self, random: &mut Random) -> (&'a str, &'a str) {
        let any = (random.pick(&TAINTS), random.pick(&TAINT_VALUES));
        let taints = self.spec["taints"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        let own = random.percent(60).then(|| taints.first()).flatten();
        let text = |taint: &'a Value, field: &str| taint[field].as_str();
        let own = own.and_then(|taint| text(taint, "key").zip(text(taint, "value")));
        own.unwrap_or(any)
    }
}

pub(super) fn node(random: &mut Random, name: &str) -> ArbitraryNode {
    let mut labels = BTreeMap::from([("pin".to_owned(), name.to_owned())]);
    for key in KEYS {
        if random.percent(70) {
            labels.insert(key.to_owned(), random.pick(&VALUES).to_owned());
        }
    }
    let mut taints = BTreeMap::new();
    for _ in 0..usize::from(random.percent(45)) + usize::from(random.percent(15)) {
        let (key, effect) = (random.pick(&TAINTS), random.pick(&EFFECTS));
        let value = random.pick(&TAINT_VALUES);
        taints.insert(
            (key, effect),
            json!({"key": key, "value": value, "effect": effect}),
        );
    }
    let mut capacity = json!({"cpu": "1000", "memory": "1Ti", "pods": "1000"});
    let mut allocatable = capacity.clone();
    for resource in [GPU, MIG, HCA] {
        if random.percent(90) {
            let has = random.below(5);
            let healthy = if random.percent(80) {
                has
            } else {
                random.below(has + 1)
            };
            capacity[resource] = json!(has.to_string());
            allocatable[resource] = json!(healthy.to_string());
        }
    }
    let taints: Vec<Value> = taints.into_values().collect();
    ArbitraryNode {
        labels,
        spec: json!({"taints": taints, "unschedulable": random.percent(10)}),
        status: json!({"capacity": capacity, "allocatable": allocatable}),
    }
}

/// A Pod for that node and no other. Half of what it says is taken from the node, so that many fit.
pub(super) fn pod(
    random: &mut Random,
    name: &str,
    node: &ArbitraryNode,
    comparisons: Comparisons,
) -> Value {
    let mut selector = json!({"pin": node.name()});
    if random.percent(20) {
        let key = random.pick(&KEYS);
        selector[key] = json!(node.value(random, key));
    }
    let mut spec = json!({
        "terminationGracePeriodSeconds": 0,
        "nodeSelector": selector,
        "tolerations": random.some(3, |random| toleration(random, node, comparisons)),
        "containers": [{"name": "c", "image": "i", "resources": {"limits": limits(random)}}]});
    if random.percent(70) {
        let count = 1 + random.below(2);
        let terms: Vec<Value> = (0..count).map(|_| term(random, node)).collect();
        spec["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}});
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
}

/// At least one GPU of some kind: nodes without are not in a fleet.
fn limits(random: &mut Random) -> Value {
    let mut limits = json!({});
    let gpu = if random.percent(85) { GPU } else { MIG };
    limits[gpu] = json!(random.pick(&["1", "1", "1", "2", "2000m", "1e0", "3"]));
    if random.percent(15) {
        limits[HCA] = json!(random.pick(&["0", "1", "2"]));
    }
    limits
}

fn term(random: &mut Random, node: &ArbitraryNode) -> Value {
    let expressions = random.some(2, |random| expression(random, node));
    let field = |random: &mut Random| {
        let value = if random.percent(70) {
            node.name()
        } else {
            "another"
        };
        json!({"key": "metadata.name", "operator": random.pick(&["In", "NotIn"]), "values": [value]})
    };
    let fields = if random.percent(20) {
        vec![field(random)]
    } else {
        Vec::new()
    };
    json!({"matchExpressions": expressions, "matchFields": fields})
}

fn expression(random: &mut Random, node: &ArbitraryNode) -> Value {
    let (key, values) = (random.pick(&KEYS), random.below(3) + 1);
    match random.below(6) {
        0 => json!({"key": key, "operator": "Exists"}),
        1 => json!({"key": key, "operator": "DoesNotExist"}),
        2 => {
            json!({"key": key, "operator": random.pick(&["Gt", "Lt"]), "values": [random.pick(&BOUNDS)]})
        }
        3 => {
            json!({"key": "sm", "operator": random.pick(&["Gt", "Lt"]), "values": [random.pick(&BOUNDS[..3])]})
        }
        4 => json!({"key": key, "operator": "NotIn", "values": [random.pick(&VALUES)]}),
        _ => {
            let values: Vec<&str> = (0..values).map(|_| node.value(random, key)).collect();
            json!({"key": key, "operator": "In", "values": values})
        }
    }
}

fn toleration(random: &mut Random, node: &ArbitraryNode, comparisons: Comparisons) -> Value {
    let kinds = match comparisons {
        Comparisons::Accepted => 5,
        Comparisons::Refused => 4,
    };
    let (key, value) = node.taint(random);
    let mut toleration = match random.below(kinds) {
        0 => json!({"operator": "Exists"}),
        1 => json!({"key": key, "operator": "Exists"}),
        2 => json!({"key": key, "value": value}),
        3 => json!({"key": key, "operator": "Equal", "value": value}),
        _ => {
            json!({"key": key, "operator": random.pick(&["Gt", "Lt"]), "value": random.pick(&["4", "5", "6"])})
        }
    };
    if random.percent(60) {
        toleration["effect"] = json!(random.pick(&EFFECTS));
    }
    toleration
}
