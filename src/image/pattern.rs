//! The small declarative form in which `repositories.toml` writes repositories and tags: text with named holes,
//! `{torch}-cuda{cuda}-cudnn{cudnn}-runtime`.
//!
//! Each hole has a name that fixes what it takes. A hole takes as much as it can and never gives back, so matching
//! is one pass over the text. The file knows no repository.

use std::str::FromStr;

use thiserror::Error;

use super::tag::{CudaName, TorchName};

/// A pattern for a whole repository name or a whole tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Piece>);

/// What the holes of a pattern took from a text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Captures(Vec<(Hole, String)>);

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatternError {
    /// A brace without its partner.
    #[error("pattern {0:?} has a brace without its partner")]
    Unbalanced(String),
    /// A hole with a name that is not known.
    #[error(
        "pattern {pattern:?} has a hole {{{hole}}}, which is none of {}",
        Hole::names()
    )]
    UnknownHole {
        /// The pattern.
        pattern: String,
        /// The name in braces.
        hole: String,
    },
    /// Two holes without text between them, or something behind `{rest}`.
    #[error("pattern {0:?} has a hole that could not be told from the one before it")]
    Ambiguous(String),
    /// A template names a hole that its pattern does not have.
    #[error("template {template:?} uses {{{hole}}}, which its pattern does not capture")]
    NotCaptured {
        /// The template.
        template: String,
        /// The name in braces.
        hole: &'static str,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Hole(Hole),
}

/// The kinds of holes; the name in a pattern is the name of the kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hole {
    /// `2.6.0` or `2.6`: a torch release.
    Torch,
    /// `2-6`: the same with hyphens.
    TorchDashed,
    /// `280`, `28x`, `2100`: the same without separators.
    TorchCompact,
    /// `12.4` or `12.4.1`: a CUDA toolkit.
    Cuda,
    /// `124`: the same without dots.
    CudaCompact,
    /// `9`: the major version of cuDNN.
    Cudnn,
    /// `25.10`: year and month of a release train.
    Release,
    /// Digits and dots that say nothing further.
    Version,
    /// Letters and digits.
    Word,
    /// Letters, digits and hyphens.
    Label,
    /// Anything, also nothing, up to the end.
    Rest,
}

impl Pattern {
    /// What the holes take, if the pattern fits all of the text.
    #[must_use]
    pub fn captures(&self, text: &str) -> Option<Captures> {
        let mut rest = text;
        let mut captures = Captures::default();
        for piece in &self.0 {
            rest = match piece {
                Piece::Literal(literal) => rest.strip_prefix(literal.as_str())?,
                Piece::Hole(hole) => {
                    let (taken, behind) = rest.split_at_checked(hole.length(rest))?;
                    if !hole.accepts(taken) {
                        return None;
                    }
                    captures.0.push((*hole, taken.to_owned()));
                    behind
                }
            };
        }
        rest.is_empty().then_some(captures)
    }

    /// Fails if a template needs what this pattern does not capture.
    ///
    /// # Errors
    /// The template, and the hole that is missing.
    pub fn covers(&self, template: &Self) -> Result<(), PatternError> {
        let missing = template
            .holes()
            .find(|hole| !self.holes().any(|known| known == *hole));
        missing.map_or(Ok(()), |hole| {
            Err(PatternError::NotCaptured {
                template: template.to_string(),
                hole: hole.name(),
            })
        })
    }

    /// The template with its holes filled from a match; nothing where a hole was not captured.
    #[must_use]
    pub fn filled(&self, captures: &Captures) -> Option<String> {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Literal(literal) => Some(literal.as_str()),
                Piece::Hole(hole) => captures.text(*hole),
            })
            .collect()
    }

    fn holes(&self) -> impl Iterator<Item = Hole> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Literal(_) => None,
            Piece::Hole(hole) => Some(*hole),
        })
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (literal, braced) = rest
                .split_once('{')
                .map_or((rest, None), |(before, behind)| (before, Some(behind)));
            if literal.contains('}') {
                return Err(PatternError::Unbalanced(text.to_owned()));
            }
            if !literal.is_empty() {
                pieces.push(Piece::Literal(literal.to_owned()));
            }
            let Some(braced) = braced else { break };
            let (name, behind) = braced
                .split_once('}')
                .ok_or_else(|| PatternError::Unbalanced(text.to_owned()))?;
            pieces.push(Piece::Hole(named_hole(text, name)?));
            rest = behind;
        }
        if unambiguous(&pieces) {
            return Ok(Self(pieces));
        }
        Err(PatternError::Ambiguous(text.to_owned()))
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Literal(literal) => formatter.write_str(literal),
            Piece::Hole(hole) => write!(formatter, "{{{}}}", hole.name()),
        })
    }
}

impl Captures {
    /// The torch release that was named.
    #[must_use]
    pub fn torch(&self) -> Option<TorchName> {
        self.0.iter().find_map(|(hole, text)| hole.torch(text))
    }

    /// The CUDA toolkit that was named.
    #[must_use]
    pub fn cuda(&self) -> Option<CudaName> {
        self.0.iter().find_map(|(hole, text)| hole.cuda(text))
    }

    /// The release train that was named, such as `25.10`.
    #[must_use]
    pub fn release(&self) -> Option<&str> {
        self.text(Hole::Release)
    }

    /// These captures and, behind them, those of another text of the same image.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    fn text(&self, wanted: Hole) -> Option<&str> {
        self.0
            .iter()
            .find_map(|(hole, text)| (*hole == wanted).then_some(text.as_str()))
    }
}

impl Hole {
    const ALL: [Self; 11] = [
        Self::Torch,
        Self::TorchDashed,
        Self::TorchCompact,
        Self::Cuda,
        Self::CudaCompact,
        Self::Cudnn,
        Self::Release,
        Self::Version,
        Self::Word,
        Self::Label,
        Self::Rest,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Torch => "torch",
            Self::TorchDashed => "torch-dashed",
            Self::TorchCompact => "torch-compact",
            Self::Cuda => "cuda",
            Self::CudaCompact => "cuda-compact",
            Self::Cudnn => "cudnn",
            Self::Release => "release",
            Self::Version => "version",
            Self::Word => "word",
            Self::Label => "label",
            Self::Rest => "rest",
        }
    }

    fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    fn takes(self, byte: u8) -> bool {
        match self {
            Self::Torch | Self::Cuda | Self::Release | Self::Version => {
                byte.is_ascii_digit() || byte == b'.'
            }
            Self::TorchDashed => byte.is_ascii_digit() || byte == b'-',
            Self::TorchCompact => byte.is_ascii_digit() || byte == b'x',
            Self::CudaCompact | Self::Cudnn => byte.is_ascii_digit(),
            Self::Word => byte.is_ascii_alphanumeric(),
            Self::Label => byte.is_ascii_alphanumeric() || byte == b'-',
            Self::Rest => true,
        }
    }

    fn length(self, text: &str) -> usize {
        text.bytes().take_while(|byte| self.takes(*byte)).count()
    }

    fn accepts(self, text: &str) -> bool {
        match self {
            Self::Torch | Self::TorchDashed | Self::TorchCompact => self.torch(text).is_some(),
            Self::Cuda | Self::CudaCompact => {
                self.cuda(text).is_some_and(|cuda| cuda.minor.is_some())
            }
            Self::Release => is_release(text),
            Self::Cudnn | Self::Version | Self::Word | Self::Label => !text.is_empty(),
            Self::Rest => true,
        }
    }

    fn torch(self, text: &str) -> Option<TorchName> {
        match self {
            Self::Torch => TorchName::dotted(text),
            Self::TorchDashed => TorchName::dotted(&text.replace('-', ".")),
            Self::TorchCompact => TorchName::compact(text),
            Self::Cuda
            | Self::CudaCompact
            | Self::Cudnn
            | Self::Release
            | Self::Version
            | Self::Word
            | Self::Label
            | Self::Rest => None,
        }
    }

    fn cuda(self, text: &str) -> Option<CudaName> {
        match self {
            Self::Cuda => CudaName::dotted(text),
            Self::CudaCompact => CudaName::compact(text),
            Self::Torch
            | Self::TorchDashed
            | Self::TorchCompact
            | Self::Cudnn
            | Self::Release
            | Self::Version
            | Self::Word
            | Self::Label
            | Self::Rest => None,
        }
    }
}

fn named_hole(pattern: &str, name: &str) -> Result<Hole, PatternError> {
    Hole::ALL
        .into_iter()
        .find(|hole| hole.name() == name)
        .ok_or_else(|| PatternError::UnknownHole {
            pattern: pattern.to_owned(),
            hole: name.to_owned(),
        })
}

/// `{rest}` ends a pattern, and of two neighbouring holes the second must be `{rest}`.
fn unambiguous(pieces: &[Piece]) -> bool {
    pieces.windows(2).all(|pair| match pair {
        [Piece::Hole(Hole::Rest), _] => false,
        [Piece::Hole(_), Piece::Hole(second)] => *second == Hole::Rest,
        _ => true,
    })
}

fn is_release(text: &str) -> bool {
    text.split_once('.').is_some_and(|(year, month)| {
        [year, month]
            .iter()
            .all(|field| field.len() == 2 && field.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    #[test]
    fn takes_versions_out_of_a_tag() {
        let captures = pattern("{torch}-cuda{cuda}-cudnn{cudnn}-runtime")
            .captures("2.6.0-cuda11.8-cudnn9-runtime")
            .unwrap();
        assert_eq!(captures.torch().unwrap().to_string(), "2.6.0");
        assert_eq!(captures.cuda().unwrap().to_string(), "11.8");
        let template = pattern("{torch}-cuda{cuda}-cudnn8-runtime");
        assert_eq!(
            template.filled(&captures).as_deref(),
            Some("2.6.0-cuda11.8-cudnn8-runtime")
        );
    }

    #[test]
    fn takes_versions_out_of_repositories_of_clouds() {
        let google = pattern(
            "us-docker.pkg.dev/deeplearning-platform-release/gcr.io/pytorch-cu{cuda-compact}.{torch-dashed}.py{version}",
        );
        let captures = google
            .captures(
                "us-docker.pkg.dev/deeplearning-platform-release/gcr.io/pytorch-cu124.2-4.py310",
            )
            .unwrap();
        assert_eq!(captures.torch().unwrap().to_string(), "2.4");
        assert_eq!(captures.cuda().unwrap().to_string(), "12.4");
        let azure =
            pattern("stable-ubuntu{version}-cu{cuda-compact}-py{version}-torch{torch-compact}");
        let captures = azure
            .captures("stable-ubuntu2204-cu126-py310-torch28x")
            .unwrap();
        assert_eq!(captures.torch().unwrap().to_string(), "2.8");
        let amazon = pattern("763104351884.dkr.ecr.{label}.amazonaws.com/pytorch-training");
        assert!(
            amazon
                .captures("763104351884.dkr.ecr.eu-west-1.amazonaws.com/pytorch-training")
                .is_some()
        );
        assert!(
            amazon
                .captures("763104351884.dkr.ecr.eu-west-1.amazonaws.com.evil/pytorch-training")
                .is_none()
        );
    }

    #[test]
    fn fits_the_whole_text_or_not_at_all() {
        assert!(
            pattern("{torch}-runtime")
                .captures("2.6.0-runtime-x")
                .is_none()
        );
        assert!(
            pattern("{torch}-runtime")
                .captures("x2.6.0-runtime")
                .is_none()
        );
        assert!(
            pattern("{torch}-runtime")
                .captures("2.6.0.1-runtime")
                .is_none()
        );
        assert!(pattern("{torch}-runtime").captures("2-runtime").is_none());
        assert!(
            pattern("v{version}{rest}")
                .captures("v0.29.0-cu129")
                .is_some()
        );
        assert!(pattern("{release}-py3").captures("25.1-py3").is_none());
        assert_eq!(
            pattern("{release}-py3")
                .captures("25.10-py3")
                .unwrap()
                .release(),
            Some("25.10")
        );
    }

    #[test]
    fn refuses_patterns_that_mean_nothing() {
        assert!(
            "{torch"
                .parse::<Pattern>()
                .unwrap_err()
                .to_string()
                .contains("brace")
        );
        assert!(
            "torch}"
                .parse::<Pattern>()
                .unwrap_err()
                .to_string()
                .contains("brace")
        );
        assert!(
            "{tork}"
                .parse::<Pattern>()
                .unwrap_err()
                .to_string()
                .contains("none of torch, torch-dashed")
        );
        assert!("{torch}{cuda}".parse::<Pattern>().is_err());
        assert!("{rest}-x".parse::<Pattern>().is_err());
        assert!(
            pattern("{torch}")
                .covers(&pattern("{cuda}"))
                .unwrap_err()
                .to_string()
                .contains("{cuda}")
        );
    }

    proptest! {
        #[test]
        fn never_panics(pattern in ".*", text in ".*") {
            if let Ok(pattern) = pattern.parse::<Pattern>() {
                let _ = pattern.captures(&text);
            }
        }

        #[test]
        fn never_panics_on_holes(
            pattern in "(\\{(torch|cuda|rest|word|label|cuda-compact|torch-compact|torch-dashed)\\}|[a-z.-]){0,6}",
            text in "[a-z0-9.-]{0,24}",
        ) {
            let Ok(parsed) = pattern.parse::<Pattern>() else { return Ok(()); };
            prop_assert_eq!(parsed.to_string(), pattern);
            if let Some(captures) = parsed.captures(&text) {
                prop_assert!(parsed.filled(&captures).is_some());
            }
        }
    }
}
