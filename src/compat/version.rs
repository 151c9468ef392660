//! Versions of CUDA, drivers, torch, PTX and libraries: parsing, ordering, printing.
//!
//! Knows nothing of what a version can do; that is in the catalog. Every parser takes any text and either
//! gives a valid value or says which text it could not read.

mod dotted;
mod driver;
mod torch;

use std::fmt;
use std::str::FromStr;

pub use dotted::DottedVersion;
pub use driver::{DriverFloor, DriverVersion};
pub use torch::{PreRelease, TorchVersion, Variant};

/// Longest version text that is looked at, in bytes; longer text is refused unread.
pub const MAXIMUM_LENGTH: usize = 64;

/// A text that is not the version it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// The text is longer than [`MAXIMUM_LENGTH`].
    #[error("{kind}: {length} bytes are too long for a version (at most {MAXIMUM_LENGTH})")]
    TooLong {
        /// What was expected, for example `CUDA version`.
        kind: &'static str,
        /// Length of the text in bytes.
        length: usize,
    },
    /// The text does not have the shape of that kind of version.
    #[error("{text:?} is not a {kind} (expected {expected})")]
    Malformed {
        /// What was expected, for example `CUDA version`.
        kind: &'static str,
        /// The shape that would have been understood.
        expected: &'static str,
        /// The text as given.
        text: String,
    },
}

impl VersionError {
    pub(super) fn malformed(kind: &'static str, expected: &'static str, text: &str) -> Self {
        Self::Malformed {
            kind,
            expected,
            text: text.to_owned(),
        }
    }

    /// Refuses text that is too long to be a version, so that no parser ever walks it.
    pub(super) fn refuse_long(kind: &'static str, text: &str) -> Result<(), Self> {
        if text.len() > MAXIMUM_LENGTH {
            Err(Self::TooLong {
                kind,
                length: text.len(),
            })
        } else {
            Ok(())
        }
    }
}

/// Reads a number of ASCII digits only (no sign, no space).
pub(super) fn digits<T: FromStr>(text: &str) -> Option<T> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

/// A CUDA version as far as compatibility goes: major and minor (a patch level never decides).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CudaVersion {
    /// The generation: 11, 12, 13.
    pub major: u16,
    /// The release within it.
    pub minor: u16,
}

impl CudaVersion {
    /// A version from its two numbers.
    #[must_use]
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    /// From the integer of the driver API (`12040` is CUDA 12.4); `None` for what no driver prints.
    #[must_use]
    pub fn from_api_integer(number: u32) -> Option<Self> {
        let major = u16::try_from(number / 1000)
            .ok()
            .filter(|major| *major > 0)?;
        let minor = u16::try_from(number % 1000 / 10).ok()?;
        Some(Self { major, minor })
    }
}

impl FromStr for CudaVersion {
    type Err = VersionError;

    /// `12.4`, and also `12.4.1` or `12.4.1.003`, of which the patch level is dropped.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        const KIND: &str = "CUDA version";
        VersionError::refuse_long(KIND, text)?;
        let malformed = || VersionError::malformed(KIND, "like 12.4", text);
        let mut parts = text.split('.');
        let major = parts
            .next()
            .and_then(digits)
            .filter(|major| (1..100).contains(major));
        let minor = parts
            .next()
            .and_then(digits)
            .filter(|minor| (0..100).contains(minor));
        let rest = parts
            .by_ref()
            .take(3)
            .map(digits::<u32>)
            .collect::<Option<Vec<_>>>();
        match (major, minor, rest, parts.next()) {
            (Some(major), Some(minor), Some(rest), None) if rest.len() < 3 => {
                Ok(Self { major, minor })
            }
            _ => Err(malformed()),
        }
    }
}

impl fmt::Display for CudaVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

/// Version of the PTX instruction set, as written in the first line of PTX and in fat-binary entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PtxIsa {
    /// Major number.
    pub major: u8,
    /// Minor number.
    pub minor: u8,
}

impl PtxIsa {
    /// A version from its two numbers.
    #[must_use]
    pub const fn new(major: u8, minor: u8) -> Self {
        Self { major, minor }
    }
}

impl FromStr for PtxIsa {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        const KIND: &str = "PTX version";
        VersionError::refuse_long(KIND, text)?;
        let parsed = text.split_once('.').and_then(|(major, minor)| {
            let major = digits(major).filter(|major| *major > 0)?;
            Some(Self {
                major,
                minor: digits(minor)?,
            })
        });
        parsed.ok_or_else(|| VersionError::malformed(KIND, "like 8.4", text))
    }
}

impl fmt::Display for PtxIsa {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

/// Lets a type with `FromStr` and `Display` stand in data and documents as a string, both ways.
macro_rules! as_text_in_data {
    ($($name:ty),+ $(,)?) => {$(
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )+};
}
pub(super) use as_text_in_data;

as_text_in_data!(
    CudaVersion,
    PtxIsa,
    DriverVersion,
    DriverFloor,
    TorchVersion,
    Variant,
    DottedVersion
);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn driver(text: &str) -> DriverVersion {
        text.parse().unwrap()
    }

    fn floor(text: &str) -> DriverFloor {
        text.parse().unwrap()
    }

    #[test]
    fn cuda_versions_drop_the_patch_level() {
        for text in ["12.4", "12.4.1", "12.4.0.038"] {
            assert_eq!(text.parse(), Ok(CudaVersion::new(12, 4)), "{text}");
        }
        for text in [
            "",
            "12",
            "12.",
            ".4",
            "12.4.",
            "12.4.1.2.3",
            "0.1",
            "12.x",
            "+12.4",
            "12.4 ",
            "99999.1",
        ] {
            assert!(text.parse::<CudaVersion>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_drivers_integer_is_read() {
        assert_eq!(
            CudaVersion::from_api_integer(12040),
            Some(CudaVersion::new(12, 4))
        );
        assert_eq!(
            CudaVersion::from_api_integer(11080),
            Some(CudaVersion::new(11, 8))
        );
        assert_eq!(CudaVersion::from_api_integer(0), None);
    }

    #[test]
    fn a_bare_branch_is_its_newest_release() {
        assert!(driver("525") > driver("525.147.05"));
        assert!(driver("525") < driver("530.30.02"));
        assert!(floor("525.60.13").is_met_by(driver("525")));
        assert!(!floor("525.60.13").is_met_by(driver("525.53")));
        assert!(!floor("525.60.13").is_met_by(driver("520")));
        assert!(floor("580").is_met_by(driver("580.65.06")));
        assert!(!floor("580").is_met_by(driver("575")));
    }

    #[test]
    fn drivers_compare_by_number_and_not_by_text() {
        assert!(driver("570.26") < driver("570.124.06"));
        assert!(driver("450.51.06") < driver("450.80.02"));
        assert_eq!(driver("450.51.06").to_string(), "450.51.06");
    }

    #[test]
    fn variants_are_read_from_labels() {
        let variant = |text: &str| text.parse::<TorchVersion>().unwrap().variant();
        assert_eq!(
            variant("2.6.0+cu124"),
            Some(Variant::Cuda(CudaVersion::new(12, 4)))
        );
        assert_eq!(
            variant("1.0.0+cu90"),
            Some(Variant::Cuda(CudaVersion::new(9, 0)))
        );
        assert_eq!(
            variant("2.9.0+cu130"),
            Some(Variant::Cuda(CudaVersion::new(13, 0)))
        );
        assert_eq!(variant("2.6.0+cpu.cxx11.abi"), Some(Variant::Cpu));
        assert_eq!(variant("2.6.0+rocm6.2.4"), Some(Variant::Rocm(6, 2)));
        assert_eq!(variant("2.4.0a0+07cecf4168"), None);
        assert_eq!(variant("2.6.0"), None);
    }

    #[test]
    fn torch_versions_order_as_pip_orders_them() {
        let texts = [
            "2.6.0.dev20250101",
            "2.6.0a0",
            "2.6.0rc3",
            "2.6.0",
            "2.6.0.post1",
            "2.6.1",
            "2.10.0",
        ];
        let versions: Vec<TorchVersion> = texts.iter().map(|text| text.parse().unwrap()).collect();
        assert!(versions.is_sorted());
        assert_eq!("2.6".parse::<TorchVersion>().unwrap().to_string(), "2.6.0");
    }

    #[test]
    fn impossible_versions_are_refused_with_what_was_expected() {
        let error = "2.6+cu".repeat(20).parse::<TorchVersion>().unwrap_err();
        assert_eq!(
            error,
            VersionError::TooLong {
                kind: "torch version",
                length: 120
            }
        );
        let error = "12,4".parse::<CudaVersion>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"12,4\" is not a CUDA version (expected like 12.4)"
        );
        for text in ["2", "2.x", "2.6.0+", "2.6.0+a b", "2.6.0.0", "two"] {
            assert!(text.parse::<TorchVersion>().is_err(), "{text}");
        }
    }

    fn round_trips<T: FromStr + fmt::Display + PartialEq + fmt::Debug>(text: &str) {
        if let Ok(value) = text.parse::<T>() {
            assert_eq!(value.to_string().parse::<T>().ok(), Some(value), "{text}");
        }
    }

    fn law_of_order<T: Ord>(one: &T, two: &T, three: &T) {
        assert_eq!(one.cmp(two), two.cmp(one).reverse());
        assert_eq!(one.cmp(two).is_eq(), one == two);
        if one <= two && two <= three {
            assert!(one <= three);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_parses_prints_back(text in ".{0,80}") {
            round_trips::<CudaVersion>(&text);
            round_trips::<DriverVersion>(&text);
            round_trips::<DriverFloor>(&text);
            round_trips::<TorchVersion>(&text);
            round_trips::<Variant>(&text);
            round_trips::<PtxIsa>(&text);
            round_trips::<DottedVersion>(&text);
        }

        #[test]
        fn torch_versions_print_back(text in "v?[0-9]{1,2}\\.[0-9]{1,2}(\\.[0-9]{1,2})?(a0|b1|rc2|\\.dev20260101|\\.post1)?(\\+[a-z0-9.]{1,9})?") {
            round_trips::<TorchVersion>(&text);
            prop_assert!(text.parse::<TorchVersion>().is_ok());
        }

        #[test]
        fn drivers_are_totally_ordered(texts in proptest::collection::vec("[1-9][0-9]{2}(\\.[0-9]{1,3}(\\.[0-9]{1,2})?)?", 3)) {
            let drivers: Vec<DriverVersion> = texts.iter().map(|text| text.parse().unwrap()).collect();
            law_of_order(&drivers[0], &drivers[1], &drivers[2]);
            round_trips::<DriverVersion>(&texts[0]);
            round_trips::<DriverFloor>(&texts[1]);
        }

        #[test]
        fn dotted_versions_are_totally_ordered(texts in proptest::collection::vec("[0-9]{1,3}(\\.[0-9]{1,2}){0,4}", 3)) {
            let versions: Vec<DottedVersion> = texts.iter().map(|text| text.parse().unwrap()).collect();
            law_of_order(&versions[0], &versions[1], &versions[2]);
            let longer = format!("{}.0", texts[0]);
            prop_assert_eq!(longer.parse::<DottedVersion>().unwrap(), versions[0]);
        }
    }
}
