//! How a part of the agent fares that tries again for ever: told to the kubelet's probe, and counted.
//!
//! Knows nothing of what is tried.

use crate::lifecycle::{Readiness, ReadyToken};
use crate::telemetry::metrics::{Counters, Label};

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it should.
    Done,
    /// It is made again.
    Failed,
}

/// The attempts of one part. It is ready while the last one did what it should.
#[derive(Debug)]
pub struct Attempts {
    part: &'static str,
    readiness: Readiness,
    waiting: Option<ReadyToken>,
    outcomes: Counters<Outcome>,
}

impl Attempts {
    /// None yet: the part is not ready from now on.
    #[must_use]
    pub fn new(part: &'static str, readiness: &Readiness, outcomes: Counters<Outcome>) -> Self {
        Self {
            part,
            readiness: readiness.clone(),
            waiting: Some(readiness.wait_for(part)),
            outcomes,
        }
    }

    /// Whether the part is not ready.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    pub(super) fn succeeded(&mut self) {
        self.outcomes.add(Outcome::Done);
        self.waiting = None;
    }

    pub(super) fn failed(&mut self) {
        self.outcomes.add(Outcome::Failed);
        self.undone();
    }

    /// What an attempt brought about is there no longer.
    pub(super) fn undone(&mut self) {
        if self.waiting.is_none() {
            self.waiting = Some(self.readiness.wait_for(self.part));
        }
    }
}

impl Label for Outcome {
    const KEY: &'static str = "outcome";
    const ALL: &'static [Self] = &[Self::Done, Self::Failed];

    fn value(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}
