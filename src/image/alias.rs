//! Operators' aliases: which known image a name of their own stands for.
//!
//! An alias is an exact reference, or one that ends in `*`, which stands for the rest of the name; where its target
//! ends in `*` too, that rest is put there, so one alias covers a mirrored repository.

use thiserror::Error;

use super::reference::{Reference, ReferenceError};
use crate::compat::catalog::Alias;

/// Most aliases that are followed for one name.
pub const MAX_STEPS: usize = 8;

/// A name, and the image that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The image to judge.
    pub image: Reference,
    /// The aliases that led there, in order; empty if the name stands for itself.
    pub through: Vec<Box<str>>,
}

/// Aliases that lead nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AliasError {
    /// They come back to a name.
    #[error("alias {alias:?} leads back to {image}: remove one of the aliases between them")]
    Cycle {
        /// The alias that closes the circle.
        alias: Box<str>,
        /// The name that it leads back to.
        image: Reference,
    },
    /// There are more of them than [`MAX_STEPS`].
    #[error(
        "more than {MAX_STEPS} aliases lead on from {image}: let an alias name the known image itself"
    )]
    TooLong {
        /// The name that was looked up.
        image: Reference,
    },
    /// One whose target is not a reference.
    #[error("alias {alias:?} stands for {target:?}, which is not an image reference")]
    Target {
        /// The alias.
        alias: Box<str>,
        /// Its target, with the rest of the name put in.
        target: String,
        /// Why.
        #[source]
        cause: ReferenceError,
    },
}

/// Follows aliases from a name. Of several that fit, an exact one goes before a longer one before a shorter one.
///
/// # Errors
/// If they go round in a circle, are too many, or name something that is no image.
pub fn resolve(image: &Reference, aliases: &[Alias]) -> Result<Resolved, AliasError> {
    let mut seen = vec![image.clone()];
    let mut through = Vec::new();
    let mut current = image.clone();
    while let Some((alias, target)) = step(&current, aliases)? {
        if seen.contains(&target) {
            return Err(AliasError::Cycle {
                alias: alias.image.clone(),
                image: target,
            });
        }
        if through.len() == MAX_STEPS {
            return Err(AliasError::TooLong {
                image: image.clone(),
            });
        }
        through.push(alias.image.clone());
        seen.push(target.clone());
        current = target;
    }
    Ok(Resolved {
        image: current,
        through,
    })
}

fn step<'a>(
    image: &Reference,
    aliases: &'a [Alias],
) -> Result<Option<(&'a Alias, Reference)>, AliasError> {
    let names = spellings(image);
    let fitting = aliases
        .iter()
        .filter_map(|alias| Some((alias, fit(&alias.image, &names)?)));
    let weight = |alias: &Alias, fit: &Fit<'_>| (*fit == Fit::Exact, alias.image.len());
    let Some((alias, fit)) = fitting.max_by_key(|(alias, fit)| weight(alias, fit)) else {
        return Ok(None);
    };
    let target = match (alias.is.strip_suffix('*'), fit) {
        (Some(start), Fit::Start { rest }) => format!("{start}{rest}"),
        (Some(_) | None, Fit::Start { .. } | Fit::Exact) => alias.is.to_string(),
    };
    match target.parse() {
        Ok(reference) => Ok(Some((alias, reference))),
        Err(cause) => Err(AliasError::Target {
            alias: alias.image.clone(),
            target,
            cause,
        }),
    }
}

/// How an alias fits a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit<'a> {
    /// It is the name.
    Exact,
    /// The name begins with it.
    Start {
        /// What its `*` took.
        rest: &'a str,
    },
}

/// The forms in which an operator may have written the name: full and short, with the digest and, if there is a
/// tag, without.
fn spellings(image: &Reference) -> Vec<String> {
    let undigested = image.tag().map(|tag| image.with_tag(tag.clone()));
    let forms = std::iter::once(image).chain(&undigested);
    let mut names: Vec<String> = forms
        .flat_map(|form| [form.to_string(), form.familiar()])
        .collect();
    names.dedup();
    names
}

fn fit<'a>(alias: &str, names: &'a [String]) -> Option<Fit<'a>> {
    names.iter().find_map(|name| match alias.strip_suffix('*') {
        Some(start) => name.strip_prefix(start).map(|rest| Fit::Start { rest }),
        None => (alias == name).then_some(Fit::Exact),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn aliases(pairs: &[(&str, &str)]) -> Vec<Alias> {
        pairs
            .iter()
            .map(|(image, is)| Alias {
                image: (*image).into(),
                is: (*is).into(),
            })
            .collect()
    }

    fn resolved(image: &str, pairs: &[(&str, &str)]) -> String {
        resolve(&image.parse().unwrap(), &aliases(pairs))
            .unwrap()
            .image
            .familiar()
    }

    fn refused(image: &str, pairs: &[(&str, &str)]) -> String {
        resolve(&image.parse().unwrap(), &aliases(pairs))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn follows_the_example_of_the_documentation() {
        let pairs = [(
            "your-registry.ai/team-pytorch:2.6-gpu",
            "pytorch/pytorch:2.6.0-cuda11.8-cudnn9-runtime",
        )];
        assert_eq!(
            resolved("your-registry.ai/team-pytorch:2.6-gpu", &pairs),
            "pytorch/pytorch:2.6.0-cuda11.8-cudnn9-runtime"
        );
        assert_eq!(
            resolved("your-registry.ai/team-pytorch:2.7-gpu", &pairs),
            "your-registry.ai/team-pytorch:2.7-gpu"
        );
    }

    #[test]
    fn fits_full_and_short_names_and_names_with_a_digest() {
        let pinned = format!("team/app:1@sha256:{}", "a".repeat(64));
        for alias in [
            "team/app:1",
            "docker.io/team/app:1",
            "team/app:*",
            "docker.io/team/*",
        ] {
            assert_eq!(
                resolved("team/app:1", &[(alias, "nvidia/cuda:12.4.1-base")]),
                "nvidia/cuda:12.4.1-base"
            );
            assert_eq!(
                resolved(&pinned, &[(alias, "nvidia/cuda:12.4.1-base")]),
                "nvidia/cuda:12.4.1-base"
            );
        }
    }

    #[test]
    fn puts_the_rest_of_the_name_where_the_target_has_a_star() {
        let pairs = [("mirror.corp/pytorch/pytorch:*", "pytorch/pytorch:*")];
        assert_eq!(
            resolved(
                "mirror.corp/pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime",
                &pairs
            ),
            "pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime"
        );
    }

    #[test]
    fn prefers_exact_to_longer_to_shorter() {
        let pairs = [
            ("t.io/*", "a:1"),
            ("t.io/app:*", "b:1"),
            ("t.io/app:x", "c:1"),
        ];
        assert_eq!(resolved("t.io/app:x", &pairs), "c:1");
        assert_eq!(resolved("t.io/app:y", &pairs), "b:1");
        assert_eq!(resolved("t.io/other:y", &pairs), "a:1");
    }

    #[test]
    fn refuses_circles_long_chains_and_bad_targets() {
        assert!(refused("a:1", &[("a:1", "b:1"), ("b:1", "a:1")]).contains("leads back"));
        assert!(refused("a:1", &[("a:1", "a:1")]).contains("leads back"));
        assert!(refused("t.io/a:1", &[("t.io/*", "t.io/x/*")]).contains("more than 8"));
        assert!(refused("a:1", &[("a:1", "Not An Image")]).contains("not an image reference"));
    }

    proptest! {
        #[test]
        fn never_panics_and_always_ends(
            pairs in prop::collection::vec(("[a-c]{1,2}[*:]{0,2}", "[a-c]{1,2}[*:]{0,2}"), 0..6),
            image in "[a-c]{1,2}",
        ) {
            let pairs: Vec<Alias> =
                pairs.into_iter().map(|(image, is)| Alias { image: image.into(), is: is.into() }).collect();
            let _ = resolve(&image.parse().unwrap(), &pairs);
        }
    }
}
