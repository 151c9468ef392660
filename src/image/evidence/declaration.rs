//! What the author's declaration (`gpu-capgate.io/requires`) adds to what is known of an image.

use super::{Conflict, Knowledge, Winner, join};
use crate::compat::{BuildKind, Evidence, Fact, FactName, Origin, Proof, Software};
use crate::image::requires::Requires;

/// Whether a declaration may override the knowledge base: only where Pods may set their own mode, and then it counts
/// as a bypass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Override {
    /// It may.
    Allowed,
    /// It only fills gaps.
    Refused,
}

impl Knowledge<'_> {
    /// The software with its author's declaration, and what the declaration disagreed with. Measured and attached
    /// facts are never overridden. PTX is taken in the language version of the declared toolkit. The declared driver
    /// is the least one by the author's word.
    #[must_use]
    pub fn declared(
        &self,
        mut software: Software,
        requires: &Requires,
        permission: Override,
    ) -> (Software, Vec<Conflict>) {
        let source = format!("annotation gpu-capgate.io/requires: {requires}");
        let word = Evidence::new(Origin::Declared, Proof::Doc, source);
        let mut book = Book {
            permission,
            conflicts: Vec::new(),
        };
        if let Some(cuda) = requires.cuda {
            book.put(
                &mut software.cuda,
                Fact::Known(cuda, word.clone()),
                FactName::Cuda,
            );
        }
        if let Some(targets) = &requires.targets {
            let sass = targets.sass.iter().copied().collect();
            book.put(
                &mut software.sass,
                Fact::Known(sass, word.clone()),
                FactName::Sass,
            );
            let ptx = targets.ptx.iter().copied().collect();
            let ptx = super::ptx_list(self.catalog, &ptx, requires.cuda);
            book.put(
                &mut software.ptx,
                Fact::Known(ptx, word.clone()),
                FactName::Ptx,
            );
        }
        if let Some(driver) = requires.driver {
            let driver = Fact::Known(driver, word.clone());
            book.put(&mut software.driver, driver, FactName::DeclaredDriver);
        }
        if requires.cuda.is_some() || requires.targets.is_some() {
            let kind = Fact::Known(BuildKind::Cuda, word);
            book.put(&mut software.build, kind, FactName::Build);
        }
        (software, book.conflicts)
    }
}

/// What a declaration may do, and what it did.
struct Book {
    permission: Override,
    conflicts: Vec<Conflict>,
}

impl Book {
    fn put<T>(&mut self, fact: &mut Fact<T>, declared: Fact<T>, name: FactName)
    where
        T: PartialEq + Clone + std::fmt::Display,
    {
        match self.overridden(fact, &declared, name) {
            Some(conflict) => {
                self.conflicts.push(conflict);
                *fact = declared;
            }
            None => join(fact, declared, name, &mut self.conflicts),
        }
    }

    /// The conflict, if the declaration wins by permission and not by strength.
    fn overridden<T>(&self, fact: &Fact<T>, declared: &Fact<T>, name: FactName) -> Option<Conflict>
    where
        T: PartialEq + std::fmt::Display,
    {
        let ((old, evidence), (new, word)) = (fact.known()?, declared.known()?);
        let wins = self.permission == Override::Allowed && evidence.origin == Origin::Catalog;
        (wins && old != new).then(|| Conflict {
            fact: name,
            first: (new.to_string(), word.clone()),
            second: (old.to_string(), evidence.clone()),
            winner: Winner::First,
        })
    }
}
