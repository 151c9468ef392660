//! What is counted of reviews.

use crate::telemetry::metrics::{Counter, Counters, Gauge, Histogram, Label, Registry};

/// What became of a review.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reviewed {
    /// Admitted, nothing to say.
    Allow,
    /// Admitted, with a warning.
    Warn,
    /// Admitted, because something decisive is not known.
    Undecided,
    /// Refused.
    Deny,
    /// Admitted without a look; [`Unchecked`] tells why.
    Unchecked,
    /// Admitted, because it asks for nothing that is judged.
    NotConcerned,
}

/// Why a review was admitted without a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unchecked {
    /// There was no time left.
    Deadline,
    /// Too many at once.
    Concurrency,
    /// The review panicked: a bug.
    Panic,
    /// The nodes are not known yet.
    NotSynced,
    /// The object is not understood, or too large.
    BadBody,
}

/// The families of the webhook's reviews.
#[derive(Clone)]
pub struct ReviewCounts {
    pub(super) reviews: Counters<Reviewed>,
    pub(super) unchecked: Counters<Unchecked>,
    pub(super) bad_requests: Counter,
    pub(super) duration: Histogram,
    pub(super) in_flight: Gauge,
}

impl Label for Reviewed {
    const KEY: &'static str = "decision";
    const ALL: &'static [Self] = &[
        Self::Allow,
        Self::Warn,
        Self::Undecided,
        Self::Deny,
        Self::Unchecked,
        Self::NotConcerned,
    ];

    fn value(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Warn => "warn",
            Self::Undecided => "undecided",
            Self::Deny => "deny",
            Self::Unchecked => "unchecked",
            Self::NotConcerned => "not-concerned",
        }
    }
}

impl Label for Unchecked {
    const KEY: &'static str = "reason";
    const ALL: &'static [Self] = &[
        Self::Deadline,
        Self::Concurrency,
        Self::Panic,
        Self::NotSynced,
        Self::BadBody,
    ];

    fn value(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::Concurrency => "concurrency",
            Self::Panic => "panic",
            Self::NotSynced => "not-synced",
            Self::BadBody => "bad-body",
        }
    }
}

impl ReviewCounts {
    /// Registers the families.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        Self {
            reviews: registry.counters("gpu_capgate_reviews_total", "Reviews by decision."),
            unchecked: registry.counters(
                "gpu_capgate_unchecked_total",
                "Reviews that were admitted without a look, by reason.",
            ),
            bad_requests: registry.counter(
                "gpu_capgate_bad_requests_total",
                "Requests that are no AdmissionReview.",
            ),
            duration: registry.histogram(
                "gpu_capgate_review_duration_seconds",
                "Time from a request's header to its answer.",
            ),
            in_flight: registry.gauge(
                "gpu_capgate_reviews_in_flight",
                "Reviews that are being read or answered.",
            ),
        }
    }
}
