//! In words: which nodes a Pod's placement picks.

use std::fmt::Write as _;

use crate::cluster::placement::{Placement, Requirement, Term};

/// Longest description, in characters; a message has room for a line.
const LIMIT: usize = 120;

/// What narrows a Pod's nodes, as messages tell it: `nodeSelector pool=batch`. Empty if nothing does.
#[must_use]
pub fn selection(placement: &Placement) -> String {
    let mut parts: Vec<String> = Vec::new();
    if let Some(name) = &placement.node_name {
        parts.push(format!("nodeName {name}"));
    }
    if !placement.node_selector.is_empty() {
        let pairs = placement.node_selector.iter();
        let pairs: Vec<String> = pairs.map(|(key, value)| format!("{key}={value}")).collect();
        parts.push(format!("nodeSelector {}", pairs.join(",")));
    }
    if let Some(terms) = &placement.required {
        let terms: Vec<String> = terms.iter().map(term).collect();
        parts.push(format!("nodeAffinity {}", terms.join(" or ")));
    }
    cut(&parts.join(" and "))
}

fn term(term: &Term) -> String {
    let mut text = String::new();
    let all = term.match_expressions.iter().chain(&term.match_fields);
    for (index, requirement) in all.enumerate() {
        let _ = write!(
            text,
            "{}{}",
            if index == 0 { "" } else { ", " },
            shown(requirement)
        );
    }
    if text.is_empty() {
        "(empty term)".to_owned()
    } else {
        text
    }
}

fn shown(requirement: &Requirement) -> String {
    requirement.to_string()
}

/// Plain ASCII on one line, and not longer than a line.
fn cut(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|letter| {
            if letter.is_ascii_graphic() || letter == ' ' {
                letter
            } else {
                '?'
            }
        })
        .collect();
    if plain.len() <= LIMIT {
        return plain;
    }
    let kept: String = plain.chars().take(LIMIT - 3).collect();
    format!("{kept}...")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cluster::placement::Operator;

    #[test]
    fn the_words_are_those_of_the_manifest() {
        let mut placement = Placement::anywhere();
        assert_eq!(selection(&placement), "");
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        placement.node_selector = BTreeMap::from([pair("pool", "batch"), pair("zone", "a")]);
        assert_eq!(selection(&placement), "nodeSelector pool=batch,zone=a");
        placement.node_selector.clear();
        let requirement = |key: &str, operator, values: &[&str]| Requirement {
            key: key.to_owned(),
            operator,
            values: values.iter().map(|&value| value.to_owned()).collect(),
        };
        placement.required = Some(vec![
            Term {
                match_expressions: vec![
                    requirement("pool", Operator::In, &["a", "b"]),
                    requirement("sm", Operator::Gt, &["69"]),
                ],
                match_fields: Vec::new(),
            },
            Term {
                match_expressions: vec![requirement("gpu", Operator::Exists, &[])],
                match_fields: Vec::new(),
            },
        ]);
        assert_eq!(
            selection(&placement),
            "nodeAffinity pool In (a, b), sm Gt \"69\" or gpu Exists"
        );
    }

    #[test]
    fn it_stays_one_line_of_ascii() {
        let mut placement = Placement::anywhere();
        placement.node_name = Some(format!("a\nb\u{e9}{}", "c".repeat(300)));
        let text = selection(&placement);
        assert!(
            text.len() <= LIMIT && text.is_ascii() && !text.contains('\n'),
            "{text}"
        );
    }
}
