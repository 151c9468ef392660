//! Compute capabilities of GPUs, and the targets that GPU code is compiled for.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::version::{PtxIsa, VersionError, as_text_in_data, digits};

/// What a GPU can execute, for example 8.6 (`sm_86`). The integer form is `major * 10 + minor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComputeCapability {
    major: u8,
    minor: u8,
}

impl ComputeCapability {
    /// From two numbers; `None` unless major is 1 to 99 and minor one digit, which the integer form needs.
    #[must_use]
    pub const fn new(major: u8, minor: u8) -> Option<Self> {
        if major >= 1 && major <= 99 && minor <= 9 {
            Some(Self { major, minor })
        } else {
            None
        }
    }

    /// From the integer form: 86 is 8.6, 120 is 12.0.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        let major = u8::try_from(number / 10).ok()?;
        let minor = u8::try_from(number % 10).ok()?;
        Self::new(major, minor)
    }

    /// The generation; compiled code never crosses it.
    #[must_use]
    pub const fn major(self) -> u8 {
        self.major
    }

    /// The step within the generation.
    #[must_use]
    pub const fn minor(self) -> u8 {
        self.minor
    }

    /// The integer form: 8.6 is 86, 12.0 is 120.
    #[must_use]
    pub fn number(self) -> u16 {
        u16::from(self.major) * 10 + u16::from(self.minor)
    }

    /// The name that compilers use: `sm_86`.
    #[must_use]
    pub fn sm(self) -> String {
        format!("sm_{}", self.number())
    }
}

impl FromStr for ComputeCapability {
    type Err = VersionError;

    /// `8.6`, `86`, `sm_86` or `compute_86`.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        const KIND: &str = "compute capability";
        VersionError::refuse_long(KIND, text)?;
        let plain = text
            .strip_prefix("sm_")
            .or_else(|| text.strip_prefix("compute_"))
            .unwrap_or(text);
        let parsed = match plain.split_once('.') {
            Some((major, minor)) if plain.len() == text.len() => digits(major)
                .zip(digits(minor))
                .and_then(|(major, minor)| Self::new(major, minor)),
            Some(_) => None,
            None => digits(plain).and_then(Self::from_number),
        };
        parsed.ok_or_else(|| VersionError::malformed(KIND, "like 8.6 or sm_86", text))
    }
}

impl fmt::Display for ComputeCapability {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

/// How far code for a target carries beyond it (CUDA programming guide, "feature sets").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Suffix {
    /// No suffix: the baseline features.
    Base,
    /// `f`: the features of a family, since CUDA 12.9.
    FamilySpecific,
    /// `a`: the features of exactly that capability.
    ArchSpecific,
}

/// What GPU code was compiled for: `sm_90a`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The capability it names.
    pub capability: ComputeCapability,
    /// How far it carries.
    pub suffix: Suffix,
}

impl Target {
    /// A target without suffix.
    #[must_use]
    pub const fn base(capability: ComputeCapability) -> Self {
        Self {
            capability,
            suffix: Suffix::Base,
        }
    }

    const fn letter(self) -> &'static str {
        match self.suffix {
            Suffix::Base => "",
            Suffix::FamilySpecific => "f",
            Suffix::ArchSpecific => "a",
        }
    }

    /// The name that compilers use when the target is PTX: `compute_90a`.
    #[must_use]
    pub fn compute(self) -> String {
        format!("compute_{}{}", self.capability.number(), self.letter())
    }
}

impl FromStr for Target {
    type Err = VersionError;

    /// `sm_90a`, `compute_90a`, `90a`, `9.0a`, and the same with `f` or without a letter.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let (capability, suffix) = if let Some(rest) = text.strip_suffix('a') {
            (rest, Suffix::ArchSpecific)
        } else if let Some(rest) = text.strip_suffix('f') {
            (rest, Suffix::FamilySpecific)
        } else {
            (text, Suffix::Base)
        };
        let capability = capability.parse().map_err(|error| match error {
            VersionError::Malformed { .. } => {
                VersionError::malformed("GPU target", "like sm_90a or 9.0", text)
            }
            too_long @ VersionError::TooLong { .. } => too_long,
        })?;
        Ok(Self { capability, suffix })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "sm_{}{}",
            self.capability.number(),
            self.letter()
        )
    }
}

/// PTX in a piece of software: the least GPU it is for, and the language version it is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PtxTarget {
    /// What it was compiled for.
    pub target: Target,
    /// Version of the PTX language; `None` if not known (then that of the toolkit counts).
    pub isa: Option<PtxIsa>,
}

impl fmt::Display for PtxTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.target.compute())?;
        self.isa
            .map_or(Ok(()), |isa| write!(formatter, " (PTX {isa})"))
    }
}

as_text_in_data!(ComputeCapability, Target);

/// Sorted targets without repetition; cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct TargetList(Arc<[Target]>);

/// Sorted PTX targets without repetition; cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct PtxList(Arc<[PtxTarget]>);

macro_rules! sorted_list {
    ($list:ident, $item:ident) => {
        impl $list {
            /// The items, in order.
            pub fn iter(&self) -> std::slice::Iter<'_, $item> {
                self.0.iter()
            }

            /// Whether there are none, which is knowledge: not the same as not knowing.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }

            /// How many there are.
            #[must_use]
            pub fn len(&self) -> usize {
                self.0.len()
            }

            /// Whether exactly that item is among them.
            #[must_use]
            pub fn contains(&self, item: $item) -> bool {
                self.0.binary_search(&item).is_ok()
            }
        }

        impl FromIterator<$item> for $list {
            fn from_iter<I: IntoIterator<Item = $item>>(items: I) -> Self {
                let mut items: Vec<$item> = items.into_iter().collect();
                items.sort_unstable();
                items.dedup();
                Self(items.into())
            }
        }

        impl<'a> IntoIterator for &'a $list {
            type Item = &'a $item;
            type IntoIter = std::slice::Iter<'a, $item>;

            fn into_iter(self) -> Self::IntoIter {
                self.iter()
            }
        }

        impl fmt::Display for $list {
            /// `sm_75 sm_80`, or `none`.
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                if self.is_empty() {
                    return formatter.write_str("none");
                }
                for (index, item) in self.iter().enumerate() {
                    let gap = if index == 0 { "" } else { " " };
                    write!(formatter, "{gap}{item}")?;
                }
                Ok(())
            }
        }
    };
}

sorted_list!(TargetList, Target);
sorted_list!(PtxList, PtxTarget);

impl<'de> serde::Deserialize<'de> for TargetList {
    /// A list of target names.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<Target>::deserialize(deserializer).map(|targets| targets.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn capabilities_are_read_in_all_their_spellings() {
        for text in ["8.6", "86", "sm_86", "compute_86"] {
            let capability: ComputeCapability = text.parse().unwrap();
            assert_eq!(capability.number(), 86, "{text}");
        }
        assert_eq!(
            "120".parse::<ComputeCapability>().unwrap().to_string(),
            "12.0"
        );
        for text in [
            "", "6", "8.66", "0.1", "sm_8.6", "sm_", "-8.6", "8.", "100.0",
        ] {
            assert!(text.parse::<ComputeCapability>().is_err(), "{text}");
        }
    }

    #[test]
    fn suffixes_belong_to_the_target() {
        let target: Target = "sm_90a".parse().unwrap();
        assert_eq!(
            (target.to_string(), target.compute()),
            ("sm_90a".to_owned(), "compute_90a".to_owned())
        );
        assert_eq!(
            "10.3f".parse::<Target>().unwrap().suffix,
            Suffix::FamilySpecific
        );
        assert!("sm_90b".parse::<Target>().is_err());
        assert!("a".parse::<Target>().is_err());
    }

    #[test]
    fn lists_are_sorted_by_number_and_say_none() {
        let list: TargetList = ["12.0", "8.0", "9.0a", "9.0", "8.0"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        assert_eq!(list.to_string(), "sm_80 sm_90 sm_90a sm_120");
        assert_eq!(TargetList::default().to_string(), "none");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,80}") {
            let _ = text.parse::<ComputeCapability>();
            let _ = text.parse::<Target>();
        }

        #[test]
        fn targets_print_back_and_keep_their_order(numbers in proptest::collection::vec(10_u32..990, 2), letters in "[af]?[af]?") {
            let targets: Vec<Target> = numbers.iter().zip([letters.get(..1), letters.get(1..)]).map(|(number, letter)| {
                format!("{number}{}", letter.unwrap_or_default()).parse().unwrap()
            }).collect();
            for target in &targets {
                prop_assert_eq!(target.to_string().parse::<Target>().unwrap(), *target);
                prop_assert_eq!(target.compute().parse::<Target>().unwrap(), *target);
            }
            if numbers[0] < numbers[1] {
                prop_assert!(targets[0] < targets[1]);
            }
        }
    }
}
