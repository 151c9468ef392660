//! Whether one node's labels meet a selector, a requirement, a term.
//!
//! Pure, and the plain definition: `fleet` answers the same for all nodes at once. Source: component-helpers
//! scheduling/corev1/nodeaffinity and apimachinery labels (`NewRequirement`, `Requirement.Matches`).

use std::collections::BTreeMap;

use super::placement::{Operator, Placement, Requirement, Term};

/// The only field that the API knows in `matchFields`.
const NAME_FIELD: &str = "metadata.name";
/// Longest value of a label, in bytes.
const VALUE_LIMIT: usize = 63;
/// Longest prefix of a label key (a DNS subdomain), in bytes.
const PREFIX_LIMIT: usize = 253;

/// Whether a node's labels and name meet node selector and required affinity.
#[must_use]
pub fn selects(placement: &Placement, name: &str, labels: &BTreeMap<String, String>) -> bool {
    let selected = placement
        .node_selector
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value));
    selected
        && placement
            .required
            .as_ref()
            .is_none_or(|terms| terms.iter().any(|term| matches(term, name, labels)))
}

/// Whether a term matches. One without requirements, or with one that cannot be read, matches nothing.
#[must_use]
pub fn matches(term: &Term, name: &str, labels: &BTreeMap<String, String>) -> bool {
    is_readable(term)
        && term
            .match_expressions
            .iter()
            .all(|requirement| label_meets(requirement, labels.get(&requirement.key)))
        && term
            .match_fields
            .iter()
            .all(|requirement| field_meets(requirement, name))
}

/// Whether a term has requirements and all of them are well formed; any other term is dead.
#[must_use]
pub fn is_readable(term: &Term) -> bool {
    !term.is_empty()
        && term.match_expressions.iter().all(is_legal_expression)
        && term.match_fields.iter().all(is_legal_field)
}

/// Whether a label with that value, or its absence, meets a requirement that is well formed.
#[must_use]
pub fn label_meets(requirement: &Requirement, value: Option<&String>) -> bool {
    let listed = || value.is_some_and(|value| requirement.values.contains(value));
    match requirement.operator {
        Operator::In => listed(),
        Operator::NotIn => !listed(),
        Operator::Exists => value.is_some(),
        Operator::DoesNotExist => value.is_none(),
        Operator::Gt | Operator::Lt => value.is_some_and(|value| compares(requirement, value)),
        Operator::Unreadable => false,
    }
}

/// Whether a node's name meets a requirement on fields that is well formed. Any other field reads as empty.
#[must_use]
pub fn field_meets(requirement: &Requirement, name: &str) -> bool {
    let found = if is_name(requirement) { name } else { "" };
    let listed = requirement.values.iter().any(|value| value == found);
    match requirement.operator {
        Operator::In => listed,
        Operator::NotIn => !listed,
        Operator::Exists
        | Operator::DoesNotExist
        | Operator::Gt
        | Operator::Lt
        | Operator::Unreadable => false,
    }
}

/// Whether a requirement on fields is about the node's name.
#[must_use]
pub fn is_name(requirement: &Requirement) -> bool {
    requirement.key == NAME_FIELD
}

/// Whether a label's value is an integer on the right side of the requirement's.
#[must_use]
pub fn compares(requirement: &Requirement, value: &str) -> bool {
    let bound = requirement.values.first().and_then(|bound| integer(bound));
    let Some((value, bound)) = integer(value).zip(bound) else {
        return false;
    };
    if requirement.operator == Operator::Gt {
        value > bound
    } else {
        value < bound
    }
}

/// Go's `ParseInt(text, 10, 64)`: a sign is allowed, spaces and underscores are not.
#[must_use]
pub fn integer(text: &str) -> Option<i64> {
    text.parse().ok()
}

fn is_legal_expression(requirement: &Requirement) -> bool {
    let values = requirement.values.as_slice();
    let fits = match requirement.operator {
        Operator::In | Operator::NotIn => !values.is_empty(),
        Operator::Exists | Operator::DoesNotExist => values.is_empty(),
        Operator::Gt | Operator::Lt => {
            matches!(values, [bound] if integer(bound).is_some())
        }
        Operator::Unreadable => false,
    };
    fits && is_label_key(&requirement.key) && values.iter().all(|value| is_label_value(value))
}

fn is_legal_field(requirement: &Requirement) -> bool {
    matches!(requirement.operator, Operator::In | Operator::NotIn) && requirement.values.len() == 1
}

/// `validation.IsQualifiedName`: an optional DNS subdomain and a name.
#[must_use]
pub fn is_label_key(key: &str) -> bool {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    !name.is_empty() && is_label_value(name) && prefix.is_none_or(is_subdomain)
}

/// `validation.IsValidLabelValue`: empty, or letters, digits, `-`, `_` and `.` with letters or digits at both ends.
#[must_use]
pub fn is_label_value(value: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let edge = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = value.as_bytes();
    value.len() <= VALUE_LIMIT
        && bytes.iter().all(|byte| inner(*byte))
        && edge(bytes.first())
        && edge(bytes.last())
}

fn is_subdomain(prefix: &str) -> bool {
    let label = |label: &str| {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty()
            && label.bytes().all(legal)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    prefix.len() <= PREFIX_LIMIT && prefix.split('.').all(label)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn requirement(key: &str, operator: Operator, values: &[&str]) -> Requirement {
        Requirement {
            key: key.to_owned(),
            operator,
            values: values.iter().map(|&value| value.to_owned()).collect(),
        }
    }

    pub(crate) fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    fn term(expressions: &[Requirement], fields: &[Requirement]) -> Term {
        Term {
            match_expressions: expressions.to_vec(),
            match_fields: fields.to_vec(),
        }
    }

    fn holds(requirement: Requirement) -> bool {
        let labels = labels(&[
            ("gpu", "a100"),
            ("sm", "80"),
            ("odd", "8.0"),
            ("big", "9223372036854775807"),
        ]);
        matches(&term(&[requirement], &[]), "n1", &labels)
    }

    use Operator::{DoesNotExist, Exists, Gt, In, Lt, NotIn};

    #[test]
    fn requirements_hold_as_the_scheduler_reads_them() {
        for (key, operator, values, expected) in [
            ("gpu", In, &["a100", "t4"][..], true),
            ("gpu", In, &["t4"], false),
            ("none", In, &["t4"], false),
            ("gpu", NotIn, &["a100"], false),
            ("gpu", NotIn, &["t4"], true),
            ("none", NotIn, &["t4"], true),
            ("gpu", Exists, &[], true),
            ("none", Exists, &[], false),
            ("none", DoesNotExist, &[], true),
            ("gpu", DoesNotExist, &[], false),
            ("sm", Gt, &["79"], true),
            ("sm", Gt, &["80"], false),
            ("sm", Lt, &["81"], true),
            ("sm", Lt, &["80"], false),
            ("none", Gt, &["1"], false),
            ("none", Lt, &["1"], false),
            ("odd", Gt, &["1"], false),
            ("gpu", Lt, &["1"], false),
            ("big", Gt, &["9223372036854775806"], true),
        ] {
            let label = format!("{key} {operator} {values:?}");
            assert_eq!(
                holds(requirement(key, operator, values)),
                expected,
                "{label}"
            );
        }
    }

    #[test]
    fn a_malformed_requirement_kills_its_term_and_no_other() {
        for (operator, values) in [
            (Gt, &["8.0"][..]),
            (Gt, &["1", "2"]),
            (Gt, &[]),
            (In, &[]),
            (NotIn, &[]),
            (Exists, &["x"]),
            (Operator::Unreadable, &["x"]),
            (NotIn, &["not a value"]),
        ] {
            let bad = requirement("sm", operator, values);
            assert!(!holds(bad.clone()), "{bad}");
            let good = requirement("none", DoesNotExist, &[]);
            let dead = term(&[good.clone(), bad.clone()], &[]);
            assert!(!matches(&dead, "n1", &BTreeMap::new()), "{bad}");
            let placement = Placement {
                required: Some(vec![dead, term(&[good], &[])]),
                ..Placement::anywhere()
            };
            assert!(selects(&placement, "n1", &BTreeMap::new()), "{bad}");
        }
    }

    #[test]
    fn an_empty_term_matches_nothing_and_no_terms_match_nothing() {
        assert!(!matches(&Term::default(), "n1", &BTreeMap::new()));
        let with = |required| Placement {
            required,
            ..Placement::anywhere()
        };
        assert!(!selects(&with(Some(Vec::new())), "n1", &BTreeMap::new()));
        assert!(selects(&with(None), "n1", &BTreeMap::new()));
    }

    #[test]
    fn fields_know_the_nodes_name_only() {
        let by = |key, operator, values| {
            matches(
                &term(&[], &[requirement(key, operator, values)]),
                "n1",
                &BTreeMap::new(),
            )
        };
        assert!(by("metadata.name", In, &["n1"]));
        assert!(!by("metadata.name", In, &["n2"]));
        assert!(by("metadata.name", NotIn, &["n2"]));
        assert!(!by("metadata.name", NotIn, &["n1"]));
        assert!(!by("metadata.name", In, &["n1", "n2"]));
        assert!(!by("metadata.name", Exists, &[]));
        assert!(!by("spec.unschedulable", In, &["true"]));
    }

    #[test]
    fn integers_are_those_of_go() {
        assert_eq!(integer("80"), Some(80));
        assert_eq!(integer("+80"), Some(80));
        assert_eq!(integer("-80"), Some(-80));
        assert_eq!(integer("0080"), Some(80));
        for text in ["", "8.0", " 80", "8_0", "9223372036854775808", "0x50"] {
            assert_eq!(integer(text), None, "{text}");
        }
    }

    #[test]
    fn keys_and_values_are_those_of_the_api() {
        for key in ["a", "a.b/c", "nvidia.com/gpu.product", "A_b-c"] {
            assert!(is_label_key(key), "{key}");
        }
        for key in ["", "/", "a/", "/a", "a/b/c", "A.b/c", "-a", "a b", "a-.b/c"] {
            assert!(!is_label_key(key), "{key}");
        }
        for value in ["", "a", "8.0", "a_B-c"] {
            assert!(is_label_value(value), "{value}");
        }
        for value in ["+79", "-a", "a-", "a b", "\u{e9}"] {
            assert!(!is_label_value(value), "{value}");
        }
        assert!(!is_label_value(&"a".repeat(64)));
    }

    proptest! {
        #[test]
        fn in_and_not_in_are_opposites(value in proptest::option::of("[ab]"), wanted in proptest::collection::vec("[abc]", 1..3)) {
            let one = Requirement { key: "k".to_owned(), operator: In, values: wanted };
            let other = Requirement { operator: NotIn, ..one.clone() };
            prop_assert_ne!(label_meets(&one, value.as_ref()), label_meets(&other, value.as_ref()));
        }
    }
}
