//! SARIF 2.1.0, which code scanning reads. Source: OASIS Static Analysis Results Interchange Format 2.1.0; what GitHub
//! needs of it: GitHub Docs, SARIF support for code scanning.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::located::{Located, Loudness};
use crate::command::explain;
use crate::compat::Code;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";
/// Name of our fingerprint; another way to make it gets another number.
const FINGERPRINT: &str = "gpuCapgate/v1";
/// What a file without a name is called in a URI.
const STANDARD_INPUT: &str = "standard-input";

/// A document with one run. Codes are its rules; results about which there is nothing to say are left out.
#[must_use]
pub fn write(results: &[Located<'_>]) -> String {
    let told = || results.iter().filter(|result| result.loudness().is_some());
    let codes: BTreeSet<Code> = told().filter_map(Located::rule).collect();
    let codes: Vec<Code> = codes.into_iter().collect();
    let document = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "gpu-capgate",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": codes.iter().map(|code| rule(*code)).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": told().map(|found| result(found, &codes)).collect::<Vec<_>>(),
        }],
    });
    format!("{document:#}\n")
}

fn rule(code: Code) -> Value {
    let Some(help) = explain::help(code) else {
        return json!({"id": code.word()});
    };
    let level = if help.level.starts_with("deny") {
        "error"
    } else {
        "warning"
    };
    json!({
        "id": code.word(),
        "name": code.word(),
        "shortDescription": {"text": help.summary},
        "help": {"text": help.body, "markdown": help.body},
        "defaultConfiguration": {"level": level},
    })
}

fn result(found: &Located<'_>, codes: &[Code]) -> Value {
    let level = match found.loudness() {
        Some(Loudness::Error) => "error",
        Some(Loudness::Warning) => "warning",
        Some(Loudness::Note) | None => "note",
    };
    let mut result = json!({
        "level": level,
        "message": {"text": found.text()},
        "locations": [{
            "physicalLocation": physical(found),
            "logicalLocations": [{"fullyQualifiedName": found.object}],
        }],
        "partialFingerprints": {FINGERPRINT: fingerprint(found)},
    });
    let rule = found.rule();
    let index = rule.and_then(|code| codes.iter().position(|other| *other == code));
    if let (Some(code), Some(index), Some(fields)) = (rule, index, result.as_object_mut()) {
        fields.insert("ruleId".to_owned(), code.word().into());
        fields.insert("ruleIndex".to_owned(), index.into());
    }
    result
}

fn physical(found: &Located<'_>) -> Value {
    let artifact = json!({"uri": uri(found.file)});
    match found.line {
        0 => json!({"artifactLocation": artifact}),
        line => json!({
            "artifactLocation": artifact,
            "region": {"startLine": line, "startColumn": found.column.max(1)},
        }),
    }
}

/// The same for the same fault, wherever its lines have moved.
fn fingerprint(found: &Located<'_>) -> String {
    let code = found.rule().map_or("", Code::word);
    let parts = [found.file, found.object, code];
    // 64-bit FNV-1a over the parts, each ended by a zero byte: stable over releases.
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// A file's path as a URI reference (RFC 3986), relative if the path is.
fn uri(file: &str) -> String {
    if file == "-" {
        return STANDARD_INPUT.to_owned();
    }
    let path = file.strip_prefix("./").unwrap_or(file);
    let mut out = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            other => {
                let _ = write!(out, "%{other:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::located::examples::ALL;
    use super::*;

    fn run(results: &[Located<'_>]) -> Value {
        let document: Value = serde_json::from_str(&write(results)).unwrap();
        assert_eq!(document["version"], "2.1.0");
        assert_eq!(document["$schema"], SCHEMA);
        document["runs"][0].clone()
    }

    #[test]
    fn a_result_has_all_that_the_schema_and_code_scanning_want() {
        let run = run(&ALL);
        assert_eq!(run["tool"]["driver"]["name"], "gpu-capgate");
        let results = run["results"].as_array().unwrap();
        assert_eq!(
            results[0],
            json!({
                "ruleId": "GPU-ARCH", "ruleIndex": 0, "level": "error",
                "message": {"text": ALL[0].message},
                "locations": [{
                    "physicalLocation": {
                        "artifactLocation": {"uri": "deploy/train.yaml"},
                        "region": {"startLine": 12, "startColumn": 16}},
                    "logicalLocations": [{"fullyQualifiedName": "Deployment ml/train, container train"}]}],
                "partialFingerprints": {"gpuCapgate/v1": results[0]["partialFingerprints"]["gpuCapgate/v1"]},
            })
        );
        let told = |key: &str| {
            results
                .iter()
                .map(|result| result[key].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(told("level"), ["error", "warning", "note"]);
        assert_eq!(told("ruleId"), ["GPU-ARCH", "GPU-JIT", "GPU-UNCHECKED"]);
        let here = &results[2]["locations"][0]["physicalLocation"];
        assert_eq!(
            *here,
            json!({"artifactLocation": {"uri": "standard-input"}})
        );
    }

    #[test]
    fn each_rule_is_a_code_with_its_documentation_and_results_point_to_it() {
        let run = run(&ALL);
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        for result in run["results"].as_array().unwrap() {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(rules[index]["id"], result["ruleId"]);
        }
        for rule in rules {
            assert!(
                !rule["shortDescription"]["text"]
                    .as_str()
                    .unwrap()
                    .is_empty()
            );
            assert!(
                rule["help"]["markdown"]
                    .as_str()
                    .unwrap()
                    .contains("### What to do")
            );
            assert!(rule.get("helpUri").is_none());
        }
        let levels: Vec<_> = rules
            .iter()
            .map(|rule| &rule["defaultConfiguration"]["level"])
            .collect();
        assert_eq!(levels, ["error", "warning", "warning"]);
    }

    #[test]
    fn a_fingerprint_moves_with_its_lines_and_differs_from_others() {
        let moved = Located {
            line: 99,
            column: 1,
            ..ALL[0]
        };
        assert_eq!(fingerprint(&moved), fingerprint(&ALL[0]));
        assert_eq!(fingerprint(&ALL[0]).len(), 16);
        let other = Located {
            object: "Deployment ml/train, container other",
            ..ALL[0]
        };
        assert_ne!(fingerprint(&other), fingerprint(&ALL[0]));
    }

    #[test]
    fn paths_become_uris() {
        assert_eq!(uri("./a b/ü%.yaml"), "a%20b/%C3%BC%25.yaml");
        assert_eq!(uri("/srv/a:b.yaml"), "file:///srv/a%3Ab.yaml");
    }
}
