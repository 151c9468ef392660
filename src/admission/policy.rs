//! What becomes of a decision: the modes that administrators and Pods choose.
//!
//! Pure.

use std::str::FromStr;

/// How a check ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
