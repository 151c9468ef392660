//! How long one verdict takes, for a few typical pairs of software and host. The target is a microsecond.

#![expect(clippy::unwrap_used, reason = "the names are in the built-in catalogs")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use gpu_capgate::compat::{Catalog, CpuArchitecture, Host, Software, judge};
use gpu_capgate::image::evidence::Knowledge;
use gpu_capgate::image::repositories::Repositories;

/// What is measured: a name for it, an image, a GPU and its driver.
const PAIRS: [(&str, &str, &str, &str); 5] = [
    (
        "runs",
        "pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime",
        "NVIDIA GeForce RTX 4090",
        "550",
    ),
    (
        "fails: no code",
        "pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime",
        "Tesla P100-PCIE-16GB",
        "580",
    ),
    (
        "fails: old driver",
        "pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime",
        "Tesla T4",
        "470",
    ),
    (
        "start condition",
        "pytorch/pytorch:2.6.0-cuda12.4-cudnn9-devel",
        "NVIDIA A100-SXM4-80GB",
        "535",
    ),
    (
        "unknown",
        "registry.example.com/team/train:2.6-cu124",
        "NVIDIA L40S",
        "580",
    ),
];

fn pair(image: &str, gpu: &str, driver: &str) -> (Software, Host) {
    let repositories = Repositories::bundled().unwrap();
    let catalog = Catalog::embedded();
    let knowledge = Knowledge {
        catalog,
        repositories: &repositories,
    };
    let named = knowledge
        .named(&image.parse().unwrap(), CpuArchitecture::Amd64)
        .unwrap();
    let gpu = catalog.find_gpu(gpu).found().unwrap();
    let host = Host::of_gpu(gpu).with_architecture(CpuArchitecture::Amd64);
    (named.software, host.with_driver(driver.parse().unwrap()))
}

fn verdicts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("verdict");
    for (name, image, gpu, driver) in PAIRS {
        let (software, host) = pair(image, gpu, driver);
        group.bench_function(name, |bencher| {
            bencher.iter(|| judge(black_box(&software), black_box(&host)));
        });
    }
    group.finish();
}

criterion_group!(benches, verdicts);
criterion_main!(benches);
