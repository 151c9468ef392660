//! A judged object with its place in a file: what the forms for CI are written from (`sarif`, `junit`, `github`,
//! `markdown`). They decide nothing and print nothing.

use crate::admission::decision::Decision;
use crate::compat::Code;

/// What became of one container of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Located<'a> {
    /// The file as the user named it; `-` for standard input.
    pub file: &'a str,
    /// Line of the image, from 1; 0 if there is none.
    pub line: usize,
    /// Column of the image in characters, from 1; 0 if there is none.
    pub column: usize,
    /// The object and the container: `Deployment ml/train, container train`.
    pub object: &'a str,
    /// The worst code, if there is any.
    pub code: Option<Code>,
    /// What became of it.
    pub decision: Decision,
    /// The whole text of a denial or of what is not known; empty if there is none.
    pub message: &'a str,
    /// The warning, one line; empty if there is none.
    pub warning: &'a str,
}

/// How loud a result is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loudness {
    /// It would be refused.
    Error,
    /// It would be admitted with a warning.
    Warning,
    /// It is not known.
    Note,
}

impl<'a> Located<'a> {
    /// How loud it is; `None` if there is nothing to say.
    pub(super) fn loudness(&self) -> Option<Loudness> {
        match self.decision {
            Decision::Deny => Some(Loudness::Error),
            Decision::Warn => Some(Loudness::Warning),
            Decision::Undecided => Some(Loudness::Note),
            Decision::Allow => (!self.warning.is_empty()).then_some(Loudness::Warning),
        }
    }

    /// All that is said: the message, or else the warning.
    pub(super) fn text(&self) -> &'a str {
        if self.message.is_empty() {
            self.warning
        } else {
            self.message
        }
    }

    /// The first line of it, which holds the whole cause.
    pub(super) fn first_line(&self) -> &'a str {
        self.text().lines().next().unwrap_or_default()
    }

    /// The code by which the result is filed: what is not known has one of its own.
    pub(super) fn rule(&self) -> Option<Code> {
        match self.decision {
            Decision::Undecided => self.code.or(Some(Code::Unchecked)),
            Decision::Allow | Decision::Warn | Decision::Deny => self.code,
        }
    }

    /// Where it is, for people: `train.yaml:12`.
    pub(super) fn place(&self) -> String {
        match self.line {
            0 => self.file.to_owned(),
            line => format!("{}:{line}", self.file),
        }
    }
}

#[cfg(test)]
pub(super) mod examples {
    use super::Located;
    use crate::admission::decision::Decision;
    use crate::compat::Code;

    /// A denial, a warning, something that is not known, and something that fits.
    pub(in super::super) const ALL: [Located<'static>; 4] = [
        Located {
            file: "deploy/train.yaml",
            line: 12,
            column: 16,
            object: "Deployment ml/train, container train",
            code: Some(Code::Arch),
            decision: Decision::Deny,
            message: "container \"train\": image has no GPU code for Tesla P100 (sm_60) [GPU-ARCH]\n  image  a|b & <c>\n  else   ```100%```",
            warning: "",
        },
        Located {
            file: "deploy/train.yaml",
            line: 40,
            column: 3,
            object: "Job ml/eval, container eval",
            code: Some(Code::Jit),
            decision: Decision::Warn,
            message: "",
            warning: "gpu-capgate: slow first start: PTX, 100% of it [GPU-JIT]",
        },
        Located {
            file: "-",
            line: 0,
            column: 0,
            object: "Pod a, container b",
            code: None,
            decision: Decision::Undecided,
            message: "nothing is known of the image",
            warning: "",
        },
        Located {
            file: "ok.yaml",
            line: 1,
            column: 1,
            object: "Pod ok, container ok",
            code: None,
            decision: Decision::Allow,
            message: "",
            warning: "",
        },
    ];
}
