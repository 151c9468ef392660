//! Tables in Markdown, as GitHub and GitLab show them. Knows nothing of what is in the cells.

/// A table with its headings.
pub(super) fn table(headings: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut text = row(headings.iter().map(|heading| (*heading).to_owned()));
    text += &row(headings.iter().map(|_| "---".to_owned()));
    for cells in rows {
        text += &row(cells.iter().map(|cell| cell_text(cell)));
    }
    text
}

fn row(cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = cells.collect();
    format!("| {} |\n", cells.join(" | "))
}

/// A text that stays within its cell and is shown as it is: what Markdown or HTML would take for itself is escaped.
pub(super) fn cell_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.trim().chars() {
        match letter {
            '\n' => out.push_str("<br>"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '|' | '`' | '*' | '_' | '\\' | '[' | ']' | '~' => {
                out.push('\\');
                out.push(letter);
            }
            // A person or team must not be called by what an object's author wrote.
            '@' => out.push_str("&#64;"),
            other if other.is_control() => out.push(' '),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_cannot_break_out_of_its_table() {
        let text = table(
            &["A", "B"],
            [vec!["x|y".to_owned(), "l1\nl2 `c`".to_owned()]].into_iter(),
        );
        assert_eq!(
            text,
            "| A | B |\n| --- | --- |\n| x\\|y | l1<br>l2 \\`c\\` |\n"
        );
    }

    #[test]
    fn markup_of_strangers_is_shown_and_not_obeyed() {
        assert_eq!(
            cell_text("<b> @team [a](b) \r\u{7} *x*"),
            "&lt;b&gt; &#64;team \\[a\\](b)    \\*x\\*"
        );
    }
}
