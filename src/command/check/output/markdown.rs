//! Markdown for a comment on a pull request: a count, a table, and the whole messages folded away.

use std::fmt::Write as _;

use super::located::{Located, Loudness};
use crate::admission::decision::Decision;
use crate::command::markdown::{cell_text, table};

/// Longest text that is written, near enough, in bytes: GitHub takes comments of 65,536 characters.
const LIMIT: usize = 60_000;

/// The comment. Results about which there is nothing to say are only counted.
#[must_use]
pub fn write(results: &[Located<'_>]) -> String {
    let told: Vec<&Located<'_>> = results
        .iter()
        .filter(|result| result.loudness().is_some())
        .collect();
    let mut text = format!("**gpu-capgate**: {}\n", summary(results));
    if told.is_empty() {
        return text;
    }
    let mut room = LIMIT;
    let rows = told.iter().map(|result| row(result));
    let rows: Vec<Vec<String>> = rows.take_while(|row| takes(row, &mut room)).collect();
    let shown = rows.len();
    text.push('\n');
    text += &table(
        &["Result", "Object", "Where", "Code", "Why"],
        rows.into_iter(),
    );
    if shown < told.len() {
        let _ = writeln!(text, "\n{} more are not shown.", told.len() - shown);
    }
    for result in told {
        let details = details(result);
        if text.len() + details.len() > LIMIT {
            break;
        }
        text += &details;
    }
    text
}

fn takes(row: &[String], room: &mut usize) -> bool {
    // Escapes may make a cell twice as long and more.
    let length: usize = row.iter().map(|cell| 2 * cell.len() + 3).sum();
    let fits = length <= *room;
    *room = room.saturating_sub(length);
    fits
}

fn summary(results: &[Located<'_>]) -> String {
    let count = |decision| {
        let same = results
            .iter()
            .filter(move |result| result.decision == decision);
        same.count()
    };
    let words = [
        (Decision::Deny, "would be refused"),
        (Decision::Warn, "would be warned about"),
        (Decision::Undecided, "could not be decided"),
        (Decision::Allow, "fit"),
    ];
    let parts: Vec<String> = words
        .into_iter()
        .map(|(decision, words)| (count(decision), words))
        .filter(|(count, _)| *count > 0)
        .map(|(count, words)| format!("{count} {words}"))
        .collect();
    if parts.is_empty() {
        "nothing asks for a GPU".to_owned()
    } else {
        parts.join(", ")
    }
}

fn row(result: &Located<'_>) -> Vec<String> {
    let word = match result.loudness() {
        Some(Loudness::Error) => "deny",
        Some(Loudness::Warning) => "warn",
        Some(Loudness::Note) => "undecided",
        None => "allow",
    };
    vec![
        word.to_owned(),
        result.object.to_owned(),
        result.place(),
        result
            .code
            .map_or_else(String::new, |code| code.to_string()),
        result.first_line().to_owned(),
    ]
}

/// The whole message, where it has more than the line that the table shows.
fn details(result: &Located<'_>) -> String {
    if result.text().lines().count() < 2 {
        return String::new();
    }
    let fence = fence(result.text());
    format!(
        "\n<details><summary>{}</summary>\n\n{fence}text\n{}\n{fence}\n</details>\n",
        cell_text(result.object),
        result.text()
    )
}

/// A fence that nothing in the text can close.
fn fence(text: &str) -> String {
    let longest = text.split(|letter| letter != '`').map(str::len).max();
    "`".repeat(longest.unwrap_or_default().max(2) + 1)
}

#[cfg(test)]
mod tests {
    use super::super::located::examples::ALL;
    use super::*;

    #[test]
    fn what_is_not_plain_is_in_the_table_and_its_message_below() {
        assert_eq!(
            write(&ALL),
            "\
**gpu-capgate**: 1 would be refused, 1 would be warned about, 1 could not be decided, 1 fit

| Result | Object | Where | Code | Why |
| --- | --- | --- | --- | --- |
| deny | Deployment ml/train, container train | deploy/train.yaml:12 | GPU-ARCH | container \"train\": image has no GPU code for Tesla P100 (sm\\_60) \\[GPU-ARCH\\] |
| warn | Job ml/eval, container eval | deploy/train.yaml:40 | GPU-JIT | gpu-capgate: slow first start: PTX, 100% of it \\[GPU-JIT\\] |
| undecided | Pod a, container b | - |  | nothing is known of the image |

<details><summary>Deployment ml/train, container train</summary>

````text
container \"train\": image has no GPU code for Tesla P100 (sm_60) [GPU-ARCH]
  image  a|b & <c>
  else   ```100%```
````
</details>
"
        );
    }

    #[test]
    fn where_all_fits_there_is_one_line() {
        assert_eq!(write(&ALL[3..]), "**gpu-capgate**: 1 fit\n");
        assert_eq!(write(&[]), "**gpu-capgate**: nothing asks for a GPU\n");
    }

    #[test]
    fn a_comment_stays_within_what_github_takes() {
        let many = vec![ALL[0]; 2000];
        let text = write(&many);
        assert!(text.len() < 65_536, "{}", text.len());
        assert!(text.contains(" more are not shown."), "{text}");
    }
}
