//! Reads docs/codes.md: one section for each code, with its level, its meaning, and the errors that it explains.

use crate::compat::Code;

/// Heading below which the errors stand.
const ERRORS: &str = "### What you would see otherwise";

/// The documentation of all codes.
pub(super) struct Document<'a> {
    sections: Vec<Section<'a>>,
}

/// The documentation of one code.
pub(super) struct Section<'a> {
    /// The code.
    pub(super) code: Code,
    /// Its level: `deny`, `warn (deny in strict mode)`.
    pub(super) level: String,
    /// What it means, in one line.
    pub(super) summary: &'a str,
    /// The errors that people see where this is not checked.
    pub(super) errors: Vec<&'a str>,
    /// Everything below the first line.
    pub(super) body: &'a str,
}

impl<'a> Document<'a> {
    /// Reads the text; what is not a section of a code is left out.
    pub(super) fn new(text: &'a str) -> Self {
        let sections = text.split("\n## ").skip(1).filter_map(section);
        Self {
            sections: sections.collect(),
        }
    }

    /// The sections in the order of the file.
    pub(super) fn sections(&self) -> &[Section<'a>] {
        &self.sections
    }

    /// The section of a code.
    pub(super) fn section(&self, code: Code) -> Option<&Section<'a>> {
        self.sections.iter().find(|section| section.code == code)
    }
}

impl<'a> Section<'a> {
    /// What stands below a heading, in Markdown; nothing if there is no such heading.
    pub(super) fn below(&self, heading: &str) -> &'a str {
        let parts = self.body.split("### ");
        let mut found = parts.filter_map(|part| part.strip_prefix(heading)?.strip_prefix('\n'));
        found.next().unwrap_or_default().trim()
    }
}

fn section(text: &str) -> Option<Section<'_>> {
    let (heading, rest) = text.split_once('\n')?;
    let code = heading.trim().parse().ok()?;
    let (lead, body) = rest.trim_start().split_once("\n\n")?;
    let (level, summary) = lead.split_once(": ")?;
    Some(Section {
        code,
        level: level.replace("**", ""),
        summary,
        errors: errors(body),
        body,
    })
}

/// The texts in backticks that begin the items of the list of errors.
fn errors(body: &str) -> Vec<&str> {
    let Some((_, behind)) = body.split_once(ERRORS) else {
        return Vec::new();
    };
    let list = behind.split("\n### ").next().unwrap_or_default();
    let items = list.lines().filter_map(|line| line.strip_prefix("- `"));
    items
        .filter_map(|item| Some(item.split_once('`')?.0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::explain::CODES;
    use crate::compat::Catalog;

    #[test]
    fn each_code_has_its_section_in_the_order_of_the_codes_and_no_section_lacks_a_code() {
        let headings = CODES.lines().filter_map(|line| line.strip_prefix("## "));
        let codes: Vec<&str> = Code::ALL.iter().map(|code| code.word()).collect();
        assert_eq!(headings.collect::<Vec<_>>(), codes);
        assert_eq!(Document::new(CODES).sections().len(), codes.len());
    }

    #[test]
    fn each_section_tells_cause_occasion_message_error_remedy_and_source() {
        for section in Document::new(CODES).sections() {
            let headings = section
                .body
                .lines()
                .filter_map(|line| line.strip_prefix("### "));
            let expected = [
                "Cause",
                "Raised when",
                "Message",
                "What you would see otherwise",
                "What to do",
                "Sources",
            ];
            assert_eq!(headings.collect::<Vec<_>>(), expected, "{}", section.code);
            assert!(section.level.starts_with("deny") || section.level.starts_with("warn"));
            let message = format!("[{}]", section.code);
            assert!(section.body.contains(&message), "{}", section.code);
        }
    }

    #[test]
    fn each_error_of_the_catalog_stands_in_the_section_of_its_code() {
        let document = Document::new(CODES);
        for error in Catalog::embedded().error_texts() {
            let Some(code) = error.code else { continue };
            let section = document.section(code).unwrap();
            assert!(
                section.errors.contains(&&*error.text),
                "{code}: {}",
                error.text
            );
        }
    }
}
