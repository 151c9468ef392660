//! `JUnit` XML, which every CI system shows: a test suite for each file, a test case for each container. Source: the
//! schema of Jenkins' xUnit plugin (jenkins-junit.xsd), and what GitLab reads of it.

use std::fmt::Write as _;

use super::located::Located;
use crate::admission::decision::Decision;

/// A document of all results: denials are failures, what is not known is skipped, warnings are output.
#[must_use]
pub fn write(results: &[Located<'_>]) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let counts = counts(results);
    let _ = writeln!(text, "<testsuites name=\"gpu-capgate\" {counts}>");
    for (file, cases) in by_file(results) {
        let counts = self::counts(cases.iter().copied());
        let _ = writeln!(text, "  <testsuite name=\"{}\" {counts}>", escaped(file));
        for case in cases {
            text += &test_case(case);
        }
        text += "  </testsuite>\n";
    }
    text + "</testsuites>\n"
}

/// Results by file, files in the order in which they first come.
fn by_file<'r, 'a>(results: &'r [Located<'a>]) -> Vec<(&'a str, Vec<&'r Located<'a>>)> {
    let mut files: Vec<(&str, Vec<&Located<'_>>)> = Vec::new();
    for result in results {
        match files.iter_mut().find(|(file, _)| *file == result.file) {
            Some((_, cases)) => cases.push(result),
            None => files.push((result.file, vec![result])),
        }
    }
    files
}

fn counts<'a>(results: impl IntoIterator<Item = &'a Located<'a>>) -> String {
    let (mut tests, mut failures, mut skipped) = (0, 0, 0);
    for result in results {
        tests += 1;
        match result.decision {
            Decision::Deny => failures += 1,
            Decision::Undecided => skipped += 1,
            Decision::Allow | Decision::Warn => {}
        }
    }
    format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\"")
}

fn test_case(result: &Located<'_>) -> String {
    let (file, name) = (escaped(result.file), escaped(result.object));
    let line = match result.line {
        0 => String::new(),
        line => format!(" line=\"{line}\""),
    };
    let open = format!("    <testcase classname=\"{file}\" name=\"{name}\" file=\"{file}\"{line}");
    let mut inside = String::new();
    let first = escaped(result.first_line());
    match result.decision {
        Decision::Deny => {
            let code = result
                .code
                .map_or_else(String::new, |code| code.to_string());
            let message = escaped_text(result.text());
            let _ = writeln!(
                inside,
                "      <failure message=\"{first}\" type=\"{code}\">{message}</failure>"
            );
        }
        Decision::Undecided => {
            let _ = writeln!(inside, "      <skipped message=\"{first}\"/>");
        }
        Decision::Allow | Decision::Warn => {}
    }
    if !result.warning.is_empty() {
        let warning = escaped_text(result.warning);
        let _ = writeln!(inside, "      <system-out>{warning}</system-out>");
    }
    if inside.is_empty() {
        format!("{open}/>\n")
    } else {
        format!("{open}>\n{inside}    </testcase>\n")
    }
}

/// For an attribute: on one line, whatever the text.
fn escaped(text: &str) -> String {
    let text = escaped_text(text);
    text.replace('\n', "&#10;").replace('\t', "&#9;")
}

/// For text between tags. What XML 1.0 cannot hold at all (2.2, Char) becomes U+FFFD.
fn escaped_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' | '\t' => out.push(letter),
            '\r' => out.push_str("&#13;"),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::located::examples::ALL;
    use super::*;

    #[test]
    fn a_file_is_a_suite_and_a_container_a_case() {
        assert_eq!(
            write(&ALL),
            "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<testsuites name=\"gpu-capgate\" tests=\"4\" failures=\"1\" errors=\"0\" skipped=\"1\">
  <testsuite name=\"deploy/train.yaml\" tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"0\">
    <testcase classname=\"deploy/train.yaml\" name=\"Deployment ml/train, container train\" file=\"deploy/train.yaml\" line=\"12\">
      <failure message=\"container &quot;train&quot;: image has no GPU code for Tesla P100 (sm_60) [GPU-ARCH]\" type=\"GPU-ARCH\">container &quot;train&quot;: image has no GPU code for Tesla P100 (sm_60) [GPU-ARCH]
  image  a|b &amp; &lt;c&gt;
  else   ```100%```</failure>
    </testcase>
    <testcase classname=\"deploy/train.yaml\" name=\"Job ml/eval, container eval\" file=\"deploy/train.yaml\" line=\"40\">
      <system-out>gpu-capgate: slow first start: PTX, 100% of it [GPU-JIT]</system-out>
    </testcase>
  </testsuite>
  <testsuite name=\"-\" tests=\"1\" failures=\"0\" errors=\"0\" skipped=\"1\">
    <testcase classname=\"-\" name=\"Pod a, container b\" file=\"-\">
      <skipped message=\"nothing is known of the image\"/>
    </testcase>
  </testsuite>
  <testsuite name=\"ok.yaml\" tests=\"1\" failures=\"0\" errors=\"0\" skipped=\"0\">
    <testcase classname=\"ok.yaml\" name=\"Pod ok, container ok\" file=\"ok.yaml\" line=\"1\"/>
  </testsuite>
</testsuites>
"
        );
    }

    #[test]
    fn control_characters_do_not_reach_the_document() {
        assert_eq!(
            escaped("a\u{0}\u{1b}\u{b}b\r\n\t\u{7f}"),
            "a\u{fffd}\u{fffd}\u{fffd}b&#13;&#10;&#9;\u{7f}"
        );
        assert_eq!(escaped_text("]]>\u{ffff}'"), "]]&gt;\u{fffd}&apos;");
    }

    proptest! {
        /// Without any markup of strangers, what is well-formed above is well-formed for every text.
        #[test]
        fn no_text_of_strangers_brings_markup(text in ".{0,60}") {
            for out in [escaped(&text), escaped_text(&text)] {
                prop_assert!(!out.contains(['<', '>', '"', '\'', '\r', '\u{0}']), "{out:?}");
                for part in out.split('&').skip(1) {
                    let entity = part.split(';').next().unwrap();
                    prop_assert!(["amp", "lt", "gt", "quot", "apos", "#9", "#10", "#13"].contains(&entity));
                }
            }
        }
    }
}
