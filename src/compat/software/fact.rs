//! A fact that is known with its evidence, or a gap with its reason; and how two of them are joined.

use std::fmt;
use std::sync::Arc;

use super::evidence::Evidence;

/// Why something is not known, in words for a message: `the registry answered 401`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Gap(pub Arc<str>);

impl Gap {
    /// A gap with its reason.
    #[must_use]
    pub fn new(reason: impl Into<Arc<str>>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Something that is known, with its evidence, or a gap that says why it is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact<T> {
    /// Known.
    Known(T, Evidence),
    /// Not known.
    Gap(Gap),
}

/// Two facts of which one had to give way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merge<T> {
    /// They agreed, or only one was known.
    Agreed(Fact<T>),
    /// The stronger won over a different value.
    Overruled {
        /// The winner.
        fact: Fact<T>,
        /// The value that lost, and its evidence.
        loser: (T, Evidence),
    },
    /// Equally strong and different: nothing is known.
    Contradiction {
        /// A gap that names both sources.
        fact: Fact<T>,
        /// Both values with their evidence.
        values: [(T, Evidence); 2],
    },
}

impl<T> Merge<T> {
    /// The fact that came out.
    #[must_use]
    pub fn into_fact(self) -> Fact<T> {
        match self {
            Self::Agreed(fact)
            | Self::Overruled { fact, .. }
            | Self::Contradiction { fact, .. } => fact,
        }
    }
}

impl<T> Fact<T> {
    /// A gap with its reason.
    #[must_use]
    pub fn gap(reason: impl Into<Arc<str>>) -> Self {
        Self::Gap(Gap::new(reason))
    }

    /// The value and its evidence, if known.
    pub fn known(&self) -> Option<(&T, &Evidence)> {
        match self {
            Self::Known(value, evidence) => Some((value, evidence)),
            Self::Gap(_) => None,
        }
    }

    /// The value, if known.
    pub fn value(&self) -> Option<&T> {
        self.known().map(|(value, _)| value)
    }

    /// The same fact about a value made from this one.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Fact<U> {
        match self {
            Self::Known(value, evidence) => Fact::Known(make(value), evidence),
            Self::Gap(gap) => Fact::Gap(gap),
        }
    }
}

impl<T: PartialEq + Clone> Fact<T> {
    /// Joins two statements about one thing: the stronger origin wins, a known one wins over a gap, and equal
    /// strength with different values is a gap.
    #[must_use]
    pub fn merge(self, other: Self) -> Merge<T> {
        let ((mine, my_evidence), (theirs, their_evidence)) = match (self, other) {
            (fact, Self::Gap(_)) | (Self::Gap(_), fact) => return Merge::Agreed(fact),
            (Self::Known(mine, my_evidence), Self::Known(theirs, their_evidence)) => {
                ((mine, my_evidence), (theirs, their_evidence))
            }
        };
        let strength = |evidence: &Evidence| evidence.origin;
        if mine == theirs {
            let evidence = if strength(&their_evidence) < strength(&my_evidence) {
                their_evidence
            } else {
                my_evidence
            };
            return Merge::Agreed(Self::Known(mine, evidence));
        }
        match strength(&my_evidence).cmp(&strength(&their_evidence)) {
            std::cmp::Ordering::Less => Merge::Overruled {
                fact: Self::Known(mine, my_evidence),
                loser: (theirs, their_evidence),
            },
            std::cmp::Ordering::Greater => Merge::Overruled {
                fact: Self::Known(theirs, their_evidence),
                loser: (mine, my_evidence),
            },
            std::cmp::Ordering::Equal => {
                let reason = format!(
                    "{} and {} disagree",
                    my_evidence.source, their_evidence.source
                );
                Merge::Contradiction {
                    fact: Self::gap(reason),
                    values: [(mine, my_evidence), (theirs, their_evidence)],
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compat::software::evidence::{Origin, Proof};

    fn fact(value: u8, origin: Origin) -> Fact<u8> {
        Fact::Known(value, Evidence::new(origin, Proof::Doc, origin.word()))
    }

    #[test]
    fn the_stronger_origin_wins_and_the_loser_is_kept() {
        let merged = fact(1, Origin::Catalog).merge(fact(2, Origin::Measured));
        let Merge::Overruled {
            fact: winner,
            loser,
        } = merged
        else {
            panic!("not overruled")
        };
        assert_eq!((winner.value(), loser.0), (Some(&2), 1));
    }

    #[test]
    fn equal_strength_and_different_values_are_a_gap() {
        let merged = fact(1, Origin::Catalog).merge(fact(2, Origin::Catalog));
        assert!(matches!(
            merged,
            Merge::Contradiction {
                fact: Fact::Gap(_),
                ..
            }
        ));
    }

    #[test]
    fn agreement_keeps_the_stronger_evidence_and_a_gap_gives_way() {
        let merged = fact(1, Origin::Name)
            .merge(fact(1, Origin::Catalog))
            .into_fact();
        assert_eq!(
            merged.known().map(|(_, evidence)| evidence.origin),
            Some(Origin::Catalog)
        );
        assert_eq!(
            Fact::gap("401")
                .merge(fact(3, Origin::Hint))
                .into_fact()
                .value(),
            Some(&3)
        );
    }
}
