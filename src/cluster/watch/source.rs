//! One watch: lists and follows the objects of a kind for as long as anybody listens, through everything that can
//! happen to it.
//!
//! The list is streamed where the API server can do that, and comes in pages otherwise. What goes wrong is said once
//! in the log, not each time; a kind that is not served, or that we may not read, is asked for now and then.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::Api;
use kube::api::ApiResource;
use kube::runtime::watcher::{self, Config, Event, watcher};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

use super::Settings;
use super::contact::{Freshness, listening};
use super::seen::{Seen, Subject};
use super::told::{Standing, Told};
use super::watched::Watched;

/// Objects in a page, where lists come in pages: 100 Nodes of 40 KB are 4 MB that are held for a moment, as text and as
/// what was read of it.
const PAGE: u32 = 100;
/// Longest pause within a streamed list; after it the list is asked for in pages.
const STREAM_PAUSE: Duration = Duration::from_secs(30);
/// The first pause after a failure; each one that follows is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// What went wrong on a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    NotServed,
    Forbidden,
    /// Lists are not streamed.
    NotStreamed,
    Failing,
}

impl Trouble {
    fn of(error: &watcher::Error) -> Self {
        let status = match error {
            watcher::Error::InitialListFailed(kube::Error::Api(status))
            | watcher::Error::WatchStartFailed(kube::Error::Api(status))
            | watcher::Error::WatchFailed(kube::Error::Api(status))
            | watcher::Error::WatchError(status) => status,
            watcher::Error::InitialListFailed(_)
            | watcher::Error::WatchStartFailed(_)
            | watcher::Error::WatchFailed(_)
            | watcher::Error::NoResourceVersion => return Self::Failing,
        };
        match status.code {
            404 => Self::NotServed,
            401 | 403 => Self::Forbidden,
            // `sendInitialEvents` is forbidden without the feature WatchList.
            400 | 422 => Self::NotStreamed,
            _ => Self::Failing,
        }
    }

    const fn longest_pause(self) -> Duration {
        match self {
            Self::NotServed => Duration::from_secs(180),
            Self::Forbidden => Duration::from_secs(60),
            Self::NotStreamed | Self::Failing => Duration::from_secs(30),
        }
    }

    const fn standing(self) -> Standing {
        match self {
            Self::NotServed => Standing::NotServed,
            Self::Forbidden => Standing::Forbidden,
            Self::NotStreamed | Self::Failing => Standing::Failing,
        }
    }
}

/// How objects are listed at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listing {
    Streamed,
    InPages,
}

/// Where a watch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// In its first list, streamed.
    Streaming,
    /// In its first list, in pages.
    Paging,
    /// After that.
    Following,
}

/// Versions of an API that have not been asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Versions {
    Some,
    None,
}

/// One watch, and what is known of how it goes.
pub(super) struct Source<T: Subject> {
    watched: Watched,
    client: kube::Client,
    /// Where the objects are; all namespaces if `None`.
    namespace: Option<String>,
    config: Config,
    freshness: Arc<Freshness>,
    told: mpsc::Sender<Told>,
    tell: fn(Event<Seen<T>>) -> Told,
    /// Failures since the last success.
    failures: u32,
    trouble: Option<Trouble>,
}

/// What to do after a watch has ended.
enum Next {
    /// Nobody listens any more.
    Stop,
    /// Ask in pages from now on.
    Page,
    /// Ask for the next version, or begin again with the first.
    Version,
}

impl<T: Subject> Source<T> {
    pub(super) fn new(
        watched: Watched,
        tell: fn(Event<Seen<T>>) -> Told,
        client: &kube::Client,
        settings: &Settings,
        told: &mpsc::Sender<Told>,
    ) -> Self {
        Self {
            watched,
            client: listening(client, &settings.freshness, watched),
            namespace: (watched == Watched::AgentPods).then(|| settings.namespace.clone()),
            config: watched.selected(&settings.agents),
            freshness: Arc::clone(&settings.freshness),
            told: told.clone(),
            tell,
            failures: 0,
            trouble: None,
        }
    }

    /// Goes on until nobody listens.
    pub(super) async fn follow(mut self) {
        let resources = self.watched.resources();
        let mut versions = resources.iter().cycle().enumerate();
        let mut listing = Listing::Streamed;
        let mut version = versions.next();
        while let Some((number, resource)) = version {
            let left = match (number + 1) % resources.len() {
                0 => Versions::None,
                _ => Versions::Some,
            };
            match self.follow_version(resource, listing, left).await {
                Next::Stop => return,
                Next::Page => listing = Listing::InPages,
                Next::Version => version = versions.next(),
            }
        }
    }

    async fn follow_version(
        &mut self,
        resource: &ApiResource,
        listing: Listing,
        left: Versions,
    ) -> Next {
        let mut events = std::pin::pin!(self.events(resource, listing));
        let mut phase = match listing {
            Listing::Streamed => Phase::Streaming,
            Listing::InPages => Phase::Paging,
        };
        loop {
            let next = quietly(events.next(), self.trouble);
            let event = tokio::select! {
                event = next => event,
                () = self.freshness.answered(self.watched), if phase == Phase::Following && self.trouble.is_some() => {
                    if self.recover().await == Listener::Gone {
                        return Next::Stop;
                    }
                    continue;
                }
                () = self.told.closed() => return Next::Stop,
                () = sleep(STREAM_PAUSE), if phase == Phase::Streaming => return Next::Page,
            };
            match event {
                None => return Next::Stop,
                Some(Ok(event)) => {
                    if matches!(event, Event::InitDone) {
                        phase = Phase::Following;
                    }
                    if self.pass(event).await == Listener::Gone {
                        return Next::Stop;
                    }
                }
                Some(Err(error)) => {
                    if let Some(next) = self.fail(&error, phase, left).await {
                        return next;
                    }
                }
            }
        }
    }

    /// What follows from a failure; `None` to go on after the pause that it took.
    async fn fail(&mut self, error: &watcher::Error, phase: Phase, left: Versions) -> Option<Next> {
        let trouble = Trouble::of(error);
        if trouble == Trouble::NotStreamed && phase == Phase::Streaming {
            return Some(Next::Page);
        }
        if trouble == Trouble::NotServed && left == Versions::Some {
            return Some(Next::Version);
        }
        if self.suffer(trouble, error).await == Listener::Gone {
            return Some(Next::Stop);
        }
        (trouble == Trouble::NotServed).then_some(Next::Version)
    }

    fn events(
        &self,
        resource: &ApiResource,
        listing: Listing,
    ) -> impl Stream<Item = watcher::Result<Event<Seen<T>>>> + Send + use<T> {
        let client = self.client.clone();
        let api: Api<Seen<T>> = match &self.namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, resource),
            None => Api::all_with(client, resource),
        };
        let config = match listing {
            Listing::Streamed => self.config.clone().streaming_lists(),
            Listing::InPages => self.config.clone().page_size(PAGE),
        };
        watcher(api, config)
    }

    async fn pass(&mut self, event: Event<Seen<T>>) -> Listener {
        // A list in pages tells of its beginning before anything has been asked.
        if !matches!(event, Event::Init) {
            self.failures = 0;
            if self.trouble.is_some() && self.recover().await == Listener::Gone {
                return Listener::Gone;
            }
        }
        self.tell((self.tell)(event)).await
    }

    /// Notes that what went wrong does no longer.
    async fn recover(&mut self) -> Listener {
        self.trouble = None;
        tracing::info!(resource = %self.watched, "watching again");
        self.tell(Told::Again(self.watched)).await
    }

    /// Notes a failure, says what is new, and waits.
    async fn suffer(&mut self, trouble: Trouble, error: &watcher::Error) -> Listener {
        self.freshness.failed(self.watched);
        if self.trouble.replace(trouble) != Some(trouble) {
            self.complain(trouble, error);
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let told = Told::Standing(self.watched, trouble.standing(), self.failures);
        if self.tell(told).await == Listener::Gone {
            return Listener::Gone;
        }
        tokio::select! {
            () = self.told.closed() => Listener::Gone,
            () = sleep(pause.min(trouble.longest_pause())) => Listener::There,
        }
    }

    fn complain(&self, trouble: Trouble, error: &watcher::Error) {
        let (resource, without) = (self.watched, self.watched.lost());
        match trouble {
            Trouble::NotServed => {
                tracing::info!(%resource, "not served by this cluster; asked for now and then");
            }
            Trouble::Forbidden => tracing::warn!(
                %resource,
                without,
                fix = "allow the webhook's ServiceAccount to get, list and watch it (the chart's role does)",
                "not allowed to watch"
            ),
            Trouble::NotStreamed | Trouble::Failing => {
                tracing::warn!(%resource, error = %causes(error), "cannot watch; trying again, the last state is kept");
            }
        }
    }

    async fn tell(&self, told: Told) -> Listener {
        match self.told.send(told).await {
            Ok(()) => Listener::There,
            Err(_) => Listener::Gone,
        }
    }
}

/// Whether anybody listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listener {
    There,
    Gone,
}

/// The watcher logs each refusal by itself; while a refusal that was told lasts, it is not let to.
async fn quietly<F: Future>(future: F, trouble: Option<Trouble>) -> F::Output {
    if trouble == Some(Trouble::Forbidden) {
        future.with_subscriber(NoSubscriber::default()).await
    } else {
        future.await
    }
}

fn causes(error: &watcher::Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.contains(&cause) {
            text
        } else {
            format!("{text}: {cause}")
        }
    })
}
