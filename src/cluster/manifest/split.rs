//! Cuts a stream into documents before anything is parsed, so that a broken one does not take the others with it.
//!
//! YAML forbids a line that begins with `---` and white space inside of any scalar (YAML 1.2.2, `c-forbidden`), so
//! such a line always begins a document.

use super::Position;

/// One document of a stream, unparsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chunk<'a> {
    /// Its bytes, from its `---` on if it has one.
    pub(super) bytes: &'a [u8],
    /// Where they begin in the source.
    pub(super) start: Position,
}

/// The encoding of a text that is not UTF-8 but says what it is by its first bytes.
pub(super) fn foreign_encoding(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xFF, 0xFE, ..] => Some("UTF-16 (little-endian)"),
        [0xFE, 0xFF, ..] => Some("UTF-16 (big-endian)"),
        [0x1F, 0x8B, ..] => Some("gzip"),
        _ => None,
    }
}

/// The documents of a stream that hold anything but comments.
pub(super) fn chunks(bytes: &[u8]) -> Vec<Chunk<'_>> {
    let mut found = Vec::new();
    let mut open = Chunk {
        bytes: without_mark(bytes),
        start: Position::START,
    };
    loop {
        let (first, rest) = cut(&open);
        if !is_empty(first.bytes) {
            found.extend(json_values(first));
        }
        match rest {
            Some(rest) => open = rest,
            None => return found,
        }
    }
}

/// The text after a byte-order mark.
fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)
}

/// The first document of a text, and the text from the next `---` line on.
fn cut<'a>(text: &Chunk<'a>) -> (Chunk<'a>, Option<Chunk<'a>>) {
    let mut offset = 0;
    let lines = text.bytes.split_inclusive(|byte| *byte == b'\n');
    for (line, found) in (text.start.line..).zip(lines) {
        if offset > 0 && begins_document(found) {
            let (first, rest) = text.bytes.split_at(offset);
            let rest = Chunk {
                bytes: rest,
                start: Position { line, column: 1 },
            };
            let first = Chunk {
                bytes: first,
                start: text.start,
            };
            return (first, Some(rest));
        }
        offset += found.len();
    }
    (text.clone(), None)
}

fn begins_document(line: &[u8]) -> bool {
    line.strip_prefix(b"---")
        .is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_whitespace))
}

/// Whether a document holds nothing but markers, directives and comments.
fn is_empty(bytes: &[u8]) -> bool {
    let content = |line: &[u8]| {
        let line = line.trim_ascii();
        let line = line.strip_prefix(b"---").map_or(line, <[u8]>::trim_ascii);
        !matches!(line, [] | [b'#' | b'%', ..] | b"...")
    };
    !bytes.split(|byte| *byte == b'\n').any(content)
}

/// JSON values that stand one after the other without `---`, as `kubectl` takes them; anything else as it is.
fn json_values(chunk: Chunk<'_>) -> Vec<Chunk<'_>> {
    let mut found = Vec::new();
    let mut open = chunk;
    while let Some(length) = json_length(open.bytes) {
        let (value, rest) = open.bytes.split_at(length);
        if !rest.trim_ascii_start().starts_with(b"{") {
            break;
        }
        let rest = Chunk {
            bytes: rest,
            start: after(open.start, value),
        };
        found.push(Chunk {
            bytes: value,
            start: open.start,
        });
        open = rest;
    }
    found.push(open);
    found
}

/// How many bytes a text's first value in braces takes, white space before it included.
fn json_length(bytes: &[u8]) -> Option<usize> {
    let space = bytes.len() - bytes.trim_ascii_start().len();
    let value = bytes.get(space..).filter(|value| value.starts_with(b"{"))?;
    let mut place = Place::Outside;
    let mut depth = 0_usize;
    for (offset, byte) in value.iter().enumerate() {
        place = place.after(*byte);
        match (&place, byte) {
            (Place::Outside, b'{') => depth += 1,
            (Place::Outside, b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return Some(space + offset + 1);
        }
    }
    None
}

/// Where in JSON a byte stands.
enum Place {
    Outside,
    String,
    Escape,
}

impl Place {
    fn after(&self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Outside, b'"') | (Self::Escape, _) => Self::String,
            (Self::String, b'\\') => Self::Escape,
            (Self::String, b'"') | (Self::Outside, _) => Self::Outside,
            (Self::String, _) => Self::String,
        }
    }
}

/// Where the text after these bytes begins.
pub(super) fn after(start: Position, bytes: &[u8]) -> Position {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let last = lines.next_back().unwrap_or_default();
    let lines = lines.count() as u64;
    let column = 1 + String::from_utf8_lossy(last).chars().count() as u64;
    match lines {
        0 => Position {
            column: start.column + column - 1,
            ..start
        },
        lines => Position {
            line: start.line + lines,
            column,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> Vec<(String, u64, u64)> {
        let found = chunks(text.as_bytes());
        let piece = |chunk: &Chunk<'_>| {
            (
                String::from_utf8_lossy(chunk.bytes).trim().to_owned(),
                chunk.start.line,
                chunk.start.column,
            )
        };
        found.iter().map(piece).collect()
    }

    fn piece(text: &str, line: u64, column: u64) -> (String, u64, u64) {
        (text.to_owned(), line, column)
    }

    #[test]
    fn documents_are_cut_at_marker_lines_and_empty_ones_left_out() {
        let text = "# a comment\n---\n# Source: chart/x.yaml\n---\na: 1\n---   # b\nb: 2\n--- {c: 3}\n...\n---\n";
        assert_eq!(
            pieces(text),
            [
                piece("---\na: 1", 4, 1),
                piece("---   # b\nb: 2", 6, 1),
                piece("--- {c: 3}\n...", 8, 1)
            ]
        );
    }

    #[test]
    fn dashes_inside_of_strings_and_words_cut_nothing() {
        let text = "script: |\n  ---\n  x\nother: a---b\n----: 1\n";
        assert_eq!(pieces(text).len(), 1);
    }

    #[test]
    fn concatenated_json_is_cut_and_braces_in_strings_are_not_counted() {
        assert_eq!(
            pieces("{\"a\": \"}{\\\"\"}{\"b\": {}}\n{\"c\": 1}\n"),
            [
                piece("{\"a\": \"}{\\\"\"}", 1, 1),
                piece("{\"b\": {}}", 1, 14),
                piece("{\"c\": 1}", 1, 23)
            ]
        );
        assert_eq!(pieces("{a: '}', b: 1}\n").len(), 1);
    }
}
