//! Reads a request's body within bounds of size, memory and time, and keeps its beginning where it may not keep it all.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Largest review, in bytes: the API server takes objects of 3 MiB and sends the old one beside the new.
const BODY_LIMIT: usize = 8 * 1024 * 1024;
/// What is taken off the wire of a body that is not kept, in bytes: a client that is answered while it still writes may
/// lose the answer.
const DRAIN_LIMIT: usize = 2 * BODY_LIMIT;
/// What is kept of a body that may not be kept whole, in bytes: the API server writes the uid near the beginning.
const HEAD: usize = 16 * 1024;
/// What [`Room`] counts in, in bytes.
const UNIT: usize = 1024;

/// Memory for all bodies that are being read or reviewed.
#[derive(Debug, Clone)]
pub(super) struct Room(Arc<Semaphore>);

/// What was read of a body.
pub(super) struct Read {
    /// The body, or its beginning; it depends on `end`.
    pub bytes: Bytes,
    pub end: End,
    /// Holds the memory for as long as the bytes are in use.
    pub room: Option<OwnedSemaphorePermit>,
}

/// How reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The body is whole.
    Whole,
    /// It is longer than any review.
    TooLong,
    /// There is no memory for it now.
    NoRoom,
    /// It did not come in time.
    Late,
    /// The connection broke, or what came is no HTTP.
    Broken,
}

impl Room {
    /// Room for that many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / UNIT)))
    }

    fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).ok()?;
        Arc::clone(&self.0).try_acquire_many_owned(units).ok()
    }
}

/// Reads a body until it ends, at the latest until the deadline.
pub(super) async fn read(body: Body, room: &Room, deadline: Instant) -> Read {
    let mut reading = Reading {
        kept: Vec::new(),
        seen: 0,
        charged: 0,
        end: End::Whole,
        room: None,
    };
    let frames = tokio::time::timeout_at(deadline, reading.take_all(body, room));
    if frames.await.is_err() {
        reading.keep_head(End::Late);
    }
    Read {
        bytes: reading.kept.into(),
        end: reading.end,
        room: reading.room,
    }
}

struct Reading {
    kept: Vec<u8>,
    /// Bytes that came.
    seen: usize,
    /// Bytes that `room` holds memory for.
    charged: usize,
    end: End,
    room: Option<OwnedSemaphorePermit>,
}

impl Reading {
    async fn take_all(&mut self, body: Body, room: &Room) {
        let mut body = body.into_data_stream();
        while let Some(data) = body.next().await {
            let Ok(data) = data else {
                return self.keep_head(End::Broken);
            };
            self.take(&data, room);
            if self.seen > DRAIN_LIMIT {
                return;
            }
        }
    }

    fn take(&mut self, data: &[u8], room: &Room) {
        self.seen += data.len();
        if self.end != End::Whole {
            return;
        }
        let length = self.kept.len() + data.len();
        let fits = length <= BODY_LIMIT;
        if fits && self.charge(length, room) {
            self.kept.extend_from_slice(data);
        } else {
            self.kept.extend(data.iter().take(HEAD));
            self.keep_head(if fits { End::NoRoom } else { End::TooLong });
        }
    }

    /// Takes memory for that many bytes in all. It is charged as bytes come, so that announcing many costs nobody else.
    fn charge(&mut self, length: usize, room: &Room) -> bool {
        if length <= self.charged {
            return true;
        }
        let Some(more) = room.take(length - self.charged) else {
            return false;
        };
        self.charged += more.num_permits() * UNIT;
        match &mut self.room {
            Some(room) => room.merge(more),
            None => self.room = Some(more),
        }
        true
    }

    fn keep_head(&mut self, end: End) {
        self.end = end;
        self.kept.truncate(HEAD);
        self.kept.shrink_to_fit();
        self.room = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    fn chunks(sizes: &[usize]) -> Body {
        let chunks: Vec<_> = sizes
            .iter()
            .map(|size| Ok::<_, std::io::Error>(vec![b'x'; *size]))
            .collect();
        Body::from_stream(futures::stream::iter(chunks))
    }

    #[tokio::test]
    async fn a_body_in_pieces_is_put_together() {
        let room = Room::new(BODY_LIMIT);
        let read = read(chunks(&[1, 0, 5000, 3]), &room, soon()).await;
        assert_eq!((read.bytes.len(), read.end), (5004, End::Whole));
    }

    #[tokio::test]
    async fn of_a_body_that_is_too_long_the_beginning_is_kept_and_no_room() {
        let room = Room::new(BODY_LIMIT);
        let read = read(chunks(&[BODY_LIMIT, 1]), &room, soon()).await;
        assert_eq!((read.bytes.len(), read.end), (HEAD, End::TooLong));
        assert!(room.take(BODY_LIMIT).is_some());
    }

    #[tokio::test]
    async fn a_body_holds_its_room_until_it_is_dropped_and_others_keep_out() {
        let room = Room::new(64 * UNIT);
        let first = read(chunks(&[40 * UNIT]), &room, soon()).await;
        let second = read(chunks(&[20 * UNIT, 20 * UNIT]), &room, soon()).await;
        assert_eq!((first.end, second.end), (End::Whole, End::NoRoom));
        drop(first);
        let third = read(chunks(&[40 * UNIT]), &room, soon()).await;
        assert_eq!(third.end, End::Whole);
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_before_the_deadline_is_kept() {
        let start = futures::stream::iter([Ok::<_, std::io::Error>("start")]);
        let endless = start.chain(futures::stream::pending());
        let read = read(Body::from_stream(endless), &Room::new(UNIT), soon()).await;
        assert_eq!((&*read.bytes, read.end), (&b"start"[..], End::Late));
    }
}
