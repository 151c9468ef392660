//! Cuts a listing into its objects before any is parsed, so that a large one needs memory for one object at a time,
//! and a broken object does not take the others with it.
//!
//! `kubectl get -o json` and `-o yaml` print one document, a list. JSON is cut by `serde_json`. YAML is cut at
//! lines that begin with `- ` below `items:`: nothing inside an item can begin at the margin there (YAML 1.2.2, 8.2.1).

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cluster::manifest::Position;
use crate::cluster::workload::ObjectKind;

/// One object of a listing, or a document that is no list, unparsed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece<'a> {
    /// Its text.
    pub(super) text: Cow<'a, [u8]>,
    /// What language it is in.
    pub(super) form: Form,
    /// Where it begins.
    pub(super) start: Position,
    /// What it is, unless it says otherwise.
    pub(super) default: Option<ObjectKind>,
}

/// What language a piece is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One JSON value that is whole.
    Json,
    /// YAML, or something that claims to be.
    Yaml,
}

/// The pieces of a listing, in its order.
pub(super) fn pieces(bytes: &[u8]) -> Vec<Piece<'_>> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let mut found = Vec::new();
    for (line, document) in documents(bytes) {
        match json(document, line) {
            Some(pieces) => found.extend(pieces),
            None => yaml(document, line, &mut found),
        }
    }
    found
}

/// The documents of a stream, with the line at which each begins.
fn documents(bytes: &[u8]) -> Vec<(u64, &[u8])> {
    let mut found = Vec::new();
    let (mut begin, mut line, mut offset) = (0, 1, 0);
    for (number, text) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
        if offset > begin && begins_document(text) {
            found.extend(bytes.get(begin..offset).map(|document| (line, document)));
            (begin, line) = (offset, number);
        }
        offset += text.len();
    }
    found.extend(bytes.get(begin..).map(|document| (line, document)));
    found
}

fn begins_document(line: &[u8]) -> bool {
    line.strip_prefix(b"---")
        .is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_whitespace))
}

#[derive(Deserialize)]
struct Outline<'a> {
    #[serde(borrow, rename = "apiVersion")]
    api_version: Option<Cow<'a, str>>,
    #[serde(borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

/// The objects of a document of one or several JSON values; `None` if it is anything else.
fn json(document: &[u8], line: u64) -> Option<Vec<Piece<'_>>> {
    let text = std::str::from_utf8(document).ok()?;
    let inside = text.strip_prefix("---").unwrap_or(text).trim_start();
    if !inside.starts_with('{') {
        return None;
    }
    let mut found = Vec::new();
    let mut cursor = Cursor {
        text,
        offset: 0,
        position: Position { line, column: 1 },
    };
    for value in serde_json::Deserializer::from_str(inside).into_iter::<&RawValue>() {
        let value = value.ok()?;
        let outline: Outline<'_> = serde_json::from_str(value.get()).ok()?;
        let list = outline
            .kind
            .as_deref()
            .and_then(|kind| kind.strip_suffix("List"));
        let (items, default) = match (outline.items, list) {
            (Some(items), Some(item)) => {
                let version = outline.api_version.as_deref().unwrap_or_default();
                let kind = (!item.is_empty()).then(|| ObjectKind::new(version, item));
                (items, kind)
            }
            (Some(_) | None, _) => (vec![value], None),
        };
        for item in items {
            found.push(Piece {
                text: Cow::Borrowed(item.get().as_bytes()),
                form: Form::Json,
                start: cursor.to(item.get()),
                default: default.clone(),
            });
        }
    }
    Some(found)
}

/// Counts lines from one place of a text to the next.
struct Cursor<'a> {
    text: &'a str,
    offset: usize,
    position: Position,
}

impl Cursor<'_> {
    /// The position of a part of the text that is not before the last one.
    fn to(&mut self, part: &str) -> Position {
        let offset = (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        let between = self.text.get(self.offset..offset).unwrap_or_default();
        let lines = between.bytes().filter(|byte| *byte == b'\n').count() as u64;
        let tail = between.rsplit('\n').next().unwrap_or_default();
        let columns = tail.chars().count() as u64;
        self.position = Position {
            line: self.position.line + lines,
            column: match lines {
                0 => self.position.column + columns,
                _ => 1 + columns,
            },
        };
        self.offset = self.offset.max(offset);
        self.position
    }
}

/// The items of a document in YAML that is a list as `kubectl` prints it; any other document as it is.
fn yaml<'a>(document: &'a [u8], line: u64, found: &mut Vec<Piece<'a>>) {
    let items = list_items(document, line);
    if items.is_empty() {
        found.push(Piece {
            text: Cow::Borrowed(document),
            form: Form::Yaml,
            start: Position { line, column: 1 },
            default: None,
        });
    }
    found.extend(items);
}

/// The items of a list in YAML; empty if it is none, or one with aliases, which may reach from item to item.
fn list_items(document: &[u8], line: u64) -> Vec<Piece<'_>> {
    let mut outline = Margin::default();
    let mut item: Option<(u64, usize)> = None;
    let mut bounds = Vec::new();
    let mut offset = 0;
    for (line, text) in (line..).zip(document.split_inclusive(|byte| *byte == b'\n')) {
        let at_margin = !matches!(
            text.first(),
            None | Some(b' ' | b'\t' | b'\n' | b'\r' | b'#')
        );
        if at_margin {
            if let Some((line, begin)) = item.take() {
                bounds.push((line, begin, offset));
            }
            if outline.inside && text.starts_with(b"- ") {
                item = Some((line, offset));
            } else {
                outline.take(text.trim_ascii());
            }
        }
        offset += text.len();
    }
    if let Some((line, begin)) = item {
        bounds.push((line, begin, offset));
    }
    if !outline.is_list || has_alias(document) {
        return Vec::new();
    }
    let piece = |(line, begin, end): (u64, usize, usize)| {
        // The dash becomes a space, so that the item is a mapping, and its columns stay.
        let mut text = document.get(begin..end)?.to_vec();
        *text.first_mut()? = b' ';
        Some(Piece {
            text: Cow::Owned(text),
            form: Form::Yaml,
            start: Position { line, column: 1 },
            default: None,
        })
    };
    bounds.into_iter().filter_map(piece).collect()
}

/// What the lines at the margin of a document say.
#[derive(Default)]
struct Margin {
    /// Whether the lines that follow are items.
    inside: bool,
    /// Whether the document is a list whose items say what they are.
    is_list: bool,
}

impl Margin {
    fn take(&mut self, line: &[u8]) {
        self.inside = line == b"items:";
        self.is_list |= line == b"kind: List";
    }
}

fn has_alias(document: &[u8]) -> bool {
    let alias = |window: &[u8]| matches!(window, [b':' | b'-', b' ', b'*']);
    document.windows(3).any(alias)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<(String, Form, u64, u64)> {
        let piece = |piece: Piece<'_>| {
            let text = String::from_utf8_lossy(&piece.text).trim().to_owned();
            (text, piece.form, piece.start.line, piece.start.column)
        };
        pieces(text.as_bytes()).into_iter().map(piece).collect()
    }

    fn piece(text: &str, form: Form, line: u64, column: u64) -> (String, Form, u64, u64) {
        (text.to_owned(), form, line, column)
    }

    #[test]
    fn a_list_in_yaml_is_cut_at_its_items() {
        let text = "apiVersion: v1\nitems:\n- kind: Node\n  a: |\n    - x\n- kind: Node\n  b: 1\nkind: List\nmetadata:\n  x: 1\n";
        assert_eq!(
            told(text),
            [
                piece("kind: Node\n  a: |\n    - x", Form::Yaml, 3, 1),
                piece("kind: Node\n  b: 1", Form::Yaml, 6, 1)
            ]
        );
    }

    #[test]
    fn a_list_in_json_is_cut_and_its_kind_holds_for_items_that_do_not_say() {
        let text = "{\"kind\": \"NodeList\", \"apiVersion\": \"v1\",\n \"items\": [{\"a\": 1},\n{\"b\": [2]}]}\n{\"kind\": \"Node\"}";
        let found = pieces(text.as_bytes());
        assert_eq!(
            found[0].default,
            Some(ObjectKind::new("v1", "Node")),
            "{found:?}"
        );
        assert_eq!(
            told(text),
            [
                piece("{\"a\": 1}", Form::Json, 2, 12),
                piece("{\"b\": [2]}", Form::Json, 3, 1),
                piece("{\"kind\": \"Node\"}", Form::Json, 4, 1)
            ]
        );
    }

    #[test]
    fn what_is_no_list_and_a_list_with_aliases_stay_whole() {
        for text in [
            "kind: Node\nitems:\n- a\n- b\n",
            "kind: List\nitems:\n- a: &x 1\n- b: *x\n",
            "{a: 1}\n",
            "{\"kind\": \"List\", \"items\": [1, }",
        ] {
            assert_eq!(told(text), [piece(text.trim(), Form::Yaml, 1, 1)]);
        }
    }

    #[test]
    fn documents_of_both_languages_stand_in_one_stream() {
        let text = "kind: Node\n---\n{\"kind\": \"Node\"}\n--- # x\nkind: List\nitems:\n- c: 1\n";
        assert_eq!(
            told(text),
            [
                piece("kind: Node", Form::Yaml, 1, 1),
                piece("{\"kind\": \"Node\"}", Form::Json, 3, 1),
                piece("c: 1", Form::Yaml, 7, 1)
            ]
        );
    }
}
