//! Events on the owners of Pods that were refused or warned, so that who looks at a Deployment, a Job or a notebook
//! sees why nothing runs.
//!
//! Telling never waits and never fails: what is too much is dropped and counted. The same is told once an hour, and
//! never on a dry run. kube's own recorder is not used: it takes two notes with the same reason for one.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::PostParams;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::owner::is_well_formed;
use crate::cluster::demand::Owner;
use crate::compat::Code;
use crate::telemetry::with_causes;

/// Notices that wait to be sent.
const WAITING: usize = 256;
/// Pause between two Events: ten a second at most.
const PACE: Duration = Duration::from_millis(100);
/// How long the same is not told again.
const QUIET: Duration = Duration::from_secs(3600);
/// Most notices that are remembered for that.
const REMEMBERED: usize = 4096;
/// Longest wait for the API server.
const ANSWER: Duration = Duration::from_secs(10);
/// Longest note, in bytes (`noteLengthLimit` of k8s.io/kubernetes/pkg/apis/core/validation/events.go).
const NOTE_LIMIT: usize = 1024;
/// Longest name of a reporting instance, in bytes (`ReportingInstanceLengthLimit`, as above).
const INSTANCE_LIMIT: usize = 128;
const CONTROLLER: &str = "gpu-capgate.io/webhook";

/// Whether a review is one after which something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// It is.
    Real,
    /// It is not: nothing may be written.
    Dry,
}

/// What the owner of a Pod is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The Pod's namespace.
    pub namespace: String,
    /// The controller of the Pod.
    pub owner: Owner,
    /// The cause.
    pub code: Code,
    /// The denial or the warning, whole.
    pub text: String,
    /// The kind of review.
    pub run: Run,
}

/// What has become of notices.
#[derive(Debug, Default)]
pub struct Counts {
    sent: AtomicU64,
    repeated: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    /// Events that the API server took.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Notices that were told within the hour before.
    pub fn repeated(&self) -> u64 {
        self.repeated.load(Ordering::Relaxed)
    }

    /// Notices that came while too many were waiting, or whose owner cannot exist.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Events that the API server did not take.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

/// Takes notices. Clones share one queue.
#[derive(Debug, Clone)]
pub struct Events {
    queue: mpsc::Sender<Notice>,
    counts: Arc<Counts>,
}

/// Sends what [`Events`] takes.
pub struct Recorder {
    client: kube::Client,
    instance: String,
    queue: mpsc::Receiver<Notice>,
    counts: Arc<Counts>,
    told: Told,
    health: Health,
}

/// Whether Events are taken by the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Working,
    Failing,
}

impl Events {
    /// Both ends of the queue. `instance` is the name of this replica, for the Events.
    #[must_use]
    pub fn new(client: kube::Client, instance: &str) -> (Self, Recorder) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let counts = Arc::<Counts>::default();
        let recorder = Recorder {
            client,
            instance: clipped(instance, INSTANCE_LIMIT).to_owned(),
            queue: receiver,
            counts: Arc::clone(&counts),
            told: Told::default(),
            health: Health::Working,
        };
        let events = Self {
            queue: sender,
            counts,
        };
        (events, recorder)
    }

    /// Takes a notice, unless too many are waiting.
    pub fn tell(&self, notice: Notice) {
        if notice.run == Run::Dry {
            return;
        }
        if !is_well_formed(&notice.owner) || self.queue.try_send(notice).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What has become of them.
    #[must_use]
    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }
}

impl Recorder {
    /// Sends until `stop`, or until nobody can tell anything any more.
    pub async fn run(mut self, stop: CancellationToken) {
        let _stopped = stop.run_until_cancelled_owned(self.send_all()).await;
    }

    async fn send_all(&mut self) {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while let Some(notice) = self.queue.recv().await {
            let note = note(&notice.text);
            let key = Key::of(&notice, &note);
            if self.told.has(&key, Instant::now()) {
                self.counts.repeated.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            pace.tick().await;
            if self.send(&notice, note).await == Health::Working {
                self.told.remember(key, Instant::now());
            }
        }
    }

    async fn send(&mut self, notice: &Notice, note: String) -> Health {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &notice.namespace);
        let event = event(notice, note, &self.instance);
        let parameters = PostParams::default();
        let answer = timeout(ANSWER, events.create(&parameters, &event)).await;
        let problem = match answer {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(with_causes(&error)),
            Err(_) => Some(format!("no answer within {} seconds", ANSWER.as_secs())),
        };
        let health = match &problem {
            None => Health::Working,
            Some(_) => Health::Failing,
        };
        let before = std::mem::replace(&mut self.health, health);
        match problem {
            None => self.counts.sent.fetch_add(1, Ordering::Relaxed),
            Some(error) => {
                if before == Health::Working {
                    tracing::warn!(
                        error,
                        namespace = notice.namespace,
                        fix = "allow the webhook's ServiceAccount to create events.events.k8s.io",
                        "an Event cannot be written; further failures are only counted"
                    );
                }
                self.counts.failed.fetch_add(1, Ordering::Relaxed)
            }
        };
        health
    }
}

/// What makes two notices the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    uid: String,
    code: Code,
    note: u64,
}

impl Key {
    fn of(notice: &Notice, note: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        note.hash(&mut hasher);
        Self {
            uid: notice.owner.uid.clone(),
            code: notice.code,
            note: hasher.finish(),
        }
    }
}

/// What was told lately.
#[derive(Debug, Default)]
struct Told {
    times: BTreeMap<Key, Instant>,
    /// The oldest first.
    order: VecDeque<Key>,
}

impl Told {
    fn has(&mut self, key: &Key, now: Instant) -> bool {
        let old = |time: &Instant| now.duration_since(*time) >= QUIET;
        while let Some(oldest) = self.order.front() {
            if !self.times.get(oldest).is_none_or(old) {
                break;
            }
            self.times.remove(oldest);
            self.order.pop_front();
        }
        self.times.contains_key(key)
    }

    fn remember(&mut self, key: Key, now: Instant) {
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.times.remove(&oldest);
        }
        self.order.push_back(key.clone());
        self.times.insert(key, now);
    }
}

fn event(notice: &Notice, note: String, instance: &str) -> Event {
    let owner = &notice.owner;
    Event {
        metadata: ObjectMeta {
            namespace: Some(notice.namespace.clone()),
            // The API server cuts it and adds what makes it unique. It takes no prefix that ends in a dot.
            generate_name: Some(format!("{}-", owner.name)),
            ..ObjectMeta::default()
        },
        regarding: Some(ObjectReference {
            api_version: Some(owner.kind.api_version()),
            kind: Some(owner.kind.kind.clone()),
            name: Some(owner.name.clone()),
            namespace: Some(notice.namespace.clone()),
            uid: Some(owner.uid.clone()),
            ..ObjectReference::default()
        }),
        type_: Some("Warning".to_owned()),
        reason: Some(notice.code.word().to_owned()),
        action: Some("Review".to_owned()),
        note: Some(note),
        event_time: Some(MicroTime(Timestamp::now())),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(instance.to_owned()),
        ..Event::default()
    }
}

/// The first line, which holds the whole cause, and the fix with the lines that belong to it.
fn note(text: &str) -> String {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let prefix = if first.starts_with("gpu-capgate:") {
        ""
    } else {
        "gpu-capgate: "
    };
    let mut note = format!("{prefix}{first}");
    let mut rest = lines.skip_while(|line| !line.starts_with("  fix "));
    if let Some(fix) = rest.next() {
        let more = rest.take_while(|line| line.starts_with("    "));
        for line in std::iter::once(fix).chain(more) {
            note.push('\n');
            note.push_str(line);
        }
    }
    clipped(&note, NOTE_LIMIT).to_owned()
}

/// The beginning of a text, of so many bytes at most.
fn clipped(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENIAL: &str = "\
container \"train\": image has no GPU code for Tesla P100 (sm_60), the only GPU type this Pod can land on [GPU-ARCH]
  image  docker.io/pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime
  nodes  4 match nodeSelector pool=batch: 4x Tesla P100 (sm_60) -> 0 of 4 can run it
  fix    use pytorch/pytorch:2.8.0-cuda12.6-cudnn9-runtime (it has sm_60), or move the Pod:
           nodeAffinity gpu-capgate.io/compute.min Gt \"69\"   (6 such nodes in this cluster)
  skip   annotation gpu-capgate.io/mode: warn
  more   gpu-capgate explain GPU-ARCH";

    #[test]
    fn a_note_is_the_cause_and_the_fix() {
        assert_eq!(
            note(DENIAL),
            "gpu-capgate: container \"train\": image has no GPU code for Tesla P100 (sm_60), the only GPU type this \
             Pod can land on [GPU-ARCH]\n  \
             fix    use pytorch/pytorch:2.8.0-cuda12.6-cudnn9-runtime (it has sm_60), or move the Pod:\n           \
             nodeAffinity gpu-capgate.io/compute.min Gt \"69\"   (6 such nodes in this cluster)"
        );
        let warning = "gpu-capgate: container \"train\" runs on 6 of 10 nodes [GPU-PARTIAL]";
        assert_eq!(note(warning), warning);
        assert_eq!(note(""), "gpu-capgate: ");
    }

    #[test]
    fn a_note_is_never_too_long_nor_cut_within_a_character() {
        for fill in ["x", "\u{e9}", "\u{1f600}"] {
            let note = note(&fill.repeat(2000));
            assert!(note.len() <= NOTE_LIMIT && note.len() > NOTE_LIMIT - 4);
        }
    }

    fn key(uid: usize) -> Key {
        Key {
            uid: uid.to_string(),
            code: Code::Arch,
            note: 0,
        }
    }

    #[test]
    fn what_was_told_is_forgotten_after_an_hour_or_when_it_is_too_much() {
        let start = Instant::now();
        let mut told = Told::default();
        told.remember(key(0), start);
        assert!(told.has(&key(0), start + QUIET - Duration::from_secs(1)));
        assert!(!told.has(&key(0), start + QUIET));
        for uid in 0..=REMEMBERED {
            told.remember(key(uid), start + QUIET);
        }
        assert!(!told.has(&key(0), start + QUIET));
        assert!(told.has(&key(1), start + QUIET));
        assert_eq!(
            (told.times.len(), told.order.len()),
            (REMEMBERED, REMEMBERED)
        );
    }
}
