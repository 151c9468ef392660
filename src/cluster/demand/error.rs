//! Why it cannot be said what an object asks for.

use thiserror::Error;

use crate::cluster::quantity::QuantityError;
use crate::cluster::workload::{FieldPath, TooManyTemplates};

/// A part of an object that is not of the form that the API has.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DemandError {
    /// A field of another type than the API's.
    #[error("{field}: {reason}: the API server would refuse this, correct it")]
    Malformed {
        /// The field.
        field: FieldPath,
        /// What is wrong.
        reason: String,
    },
    /// An amount of a resource that is no whole number.
    #[error("{field}: {resource}: {cause}: write a whole number")]
    Quantity {
        /// The container's resources.
        field: FieldPath,
        /// The resource.
        resource: String,
        /// Why it is none.
        #[source]
        cause: QuantityError,
    },
    /// More containers than any Pod has.
    #[error("{field}: more than {limit} containers")]
    TooManyContainers {
        /// The Pod's specification.
        field: FieldPath,
        /// The most that are looked at.
        limit: usize,
    },
    /// More templates than any object has.
    #[error(transparent)]
    TooManyTemplates(#[from] TooManyTemplates),
}

impl DemandError {
    /// The field that is wrong.
    #[must_use]
    pub fn field(&self) -> &FieldPath {
        match self {
            Self::Malformed { field, .. }
            | Self::Quantity { field, .. }
            | Self::TooManyContainers { field, .. } => field,
            Self::TooManyTemplates(error) => &error.field,
        }
    }
}
