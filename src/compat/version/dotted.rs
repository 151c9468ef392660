//! Versions that are only digits and dots: libraries, and the values of `NVIDIA_REQUIRE_*` terms.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use super::{VersionError, digits};

/// Most numbers that one version may have.
const MAXIMUM_PARTS: usize = 6;

/// Up to six numbers with dots between; missing ones count as zero, so `12.4` equals `12.4.0`.
#[derive(Debug, Clone, Copy)]
pub struct DottedVersion {
    parts: [u32; MAXIMUM_PARTS],
    written: u8,
}

impl DottedVersion {
    /// From numbers, of which more than six are cut.
    #[must_use]
    pub fn new(numbers: &[u32]) -> Self {
        let mut parts = [0; MAXIMUM_PARTS];
        for (part, number) in parts.iter_mut().zip(numbers) {
            *part = *number;
        }
        let written = u8::try_from(numbers.len().clamp(1, MAXIMUM_PARTS)).unwrap_or(1);
        Self { parts, written }
    }

    /// The first number.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.parts.first().copied().unwrap_or_default()
    }
}

impl FromStr for DottedVersion {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        const KIND: &str = "version";
        VersionError::refuse_long(KIND, text)?;
        let numbers = text.split('.').map(digits).collect::<Option<Vec<u32>>>();
        match numbers {
            Some(numbers) if numbers.len() <= MAXIMUM_PARTS => Ok(Self::new(&numbers)),
            _ => Err(VersionError::malformed(
                KIND,
                "up to six numbers with dots between",
                text,
            )),
        }
    }
}

impl fmt::Display for DottedVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self
            .parts
            .iter()
            .take(usize::from(self.written))
            .enumerate()
        {
            if index > 0 {
                formatter.write_str(".")?;
            }
            write!(formatter, "{part}")?;
        }
        Ok(())
    }
}

impl PartialEq for DottedVersion {
    fn eq(&self, other: &Self) -> bool {
        self.parts == other.parts
    }
}

impl Eq for DottedVersion {}

impl Hash for DottedVersion {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts.hash(state);
    }
}

impl PartialOrd for DottedVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for DottedVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts.cmp(&other.parts)
    }
}
