//! What becomes of a decision: what the administrator chose, and what Namespaces and Pods may choose.
//!
//! Pure.

use std::str::FromStr;

use serde::Deserialize;

/// What the administrator chose.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// How checks end where nobody says otherwise.
    pub mode: Mode,
    /// Whether the label of a Namespace may choose another mode.
    pub namespace_modes: Permission,
    /// Whether an annotation of a Pod may choose another mode, and what its author declares of an image goes before
    /// the catalog.
    pub pod_modes: Permission,
    /// What becomes of a Pod that runs on some of the nodes that it can get.
    pub partial_fit: Reaction,
    /// What becomes of a torch without CUDA that asks for a GPU.
    pub cpu_build: Reaction,
    /// Whether an unchecked admission is told.
    pub unchecked: Unchecked,
    /// What becomes of Pods whose owner is older than the installation.
    pub existing: Existing,
    /// Whether nodes may come that nobody declared.
    pub autoscaler: Autoscaler,
}

/// How a check ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Refuse what is known to fail, warn of the rest.
    #[default]
    Enforce,
    /// Never refuse; warn instead.
    Warn,
    /// Say nothing to the user; the decision is logged and counted.
    Audit,
    /// Do not check.
    Off,
}

/// Whether somebody else may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Permission {
    /// The choice counts.
    #[default]
    Allowed,
    /// It is ignored.
    Ignored,
}

/// What becomes of something that is not simply wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reaction {
    /// It is admitted with a warning.
    #[default]
    Warn,
    /// It is refused.
    Deny,
}

/// Whether an admission that could not be checked is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unchecked {
    /// Only logged and counted.
    #[default]
    Silent,
    /// Told as a warning, with the reason.
    Told,
}

/// What becomes of a Pod that is made for an owner older than the installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Existing {
    /// It is warned of: what worked before must not break.
    #[default]
    Warned,
    /// It is refused like any other.
    Enforced,
}

/// Whether nodes may come that nobody declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Autoscaler {
    /// None is known of, or all its pools are declared.
    #[default]
    Settled,
    /// One is there whose pools are not declared: nothing is refused, since a node that fits may come.
    Undeclared,
}

/// A word that is no mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("mode {0:?} is none of enforce, warn, audit, off")]
pub struct UnknownMode(pub String);

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        match text {
            "enforce" => Ok(Self::Enforce),
            "warn" => Ok(Self::Warn),
            "audit" => Ok(Self::Audit),
            "off" => Ok(Self::Off),
            _ => Err(UnknownMode(
                text.chars()
                    .filter(char::is_ascii_graphic)
                    .take(32)
                    .collect(),
            )),
        }
    }
}

impl Mode {
    /// The word for it, as in a label.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Warn => "warn",
            Self::Audit => "audit",
            Self::Off => "off",
        }
    }
}
