//! How long a whole review takes, from the bytes of a Pod with two containers to the answer with its message.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what is read is made here"
)]

#[path = "webhook/nodes.rs"]
mod nodes;
#[path = "webhook/reviews.rs"]
mod reviews;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};

const SIZES: [usize; 3] = [100, 5_000, 15_000];

/// Of a Pod that was answered a moment ago; of another with the same images; and of the first after the configuration
/// changed, when nothing is remembered.
fn whole(criterion: &mut Criterion) {
    for size in SIZES {
        let reviewer = reviews::reviewer(size);
        let mut group = criterion.benchmark_group("review");
        for case in reviews::cases() {
            let answer = reviewer.answer(&case.body).unwrap().reply;
            let answer = serde_json::to_string(&answer).unwrap();
            assert!(answer.contains(case.answer), "{}: {answer}", case.name);
            let id = |kind: &str| BenchmarkId::new(format!("{}, {kind}", case.name), size);
            group.bench_function(id("again"), |bencher| {
                bencher.iter(|| reviewer.answer(black_box(&case.body)));
            });
            let mut number = 0;
            group.bench_function(id("another"), |bencher| {
                let body = || {
                    number += 1;
                    case.another(number)
                };
                bencher.iter_batched(body, |body| reviewer.answer(&body), BatchSize::SmallInput);
            });
            group.bench_function(id("first"), |bencher| {
                let forget = || reviewer.configuration.store(Arc::default());
                bencher.iter_batched(
                    forget,
                    |()| reviewer.answer(&case.body),
                    BatchSize::PerIteration,
                );
            });
        }
        group.finish();
    }
}

criterion_group!(benches, whole);
criterion_main!(benches);
