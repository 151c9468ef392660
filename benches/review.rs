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

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

const SIZES: [usize; 3] = [100, 5_000, 15_000];

fn whole(criterion: &mut Criterion) {
    for size in SIZES {
        let reviewer = reviews::reviewer(size);
        let mut group = criterion.benchmark_group("review");
        for case in reviews::cases() {
            let answer = reviewer.answer(&case.body).unwrap().reply;
            let answer = serde_json::to_string(&answer).unwrap();
            assert!(answer.contains(case.answer), "{}: {answer}", case.name);
            group.bench_function(BenchmarkId::new(case.name, size), |bencher| {
                bencher.iter(|| reviewer.answer(black_box(&case.body)));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, whole);
criterion_main!(benches);
