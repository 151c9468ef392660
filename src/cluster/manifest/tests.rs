//! What streams of manifests are read as.

use proptest::prelude::*;

use super::*;

fn reading(text: &str) -> Reading {
    read("t.yaml", text.as_bytes(), &Limits::default())
}

fn documents(text: &str) -> Vec<Document> {
    let reading = reading(text);
    assert_eq!(reading.errors, [], "{text}");
    reading.documents
}

fn errors(bytes: &[u8], limits: &Limits) -> Vec<String> {
    let reading = read("t.yaml", bytes, limits);
    reading.errors.iter().map(ToString::to_string).collect()
}

fn error(text: &str) -> String {
    let found = errors(text.as_bytes(), &Limits::default());
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

fn image_position(document: &Document, path: &[&str]) -> (u64, u64) {
    let path = path
        .iter()
        .fold(FieldPath::root(), |path, step| match step.parse() {
            Ok(index) => path.index(index),
            Err(_) => path.field(step),
        });
    let position = document.position_of(&path);
    (position.line, position.column)
}

const FIRST_IMAGE: [&str; 4] = ["spec", "containers", "0", "image"];
const SECOND_IMAGE: [&str; 4] = ["spec", "containers", "1", "image"];

#[test]
fn documents_have_their_names_numbers_and_places() {
    let text = "# helm\n---\n# Source: a.yaml\n---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  namespace: x\n\
                ---\napiVersion: batch/v1\nkind: Job\nmetadata: {generateName: b-}\n...\n---\n";
    let found = documents(text);
    let told = |document: &Document| {
        (
            document.index,
            document.kind.to_string(),
            document.namespace.clone(),
            document.name.clone(),
            document.position.to_string(),
        )
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        found.iter().map(told).collect::<Vec<_>>(),
        [
            (
                0,
                "v1 Pod".to_owned(),
                text("x"),
                text("a"),
                "6:7".to_owned()
            ),
            (
                1,
                "batch/v1 Job".to_owned(),
                None,
                text("b-"),
                "12:7".to_owned()
            ),
        ]
    );
}

#[test]
fn images_have_their_places_in_block_style_flow_style_and_json() {
    let block = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n    - name: a\n      image: one\n    - image:\n        \
                 \"two\"\n";
    let found = documents(block);
    assert_eq!(image_position(&found[0], &FIRST_IMAGE), (6, 14));
    assert_eq!(image_position(&found[0], &SECOND_IMAGE), (8, 9));

    let flow = "---\n\n{apiVersion: v1, kind: Pod, spec: {containers: [{image: one},\n  {name: ü, image: 'two'}]}}\n";
    let found = documents(flow);
    assert_eq!(image_position(&found[0], &FIRST_IMAGE), (3, 57));
    assert_eq!(image_position(&found[0], &SECOND_IMAGE), (4, 20));

    let json = "{\n\t\"apiVersion\": \"v1\", \"kind\": \"Pod\",\n\t\"spec\": {\"containers\": [\n\t\t{\"image\":\"one\"},\n\t\t\
                {\"name\": \"\\ud83d\\ude00\\/\", \"image\" : \"two\"}]}\n}\n";
    let found = documents(json);
    assert_eq!(image_position(&found[0], &FIRST_IMAGE), (4, 12));
    assert_eq!(image_position(&found[0], &SECOND_IMAGE), (5, 40));
    assert_eq!(
        found[0].object["spec"]["containers"][1]["name"],
        "\u{1F600}/"
    );
}

#[test]
fn an_image_by_alias_or_merge_stands_where_its_text_is() {
    let text = "apiVersion: v1\nkind: Pod\nx: &i one\nspec:\n  containers:\n    - image: *i\n    - <<: {name: b, image: z}\n";
    let found = documents(text);
    assert_eq!(image_position(&found[0], &FIRST_IMAGE), (3, 7));
    assert_eq!(found[0].object["spec"]["containers"][0]["image"], "one");
    assert_eq!(found[0].object["spec"]["containers"][1]["image"], "z");
    assert_eq!(image_position(&found[0], &SECOND_IMAGE), (7, 28));
}

#[test]
fn an_image_that_is_not_written_stands_at_the_kind() {
    let found = documents("apiVersion: v1\nkind: Pod\n");
    assert_eq!(image_position(&found[0], &FIRST_IMAGE), (2, 7));
}

#[test]
fn lists_are_unwrapped_and_each_item_keeps_its_places() {
    let text = "kind: List\napiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Pod\n  spec:\n    containers: [{image: a}]\n\
                - apiVersion: v1\n  kind: Pod\n  spec:\n    containers: [{image: b}]\n- kind: List\n  apiVersion: v1\n  items: \
                [{kind: Pod, apiVersion: v1, spec: {containers: [{image: c}]}}]\n";
    let found = documents(text);
    let places: Vec<_> = found
        .iter()
        .map(|document| image_position(document, &FIRST_IMAGE))
        .collect();
    assert_eq!(places, [(7, 26), (11, 26), (14, 67)]);
    assert_eq!(
        found
            .iter()
            .map(|document| document.index)
            .collect::<Vec<_>>(),
        [0, 1, 2]
    );
}

#[test]
fn items_of_a_typed_list_are_what_the_list_says() {
    let found =
        documents("apiVersion: apps/v1\nkind: DeploymentList\nitems: [{metadata: {name: a}}]\n");
    assert_eq!(found[0].kind.to_string(), "apps/v1 Deployment");
    let found = documents("apiVersion: example.com/v1\nkind: ShoppingList\nspec: {}\n");
    assert_eq!(found[0].kind.kind, "ShoppingList");
}

#[test]
fn concatenated_json_objects_are_documents() {
    let found = documents(
        "{\"apiVersion\":\"v1\",\"kind\":\"Pod\"}{\"apiVersion\":\"v1\",\n\"kind\":\"Node\"}",
    );
    assert_eq!(found.len(), 2);
    assert_eq!(found[1].position.to_string(), "2:8");
    assert_eq!(found[0].position.to_string(), "1:27");
}

#[test]
fn yes_and_y_are_words_as_kubernetes_reads_them() {
    let found = documents("apiVersion: v1\nkind: Pod\nx: [y, n, yes, on, Off, true, ~, null]\n");
    let expected = serde_json::json!(["y", "n", "yes", "on", "Off", true, null, null]);
    assert_eq!(found[0].object["x"], expected);
    // Without the option, the parser would read YAML 1.1's booleans.
    let lax: Value = serde_saphyr::from_str("y").unwrap();
    assert_eq!(lax, Value::Bool(true));
}

#[test]
fn numbers_and_texts_stay_what_they_are() {
    let found = documents(
        "apiVersion: v1\nkind: Pod\nx: [4, 0.5, '4', 1e3, .inf, 123456789012345678901234567890]\n1: a\ntrue: b\n",
    );
    assert_eq!(found[0].object["x"][0], 4);
    assert_eq!(found[0].object["x"][1], 0.5);
    assert_eq!(found[0].object["x"][2], "4");
    assert!(found[0].object["x"][4].is_string());
    assert_eq!(found[0].object["1"], "a");
    assert_eq!(found[0].object["true"], "b");
}

#[test]
fn a_broken_document_does_not_take_the_others_with_it() {
    let text = "apiVersion: v1\nkind: Pod\n---\napiVersion: v1\nkind: Pod\nspec: [a, b\n---\napiVersion: v1\nkind: Job\n";
    let found = reading(text);
    assert_eq!(found.documents.len(), 2);
    assert_eq!(found.documents[1].kind.kind, "Job");
    assert_eq!(found.errors.len(), 1);
    let text = found.errors[0].to_string();
    assert!(text.starts_with("t.yaml:"), "{text}");
    assert!(
        found.errors[0]
            .position
            .is_some_and(|position| (6..=7).contains(&position.line)),
        "{text}"
    );
}

#[test]
fn text_that_is_not_utf8_is_told_by_its_place_and_costs_one_document() {
    let bytes = b"apiVersion: v1\nkind: Pod\nx: \xC3\xA4\xFF\n---\napiVersion: v1\nkind: Job\n";
    let found = read("t.yaml", bytes, &Limits::default());
    assert_eq!(found.documents.len(), 1);
    assert_eq!(
        found.errors[0].to_string(),
        "t.yaml:3:5: this byte is not UTF-8: save the file as plain text in UTF-8"
    );
    assert!(errors(b"\xFF\xFEk\0", &Limits::default())[0].contains("UTF-16"));
    assert_eq!(
        read(
            "t",
            b"\xEF\xBB\xBFapiVersion: v1\nkind: Pod\n",
            &Limits::default()
        )
        .documents
        .len(),
        1
    );
}

#[test]
fn a_source_that_is_too_large_is_refused_before_it_is_read() {
    let limits = Limits {
        bytes: 1000,
        ..Limits::default()
    };
    let found = errors(&vec![b'a'; 100_000_000], &limits);
    assert_eq!(
        found,
        ["t.yaml: 100000000 bytes are too many (at most 1000): split the file, or raise the limit"]
    );
    assert!(Limits::default().bytes < 100_000_000);
}

#[test]
fn aliases_that_explode_are_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb = format!("{bomb}a{level}: &a{level} [{before}]\n");
    }
    let found = error(&bomb);
    assert!(
        found.contains("aliases (*name) that stand for more than 100000 values"),
        "{found}"
    );
}

#[test]
fn nesting_is_bounded_in_every_style() {
    let flow = format!(
        "apiVersion: v1\nkind: Pod\nx: {}1{}\n",
        "[".repeat(5000),
        "]".repeat(5000)
    );
    assert!(error(&flow).contains("more than 64"), "{}", error(&flow));
    let lines: Vec<String> = (0..300).map(|depth| " ".repeat(depth) + "a:\n").collect();
    let block = lines.concat();
    assert!(error(&block).contains("more than 64"), "{}", error(&block));
    let json = format!(
        "{{\"apiVersion\": \"v1\", \"x\": {}}}",
        "{\"a\":".repeat(100_000)
    );
    assert_eq!(errors(json.as_bytes(), &Limits::default()).len(), 1);
    let fine = format!(
        "apiVersion: v1\nkind: Pod\nx: {}1{}\n",
        "[".repeat(62),
        "]".repeat(62)
    );
    assert_eq!(documents(&fine).len(), 1);
}

#[test]
fn scalars_values_and_objects_are_bounded() {
    let limits = Limits {
        scalar_bytes: 10,
        nodes: 20,
        objects: 2,
        ..Limits::default()
    };
    let found = errors(b"apiVersion: v1\nkind: abcdefghijk\n", &limits);
    assert_eq!(
        found,
        ["t.yaml:2:7: a text of 11 bytes (at most 10): no Kubernetes object may be so large"]
    );
    let many = format!("x: [{}]\n", vec!["a"; 30].join(", "));
    assert!(errors(many.as_bytes(), &limits)[0].contains("more than 20 values"));
    let objects = "---\napiVersion: v1\nkind: Pod\n".repeat(4);
    let found = read("t.yaml", objects.as_bytes(), &limits);
    assert_eq!((found.documents.len(), found.errors.len()), (2, 1));
}

#[test]
fn each_fault_says_where_it_is_and_what_to_do() {
    assert!(error("a: 1\n").ends_with("add apiVersion and kind, or leave the file out"));
    assert!(error("---\n- a\n- b\n").contains("t.yaml:1:1: this is no Kubernetes object"));
    assert!(error("just words").contains("no Kubernetes object"));
    let template =
        "apiVersion: v1\nkind: Pod\n{{- if .Values.gpu }}\nx: {{ .Values.x }}\n{{- end }}\n";
    assert!(
        error(template).contains("helm template"),
        "{}",
        error(template)
    );
    let twice = error("apiVersion: v1\nkind: Pod\nspec: {}\nspec: {}\n");
    assert!(
        twice.starts_with("t.yaml:4:1: ") && twice.contains("duplicate"),
        "{twice}"
    );
    let truncated =
        error("{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"spec\": {\"containers\": [{\"ima");
    assert!(truncated.starts_with("t.yaml:1:"), "{truncated}");
    let tab = error("apiVersion: v1\nkind: Pod\nspec:\n\tx: 1\n");
    assert!(tab.starts_with("t.yaml:4:"), "{tab}");
}

#[test]
fn only_so_many_faults_are_told_and_no_sound_document_is_lost() {
    let text = "---\n[\n".repeat(1000) + "---\napiVersion: v1\nkind: Pod\n";
    let found = reading(&text);
    assert_eq!((found.documents.len(), found.errors.len()), (1, 101));
    assert_eq!(
        found.errors[100].problem,
        Problem::TooManyFaults { limit: 100 }
    );
}

#[test]
fn windows_line_ends_are_read() {
    let found =
        documents("---\r\napiVersion: v1\r\nkind: Pod\r\n---\r\napiVersion: v1\r\nkind: Node\r\n");
    assert_eq!(found[1].position.to_string(), "6:7");
}

#[test]
fn an_empty_source_is_nothing_and_no_fault() {
    for text in [
        "",
        "\n\n",
        "# only a comment\n",
        "---\n---\n# x\n...\n",
        "null\n",
        "\u{feff}",
    ] {
        assert_eq!(reading(text), Reading::default(), "{text:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read("t", &bytes, &Limits::default());
    }

    #[test]
    fn no_text_that_resembles_a_manifest_panics(
        text in "([ \n\t\"'{}\\[\\]:,#&*!|>%?-]|---\n|kind: |apiVersion: v1\n|items:|image: |<<: \\*a|&a |\u{e4}){0,60}"
    ) {
        let _ = read("t", text.as_bytes(), &Limits::default());
    }

    #[test]
    fn a_truncated_manifest_keeps_the_documents_before_the_cut(cut in 0_usize..200) {
        let whole = "apiVersion: v1\nkind: Pod\n---\napiVersion: v1\nkind: Job\nspec: {template: {spec: {containers: [{image: \"a\"}]}}}\n";
        let bytes = whole.as_bytes().get(..cut).unwrap_or(whole.as_bytes());
        let found = read("t", bytes, &Limits::default());
        prop_assert!(cut < 29 || found.documents.first().is_some_and(|document| document.kind.kind == "Pod"));
    }
}
