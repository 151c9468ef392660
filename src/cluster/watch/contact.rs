//! When the API server was last heard on each watch, bookmarks included, and limits on how long and how much it may
//! say at once.
//!
//! Bookmarks are not told by the watcher, so contact is noted where bytes arrive: each watch has a client of its own
//! that listens in. Nothing here knows what the bytes mean.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Bytes, Frame};
use hyper::{Request, Response};
use kube::client::Body;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tower::BoxError;

use super::watched::Watched;

/// Longest wait for the beginning of an answer.
const ANSWER: Duration = Duration::from_secs(60);
/// Longest silence within an answer. The API server sends a bookmark about every minute
/// (`bookmarkFrequency` of k8s.io/apiserver/pkg/storage/cacher).
pub(super) const SILENCE: Duration = Duration::from_secs(240);
/// Most bytes without a line feed: an event is one line, and so is a page of a list.
const LINE_LIMIT: usize = 64 * 1024 * 1024;

/// How long each watch has been silent.
#[derive(Debug)]
pub struct Freshness {
    started: Instant,
    kinds: [Contact; Watched::ALL.len()],
}

/// Contact on one watch.
#[derive(Debug, Default)]
struct Contact {
    /// Milliseconds after the start, and one; 0 means never.
    heard: AtomicU64,
    failures: AtomicU64,
    answered: Notify,
}

impl Default for Freshness {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            kinds: Default::default(),
        }
    }
}

impl Freshness {
    /// How long ago the API server was last heard on this watch: an event, a bookmark, or a page of a list. `None` if
    /// it never was.
    #[must_use]
    pub fn age(&self, watched: Watched) -> Option<Duration> {
        let heard = self.contact(watched)?.heard.load(Ordering::Relaxed);
        let after = Duration::from_millis(heard.checked_sub(1)?);
        Some(self.started.elapsed().saturating_sub(after))
    }

    /// How often a list or a watch of it has failed.
    #[must_use]
    pub fn failures(&self, watched: Watched) -> u64 {
        let contact = self.contact(watched);
        contact.map_or(0, |contact| contact.failures.load(Ordering::Relaxed))
    }

    pub(super) fn failed(&self, watched: Watched) {
        if let Some(contact) = self.contact(watched) {
            contact.failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn heard(&self, watched: Watched) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        if let Some(contact) = self.contact(watched) {
            contact.heard.store(now + 1, Ordering::Relaxed);
        }
    }

    /// Waits for an answer that is no refusal.
    pub(super) async fn answered(&self, watched: Watched) {
        match self.contact(watched) {
            Some(contact) => contact.answered.notified().await,
            None => std::future::pending().await,
        }
    }

    fn contact(&self, watched: Watched) -> Option<&Contact> {
        self.kinds.get(watched as usize)
    }
}

/// The API server said nothing for too long, or too much at once.
#[derive(Debug, thiserror::Error)]
enum Unbearable {
    #[error("no answer within {} seconds", ANSWER.as_secs())]
    NoAnswer,
    #[error("silence of {} seconds", SILENCE.as_secs())]
    Silence,
    #[error("more than {LINE_LIMIT} bytes in one piece")]
    TooLong,
}

/// A client whose successful answers are noted.
pub(super) fn listening(
    client: &kube::Client,
    freshness: &Arc<Freshness>,
    watched: Watched,
) -> kube::Client {
    let namespace = client.default_namespace().to_owned();
    let (client, freshness) = (client.clone(), Arc::clone(freshness));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, freshness) = (client.clone(), Arc::clone(&freshness));
        async move {
            let answer = timeout(ANSWER, client.send(request)).await;
            let answer = answer.map_err(|_| BoxError::from(Unbearable::NoAnswer))??;
            let (parts, body) = answer.into_parts();
            // A refusal is an answer, and tells nothing of the objects.
            let tells = parts.status.is_success();
            if tells && let Some(contact) = freshness.contact(watched) {
                contact.answered.notify_waiters();
            }
            let heard = tells.then_some((freshness, watched));
            Ok::<_, BoxError>(Response::from_parts(parts, Overheard::new(body, heard)))
        }
    });
    kube::Client::new(service, namespace)
}

/// A body that is listened in to.
struct Overheard {
    body: Body,
    heard: Option<(Arc<Freshness>, Watched)>,
    silence: Pin<Box<Sleep>>,
    /// Bytes after the last line feed.
    line: usize,
}

impl Overheard {
    fn new(body: Body, heard: Option<(Arc<Freshness>, Watched)>) -> Self {
        Self {
            body,
            heard,
            silence: Box::pin(sleep(SILENCE)),
            line: 0,
        }
    }

    fn hear(&mut self, bytes: &[u8]) -> Result<(), Unbearable> {
        if let Some((freshness, watched)) = &self.heard {
            freshness.heard(*watched);
        }
        self.silence.as_mut().reset(Instant::now() + SILENCE);
        self.line = match bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => bytes.len() - end - 1,
            None => self.line + bytes.len(),
        };
        if self.line > LINE_LIMIT {
            return Err(Unbearable::TooLong);
        }
        Ok(())
    }
}

impl hyper::body::Body for Overheard {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
            ready!(self.silence.as_mut().poll(context));
            return Poll::Ready(Some(Err(Unbearable::Silence.into())));
        };
        let Some(frame) = frame.transpose()? else {
            return Poll::Ready(None);
        };
        if let Some(bytes) = frame.data_ref() {
            self.hear(bytes)?;
        }
        Poll::Ready(Some(Ok(frame)))
    }
}
