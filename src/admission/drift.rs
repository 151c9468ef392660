//! Whether the registration in the cluster still asks about what the configuration counts as a GPU.
//!
//! The chart makes both from one value; somebody may change one of them by hand, or an upgrade may have stopped half-way.
//! Then Pods pass unseen, and nothing else would tell. Pure: who reads the registration back is `certificates`.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Mutex;
use std::sync::PoisonError;

use k8s_openapi::api::admissionregistration::v1::{
    RuleWithOperations, ValidatingWebhook, ValidatingWebhookConfiguration,
};

use super::configuration::Configuration;

/// Name of our webhook within its configuration.
const WEBHOOK: &str = "check.gpu-capgate.io";
/// How the names of the conditions begin that let only what asks for GPUs through.
const FILTER: &str = "asks-for-gpus";
const SHARED: &str = ".shared";
const MIG: &str = "/mig-";
const ANY: &str = "*";

/// Something in which the registration differs from the configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// The registration has no webhook of ours.
    NotRegistered,
    /// It does not ask about an operation on Pods.
    OperationNotAsked(&'static str),
    /// It does not ask about any kind of a group of which the configuration knows kinds.
    GroupNotAsked(String),
    /// Its filter holds back what asks for a resource that counts GPUs.
    ResourceHeldBack(String),
    /// Its filter lets through what asks for a resource that the configuration does not count.
    ResourceNotCounted(String),
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRegistered => write!(formatter, "webhook {WEBHOOK} is not registered"),
            Self::OperationNotAsked(operation) => {
                write!(
                    formatter,
                    "{operation} of pods is in no rule, so that it passes unchecked"
                )
            }
            Self::GroupNotAsked(group) => write!(
                formatter,
                "kinds of API group {group:?} are configured and in no rule, so that only their Pods are checked"
            ),
            Self::ResourceHeldBack(name) => write!(
                formatter,
                "resource {name} counts GPUs and is not in the match conditions, so that Pods which ask for it pass unchecked"
            ),
            Self::ResourceNotCounted(name) => write!(
                formatter,
                "resource {name} is in the match conditions and not in the configuration, so that it is not taken for a GPU"
            ),
        }
    }
}

/// What the registration and the configuration do not agree about, in an order that is always the same.
#[must_use]
pub fn differences(
    registration: &ValidatingWebhookConfiguration,
    configuration: &Configuration,
) -> BTreeSet<Difference> {
    let webhooks = registration.webhooks.iter().flatten();
    let Some(webhook) = webhooks.into_iter().find(|webhook| webhook.name == WEBHOOK) else {
        return [Difference::NotRegistered].into();
    };
    let mut found = rule_differences(webhook, configuration);
    let wanted = wanted_names(configuration);
    let conditions = webhook.match_conditions.iter().flatten();
    for condition in conditions.filter(|condition| condition.name.starts_with(FILTER)) {
        let there = names(&condition.expression);
        let name = |text: &&str| (*text).to_owned();
        let wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
        found.extend(
            wanted
                .difference(&there)
                .map(name)
                .map(Difference::ResourceHeldBack),
        );
        found.extend(
            there
                .difference(&wanted)
                .map(name)
                .map(Difference::ResourceNotCounted),
        );
    }
    found
}

fn rule_differences(
    webhook: &ValidatingWebhook,
    configuration: &Configuration,
) -> BTreeSet<Difference> {
    let rules = || webhook.rules.iter().flatten();
    let on_pods = |rule: &&RuleWithOperations| {
        holds(rule.api_groups.as_ref(), "") && holds(rule.resources.as_ref(), "pods")
    };
    let asked = |operation: &&'static str| {
        rules()
            .filter(on_pods)
            .any(|rule| holds(rule.operations.as_ref(), operation))
    };
    let mut found: BTreeSet<_> = ["CREATE", "UPDATE"]
        .into_iter()
        .filter(|operation| !asked(operation))
        .map(Difference::OperationNotAsked)
        .collect();
    let groups = configuration.added_groups.iter();
    let missing =
        groups.filter(|group| !rules().any(|rule| holds(rule.api_groups.as_ref(), group)));
    found.extend(missing.cloned().map(Difference::GroupNotAsked));
    found
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

/// What was found at the last look, so that it is told once.
#[derive(Debug, Default)]
pub struct Drift(Mutex<BTreeSet<Difference>>);

impl Drift {
    /// Compares, and logs what was not there at the last look, and that all is well again.
    pub fn look(
        &self,
        registration: &ValidatingWebhookConfiguration,
        configuration: &Configuration,
    ) {
        let found = differences(registration, configuration);
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for difference in found.difference(&told) {
            tracing::warn!(
                %difference,
                "registration and configuration differ: install both with the chart"
            );
        }
        if found.is_empty() && !told.is_empty() {
            tracing::info!("registration and configuration agree again");
        }
        *told = found;
    }

    /// How many differences the last look found, for a gauge.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FILTER_OF_PODS: &str = "request.kind.group != '' || r in ['nvidia.com/gpu', 'nvidia.com/gpu.shared'] || \
        r.startsWith('nvidia.com/mig-') && q[f][r] != '0'";

    fn registration(expression: &str) -> ValidatingWebhookConfiguration {
        let object = json!({"webhooks": [{
            "name": WEBHOOK,
            "admissionReviewVersions": ["v1"],
            "clientConfig": {},
            "sideEffects": "None",
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["pods"]}],
            "matchConditions": [
                {"name": "is-no-mirror-pod", "expression": "'kubernetes.io/config.mirror' in object.metadata"},
                {"name": "asks-for-gpus.core.pod", "expression": expression},
            ],
        }]});
        serde_json::from_value(object).unwrap()
    }

    fn told(registration: &ValidatingWebhookConfiguration, configuration: &str) -> Vec<String> {
        let configuration = Configuration::parse(configuration.as_bytes()).unwrap();
        let found = differences(registration, &configuration);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_one_chart_made_does_not_differ() {
        assert_eq!(told(&registration(FILTER_OF_PODS), ""), [""; 0]);
    }

    #[test]
    fn a_resource_that_only_one_of_them_knows_is_told() {
        let configuration = "resources: [nvidia.com/gpu, example.com/a100]";
        let held_back = told(&registration(FILTER_OF_PODS), configuration);
        assert_eq!(held_back.len(), 3, "{held_back:?}");
        assert!(held_back.iter().all(|text| text.contains("pass unchecked")));
        assert!(held_back[0].starts_with("resource example.com/a100 counts GPUs"));
        let wide = FILTER_OF_PODS.replace("['nvidia", "['other.com/gpu', 'nvidia");
        let told = told(&registration(&wide), "");
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("resource other.com/gpu is in the match conditions and not"));
    }

    #[test]
    fn rules_that_leave_pods_or_configured_kinds_out_are_told() {
        let mut registration = registration(FILTER_OF_PODS);
        let webhook = &mut registration.webhooks.as_mut().unwrap()[0];
        webhook.rules.as_mut().unwrap()[0].operations = Some(vec!["CREATE".to_owned()]);
        let configuration = "kinds: [{group: example.com, versions: [v1], kinds: [T], source: s, \
            template: [{path: spec, shape: spec}]}]";
        assert_eq!(
            told(&registration, configuration),
            [
                "UPDATE of pods is in no rule, so that it passes unchecked",
                "kinds of API group \"example.com\" are configured and in no rule, so that only their Pods are checked",
            ]
        );
        webhook_named(&mut registration, "other");
        assert_eq!(
            told(&registration, ""),
            ["webhook check.gpu-capgate.io is not registered"]
        );
    }

    fn webhook_named(registration: &mut ValidatingWebhookConfiguration, name: &str) {
        registration.webhooks.as_mut().unwrap()[0].name = name.to_owned();
    }

    #[test]
    fn what_differs_is_counted_until_it_is_mended() {
        let drift = Drift::default();
        let configuration = Configuration::parse(b"resources: [example.com/gpu]").unwrap();
        drift.look(&registration(FILTER_OF_PODS), &configuration);
        assert_eq!(drift.count(), 6);
        let mended = FILTER_OF_PODS.replace("nvidia.com", "example.com");
        drift.look(&registration(&mended), &configuration);
        assert_eq!(drift.count(), 0);
    }
}
