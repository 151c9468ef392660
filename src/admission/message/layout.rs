//! The shape of a message: a first line with the whole cause, then lines of key and value, within fixed limits.

use std::fmt::Write as _;

use crate::compat::Code;

/// Longest first line, in characters.
const HEADLINE_LIMIT: usize = 160;
/// Longest denial, in bytes: with a controller's own words before it, it fits the 1024 bytes of an Event.
const DENIAL_LIMIT: usize = 900;
/// Longest warning, in characters: the API server cuts longer ones to 256.
const WARNING_LIMIT: usize = 250;
/// Longest name that is shown, in characters.
const NAME_LIMIT: usize = 200;
/// Width of the keys.
const KEY_WIDTH: usize = 6;
/// How far a second line is indented.
const BELOW_INDENT: usize = 11;

/// How much a line matters when not all of them fit; the order is from what goes first to what stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// Good to know.
    Detail,
    /// Why it is so.
    Evidence,
    /// What to do, and with what.
    Needed,
}

/// A key and what it says; a line that says nothing is not shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    key: &'static str,
    value: String,
    /// What stands below the value, if anything.
    below: String,
    weight: Weight,
}

impl Line {
    pub(super) const fn new(key: &'static str, value: String, weight: Weight) -> Self {
        let below = String::new();
        Self {
            key,
            value,
            below,
            weight,
        }
    }

    /// The same with a second line.
    pub(super) fn with(self, below: String) -> Self {
        Self { below, ..self }
    }

    /// Bytes that it takes, its line feeds and indents included.
    fn length(&self) -> usize {
        let below = match self.below.len() {
            0 => 0,
            length => 1 + BELOW_INDENT + length,
        };
        "\n  ".len() + KEY_WIDTH + 1 + self.value.len() + below
    }
}

/// The first line: a sentence, how far it reaches and what else there is, as far as there is room, and the code. That
/// it runs on some nodes matters more than other causes, all else less.
pub(super) fn headline(sentence: &str, scope: &str, others: &str, code: Code) -> String {
    let tail = format!(" [{code}]");
    let room = HEADLINE_LIMIT - tail.len();
    let (sentence, scope) = (plain(sentence), plain(scope));
    let second = if code == Code::Partial {
        &scope
    } else {
        others
    };
    let additions = [format!("{scope}{others}"), second.to_owned()];
    let fits = |addition: &&String| sentence.chars().count() + addition.chars().count() <= room;
    let addition = additions.iter().find(fits).map_or("", String::as_str);
    clipped(&format!("{sentence}{addition}"), room) + &tail
}

/// A sentence with what can be added to it within a limit: all of the additions, or the first ones, or none.
fn fitting(sentence: &str, additions: &[&str], limit: usize) -> String {
    let mut text = sentence.to_owned();
    for addition in additions {
        if text.chars().count() + addition.chars().count() > limit {
            break;
        }
        text.push_str(addition);
    }
    clipped(&text, limit)
}

/// Whether a sentence fits into the first line without being cut.
pub(super) fn fits(sentence: &str, code: Code) -> bool {
    sentence.chars().count() + " []".len() + code.word().len() <= HEADLINE_LIMIT
}

/// A warning: all in one line, with the additions for which there is room.
pub(super) fn warning(sentence: &str, additions: &[&str], code: Code) -> String {
    let tail = format!(" [{code}]");
    let sentence = format!("gpu-capgate: {}", plain(sentence));
    let additions: Vec<String> = additions.iter().map(|addition| plain(addition)).collect();
    let additions: Vec<&str> = additions.iter().map(String::as_str).collect();
    fitting(&sentence, &additions, WARNING_LIMIT - tail.len()) + &tail
}

/// A warning about how something is written: all in one line, without a code.
pub(super) fn complaint(sentence: &str) -> String {
    clipped(&format!("gpu-capgate: {}", plain(sentence)), WARNING_LIMIT)
}

/// The first line and as many of the others as fit: what matters least goes first, from the end.
pub(super) fn text(headline: String, mut lines: Vec<Line>) -> String {
    lines.retain(|line| !line.value.is_empty());
    for line in &mut lines {
        line.value = plain(&line.value);
        line.below = plain(&line.below);
    }
    let length = |lines: &[Line]| headline.len() + lines.iter().map(Line::length).sum::<usize>();
    while length(&lines) > DENIAL_LIMIT {
        let least = lines
            .iter()
            .enumerate()
            .rev()
            .min_by_key(|(_, line)| line.weight);
        let Some((index, _)) = least else { break };
        lines.remove(index);
    }
    let mut text = headline;
    for Line {
        key, value, below, ..
    } in &lines
    {
        let _ = write!(text, "\n  {key:<KEY_WIDTH$} {value}");
        if !below.is_empty() {
            let _ = write!(text, "\n{:BELOW_INDENT$}{below}", "");
        }
    }
    text
}

/// A name, cut where it is absurdly long.
pub(super) fn shortened(name: &str) -> String {
    clipped(name, NAME_LIMIT)
}

/// Text that may quote a stranger (names of containers, images, nodes and GPUs) as plain ASCII, without anything that a
/// terminal would obey or that would look like a line of ours. Every text of this module passes through it.
fn plain(text: &str) -> String {
    let letter = |letter: char| match letter {
        ' '..='~' => letter,
        _ => '?',
    };
    text.chars().map(letter).collect()
}

/// Cuts to that many characters, at the end, and says so.
fn clipped(line: &str, limit: usize) -> String {
    if line.chars().count() <= limit {
        return line.to_owned();
    }
    line.chars()
        .take(limit.saturating_sub(3))
        .chain("...".chars())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_sentence_is_cut_before_the_code() {
        let line = headline(&"x".repeat(500), "", ", and 1 other cause", Code::Arch);
        assert_eq!(line.len(), HEADLINE_LIMIT);
        assert!(line.ends_with("x... [GPU-ARCH]"), "{line}");
        assert_eq!(
            warning(&"x".repeat(500), &[", and more"], Code::CpuBuild).len(),
            WARNING_LIMIT
        );
    }

    #[test]
    fn what_matters_least_goes_first_when_not_everything_fits() {
        let line = |key, length, weight| Line::new(key, "y".repeat(length), weight);
        let lines = vec![
            line("image", 200, Weight::Needed),
            line("has", 300, Weight::Evidence),
            line("else", 200, Weight::Detail),
            line("fix", 200, Weight::Needed),
            line("more", 100, Weight::Detail),
        ];
        let text = text("cause [GPU-ARCH]".to_owned(), lines);
        let keys: Vec<&str> = text
            .lines()
            .skip(1)
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        assert_eq!(keys, ["image", "has", "fix"]);
        assert!(text.len() <= DENIAL_LIMIT);
    }

    #[test]
    fn text_from_outside_becomes_plain() {
        assert_eq!(plain("a\u{1b}[31m\u{e9}\nb"), "a?[31m??b");
    }
}
