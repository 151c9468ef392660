//! Parts that several kinds of entries share: citations, ranges of torch releases, ways of packaging.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::compat::host::word_enum;
use crate::compat::version::{TorchVersion, VersionError, as_text_in_data, digits};

/// A public citation: a wheel with its hash, a pull request, a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(Arc<str>);

impl Source {
    /// The citation's text; cheap to clone.
    #[must_use]
    pub fn text(&self) -> &Arc<str> {
        &self.0
    }
}

impl FromStr for Source {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A torch release, or all patch releases of a minor version (`2.7.x`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReleasePattern {
    /// First number.
    pub major: u16,
    /// Second number.
    pub minor: u16,
    /// Third number; `None` stands for any.
    pub patch: Option<u16>,
}

impl ReleasePattern {
    /// Whether that version is one of these releases.
    #[must_use]
    pub fn matches(&self, version: &TorchVersion) -> bool {
        let same = (self.major, self.minor) == (version.major, version.minor);
        same && self.patch.is_none_or(|patch| patch == version.patch)
    }
}

impl FromStr for ReleasePattern {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        const KIND: &str = "torch release";
        VersionError::refuse_long(KIND, text)?;
        let malformed = || VersionError::malformed(KIND, "like 2.6.0 or 2.7.x", text);
        let mut parts = text.split('.');
        let major = parts.next().and_then(digits).ok_or_else(malformed)?;
        let minor = parts.next().and_then(digits).ok_or_else(malformed)?;
        let patch = match parts.next() {
            Some("x") => None,
            Some(number) => Some(digits(number).ok_or_else(malformed)?),
            None => return Err(malformed()),
        };
        if parts.next().is_some() {
            Err(malformed())
        } else {
            Ok(Self {
                major,
                minor,
                patch,
            })
        }
    }
}

impl fmt::Display for ReleasePattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.", self.major, self.minor)?;
        match self.patch {
            Some(patch) => patch.fmt(formatter),
            None => formatter.write_str("x"),
        }
    }
}

word_enum! {
    /// How a torch build is packaged; pip and conda builds of one release differ in their code.
    Channel, "channel" {
        /// A wheel.
        Pip = "pip",
        /// A conda package.
        Conda = "conda",
    }
}

as_text_in_data!(Source, ReleasePattern);
