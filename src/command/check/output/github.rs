//! Workflow commands of GitHub Actions, which show results beside the lines of a pull request. Source: GitHub Docs,
//! Workflow commands; the escapes are those of actions/toolkit packages/core/src/command.ts.

use super::located::{Located, Loudness};

/// One command a line for each result that is not plain; nothing if all are.
#[must_use]
pub fn write(results: &[Located<'_>]) -> String {
    results.iter().filter_map(command).collect()
}

fn command(result: &Located<'_>) -> Option<String> {
    let name = match result.loudness()? {
        Loudness::Error => "error",
        Loudness::Warning => "warning",
        Loudness::Note => "notice",
    };
    let mut properties = Vec::new();
    if result.file != "-" {
        properties.push(format!("file={}", property(result.file)));
        if result.line > 0 {
            properties.push(format!("line={},col={}", result.line, result.column.max(1)));
        }
    }
    let title = match result.rule() {
        Some(code) => format!("{code} {}", result.object),
        None => result.object.to_owned(),
    };
    properties.push(format!("title={}", property(&title)));
    let properties = properties.join(",");
    Some(format!("::{name} {properties}::{}\n", data(result.text())))
}

fn data(text: &str) -> String {
    let text = text.replace('%', "%25");
    text.replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::super::located::examples::ALL;
    use super::*;

    #[test]
    fn each_result_that_is_not_plain_is_one_line() {
        assert_eq!(
            write(&ALL),
            "\
::error file=deploy/train.yaml,line=12,col=16,title=GPU-ARCH Deployment ml/train%2C container train::container \"train\": image has no GPU code for Tesla P100 (sm_60) [GPU-ARCH]%0A  image  a|b & <c>%0A  else   ```100%25```
::warning file=deploy/train.yaml,line=40,col=3,title=GPU-JIT Job ml/eval%2C container eval::gpu-capgate: slow first start: PTX, 100%25 of it [GPU-JIT]
::notice title=GPU-UNCHECKED Pod a%2C container b::nothing is known of the image
"
        );
    }

    #[test]
    fn a_name_cannot_begin_a_command_of_its_own() {
        let hostile = Located {
            file: "a,line=1::x\r\n::error::y",
            message: "m\n::stop-commands::t",
            ..ALL[0]
        };
        let text = write(&[hostile]);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(
            text.starts_with("::error file=a%2Cline=1%3A%3Ax%0D%0A%3A%3Aerror%3A%3Ay,line=12,"),
            "{text}"
        );
    }
}
