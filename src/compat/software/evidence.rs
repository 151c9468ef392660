//! Where a fact was read, how it is known to be true, and what it may be used for.

use std::sync::Arc;

use crate::compat::host::word_enum;

word_enum! {
    /// Where a fact was read, the strongest first.
    Origin, "origin" {
        /// In the files of the software itself.
        Measured = "measured",
        /// In signed evidence attached to it, or in an operator's overlay.
        Attached = "attached",
        /// In the knowledge base, for a build that the name identifies.
        Catalog = "catalog",
        /// In its author's declaration.
        Declared = "declared",
        /// In a name that follows a convention: enough for driver and toolkit floors, not for kernels.
        Name = "name",
        /// In something that describes the base image or a build setting.
        Hint = "hint",
    }
}

word_enum! {
    /// How a fact is known to be true.
    Proof, "proof" {
        /// Read in the published files.
        Wheel = "wheel",
        /// Read in the script that built them.
        Script = "script",
        /// Reported independently by people who ran it.
        Observed = "observed",
        /// In the publisher's own documentation.
        Doc = "doc",
        /// Carried over from a neighbouring release.
        Assumed = "assumed",
    }
}

/// Where a fact comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Evidence {
    /// Where it was read.
    pub origin: Origin,
    /// How it is known to be true.
    pub proof: Proof,
    /// The citation that a message prints.
    pub source: Arc<str>,
}

/// What a fact may be used for against a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// It may carry any refusal.
    MayDeny,
    /// It may carry a refusal for driver and toolkit floors only.
    MayDenyFloors,
    /// It may carry none.
    NeverDenies,
}

impl Evidence {
    /// Evidence from its three parts.
    #[must_use]
    pub fn new(origin: Origin, proof: Proof, source: impl Into<Arc<str>>) -> Self {
        Self {
            origin,
            proof,
            source: source.into(),
        }
    }

    /// What this evidence may carry (design, section 3).
    #[must_use]
    pub fn standing(&self) -> Standing {
        match (self.proof, self.origin) {
            (Proof::Assumed, _) | (_, Origin::Hint) => Standing::NeverDenies,
            (_, Origin::Name) => Standing::MayDenyFloors,
            (_, Origin::Measured | Origin::Attached | Origin::Catalog | Origin::Declared) => {
                Standing::MayDeny
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_and_assumptions_never_deny_and_names_only_floors() {
        let standing = |origin, proof| Evidence::new(origin, proof, "").standing();
        assert_eq!(standing(Origin::Hint, Proof::Wheel), Standing::NeverDenies);
        assert_eq!(
            standing(Origin::Measured, Proof::Assumed),
            Standing::NeverDenies
        );
        assert_eq!(standing(Origin::Name, Proof::Doc), Standing::MayDenyFloors);
        assert_eq!(standing(Origin::Declared, Proof::Doc), Standing::MayDeny);
    }
}
