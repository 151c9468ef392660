//! Versions that are only digits and dots: libraries, and the values of `NVIDIA_REQUIRE_*` terms.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use super::{VersionError, digits};

/// Most numbers that one version may have.
const MAXIMUM_PARTS: usize = 6;

/// Up to six numbers with dots between; missing ones count as zero, so `12.4` equals `12.4.0`. It is shown as it was
/// written, with its leading zeros.
#[derive(Debug, Clone, Copy)]
pub struct DottedVersion {
    parts: [u32; MAXIMUM_PARTS],
    /// Digits of each number as it was written.
    widths: [u8; MAXIMUM_PARTS],
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
        Self {
            parts,
            widths: [0; MAXIMUM_PARTS],
            written,
        }
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
            Some(numbers) if numbers.len() <= MAXIMUM_PARTS => Ok(Self {
                widths: widths(text),
                ..Self::new(&numbers)
            }),
            _ => Err(VersionError::malformed(
                KIND,
                "up to six numbers with dots between",
                text,
            )),
        }
    }
}

fn widths(text: &str) -> [u8; MAXIMUM_PARTS] {
    let mut widths = [0; MAXIMUM_PARTS];
    for (width, part) in widths.iter_mut().zip(text.split('.')) {
        *width = u8::try_from(part.len()).unwrap_or(u8::MAX);
    }
    widths
}

impl fmt::Display for DottedVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.parts.iter().zip(self.widths);
        for (index, (part, width)) in parts.take(usize::from(self.written)).enumerate() {
            if index > 0 {
                formatter.write_str(".")?;
            }
            write!(formatter, "{part:0width$}", width = usize::from(width))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_shown_as_it_was_written() {
        for text in ["13.0.2.006", "12.4", "0.10.01", "6"] {
            assert_eq!(text.parse::<DottedVersion>().unwrap().to_string(), text);
        }
        assert_eq!(DottedVersion::new(&[550, 54, 6]).to_string(), "550.54.6");
        let same: [DottedVersion; 2] = ["1.06", "1.6.0"].map(|text| text.parse().unwrap());
        assert_eq!(same[0], same[1]);
    }
}
