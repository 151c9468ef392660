//! Markdown for a terminal, as far as docs/codes.md uses it: headings, paragraphs, lists and fenced blocks.

use crate::command::table::{self, WIDTH};

/// The text for a terminal, at most [`WIDTH`] columns where words allow it.
pub(super) fn text(markdown: &str, colors: bool) -> String {
    let mut text = String::new();
    let mut open = String::new();
    let mut fence = None;
    for line in markdown.lines() {
        match (fence, line.strip_prefix("```")) {
            (None, Some(language)) => {
                close(&mut open, &mut text);
                fence = Some(language);
            }
            (Some(_), Some(_)) => fence = None,
            // A message is one long line, which wraps; anything else keeps its lines.
            (Some("text"), None) => text.push_str(&(wrapped(line, "    ") + "\n")),
            (Some(_), None) => text.extend(["    ", line, "\n"]),
            (None, None) => prose(line, colors, &mut open, &mut text),
        }
    }
    close(&mut open, &mut text);
    text
}

/// Words in lines of at most [`WIDTH`] columns, each line with that indent; a list's mark hangs before them.
pub(super) fn wrapped(text: &str, indent: &str) -> String {
    let mark = mark(text);
    let hanging = format!("{indent}{}", " ".repeat(mark));
    let mut lines = vec![indent.to_owned()];
    for word in text.split_whitespace() {
        let Some(line) = lines.last_mut() else { break };
        let begun = line.trim() != "";
        if begun && line.chars().count() + 1 + word.chars().count() > usize::from(WIDTH) {
            lines.push(format!("{hanging}{word}"));
        } else {
            line.push_str(if begun { " " } else { "" });
            line.push_str(word);
        }
    }
    lines.join("\n")
}

fn prose(line: &str, colors: bool, open: &mut String, text: &mut String) {
    if let Some(heading) = line.strip_prefix("### ") {
        close(open, text);
        text.push_str(&(table::heading(heading, colors) + "\n"));
    } else if line.trim().is_empty() {
        close(open, text);
        if !text.ends_with("\n\n") && !ends_with_heading(text) {
            text.push('\n');
        }
    } else {
        if mark(line) > 0 {
            close(open, text);
        }
        open.push_str(line.trim());
        open.push(' ');
    }
}

/// Writes the paragraph or list item that was being read.
fn close(open: &mut String, text: &mut String) {
    if !open.is_empty() {
        text.push_str(&wrapped(&open.replace("**", ""), "  "));
        text.push('\n');
        open.clear();
    }
}

/// Whether the last line begins at the margin, as only headings do.
fn ends_with_heading(text: &str) -> bool {
    text.lines()
        .last()
        .is_some_and(|line| !line.is_empty() && !line.starts_with(' '))
}

/// Width of the mark of a list item: `- ` or `1. `.
fn mark(line: &str) -> usize {
    let numbered = line.split_once(". ").is_some_and(|(number, _)| {
        !number.is_empty() && number.len() < 3 && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    match (line.starts_with("- "), numbered) {
        (true, _) => 2,
        (_, true) => 3,
        (false, false) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_and_items_are_joined_and_wrapped_with_hanging_indent() {
        let words = "word ".repeat(30);
        let markdown =
            format!("### Title\n\nOne\ntwo.\n\n- {words}\n- last\n\n```yaml\na:   b\n```\n");
        let text = text(&markdown, false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..3], ["Title", "  One two.", ""]);
        assert!(
            lines[3].starts_with("  - word") && lines[4].starts_with("    word"),
            "{text}"
        );
        assert_eq!(lines[lines.len() - 3..], ["  - last", "", "    a:   b"]);
        assert!(lines.iter().all(|line| line.len() <= usize::from(WIDTH)));
    }
}
