//! The webhook against the same server with a handler that does nothing: both in one run, in turns, so that whatever
//! else the machine does hits both.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::routing::post;
use futures::FutureExt;
use gpu_capgate::admission::events::Events;
use gpu_capgate::admission::hearing::Hearing;
use gpu_capgate::admission::http::{Limits, ReviewCounts, router};
use gpu_capgate::admission::owner::Owners;
use gpu_capgate::admission::tls::{Bounds, ConnectionCounts, Served, Server};
use gpu_capgate::telemetry::metrics::Registry;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use super::load::{Answered, Authority, Client, exchange, request};
use super::reviews::{Case, cases, reviewer};

const CONNECTIONS: usize = 50;
/// Name of the threads that serve; what they use is counted apart from the client's.
const SERVING: &str = "serving";
/// What the handler that does nothing answers: what is sent for an object that is none of our business.
const NOTHING: &str = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"705ab4f5-6393-11e8-b7cc-42010a800002","allowed":true}}"#;

/// How long, and how often.
pub(crate) struct Plan {
    pub(crate) nodes: Vec<usize>,
    pub(crate) rounds: usize,
    pub(crate) window: Duration,
}

/// One round of one side.
struct Round {
    answered: Answered,
    /// Time on a processor that serving took, for each request, in microseconds.
    serving: f64,
}

/// A server and who asks it.
struct Side {
    client: Client,
    served: Arc<Served>,
}

struct Bench {
    serving: Runtime,
    asking: Runtime,
    authority: Authority,
}

impl Bench {
    fn new() -> Self {
        let serving = Builder::new_multi_thread()
            .thread_name(SERVING)
            .worker_threads(2)
            .enable_all()
            .build();
        let asking = Builder::new_multi_thread()
            .thread_name("asking")
            .worker_threads(1)
            .enable_all()
            .build();
        Self {
            serving: serving.unwrap(),
            asking: asking.unwrap(),
            authority: Authority::make(),
        }
    }

    fn side(&self, router: Router) -> Side {
        let served = Arc::new(Served::default());
        served.show(self.authority.leaf()).unwrap();
        let local: SocketAddr = ([127, 0, 0, 1], 0).into();
        let listener = self.serving.block_on(TcpListener::bind(local)).unwrap();
        let address = listener.local_addr().unwrap();
        let webhook = Server {
            listener,
            served: Arc::clone(&served),
            router,
            bounds: Bounds::default(),
            counts: ConnectionCounts::new(&Registry::default()),
        };
        self.serving
            .spawn(webhook.serve(Duration::ZERO, CancellationToken::new()));
        Side {
            client: self.authority.client(address),
            served,
        }
    }

    fn webhook(&self, nodes: usize) -> Side {
        let _serving = self.serving.enter();
        let reviewer = reviewer(nodes);
        let registry = Registry::default();
        // None of the reviews has an owner, so nobody is asked and nothing is told.
        let nowhere = kube::Config::new("http://192.0.2.1".parse().unwrap());
        let nobody = kube::Client::try_from(nowhere).unwrap();
        let (events, _recorder) = Events::new(nobody.clone(), "bench");
        let hearing = Hearing::new(Owners::new(nobody), Arc::default(), events, &registry);
        let hearing = Arc::new(hearing);
        self.side(router(
            move |body: &[u8]| reviewer.answer(body),
            move |judged, deadline| {
                let hearing = Arc::clone(&hearing);
                async move { hearing.end(judged, deadline).await }.boxed()
            },
            || true,
            Limits::default(),
            ReviewCounts::new(&registry),
        ))
    }

    fn nothing(&self) -> Side {
        let answer = async |body: Bytes| {
            std::hint::black_box(body);
            ([(header::CONTENT_TYPE, "application/json")], NOTHING)
        };
        self.side(Router::new().route("/validate", post(answer)))
    }

    fn round(
        &self,
        side: &Side,
        bodies: &Arc<[Vec<u8>]>,
        connections: usize,
        window: Duration,
    ) -> Round {
        let before = time_of(SERVING);
        let answered = self
            .asking
            .block_on(side.client.ask(connections, bodies, window));
        assert_eq!(answered.failed, 0, "every request is answered");
        let spent = time_of(SERVING).saturating_sub(before);
        let serving = spent.as_secs_f64() * 1e6 / answered.times.len() as f64;
        Round { answered, serving }
    }

    /// That the webhook says what the case expects.
    fn verify(&self, side: &Side, case: &Case) {
        let answer = self.asking.block_on(async {
            let mut stream = side.client.connect().await?;
            exchange(&mut stream, &request(&case.body)).await
        });
        let answer = String::from_utf8(answer.unwrap()).unwrap();
        assert!(answer.contains(case.answer), "{}: {answer}", case.name);
    }
}

/// Compares for each kind of review, for all of them in turn, and prints a table.
pub(crate) fn compare(plan: &Plan) {
    let bench = Bench::new();
    let nothing = bench.nothing();
    println!(
        "| nodes | reviews | reviews/s | throughput, of nothing | p50 ms | p99 ms | p99, of nothing | one at a time: p50 us, p99 us | serving us a review | serving, of nothing us |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for nodes in &plan.nodes {
        let webhook = bench.webhook(*nodes);
        let cases = cases();
        for case in &cases {
            bench.verify(&webhook, case);
        }
        let alone = cases
            .iter()
            .map(|case| (case.name, vec![case.body.clone()]));
        let mix = cases.iter().map(|case| case.body.clone()).collect();
        for (name, bodies) in std::iter::once(("all in turn", mix)).chain(alone) {
            let bodies: Arc<[Vec<u8>]> = bodies.into();
            println!(
                "| {nodes} | {name} {}",
                row(&bench, &webhook, &nothing, &bodies, plan)
            );
        }
    }
}

fn row(
    bench: &Bench,
    webhook: &Side,
    nothing: &Side,
    bodies: &Arc<[Vec<u8>]>,
    plan: &Plan,
) -> String {
    let rounds: Vec<(Round, Round)> = (0..plan.rounds)
        .map(|_| {
            let ours = bench.round(webhook, bodies, CONNECTIONS, plan.window);
            (ours, bench.round(nothing, bodies, CONNECTIONS, plan.window))
        })
        .collect();
    let calm = bench.round(webhook, bodies, 1, plan.window).answered;
    let of = |value: fn(&Round) -> f64| median(rounds.iter().map(|(ours, _)| value(ours)));
    let ratio = |value: fn(&Round) -> f64| {
        median(
            rounds
                .iter()
                .map(|(ours, theirs)| value(ours) / value(theirs)),
        )
    };
    format!(
        "| {:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {:.0}, {:.0} | {:.0} | {:.0} |",
        of(|round| round.answered.rate()),
        ratio(|round| round.answered.rate()),
        of(|round| round.answered.quantile(500) / 1e3),
        of(|round| round.answered.quantile(990) / 1e3),
        ratio(|round| round.answered.quantile(990)),
        calm.quantile(500),
        calm.quantile(990),
        of(|round| round.serving),
        median(rounds.iter().map(|(_, theirs)| theirs.serving)),
    )
}

/// Shows another certificate every second while reviews come over connections that are kept and over new ones.
pub(crate) fn rotate(seconds: usize) {
    let bench = Bench::new();
    let webhook = bench.webhook(5_000);
    let bodies: Arc<[Vec<u8>]> = cases().into_iter().map(|case| case.body).collect();
    let time = Duration::from_secs(seconds as u64);
    let (kept, anew, rotations) = bench.asking.block_on(async {
        let first = bodies.first().cloned().unwrap_or_default();
        let rotating = async {
            let mut beat = tokio::time::interval(Duration::from_secs(1));
            for _ in 0..seconds {
                beat.tick().await;
                webhook.served.show(bench.authority.leaf()).unwrap();
            }
            seconds
        };
        tokio::join!(
            webhook.client.ask(CONNECTIONS, &bodies, time),
            webhook.client.ask_anew(&first, time),
            rotating
        )
    });
    for (name, answered) in [("kept", kept), ("new", anew)] {
        println!(
            "{name} connections: {} reviews, {} failed, p99 {:.1} ms, {rotations} certificates",
            answered.times.len(),
            answered.failed,
            answered.quantile(990) / 1e3
        );
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How long all threads of that name have been on a processor (the first number of schedstat, in nanoseconds).
fn time_of(name: &str) -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    let nanoseconds = tasks.filter_map(|task| {
        let comm = std::fs::read_to_string(task.path().join("comm")).ok()?;
        if comm.trim() != name {
            return None;
        }
        let stat = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        stat.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}
