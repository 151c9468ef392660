//! OCI image references: what a Pod's `image` field names, split into registry, repository, tag and digest.
//!
//! Follows the grammar of the distribution project (`reference` package), which container runtimes and the kubelet
//! use, with Docker Hub's defaults. It knows nothing of what a repository holds, and reads no registry.

mod parts;

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use parts::{DEFAULT_REGISTRY, OFFICIAL_PREFIX, within};
pub use parts::{
    Digest, MAX_REGISTRY_BYTES, MAX_REPOSITORY_BYTES, MAX_TAG_BYTES, Registry, Repository, Tag,
};

/// Longest reference that is looked at, in bytes: longer than any that the parts' own limits allow.
pub const MAX_REFERENCE_BYTES: usize = 1024;

/// A complete image reference: registry and repository are always there, and a tag or a digest or both.
///
/// `Display` writes the full form, which parses back to an equal value; [`Reference::familiar`] the short one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: Registry,
    repository: Repository,
    tag: Option<Tag>,
    digest: Option<Digest>,
}

/// Why a text is not an image reference: each message names the value, the place in it, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReferenceError {
    /// Nothing but white space.
    #[error(
        "image reference is empty: write one such as pytorch/pytorch:2.8.0-cuda12.6-cudnn9-runtime"
    )]
    Empty,
    /// A part is longer than its limit.
    #[error(
        "{part} of the image reference is {length} bytes long, and at most {limit} are allowed: {value}"
    )]
    TooLong {
        /// The part that is too long.
        part: Part,
        /// Its length in bytes.
        length: usize,
        /// What is allowed, in bytes.
        limit: usize,
        /// The part, cut for display.
        value: String,
    },
    /// A part has a form that the grammar does not allow.
    #[error("{part} {value} of an image reference is not valid: {rule}")]
    Malformed {
        /// The part at fault.
        part: Part,
        /// The part, cut for display.
        value: String,
        /// What the part has to look like.
        rule: &'static str,
    },
    /// The repository has upper-case letters.
    #[error("repository {value} of an image reference must be lower case: write {lower}")]
    UpperCase {
        /// The repository, cut for display.
        value: String,
        /// The same in lower case, cut for display.
        lower: String,
    },
}

/// The part of a reference that an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// The registry host and port.
    Registry,
    /// The repository path.
    Repository,
    /// The tag.
    Tag,
    /// The digest.
    Digest,
}

impl Reference {
    /// The registry, `docker.io` where none was written.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The path within the registry, with Docker Hub's `library/` where it applies.
    #[must_use]
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The tag: `latest` where neither tag nor digest was written, nothing where only a digest was.
    #[must_use]
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// The digest, where one was written.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Registry and repository, `docker.io/pytorch/pytorch`: what a family of images is known by.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The short form that people write: no `docker.io/` and no `library/` where it can do without them.
    #[must_use]
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        let Some(path) = full.strip_prefix("docker.io/") else {
            return full;
        };
        match path.strip_prefix(OFFICIAL_PREFIX) {
            Some(short) if !self.repository.below_official().contains('/') => short.to_owned(),
            Some(_) | None if split_registry(path).0 == DEFAULT_REGISTRY => path.to_owned(),
            Some(_) | None => full,
        }
    }

    /// The same repository under another tag and without a digest.
    #[must_use]
    pub fn with_tag(&self, tag: Tag) -> Self {
        Self {
            registry: self.registry.clone(),
            repository: self.repository.clone(),
            tag: Some(tag),
            digest: None,
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        within(Part::Whole, text, MAX_REFERENCE_BYTES)?;
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => (named, Some(digest.parse()?)),
            None => (text, None),
        };
        let (registry, path_and_tag) = split_registry(named);
        let (path, tag) = match path_and_tag.split_once(':') {
            Some((path, tag)) => (path, Some(tag.parse()?)),
            None => (path_and_tag, None),
        };
        let registry: Registry = registry.parse()?;
        let repository = repository(&registry, path)?;
        let tag = tag.or_else(|| digest.is_none().then(Tag::latest));
        Ok(Self {
            registry,
            repository,
            tag,
            digest,
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(formatter, "@{digest}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Whole => "the whole",
            Self::Registry => "registry",
            Self::Repository => "repository",
            Self::Tag => "tag",
            Self::Digest => "digest",
        })
    }
}

/// The first component is a registry if it could not be a Docker Hub account: a dot, a colon, `localhost`, a capital.
fn split_registry(named: &str) -> (&str, &str) {
    match named.split_once('/') {
        Some((first, rest))
            if first == "localhost"
                || first.contains(['.', ':'])
                || first.bytes().any(|byte| byte.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        Some(_) | None => (DEFAULT_REGISTRY, named),
    }
}

fn repository(registry: &Registry, path: &str) -> Result<Repository, ReferenceError> {
    if registry.as_str() == DEFAULT_REGISTRY && !path.contains('/') {
        let plain: Repository = path.parse()?;
        return format!("{OFFICIAL_PREFIX}{plain}").parse();
    }
    path.parse()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Reference {
        text.parse().unwrap()
    }

    fn refused(text: &str) -> String {
        text.parse::<Reference>().unwrap_err().to_string()
    }

    #[test]
    fn fills_in_the_registry_and_the_official_prefix_and_latest() {
        assert_eq!(
            parsed("ubuntu").to_string(),
            "docker.io/library/ubuntu:latest"
        );
        assert_eq!(
            parsed("nvidia/cuda:12.6.3-base").to_string(),
            "docker.io/nvidia/cuda:12.6.3-base"
        );
        for host in ["index.docker.io", "registry-1.docker.io"] {
            assert_eq!(
                parsed(&format!("{host}/nvidia/cuda")).to_string(),
                "docker.io/nvidia/cuda:latest"
            );
        }
        assert_eq!(
            parsed("docker.io/ubuntu:22.04").to_string(),
            "docker.io/library/ubuntu:22.04"
        );
        assert_eq!(parsed(" nvidia/cuda \n").name(), "docker.io/nvidia/cuda");
    }

    #[test]
    fn splits_ports_digests_and_both_tag_and_digest() {
        let hexadecimal = "a".repeat(64);
        let reference = parsed(&format!("localhost:5000/team/app:v1@sha256:{hexadecimal}"));
        assert_eq!(reference.registry().as_str(), "localhost:5000");
        assert_eq!(reference.repository().as_str(), "team/app");
        assert_eq!(reference.tag().map(Tag::as_str), Some("v1"));
        assert_eq!(reference.digest().map(Digest::short), Some("aaaaaaaaaaaa"));
        let pinned = parsed(&format!("nvcr.io/nvidia/pytorch@sha256:{hexadecimal}"));
        assert_eq!(pinned.tag(), None);
        let longer = "b".repeat(128);
        assert!(format!("app@sha512:{longer}").parse::<Reference>().is_ok());
    }

    #[test]
    fn knows_a_registry_by_dot_port_localhost_or_capital() {
        assert_eq!(
            parsed("nvcr.io/nvidia/pytorch:25.10-py3")
                .registry()
                .as_str(),
            "nvcr.io"
        );
        assert_eq!(parsed("host:5000/app").registry().as_str(), "host:5000");
        assert_eq!(parsed("localhost/app").registry().as_str(), "localhost");
        assert_eq!(parsed("Host/app").registry().as_str(), "Host");
        assert_eq!(parsed("[::1]:5000/app").registry().as_str(), "[::1]:5000");
        assert_eq!(parsed("team/app").registry().as_str(), "docker.io");
    }

    #[test]
    fn writes_the_short_form_that_people_use() {
        assert_eq!(
            parsed("docker.io/library/ubuntu:22.04").familiar(),
            "ubuntu:22.04"
        );
        assert_eq!(
            parsed("docker.io/pytorch/pytorch:latest").familiar(),
            "pytorch/pytorch:latest"
        );
        assert_eq!(
            parsed("docker.io/library/a/b:1").familiar(),
            "library/a/b:1"
        );
        assert_eq!(parsed("docker.io/a.b/c:1").familiar(), "docker.io/a.b/c:1");
        assert_eq!(
            parsed("nvcr.io/nvidia/pytorch:25.10-py3").familiar(),
            "nvcr.io/nvidia/pytorch:25.10-py3"
        );
    }

    #[test]
    fn refuses_and_says_what_would_be_right() {
        assert!(refused("").contains("is empty"));
        assert!(refused("Ubuntu:22.04").contains("write \"ubuntu\""));
        assert!(refused("team/app:").contains("tag \"\""));
        assert!(refused("team/app:-v1").contains("neither . nor -"));
        assert!(refused("team/app@sha256:abc").contains("64"));
        assert!(
            refused("team/app@md5:d41d8cd98f00b204e9800998ecf8427e").contains("sha256: and 64")
        );
        assert!(refused("team//app").contains("repository"));
        assert!(refused("host:port/app").contains("registry \"host:port\""));
        assert!(refused("host:99999/app").contains("registry"));
        assert!(refused("-host.io/app").contains("registry"));
        assert!(refused(&"0123456789abcdef".repeat(4)).contains("image ID"));
        assert!(refused("a/b:c:d").contains("tag"));
        assert!(refused("a/b\u{1b}[31m").contains("\\u{1b}"));
    }

    #[test]
    fn bounds_every_part() {
        assert!(refused(&"a".repeat(1025)).contains("1025 bytes"));
        assert!(refused(&format!("a/{}", "b".repeat(254))).contains("256 bytes"));
        assert!(refused(&format!("a/b:{}", "c".repeat(129))).contains("129 bytes"));
        assert!(refused(&format!("{}.io/b", "c".repeat(300))).contains("303 bytes"));
        assert!(
            format!("a/{}", "b".repeat(253))
                .parse::<Reference>()
                .is_ok()
        );
        assert!(
            format!("a/b:{}", "c".repeat(128))
                .parse::<Reference>()
                .is_ok()
        );
    }

    #[test]
    fn replaces_the_tag_and_drops_the_digest() {
        let pinned = parsed(&format!("a/b:1@sha256:{}", "0".repeat(64)));
        assert_eq!(
            pinned.with_tag("2".parse().unwrap()).to_string(),
            "docker.io/a/b:2"
        );
    }

    proptest! {
        #[test]
        fn never_panics_on_any_text(text in ".*") {
            let _ = text.parse::<Reference>();
        }

        #[test]
        fn never_panics_on_reference_like_text(text in "[a-zA-Z0-9./:@_\\[\\]-]{0,300}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference);
            }
        }

        #[test]
        fn full_and_familiar_forms_parse_back(
            registry in prop::option::of("[a-z]{1,8}\\.[a-z]{2,3}(:[1-9][0-9]{0,3})?"),
            path in "(docker\\.io/)?[a-z0-9]{1,8}([._/-][a-z0-9]{1,8}){0,3}",
            tag in prop::option::of("[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}"),
            digest in prop::option::of("[0-9a-f]{64}"),
        ) {
            let mut text = registry.map_or_else(String::new, |registry| format!("{registry}/"));
            text.push_str(&path);
            if let Some(tag) = tag { text = format!("{text}:{tag}"); }
            if let Some(digest) = digest { text = format!("{text}@sha256:{digest}"); }
            let Ok(reference) = text.parse::<Reference>() else { return Ok(()); };
            prop_assert_eq!(&reference.to_string().parse::<Reference>().unwrap(), &reference);
            prop_assert_eq!(&reference.familiar().parse::<Reference>().unwrap(), &reference);
        }
    }
}
