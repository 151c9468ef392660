//! Which mode holds for a Pod: the narrowest word that counts, and who said it.
//!
//! Pure, and the same for the webhook and for `check`.

use crate::admission::message;
use crate::admission::policy::{Mode, Permission, Policy};
use crate::cluster::demand;

/// A mode, and who chose it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChosenMode {
    /// The mode.
    pub mode: Mode,
    /// Whose word it is.
    pub by: Chooser,
    /// What is wrong with narrower words, one line each.
    pub complaints: Vec<String>,
}

/// Who may choose a mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chooser {
    /// The Pod's annotation.
    Pod,
    /// The Namespace's label.
    Namespace,
    /// The configuration.
    Configuration,
}

impl Chooser {
    /// Where it is written.
    #[must_use]
    pub const fn place(self) -> &'static str {
        match self {
            Self::Pod => "annotation",
            Self::Namespace => "the namespace's label",
            Self::Configuration => "the configuration",
        }
    }

    /// The word for it, as in audit annotations.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Namespace => "namespace",
            Self::Configuration => "configuration",
        }
    }
}

impl ChosenMode {
    /// The mode under a policy, by the words of a Pod's annotation and of its Namespace's label.
    #[must_use]
    pub fn of(policy: &Policy, pod: Option<&str>, namespace: Option<&str>) -> Self {
        let mut complaints = Vec::new();
        let choices = [
            (policy.pod_modes, pod, Chooser::Pod),
            (policy.namespace_modes, namespace, Chooser::Namespace),
        ];
        for (permission, word, by) in choices {
            let word = match permission {
                Permission::Allowed => word,
                Permission::Ignored => None,
            };
            match word.map(str::parse::<Mode>) {
                Some(Ok(mode)) => {
                    return Self {
                        mode,
                        by,
                        complaints,
                    };
                }
                Some(Err(error)) => complaints.push(message::complaint(&format!(
                    "{} {}: {error}; it is ignored",
                    by.place(),
                    demand::MODE_ANNOTATION
                ))),
                None => {}
            }
        }
        Self {
            mode: policy.mode,
            by: Chooser::Configuration,
            complaints,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(policy: &Policy, pod: Option<&str>, namespace: Option<&str>) -> (Mode, Chooser) {
        let chosen = ChosenMode::of(policy, pod, namespace);
        (chosen.mode, chosen.by)
    }

    #[test]
    fn the_narrowest_word_that_counts_holds() {
        let policy = Policy {
            mode: Mode::Warn,
            ..Policy::default()
        };
        let (pod, namespace) = (Some("audit"), Some("off"));
        assert_eq!(chosen(&policy, pod, namespace), (Mode::Audit, Chooser::Pod));
        assert_eq!(
            chosen(&policy, None, namespace),
            (Mode::Off, Chooser::Namespace)
        );
        assert_eq!(
            chosen(&policy, None, None),
            (Mode::Warn, Chooser::Configuration)
        );
        let strict = Policy {
            pod_modes: Permission::Ignored,
            namespace_modes: Permission::Ignored,
            ..policy
        };
        assert_eq!(
            chosen(&strict, pod, namespace),
            (Mode::Warn, Chooser::Configuration)
        );
    }

    #[test]
    fn a_word_that_is_no_mode_is_passed_over_and_told() {
        let chosen = ChosenMode::of(&Policy::default(), Some("silent"), Some("warn"));
        assert_eq!((chosen.mode, chosen.by), (Mode::Warn, Chooser::Namespace));
        assert_eq!(
            chosen.complaints,
            [
                "gpu-capgate: annotation gpu-capgate.io/mode: mode \"silent\" is none of enforce, warn, audit, off; it is ignored"
            ]
        );
    }
}
