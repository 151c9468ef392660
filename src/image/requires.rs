//! The grammar of the author's annotation `gpu-capgate.io/requires`: `cuda=12.6; sm=80,90; ptx=90; driver=560`.
//!
//! Items are split by `;`, lists by `,`; white space around either, and empty items, mean nothing. Each key stands
//! once. Only the text is judged here; `evidence` decides what a declaration is worth.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::compat::{CudaVersion, DriverFloor, Target};

/// Longest declaration that is looked at, in bytes.
pub const MAX_REQUIRES_BYTES: usize = 1024;
/// Most targets in one list.
pub const MAX_TARGETS: usize = 64;

const SHOWN_CHARACTERS: usize = 80;
const KEYS: [&str; 4] = ["cuda", "sm", "ptx", "driver"];

/// What an image's author says that its software needs. At least one of the four is there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Requires {
    /// The CUDA toolkit that it was built with.
    pub cuda: Option<CudaVersion>,
    /// All of its GPU code, if any of it was declared.
    pub targets: Option<DeclaredTargets>,
    /// The least driver that it asks for.
    pub driver: Option<DriverFloor>,
}

/// All GPU code of an image, as declared: `sm` and `ptx` together, so a list that is not given is empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeclaredTargets {
    /// Targets of compiled code, sorted.
    pub sass: Vec<Target>,
    /// Targets of PTX, sorted.
    pub ptx: Vec<Target>,
}

/// Why a text is no declaration: each message names the item and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RequiresError {
    /// No items.
    #[error("it declares nothing: write for example \"cuda=12.6; sm=80,90\"")]
    Empty,
    /// Longer than [`MAX_REQUIRES_BYTES`].
    #[error("it is {length} bytes long, and at most {MAX_REQUIRES_BYTES} are allowed")]
    TooLong {
        /// Length in bytes.
        length: usize,
    },
    /// An item without `=`.
    #[error("item {item:?} has no =: write KEY=VALUE with a key of {}", KEYS.join(", "))]
    NoValue {
        /// The item.
        item: String,
    },
    /// A key that is not known.
    #[error("key {key:?} is not known: use {}", KEYS.join(", "))]
    UnknownKey {
        /// The key.
        key: String,
    },
    /// A key that stands twice.
    #[error("key {key} stands twice: write its values as one list, such as sm=80,90")]
    Twice {
        /// The key.
        key: &'static str,
    },
    /// A value that is not what its key takes.
    #[error("{key}={value:?}: not {expected}")]
    BadValue {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// What the key takes.
        expected: &'static str,
    },
    /// More targets than [`MAX_TARGETS`].
    #[error("{key} lists {count} targets, and at most {MAX_TARGETS} are allowed")]
    TooMany {
        /// The key.
        key: &'static str,
        /// How many there are.
        count: usize,
    },
}

impl FromStr for Requires {
    type Err = RequiresError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_REQUIRES_BYTES {
            return Err(RequiresError::TooLong { length: text.len() });
        }
        let mut items = Items::default();
        for item in text
            .split(';')
            .map(str::trim)
            .filter(|item| !item.is_empty())
        {
            items.take(item)?;
        }
        items.finish()
    }
}

impl fmt::Display for Requires {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut items = Vec::new();
        items.extend(self.cuda.map(|cuda| format!("cuda={cuda}")));
        if let Some(targets) = &self.targets {
            let lists = [("sm", &targets.sass), ("ptx", &targets.ptx)];
            let given = lists.into_iter().filter(|(_, list)| !list.is_empty());
            items.extend(given.map(|(key, list)| format!("{key}={}", list_text(list))));
        }
        items.extend(
            self.driver
                .as_ref()
                .map(|driver| format!("driver={driver}")),
        );
        formatter.write_str(&items.join("; "))
    }
}

#[derive(Default)]
struct Items {
    cuda: Option<CudaVersion>,
    sass: Option<Vec<Target>>,
    ptx: Option<Vec<Target>>,
    driver: Option<DriverFloor>,
}

impl Items {
    fn take(&mut self, item: &str) -> Result<(), RequiresError> {
        let (key, value) = item
            .split_once('=')
            .ok_or_else(|| RequiresError::NoValue { item: cut(item) })?;
        let value = value.trim();
        match key.trim() {
            "cuda" => once(
                &mut self.cuda,
                "cuda",
                one("cuda", value, "a CUDA version such as 12.6")?,
            ),
            "sm" => once(&mut self.sass, "sm", targets("sm", value)?),
            "ptx" => once(&mut self.ptx, "ptx", targets("ptx", value)?),
            "driver" => once(
                &mut self.driver,
                "driver",
                one("driver", value, "a driver such as 560 or 560.35.03")?,
            ),
            unknown => Err(RequiresError::UnknownKey { key: cut(unknown) }),
        }
    }

    fn finish(self) -> Result<Requires, RequiresError> {
        let targets = match (self.sass, self.ptx) {
            (None, None) => None,
            (sass, ptx) => Some(DeclaredTargets {
                sass: sass.unwrap_or_default(),
                ptx: ptx.unwrap_or_default(),
            }),
        };
        if self.cuda.is_none() && targets.is_none() && self.driver.is_none() {
            return Err(RequiresError::Empty);
        }
        Ok(Requires {
            cuda: self.cuda,
            targets,
            driver: self.driver,
        })
    }
}

/// Enough of a text for a message.
fn cut(text: &str) -> String {
    text.chars().take(SHOWN_CHARACTERS).collect()
}

fn once<T>(place: &mut Option<T>, key: &'static str, value: T) -> Result<(), RequiresError> {
    if place.is_some() {
        return Err(RequiresError::Twice { key });
    }
    *place = Some(value);
    Ok(())
}

fn one<T: FromStr>(
    key: &'static str,
    value: &str,
    expected: &'static str,
) -> Result<T, RequiresError> {
    value.parse().map_err(|_| RequiresError::BadValue {
        key,
        value: cut(value),
        expected,
    })
}

/// Targets as annotations write them: `80`, `90a`, `100f`, and `8.0` or `sm_80` for whoever is used to those.
fn targets(key: &'static str, value: &str) -> Result<Vec<Target>, RequiresError> {
    let count = value.split(',').count();
    if count > MAX_TARGETS {
        return Err(RequiresError::TooMany { key, count });
    }
    let mut targets = value
        .split(',')
        .map(|target| one(key, target.trim(), "a GPU target such as 80, 90a or 100f"))
        .collect::<Result<Vec<Target>, _>>()?;
    targets.sort_unstable();
    targets.dedup();
    Ok(targets)
}

fn list_text(targets: &[Target]) -> String {
    let names: Vec<String> = targets
        .iter()
        .map(|target| target.to_string().replace("sm_", ""))
        .collect();
    names.join(",")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Requires {
        text.parse().unwrap()
    }

    fn refused(text: &str) -> String {
        text.parse::<Requires>().unwrap_err().to_string()
    }

    fn names(targets: &[Target]) -> String {
        list_text(targets)
    }

    #[test]
    fn reads_the_example_of_the_documentation() {
        let requires = parsed("cuda=12.6; sm=80,90; ptx=90; driver=560");
        assert_eq!(requires.cuda, Some(CudaVersion::new(12, 6)));
        let targets = requires.targets.clone().unwrap();
        assert_eq!(names(&targets.sass), "80,90");
        assert_eq!(names(&targets.ptx), "90");
        assert_eq!(requires.driver, Some("560".parse().unwrap()));
        assert_eq!(
            requires.to_string(),
            "cuda=12.6; sm=80,90; ptx=90; driver=560"
        );
    }

    #[test]
    fn one_list_given_makes_the_other_empty_and_none_given_leaves_both_unknown() {
        let only_ptx = parsed("cuda=13.2; ptx=90").targets.unwrap();
        assert!(only_ptx.sass.is_empty());
        assert_eq!(names(&only_ptx.ptx), "90");
        let only_sass = parsed("sm=90a,80").targets.unwrap();
        assert_eq!(names(&only_sass.sass), "80,90a");
        assert!(only_sass.ptx.is_empty());
        assert_eq!(parsed("cuda=12.6").targets, None);
    }

    #[test]
    fn forgives_space_and_empty_items() {
        assert_eq!(
            parsed(" ;cuda = 12.6 ;; sm = 80 , 90 ; "),
            parsed("cuda=12.6;sm=80,90")
        );
        assert_eq!(parsed("sm=8.0,sm_90"), parsed("sm=80,90"));
    }

    #[test]
    fn refuses_and_says_what_would_be_right() {
        assert!(refused("").contains("declares nothing"));
        assert!(refused(" ; ").contains("declares nothing"));
        assert!(refused("cuda").contains("has no ="));
        assert!(
            refused("torch=2.6").contains("key \"torch\" is not known: use cuda, sm, ptx, driver")
        );
        assert!(refused("sm=80;sm=90").contains("sm stands twice"));
        assert!(refused("cuda=12").contains("cuda=\"12\": not a CUDA version"));
        assert!(refused("cuda=12.6,12.8").contains("not a CUDA version"));
        assert!(refused("sm=").contains("not a GPU target"));
        assert!(refused("sm=80,,90").contains("not a GPU target"));
        assert!(refused("sm=ampere").contains("sm=\"ampere\""));
        assert!(refused("driver=new").contains("not a driver"));
        assert!(refused(&format!("sm={}", vec!["80"; 65].join(","))).contains("65 targets"));
        assert!(refused(&"x".repeat(1025)).contains("1025 bytes"));
    }

    proptest! {
        #[test]
        fn never_panics_on_any_text(text in ".*") {
            let _ = text.parse::<Requires>();
        }

        #[test]
        fn reads_back_what_it_writes(
            text in "(cuda=1[123]\\.[0-9])?;(sm=[1-9][0-9][af]?(,[1-9][0-9]){0,3})?;(ptx=[1-9][0-9][af]?)?;(driver=[4-6][0-9]0(\\.[0-9]{2}){0,2})?",
        ) {
            if let Ok(requires) = text.parse::<Requires>() {
                prop_assert_eq!(requires.to_string().parse::<Requires>().unwrap(), requires);
            }
        }
    }
}
