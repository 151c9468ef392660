//! The book of open connections: how many there are, which of them waits for its peer, and until when.
//!
//! A connection that serves a request is never closed for its age. All others have a time by which something has to
//! happen. Where there are too many, the one whose time is up first makes room: those that have not asked for anything
//! yet go before those of an API server, which have long been in use. Knows nothing of TLS or HTTP.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::telemetry::metrics::{Counter, Counters, Gauge, Held, Label, Registry};

/// How many connections there may be, and how long each may wait for its peer.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections at once. An API server keeps a handful; the rest is for peers that only hold on.
    pub connections: usize,
    /// From the connection to the end of the first request's header, the TLS handshake included.
    pub open: Duration,
    /// For the header of every further request of an HTTP/1.1 connection.
    pub header: Duration,
    /// Between two requests. Longer than the 90 s of the API server's client (`IdleConnTimeout` in
    /// k8s.io/apimachinery/pkg/util/net/http.go), so that it never writes into a connection that we have just closed.
    pub idle: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 1024,
            open: Duration::from_secs(10),
            header: Duration::from_secs(5),
            idle: Duration::from_secs(120),
        }
    }
}

/// Why a connection was closed by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// Its peer did not do anything in time.
    Idle,
    /// It made room for another.
    Crowded,
    /// There was no room, and none to be made.
    TurnedAway,
}

impl Label for Closed {
    const KEY: &'static str = "reason";
    const ALL: &'static [Self] = &[Self::Idle, Self::Crowded, Self::TurnedAway];

    fn value(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Crowded => "crowded",
            Self::TurnedAway => "turned-away",
        }
    }
}

/// The families of the webhook's connections.
#[derive(Clone)]
pub struct ConnectionCounts {
    open: Gauge,
    closed: Counters<Closed>,
    /// Handshakes that failed for what a peer said, not for its silence.
    pub(super) handshake_failures: Counter,
}

impl ConnectionCounts {
    /// Registers the families.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        Self {
            open: registry.gauge("gpu_capgate_connections", "Connections that are open."),
            closed: registry.counters(
                "gpu_capgate_connections_closed_total",
                "Connections that the webhook closed, by reason.",
            ),
            handshake_failures: registry.counter(
                "gpu_capgate_tls_handshake_failures_total",
                "TLS handshakes that failed; an API server that does not trust the certificate makes them too.",
            ),
        }
    }
}

/// All connections.
pub(super) struct Connections {
    bounds: Bounds,
    counts: ConnectionCounts,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    next: u64,
    open: HashMap<u64, Entry>,
    /// Those that wait for their peer, by the time when they are closed.
    waiting: BTreeSet<(Instant, u64)>,
}

struct Entry {
    close: CancellationToken,
    requests: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was asked yet, or a header has begun.
    Asking(Instant),
    /// It has been served, and nothing has come since.
    Idle(Instant),
    Serving,
    Closing,
}

/// The place of one connection; dropping it frees the place.
pub(super) struct Place {
    connections: Arc<Connections>,
    id: u64,
    close: CancellationToken,
    _held: Held,
}

/// A request that is being served; dropping it says that it has been.
pub(super) struct Serving(Arc<Place>);

impl Connections {
    pub(super) fn new(bounds: Bounds, counts: ConnectionCounts) -> Arc<Self> {
        Arc::new(Self {
            bounds,
            counts,
            book: Mutex::default(),
        })
    }

    /// A place for a new connection, if need be that of one that waits.
    pub(super) fn admit(self: &Arc<Self>) -> Option<Arc<Place>> {
        let mut book = self.book();
        if book.open.len() >= self.bounds.connections {
            let crowded = book.close_first();
            // What is told to close takes a moment, and a crowd does not wait for it.
            let most = self.bounds.connections + self.bounds.connections.div_ceil(4);
            if !crowded || book.open.len() >= most {
                self.counts.closed.add(Closed::TurnedAway);
                return None;
            }
            self.counts.closed.add(Closed::Crowded);
        }
        let (id, close) = (book.next, CancellationToken::new());
        book.next += 1;
        let until = Instant::now() + self.bounds.open;
        let entry = Entry {
            close: close.clone(),
            requests: 0,
            state: State::Serving,
        };
        book.open.insert(id, entry);
        book.set(id, State::Asking(until));
        Some(Arc::new(Place {
            connections: Arc::clone(self),
            id,
            close,
            _held: self.counts.open.hold(),
        }))
    }

    /// Closes the connection that waits and has the least time left.
    pub(super) fn close_one(&self) {
        if self.book().close_first() {
            self.counts.closed.add(Closed::Crowded);
        }
    }

    /// Closes the connections whose time is up.
    pub(super) fn close_overdue(&self) {
        let now = Instant::now();
        let mut book = self.book();
        while book.waiting.first().is_some_and(|(until, _)| *until <= now) {
            book.close_first();
            self.counts.closed.add(Closed::Idle);
        }
    }

    /// Closes all, each after the requests that it serves.
    pub(super) fn close_all(&self) {
        let mut book = self.book();
        book.waiting.clear();
        for entry in book.open.values_mut() {
            entry.state = State::Closing;
            entry.close.cancel();
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Every operation leaves the book whole, so a panic elsewhere leaves nothing half done in it.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn set(&mut self, id: u64, state: State) {
        let Some(entry) = self.open.get_mut(&id) else {
            return;
        };
        // What is told to close is not asked to wait again.
        if entry.state == State::Closing {
            return;
        }
        if let State::Asking(until) | State::Idle(until) = entry.state {
            self.waiting.remove(&(until, id));
        }
        if let State::Asking(until) | State::Idle(until) = state {
            self.waiting.insert((until, id));
        }
        entry.state = state;
    }

    fn close_first(&mut self) -> bool {
        let Some((_, id)) = self.waiting.pop_first() else {
            return false;
        };
        if let Some(entry) = self.open.get_mut(&id) {
            entry.state = State::Closing;
            entry.close.cancel();
        }
        true
    }
}

impl Place {
    /// Waits until the connection has to close.
    pub(super) async fn closing(&self) {
        self.close.cancelled().await;
    }

    /// Whether a request is being served.
    pub(super) fn is_serving(&self) -> bool {
        let book = self.connections.book();
        book.open
            .get(&self.id)
            .is_some_and(|entry| entry.requests > 0)
    }

    /// Says that a request has come whole.
    pub(super) fn serve(self: &Arc<Self>) -> Serving {
        let mut book = self.connections.book();
        if let Some(entry) = book.open.get_mut(&self.id) {
            entry.requests += 1;
        }
        book.set(self.id, State::Serving);
        Serving(Arc::clone(self))
    }

    /// Says that the peer has sent something: the beginning of a header, if it was idle.
    pub(super) fn heard(&self) {
        let mut book = self.connections.book();
        let state = book.open.get(&self.id).map(|entry| entry.state);
        if let Some(State::Idle(_)) = state {
            let until = Instant::now() + self.connections.bounds.header;
            book.set(self.id, State::Asking(until));
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let mut book = self.0.connections.book();
        let Some(entry) = book.open.get_mut(&self.0.id) else {
            return;
        };
        entry.requests -= 1;
        if entry.requests == 0 {
            let until = Instant::now() + self.0.connections.bounds.idle;
            book.set(self.0.id, State::Idle(until));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut book = self.connections.book();
        let entry = book.open.remove(&self.id);
        if let Some(State::Asking(until) | State::Idle(until)) = entry.map(|entry| entry.state) {
            book.waiting.remove(&(until, self.id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(connections: usize) -> Arc<Connections> {
        let bounds = Bounds {
            connections,
            ..Bounds::default()
        };
        Connections::new(bounds, ConnectionCounts::new(&Registry::default()))
    }

    fn is_closing(place: &Place) -> bool {
        place.close.is_cancelled()
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_asks_nothing_makes_room_before_one_that_was_served() {
        let connections = connections(3);
        let used = connections.admit().unwrap();
        drop(used.serve());
        let silent = connections.admit().unwrap();
        let busy = connections.admit().unwrap();
        let serving = busy.serve();
        assert!(connections.admit().is_some());
        assert_eq!(
            [&used, &silent, &busy].map(|place| is_closing(place)),
            [false, true, false]
        );
        drop(serving);
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_are_busy_a_new_one_is_turned_away() {
        let connections = connections(1);
        let busy = connections.admit().unwrap();
        let serving = busy.serve();
        assert!(connections.admit().is_none());
        assert_eq!(connections.counts.closed.value(Closed::TurnedAway), 1);
        drop((serving, busy));
        assert!(connections.admit().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_header_has_less_time_than_an_idle_connection_and_more_bytes_give_no_more() {
        let connections = connections(8);
        let (idle, slow) = (connections.admit().unwrap(), connections.admit().unwrap());
        drop((idle.serve(), slow.serve()));
        for _ in 0..6 {
            slow.heard();
            tokio::time::advance(Duration::from_secs(1)).await;
            connections.close_overdue();
        }
        assert!(is_closing(&slow) && !is_closing(&idle));
        tokio::time::advance(Duration::from_secs(115)).await;
        connections.close_overdue();
        assert!(is_closing(&idle));
        assert_eq!(connections.counts.closed.value(Closed::Idle), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_serves_is_not_closed_for_its_age_and_is_told_at_the_end() {
        let connections = connections(8);
        let place = connections.admit().unwrap();
        let (one, other) = (place.serve(), place.serve());
        drop(one);
        tokio::time::advance(Duration::from_secs(3600)).await;
        connections.close_overdue();
        assert!(place.is_serving() && !is_closing(&place));
        connections.close_all();
        assert!(place.is_serving() && is_closing(&place));
        drop(other);
        assert!(!place.is_serving());
        drop(place);
        assert!(connections.book().open.is_empty());
        assert!(connections.book().waiting.is_empty());
    }
}
