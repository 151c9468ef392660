//! The file as it is written: its keys, their words, and what holds where it says nothing.
//!
//! Pure. What the values mean together is `configuration`'s business.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::{Location, Options, Spanned};

use super::MAX_CONFIGURATION_BYTES;
use super::error::ConfigurationError;
use super::exemption::WrittenExemption;
use crate::admission::policy::{
    Autoscaler, Existing, Mode, Permission, Policy, Reaction, Unchecked,
};
use crate::cluster::fleet::{DeclaredPool, GfdTrust};
use crate::cluster::workload::Kind;

/// Most values of the file; a MiB of honest YAML has fewer.
const MAX_VALUES: usize = 100_000;
/// Most mappings and lists inside of one another.
const MAX_DEPTH: usize = 16;

/// The keys of the file. Each may be left out.
#[expect(
    clippy::struct_excessive_bools,
    reason = "these are the file's switches as they are written; nothing but this file reads them"
)]
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct Document {
    mode: Mode,
    namespace_modes: bool,
    pod_modes: bool,
    partial_fit: Reaction,
    cpu_build: Reaction,
    unchecked: Unchecked,
    enforce_existing: bool,
    trust_gfd: bool,
    autoscaler: WrittenAutoscaler,
    pub(super) resources: Vec<Spanned<String>>,
    pub(super) pools: Vec<Spanned<DeclaredPool>>,
    pub(super) kinds: Spanned<Vec<Kind>>,
    pub(super) queue_labels: Vec<String>,
    pub(super) overlay: Spanned<String>,
    pub(super) aliases: BTreeMap<String, Spanned<String>>,
    pub(super) exemptions: Vec<Spanned<WrittenExemption>>,
}

/// What an administrator says of the autoscaler.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WrittenAutoscaler {
    /// There is none.
    None,
    /// There is one, and `pools` lists all that it may add.
    Declared,
    /// There is one that may add nodes which nobody listed.
    Undeclared,
}

impl Default for Document {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            namespace_modes: true,
            pod_modes: true,
            partial_fit: Reaction::default(),
            cpu_build: Reaction::default(),
            unchecked: Unchecked::default(),
            enforce_existing: false,
            trust_gfd: true,
            autoscaler: WrittenAutoscaler::None,
            resources: Vec::new(),
            pools: Vec::new(),
            kinds: nowhere(Vec::new()),
            queue_labels: Vec::new(),
            overlay: nowhere(String::new()),
            aliases: BTreeMap::new(),
            exemptions: Vec::new(),
        }
    }
}

/// What stands in no file.
fn nowhere<T>(value: T) -> Spanned<T> {
    Spanned::new(value, Location::UNKNOWN, Location::UNKNOWN)
}

impl Document {
    pub(super) fn policy(&self) -> Policy {
        let permission = |allowed| {
            if allowed {
                Permission::Allowed
            } else {
                Permission::Ignored
            }
        };
        Policy {
            mode: self.mode,
            namespace_modes: permission(self.namespace_modes),
            pod_modes: permission(self.pod_modes),
            partial_fit: self.partial_fit,
            cpu_build: self.cpu_build,
            unchecked: self.unchecked,
            existing: if self.enforce_existing {
                Existing::Enforced
            } else {
                Existing::Warned
            },
            autoscaler: match self.autoscaler {
                WrittenAutoscaler::None | WrittenAutoscaler::Declared => Autoscaler::Settled,
                WrittenAutoscaler::Undeclared => Autoscaler::Undeclared,
            },
        }
    }

    pub(super) fn trust(&self) -> GfdTrust {
        if self.trust_gfd {
            GfdTrust::OneModel
        } else {
            GfdTrust::Nothing
        }
    }
}

/// The file's content; of an empty one, what holds where it says nothing.
pub(super) fn read(text: &[u8]) -> Result<Document, ConfigurationError> {
    if text.len() > MAX_CONFIGURATION_BYTES {
        return Err(ConfigurationError::TooLong { length: text.len() });
    }
    let text =
        std::str::from_utf8(text).map_err(|error| ConfigurationError::not_text(text, error))?;
    let document: Option<Document> = serde_saphyr::from_str_with_options(text, options())
        .map_err(|error| ConfigurationError::of_parser(&error))?;
    Ok(document.unwrap_or_default())
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: MAX_VALUES * 3,
            max_nodes: MAX_VALUES,
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_total_scalar_bytes: MAX_CONFIGURATION_BYTES,
        },
        // `off` is a word here, and a mode.
        strict_booleans: true,
        with_snippet: false,
    }
}
