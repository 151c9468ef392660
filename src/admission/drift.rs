//! Whether our registrations in the cluster still ask about what the configuration counts as a GPU.
//!
//! The chart makes all of it from one value; somebody may change a part by hand, or an upgrade may have stopped half-way.
//! Then Pods pass unseen, and nothing else would tell. Pure: who reads the registrations back is `installation`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MutatingWebhookConfiguration, RuleWithOperations,
    ValidatingWebhookConfiguration,
};

use super::configuration::Configuration;

/// How the names of the conditions begin that let only what asks for GPUs through.
const FILTER: &str = "asks-for-gpus";
const SHARED: &str = ".shared";
const MIG: &str = "/mig-";
const ANY: &str = "*";
/// The `failurePolicy` that admits what could not be asked about.
const IGNORE: &str = "Ignore";

/// What the API server asks us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Webhook {
    /// Whether an object may be.
    Check,
    /// Where a Pod is steered.
    Steer,
}

impl Webhook {
    /// Its name within its configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Check => "check.gpu-capgate.io",
            Self::Steer => "steer.check.gpu-capgate.io",
        }
    }

    /// What is done with Pods that it has to be asked about.
    const fn operations(self) -> &'static [&'static str] {
        match self {
            Self::Check => &["CREATE", "UPDATE"],
            Self::Steer => &["CREATE"],
        }
    }

    /// What becomes of Pods that it is not asked about.
    const fn unasked(self) -> &'static str {
        match self {
            Self::Check => "pass unchecked",
            Self::Steer => "are not steered",
        }
    }
}

/// What the API server asks one of our webhooks about, as its registration says.
#[derive(Debug, Clone)]
pub struct Asked {
    rules: Vec<RuleWithOperations>,
    conditions: Vec<MatchCondition>,
    failure_policy: Option<String>,
}

impl Asked {
    /// Of [`Webhook::Check`]; none if it is not registered there.
    #[must_use]
    pub fn to_check(registration: &ValidatingWebhookConfiguration) -> Option<Self> {
        let mut webhooks = registration.webhooks.iter().flatten();
        let webhook = webhooks.find(|webhook| webhook.name == Webhook::Check.name())?;
        Some(Self {
            rules: webhook.rules.clone().unwrap_or_default(),
            conditions: webhook.match_conditions.clone().unwrap_or_default(),
            failure_policy: webhook.failure_policy.clone(),
        })
    }

    /// Of [`Webhook::Steer`]; none if it is not registered there.
    #[must_use]
    pub fn to_steer(registration: &MutatingWebhookConfiguration) -> Option<Self> {
        let mut webhooks = registration.webhooks.iter().flatten();
        let webhook = webhooks.find(|webhook| webhook.name == Webhook::Steer.name())?;
        Some(Self {
            rules: webhook.rules.clone().unwrap_or_default(),
            conditions: webhook.match_conditions.clone().unwrap_or_default(),
            failure_policy: webhook.failure_policy.clone(),
        })
    }
}

/// Something in which a registration differs from the configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// Whose registration.
    pub webhook: Webhook,
    /// In what.
    pub point: Point,
}

/// In what a registration differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// The webhook is not there.
    NotRegistered,
    /// It is not asked about an operation on Pods.
    OperationNotAsked(&'static str),
    /// It is not asked about any kind of a group of which the configuration knows kinds.
    GroupNotAsked(String),
    /// Its filter holds back what asks for a resource that counts GPUs.
    ResourceHeldBack(String),
    /// Its filter lets through what asks for a resource that the configuration does not count.
    ResourceNotCounted(String),
    /// What it cannot be asked about is refused, though it never refuses itself.
    RefusesWhileAway,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, unasked) = (self.webhook.name(), self.webhook.unasked());
        match &self.point {
            Point::NotRegistered => write!(
                formatter,
                "webhook {name} is not registered, so that Pods {unasked}"
            ),
            Point::OperationNotAsked(operation) => write!(
                formatter,
                "{operation} of pods is in no rule of {name}, so that they {unasked}"
            ),
            Point::GroupNotAsked(group) => write!(
                formatter,
                "kinds of API group {group:?} are configured and in no rule of {name}, so that only their Pods are checked"
            ),
            Point::ResourceHeldBack(resource) => write!(
                formatter,
                "resource {resource} counts GPUs and is not in the match conditions of {name}, so that Pods which ask for it {unasked}"
            ),
            Point::ResourceNotCounted(resource) => write!(
                formatter,
                "resource {resource} is in the match conditions of {name} and not in the configuration, so that it is not taken for a GPU"
            ),
            Point::RefusesWhileAway => write!(
                formatter,
                "failurePolicy of {name} is not {IGNORE}, so that Pods are refused while it cannot be reached"
            ),
        }
    }
}

/// What a webhook's registration and the configuration do not agree about, in an order that is always the same.
#[must_use]
pub fn differences(
    webhook: Webhook,
    asked: Option<&Asked>,
    configuration: &Configuration,
) -> BTreeSet<Difference> {
    let points = match asked {
        None => [Point::NotRegistered].into(),
        Some(asked) => points(webhook, asked, configuration),
    };
    let difference = |point| Difference { webhook, point };
    points.into_iter().map(difference).collect()
}

fn points(webhook: Webhook, asked: &Asked, configuration: &Configuration) -> BTreeSet<Point> {
    let mut found = in_filter(&asked.conditions, configuration);
    found.extend(unasked_operations(webhook, &asked.rules));
    match webhook {
        Webhook::Check => found.extend(unasked_groups(&asked.rules, configuration)),
        Webhook::Steer if asked.failure_policy.as_deref() != Some(IGNORE) => {
            found.insert(Point::RefusesWhileAway);
        }
        Webhook::Steer => {}
    }
    found
}

fn in_filter(conditions: &[MatchCondition], configuration: &Configuration) -> BTreeSet<Point> {
    let wanted = wanted_names(configuration);
    let wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
    let name = |text: &&str| (*text).to_owned();
    let mut found = BTreeSet::new();
    for condition in conditions {
        if !condition.name.starts_with(FILTER) {
            continue;
        }
        let there = names(&condition.expression);
        let held_back = wanted.difference(&there).map(name);
        found.extend(held_back.map(Point::ResourceHeldBack));
        let not_counted = there.difference(&wanted).map(name);
        found.extend(not_counted.map(Point::ResourceNotCounted));
    }
    found
}

fn unasked_operations(
    webhook: Webhook,
    rules: &[RuleWithOperations],
) -> impl Iterator<Item = Point> {
    let on_pods = |rule: &&RuleWithOperations| {
        holds(rule.api_groups.as_ref(), "") && holds(rule.resources.as_ref(), "pods")
    };
    let asked = move |operation: &str| {
        let mut rules = rules.iter().filter(on_pods);
        rules.any(|rule| holds(rule.operations.as_ref(), operation))
    };
    let operations = webhook.operations().iter().copied();
    let unasked = operations.filter(move |operation| !asked(operation));
    unasked.map(Point::OperationNotAsked)
}

fn unasked_groups(
    rules: &[RuleWithOperations],
    configuration: &Configuration,
) -> impl Iterator<Item = Point> {
    let groups = configuration.added_groups.iter();
    let asked = |group: &String| {
        rules
            .iter()
            .any(|rule| holds(rule.api_groups.as_ref(), group))
    };
    let unasked = groups.filter(move |group| !asked(group)).cloned();
    unasked.map(Point::GroupNotAsked)
}

fn holds(list: Option<&Vec<String>>, wanted: &str) -> bool {
    list.is_some_and(|list| list.iter().any(|entry| entry == wanted || entry == ANY))
}

/// The names that the filter must let through, as the chart writes them: MIG resources by how they begin.
fn wanted_names(configuration: &Configuration) -> BTreeSet<String> {
    let names = configuration.resources.names();
    names
        .flat_map(|name| {
            let domain = name.split('/').next().unwrap_or_default();
            [
                name.to_owned(),
                format!("{name}{SHARED}"),
                format!("{domain}{MIG}"),
            ]
        })
        .collect()
}

/// The quoted texts of an expression that are names of resources: nothing else in a filter has a slash.
fn names(expression: &str) -> BTreeSet<&str> {
    expression
        .split('\'')
        .skip(1)
        .step_by(2)
        .filter(|text| text.contains('/'))
        .collect()
}

/// What was found at the last look at each registration, so that it is told once.
#[derive(Debug)]
pub struct Drift(Mutex<BTreeMap<Webhook, BTreeSet<Difference>>>);

impl Drift {
    /// Nothing was found yet of those that are looked at.
    #[must_use]
    pub fn of(webhooks: impl IntoIterator<Item = Webhook>) -> Self {
        let webhooks = webhooks.into_iter();
        Self(Mutex::new(
            webhooks.map(|webhook| (webhook, BTreeSet::new())).collect(),
        ))
    }

    /// Compares, and logs what was not there at the last look, and that all is well again.
    pub fn look(&self, webhook: Webhook, asked: Option<&Asked>, configuration: &Configuration) {
        let found = differences(webhook, asked, configuration);
        let mut all = self.found();
        let told = all.entry(webhook).or_default();
        for difference in found.difference(told) {
            tracing::warn!(
                %difference,
                "registration and configuration differ: install both with the chart"
            );
        }
        if found.is_empty() && !told.is_empty() {
            let webhook = webhook.name();
            tracing::info!(webhook, "registration and configuration agree again");
        }
        *told = found;
    }

    /// How many differences the last look found, for a gauge.
    pub fn counts(&self) -> BTreeMap<Webhook, usize> {
        let found = self.found();
        let counts = found.iter().map(|(webhook, found)| (*webhook, found.len()));
        counts.collect()
    }

    fn found(&self) -> MutexGuard<'_, BTreeMap<Webhook, BTreeSet<Difference>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const FILTER_OF_PODS: &str = "request.kind.group != '' || r in ['nvidia.com/gpu', 'nvidia.com/gpu.shared'] || \
        r.startsWith('nvidia.com/mig-') && q[f][r] != '0'";

    /// A registration with one webhook, as the chart makes it.
    fn registration(webhook: Webhook, expression: &str) -> Value {
        json!({"webhooks": [{
            "name": webhook.name(),
            "admissionReviewVersions": ["v1"],
            "clientConfig": {},
            "sideEffects": "None",
            "failurePolicy": "Ignore",
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": webhook.operations(), "resources": ["pods"]}],
            "matchConditions": [
                {"name": "is-no-mirror-pod", "expression": "'kubernetes.io/config.mirror' in object.metadata"},
                {"name": "asks-for-gpus.core.pod", "expression": expression},
            ],
        }]})
    }

    fn asked(webhook: Webhook, registration: &Value) -> Option<Asked> {
        let registration = registration.clone();
        match webhook {
            Webhook::Check => Asked::to_check(&serde_json::from_value(registration).unwrap()),
            Webhook::Steer => Asked::to_steer(&serde_json::from_value(registration).unwrap()),
        }
    }

    fn told(webhook: Webhook, registration: &Value, configuration: &str) -> Vec<String> {
        let configuration = Configuration::parse(configuration.as_bytes()).unwrap();
        let asked = asked(webhook, registration);
        let found = differences(webhook, asked.as_ref(), &configuration);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_one_chart_made_does_not_differ() {
        for webhook in [Webhook::Check, Webhook::Steer] {
            let registration = registration(webhook, FILTER_OF_PODS);
            assert_eq!(told(webhook, &registration, ""), [""; 0]);
        }
    }

    #[test]
    fn a_resource_that_only_one_of_them_knows_is_told() {
        for (webhook, consequence) in [
            (Webhook::Check, "pass unchecked"),
            (Webhook::Steer, "are not steered"),
        ] {
            let made = registration(webhook, FILTER_OF_PODS);
            let configuration = "resources: [nvidia.com/gpu, example.com/a100]";
            let held_back = told(webhook, &made, configuration);
            assert_eq!(held_back.len(), 3, "{held_back:?}");
            assert!(held_back.iter().all(|text| text.ends_with(consequence)));
            assert!(held_back[0].starts_with("resource example.com/a100 counts GPUs"));
            let wide = FILTER_OF_PODS.replace("['nvidia", "['other.com/gpu', 'nvidia");
            let told = told(webhook, &registration(webhook, &wide), "");
            assert_eq!(told.len(), 1);
            assert!(told[0].starts_with("resource other.com/gpu is in the match conditions of"));
        }
    }

    #[test]
    fn rules_that_leave_pods_or_configured_kinds_out_are_told() {
        let mut made = registration(Webhook::Check, FILTER_OF_PODS);
        made["webhooks"][0]["rules"][0]["operations"] = json!(["CREATE"]);
        let configuration = "kinds: [{group: example.com, versions: [v1], kinds: [T], source: s, \
            template: [{path: spec, shape: spec}]}]";
        assert_eq!(
            told(Webhook::Check, &made, configuration),
            [
                "UPDATE of pods is in no rule of check.gpu-capgate.io, so that they pass unchecked",
                "kinds of API group \"example.com\" are configured and in no rule of check.gpu-capgate.io, so that only their Pods are checked",
            ]
        );
        made["webhooks"][0]["name"] = json!("other");
        assert_eq!(
            told(Webhook::Check, &made, ""),
            ["webhook check.gpu-capgate.io is not registered, so that Pods pass unchecked"]
        );
    }

    #[test]
    fn a_registration_that_steers_no_pods_or_refuses_them_is_told() {
        let mut made = registration(Webhook::Steer, FILTER_OF_PODS);
        made["webhooks"][0]["rules"][0]["operations"] = json!(["UPDATE"]);
        made["webhooks"][0]["failurePolicy"] = json!("Fail");
        let kinds = "kinds: [{group: example.com, versions: [v1], kinds: [T], source: s, \
            template: [{path: spec, shape: spec}]}]";
        assert_eq!(
            told(Webhook::Steer, &made, kinds),
            [
                "CREATE of pods is in no rule of steer.check.gpu-capgate.io, so that they are not steered",
                "failurePolicy of steer.check.gpu-capgate.io is not Ignore, so that Pods are refused while it cannot be reached",
            ],
            "only Pods are steered, so that other kinds need no rule"
        );
        made["webhooks"][0]["name"] = json!("other");
        assert_eq!(
            told(Webhook::Steer, &made, ""),
            ["webhook steer.check.gpu-capgate.io is not registered, so that Pods are not steered"]
        );
    }

    #[test]
    fn what_differs_is_counted_for_each_webhook_until_it_is_mended() {
        let drift = Drift::of([Webhook::Check, Webhook::Steer]);
        let counts = |drift: &Drift| drift.counts().into_values().collect::<Vec<usize>>();
        assert_eq!(counts(&drift), [0, 0]);
        let configuration = Configuration::parse(b"resources: [example.com/gpu]").unwrap();
        let look = |webhook, expression: &str| {
            let asked = asked(webhook, &registration(webhook, expression));
            drift.look(webhook, asked.as_ref(), &configuration);
        };
        look(Webhook::Check, FILTER_OF_PODS);
        drift.look(Webhook::Steer, None, &configuration);
        assert_eq!(counts(&drift), [6, 1]);
        let mended = FILTER_OF_PODS.replace("nvidia.com", "example.com");
        look(Webhook::Check, &mended);
        assert_eq!(counts(&drift), [0, 1]);
        look(Webhook::Steer, &mended);
        assert_eq!(counts(&drift), [0, 0]);
    }
}
