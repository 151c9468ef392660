//! The webhook against the same server with two other handlers: one that does nothing, and one that reads a review with
//! kube's types and admits whatever it is. All in one run, in turns, so that whatever else the machine does hits all.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header;
use axum::routing::post;
use axum::{Json, Router};
use futures::FutureExt;
use gpu_capgate::admission::events::Events;
use gpu_capgate::admission::hearing::Hearing;
use gpu_capgate::admission::http::{Limits, ReviewCounts, router};
use gpu_capgate::admission::owner::Owners;
use gpu_capgate::admission::tls::{Bounds, ConnectionCounts, Served, Server};
use gpu_capgate::telemetry::metrics::Registry;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview};
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

    fn admitting(&self) -> Side {
        let answer = async |Json(review): Json<AdmissionReview<DynamicObject>>| {
            let request: AdmissionRequest<DynamicObject> = review.try_into().unwrap();
            Json(AdmissionResponse::from(&request).into_review())
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

/// Pods that differ in a word, so many that none is remembered when its turn comes again.
const OTHERS: usize = 4096;

/// One round of each: the webhook, nothing, admitting.
type Rounds = Vec<[Round; 3]>;

/// Compares for each kind of review, for all of them in turn, and prints a table.
pub(crate) fn compare(plan: &Plan) {
    let bench = Bench::new();
    let (nothing, admitting) = (bench.nothing(), bench.admitting());
    println!(
        "| nodes | reviews | reviews/s | of nothing | of admitting | p50, p99 ms | p99, of nothing | of admitting | one at a time: p50, p99 us | serving us | nothing | admitting |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    for nodes in &plan.nodes {
        let webhook = bench.webhook(*nodes);
        let cases = cases();
        for case in &cases {
            bench.verify(&webhook, case);
        }
        for (name, bodies) in reviews(&cases) {
            let sides = [&webhook, &nothing, &admitting];
            println!("| {nodes} | {name} {}", row(&bench, sides, &bodies, plan));
        }
    }
}

/// What is sent, by name.
fn reviews(cases: &[Case]) -> Vec<(&'static str, Arc<[Vec<u8>]>)> {
    let mix: Arc<[Vec<u8>]> = cases.iter().map(|case| case.body.clone()).collect();
    let others = (0..OTHERS).zip(cases.iter().cycle());
    let others = others.map(|(number, case)| case.another(number)).collect();
    let alone = cases.iter();
    let alone = alone.map(|case| (case.name, std::iter::once(case.body.clone()).collect()));
    [
        ("all in turn", mix),
        ("all in turn, each Pod another", others),
    ]
    .into_iter()
    .chain(alone)
    .collect()
}

fn row(bench: &Bench, sides: [&Side; 3], bodies: &Arc<[Vec<u8>]>, plan: &Plan) -> String {
    let round = |side| bench.round(side, bodies, CONNECTIONS, plan.window);
    let rounds: Rounds = (0..plan.rounds).map(|_| sides.map(round)).collect();
    let [webhook, ..] = sides;
    let calm = bench.round(webhook, bodies, 1, plan.window).answered;
    let rate = |round: &Round| round.answered.rate();
    let p99 = |round: &Round| round.answered.quantile(990);
    let of = |value: fn(&Round) -> f64| median(rounds.iter().map(|[ours, ..]| value(ours)));
    let ratio = |value: fn(&Round) -> f64, other: usize| {
        median(
            rounds
                .iter()
                .map(|round| value(&round[0]) / value(&round[other])),
        )
    };
    let serving = |side: usize| median(rounds.iter().map(|round| round[side].serving));
    format!(
        "| {:.0} | {:.2} | {:.2} | {:.2}, {:.2} | {:.2} | {:.2} | {:.0}, {:.0} | {:.0} | {:.0} | {:.0} |",
        of(rate),
        ratio(rate, 1),
        ratio(rate, 2),
        of(|round| round.answered.quantile(500) / 1e3),
        of(p99) / 1e3,
        ratio(p99, 1),
        ratio(p99, 2),
        calm.quantile(500),
        calm.quantile(990),
        serving(0),
        serving(1),
        serving(2),
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
