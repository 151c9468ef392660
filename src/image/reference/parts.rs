//! The parts of an image reference, each with its own grammar and bounds.

use std::fmt;
use std::str::FromStr;

use super::{Part, ReferenceError};

/// Longest registry host with port, in bytes (a DNS name is at most 253, a port 6 with its colon).
pub const MAX_REGISTRY_BYTES: usize = 259;
/// Longest repository path, in bytes (distribution's `RepositoryNameTotalLengthMax`).
pub const MAX_REPOSITORY_BYTES: usize = 255;
/// Longest tag, in bytes (OCI distribution specification: one character and up to 127 more).
pub const MAX_TAG_BYTES: usize = 128;

pub(super) const DEFAULT_REGISTRY: &str = "docker.io";
pub(super) const OFFICIAL_PREFIX: &str = "library/";
/// Other hosts of Docker Hub: its name of old (distribution's `legacyDefaultDomain`), and the host that answers for
/// `docker.io` (containerd's `docker.DefaultHost`).
const HUB_HOSTS: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];
const DEFAULT_TAG: &str = "latest";
const SHOWN_CHARACTERS: usize = 80;

/// A registry host with its port, as written, but for Docker Hub's own hosts: `docker.io`, `nvcr.io`, `localhost:5000`, `[::1]:5000`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Registry(String);

/// A repository path within its registry, in lower case: `library/ubuntu`, `nvidia/pytorch`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository(String);

/// A tag: 1 to 128 of letters, digits, `_`, `.` and `-`, beginning with a letter, a digit or `_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

/// A content digest, `sha256:` with 64 or `sha512:` with 128 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

impl Registry {
    /// The host and port as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Registry {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RULE: &str =
            "a host name, an IPv4 address or an IPv6 address in brackets, and optionally :PORT";
        within(Part::Registry, text, MAX_REGISTRY_BYTES)?;
        let (host, port) = split_port(text);
        let good_host = host.strip_prefix('[').map_or_else(
            || is_host_name(host),
            |rest| rest.strip_suffix(']').is_some_and(is_ipv6),
        );
        if !good_host || !port.is_none_or(is_port) {
            return Err(malformed(Part::Registry, text, RULE));
        }
        if HUB_HOSTS.contains(&text) {
            return Ok(Self(DEFAULT_REGISTRY.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Registry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Repository {
    /// The path as written, with Docker Hub's `library/` where it applies.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn below_official(&self) -> &str {
        self.0.strip_prefix(OFFICIAL_PREFIX).unwrap_or(&self.0)
    }

    /// The last component: `pytorch` of `nvidia/pytorch`.
    #[must_use]
    pub fn last(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl FromStr for Repository {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RULE: &str = "components of a-z and 0-9, joined by single . or _, by __ or by any number of -, between slashes";
        const HEXADECIMAL: &str = "64 hexadecimal digits name an image ID, not a repository";
        within(Part::Repository, text, MAX_REPOSITORY_BYTES)?;
        if text.split('/').all(is_path_component) {
            let bare = text.strip_prefix(OFFICIAL_PREFIX).unwrap_or(text);
            if bare.len() == 64 && is_lower_hexadecimal(bare) {
                return Err(malformed(Part::Repository, text, HEXADECIMAL));
            }
            return Ok(Self(text.to_owned()));
        }
        let lower = text.to_ascii_lowercase();
        if lower != text && lower.split('/').all(is_path_component) {
            return Err(ReferenceError::UpperCase {
                value: shown(text),
                lower: shown(&lower),
            });
        }
        Err(malformed(Part::Repository, text, RULE))
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Tag {
    /// The tag that is meant where none is written.
    pub(super) fn latest() -> Self {
        Self(DEFAULT_TAG.to_owned())
    }

    /// The tag as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RULE: &str = "1 to 128 of A-Z, a-z, 0-9, _, . and -, and the first neither . nor -";
        within(Part::Tag, text, MAX_TAG_BYTES)?;
        let rest = text.strip_prefix(|first: char| first.is_ascii_alphanumeric() || first == '_');
        match rest {
            Some(rest) if rest.bytes().all(is_tag_byte) => Ok(Self(text.to_owned())),
            Some(_) | None => Err(malformed(Part::Tag, text, RULE)),
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Digest {
    /// The digest as written: algorithm, colon, hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 hexadecimal digits, which is what messages show.
    #[must_use]
    pub fn short(&self) -> &str {
        let hexadecimal = self.0.split_once(':').map_or("", |(_, digits)| digits);
        hexadecimal.get(..12).unwrap_or(hexadecimal)
    }
}

impl FromStr for Digest {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RULE: &str = "sha256: and 64, or sha512: and 128 hexadecimal digits in lower case";
        let good = text.split_once(':').is_some_and(|(algorithm, digits)| {
            let length = match algorithm {
                "sha256" => 64,
                "sha512" => 128,
                _ => return false,
            };
            digits.len() == length && is_lower_hexadecimal(digits)
        });
        if good {
            return Ok(Self(text.to_owned()));
        }
        Err(malformed(Part::Digest, text, RULE))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        Some(_) | None => (text, None),
    }
}

fn is_host_name(host: &str) -> bool {
    host.split('.').all(|label| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    })
}

fn is_ipv6(address: &str) -> bool {
    address.contains(':')
        && address
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b':')
}

fn is_port(port: &str) -> bool {
    (1..=5).contains(&port.len())
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && port.parse::<u16>().is_ok()
}

/// Runs of a-z and 0-9 joined by `.`, `_`, `__` or any number of `-`.
fn is_path_component(component: &str) -> bool {
    let is_separator = |character: char| matches!(character, '.' | '_' | '-');
    if component.is_empty()
        || component.starts_with(is_separator)
        || component.ends_with(is_separator)
    {
        return false;
    }
    component
        .split(|character: char| character.is_ascii_lowercase() || character.is_ascii_digit())
        .all(|separator| {
            matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
        })
}

fn is_tag_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

fn is_lower_hexadecimal(text: &str) -> bool {
    text.bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

pub(super) fn within(part: Part, text: &str, limit: usize) -> Result<(), ReferenceError> {
    if text.len() <= limit {
        return Ok(());
    }
    Err(ReferenceError::TooLong {
        part,
        length: text.len(),
        limit,
        value: shown(text),
    })
}

fn malformed(part: Part, text: &str, rule: &'static str) -> ReferenceError {
    ReferenceError::Malformed {
        part,
        value: shown(text),
        rule,
    }
}

/// The value in quotes, with control characters escaped and long ones cut: it goes into logs and messages.
fn shown(text: &str) -> String {
    let cut: String = text.chars().take(SHOWN_CHARACTERS).collect();
    if cut.len() == text.len() {
        return format!("{cut:?}");
    }
    format!("{cut:?}...")
}
