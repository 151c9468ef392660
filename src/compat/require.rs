//! `NVIDIA_REQUIRE_*`: start conditions that an image sets for the host, with the meaning that NVIDIA's legacy
//! runtime gives them (libnvidia-container, `src/cli` requirement evaluator).
//!
//! Knows nothing of where the variables stand. Evaluation is three-valued: what the *node* lacks counts as
//! satisfied there, but what *we* do not know about the node is unknown here.

mod expression;

use std::sync::Arc;

use super::version::CudaVersion;
pub use expression::{Answer, Condition, Expression, HostProperties, Operator, Property, Term};

/// Longest value that is read, in bytes; real ones stay below 4 KiB.
pub const MAXIMUM_LENGTH: usize = 64 * 1024;

const PREFIX: &str = "NVIDIA_REQUIRE_";
const IGNORED_PREFIX: &str = "NVIDIA_REQUIRE_JETPACK";
const CUDA: &str = "NVIDIA_REQUIRE_CUDA";
const DISABLE: &str = "NVIDIA_DISABLE_REQUIRE";
const CUDA_VERSION: &str = "CUDA_VERSION";

/// Whether an image switches its own conditions off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Switch {
    /// They count.
    #[default]
    On,
    /// `NVIDIA_DISABLE_REQUIRE` is true.
    Off,
}

/// All start conditions of an image: every one must hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Requirements {
    /// Whether they count at all.
    pub switch: Switch,
    /// Variable and condition, sorted by variable.
    pub lines: Arc<[(Arc<str>, Expression)]>,
}

/// An environment that cannot be read as start conditions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {length} bytes are too long for a requirement (at most {MAXIMUM_LENGTH})")]
pub struct RequirementTooLong {
    /// The variable.
    pub variable: String,
    /// Length of its value in bytes.
    pub length: usize,
}

impl Requirements {
    /// Reads the conditions out of an environment (a later entry for a name wins, as in a container).
    ///
    /// An image that sets `CUDA_VERSION` but not `NVIDIA_REQUIRE_CUDA` is a legacy image, and gets
    /// `cuda>=major.minor`. `NVIDIA_REQUIRE_JETPACK*` is skipped.
    ///
    /// # Errors
    /// If a value is longer than [`MAXIMUM_LENGTH`].
    pub fn from_environment<'a>(
        environment: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, RequirementTooLong> {
        let mut lines = std::collections::BTreeMap::new();
        let mut switch = Switch::On;
        let mut cuda_version = None;
        for (name, value) in environment {
            if name == DISABLE {
                switch = if is_go_true(value) {
                    Switch::Off
                } else {
                    Switch::On
                };
            } else if name == CUDA_VERSION {
                cuda_version = value.parse::<CudaVersion>().ok();
            } else if name.starts_with(PREFIX) && !name.starts_with(IGNORED_PREFIX) {
                lines.insert(Arc::from(name), bounded(name, value)?);
            }
        }
        if let Some(version) = cuda_version {
            lines
                .entry(Arc::from(CUDA))
                .or_insert_with(|| Expression::parse(&format!("cuda>={version}")));
        }
        Ok(Self {
            switch,
            lines: lines.into_iter().collect(),
        })
    }

    /// The same conditions with variables of a container, which go before those of its image.
    ///
    /// # Errors
    /// If a value is longer than [`MAXIMUM_LENGTH`].
    pub fn overlaid<'a>(
        &self,
        environment: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, RequirementTooLong> {
        let mut lines: std::collections::BTreeMap<_, _> = self.lines.iter().cloned().collect();
        let mut switch = self.switch;
        for (name, value) in environment {
            let one = Self::from_environment([(name, value)])?;
            if name == DISABLE {
                switch = one.switch;
            }
            lines.extend(one.lines.iter().cloned());
        }
        Ok(Self {
            switch,
            lines: lines.into_iter().collect(),
        })
    }

    /// The first line that the host does not satisfy for certain, or else the first that is not known to hold.
    #[must_use]
    pub fn evaluate<'a>(
        &'a self,
        host: &HostProperties<'_>,
    ) -> Option<(&'a (Arc<str>, Expression), Answer)> {
        if self.switch == Switch::Off {
            return None;
        }
        let answers = self.lines.iter().map(|line| (line, line.1.evaluate(host)));
        let mut open = None;
        for (line, answer) in answers {
            match answer {
                Answer::Satisfied => {}
                Answer::Unsatisfied | Answer::Invalid => return Some((line, answer)),
                Answer::Unknown => open = open.or(Some((line, answer))),
            }
        }
        open
    }
}

fn bounded(name: &str, value: &str) -> Result<Expression, RequirementTooLong> {
    if value.len() > MAXIMUM_LENGTH {
        return Err(RequirementTooLong {
            variable: name.to_owned(),
            length: value.len(),
        });
    }
    Ok(Expression::parse(value))
}

/// What Go's `strconv.ParseBool` takes for true.
fn is_go_true(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_environment_as_the_legacy_runtime_does() {
        let environment = [
            ("PATH", "/bin"),
            ("NVIDIA_REQUIRE_JETPACK_HOST_MOUNTS", "base-only"),
            ("NVIDIA_REQUIRE_ARCH", "arch>=7.0"),
            ("CUDA_VERSION", "12.4.1"),
        ];
        let requirements = Requirements::from_environment(environment).unwrap();
        let lines: Vec<String> = requirements
            .lines
            .iter()
            .map(|(name, line)| format!("{name}={line}"))
            .collect();
        assert_eq!(
            lines,
            [
                "NVIDIA_REQUIRE_ARCH=arch>=7.0",
                "NVIDIA_REQUIRE_CUDA=cuda>=12.4"
            ]
        );
        assert_eq!(requirements.switch, Switch::On);
    }

    #[test]
    fn an_explicit_requirement_replaces_the_implied_one() {
        let environment = [
            ("CUDA_VERSION", "13.0.2.006"),
            ("NVIDIA_REQUIRE_CUDA", "cuda>=9.0"),
        ];
        let requirements = Requirements::from_environment(environment).unwrap();
        assert_eq!(requirements.lines.len(), 1);
        assert_eq!(requirements.lines[0].1.to_string(), "cuda>=9.0");
    }

    #[test]
    fn what_a_container_sets_goes_before_what_its_image_sets() {
        let image = [
            ("NVIDIA_REQUIRE_CUDA", "cuda>=12.4"),
            ("NVIDIA_REQUIRE_X", "arch>=7.0"),
        ];
        let image = Requirements::from_environment(image).unwrap();
        let pod = image
            .overlaid([
                ("NVIDIA_REQUIRE_CUDA", "cuda>=11.0"),
                ("NVIDIA_VISIBLE_DEVICES", "all"),
            ])
            .unwrap();
        let lines: Vec<String> = pod.lines.iter().map(|(_, line)| line.to_string()).collect();
        assert_eq!(lines, ["cuda>=11.0", "arch>=7.0"]);
        assert_eq!(pod.switch, Switch::On);
        let off = image
            .overlaid([("NVIDIA_DISABLE_REQUIRE", "true")])
            .unwrap();
        assert_eq!((off.switch, off.lines.len()), (Switch::Off, 2));
    }

    #[test]
    fn any_go_boolean_switches_requirements_off() {
        for (value, switch) in [
            ("true", Switch::Off),
            ("1", Switch::Off),
            ("T", Switch::Off),
            ("yes", Switch::On),
        ] {
            let requirements =
                Requirements::from_environment([("NVIDIA_DISABLE_REQUIRE", value)]).unwrap();
            assert_eq!(requirements.switch, switch, "{value}");
        }
    }

    #[test]
    fn refuses_an_absurdly_long_value() {
        let value = "cuda>=12.4 ".repeat(10_000);
        let error =
            Requirements::from_environment([("NVIDIA_REQUIRE_CUDA", value.as_str())]).unwrap_err();
        assert_eq!(error.length, 110_000);
    }
}
