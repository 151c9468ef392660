//! Keeps the configuration of a running webhook that of its file.
//!
//! The file is looked at again and again and compared by content, since a mounted ConfigMap changes by a symbolic link
//! that is put elsewhere, which watches on the file do not see. A new file that cannot be used is told once, and the
//! last good one goes on. What the file may say is `configuration`'s business.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use super::configuration::{Configuration, ConfigurationError, MAX_CONFIGURATION_BYTES};
use crate::telemetry::with_causes;

/// How often the file is looked at. The kubelet takes up to a minute to change it, so more would find no more.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// The configuration in force; reading it never waits.
pub type SharedConfiguration = Arc<ArcSwap<Configuration>>;

/// Why a file gives no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// It cannot be read.
    #[error("cannot read the configuration {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It was read and cannot be used.
    #[error("{}:{source}", .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<ConfigurationError>,
    },
}

/// Since when the file has been one that cannot be used.
#[derive(Debug, Default)]
pub struct Failing(AtomicU64);

/// What a look at the file came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// It is as it was at the last look.
    Same,
    /// It is another one, and in force now.
    Replaced,
    /// It is another one that cannot be used; the last good one stays in force.
    Refused,
}

/// Looks at one file.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    /// What the last look found: the content, or why there was none.
    seen: Result<Vec<u8>, io::ErrorKind>,
    shared: SharedConfiguration,
    failing: Arc<Failing>,
}

impl Failing {
    /// In seconds since 1970; 0 while the configuration in force is the file's.
    pub fn since(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn begin(&self) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(1, |since| since.as_secs().max(1));
        // The first failure of a row counts.
        let _ = self
            .0
            .compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn end(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

impl Follower {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// It cannot be read or used: then there is nothing to go on with.
    pub fn open(path: &Path) -> Result<Self, ReloadError> {
        let bytes = read(path).map_err(|source| ReloadError::Read {
            path: path.to_owned(),
            source,
        })?;
        let configuration = parsed(path, &bytes)?;
        Ok(Self {
            path: path.to_owned(),
            seen: Ok(bytes),
            shared: Arc::new(ArcSwap::from_pointee(configuration)),
            failing: Arc::default(),
        })
    }

    /// The configuration in force.
    #[must_use]
    pub fn configuration(&self) -> SharedConfiguration {
        Arc::clone(&self.shared)
    }

    /// Whether the file is one that cannot be used, for metrics.
    #[must_use]
    pub fn failing(&self) -> Arc<Failing> {
        Arc::clone(&self.failing)
    }

    /// Looks at the file, and puts in force what is new in it.
    pub fn look(&mut self) -> Look {
        let found = read(&self.path);
        let kinds = found.as_ref().map_err(io::Error::kind);
        if kinds == self.seen.as_ref().map_err(|kind| *kind) {
            return Look::Same;
        }
        let outcome = match &found {
            Ok(bytes) => parsed(&self.path, bytes),
            Err(error) => Err(ReloadError::Read {
                path: self.path.clone(),
                source: error.kind().into(),
            }),
        };
        self.seen = found.map_err(|error| error.kind());
        match outcome {
            Ok(configuration) => {
                self.shared.store(Arc::new(configuration));
                self.failing.end();
                tracing::info!(path = %self.path.display(), "a new configuration is in force");
                Look::Replaced
            }
            Err(error) => {
                self.failing.begin();
                tracing::error!(
                    error = with_causes(&error),
                    "the new configuration cannot be used; the last good one stays in force"
                );
                Look::Refused
            }
        }
    }

    /// Looks until `stop`.
    pub async fn follow(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let looked = tokio::task::spawn_blocking(move || {
                self.look();
                self
            });
            match looked.await {
                Ok(follower) => self = follower,
                Err(error) => {
                    tracing::error!(%error, "the configuration is no longer followed");
                    return;
                }
            }
        }
    }
}

fn parsed(path: &Path, bytes: &[u8]) -> Result<Configuration, ReloadError> {
    Configuration::parse(bytes).map_err(|source| ReloadError::Unusable {
        path: path.to_owned(),
        source: Box::new(source),
    })
}

/// The file's bytes; of one that is too long, one more than are taken.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(MAX_CONFIGURATION_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    File::open(path)?
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}
