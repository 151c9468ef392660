//! One GPU product in full: what runs there, by asking the engine about every build that the catalog holds.
//!
//! The host is taken to have the newest driver that drives the GPU; the least one needed is told beside it.

use std::fmt::Write;

use serde::Serialize;

use super::gpu::GpuRow;
use super::torch::version_of;
use super::{Request, Shown, row};
use crate::cli::CatalogOutput;
use crate::command::table::{self, Table};
use crate::compat::catalog::{Channel, Gpu, ReleasePattern, Toolkit, TorchBuild};
use crate::compat::rules::{LeastDriver, least_driver};
use crate::compat::{
    BuildKind, Catalog, CompatPackage, CpuArchitecture, DriverFloor, Fact, Host, Judgement,
    Platform, Requirements, Software, Variant, Verdict, judge_with,
};

/// One product, and what runs there.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Product {
    #[serde(flatten)]
    gpu: GpuRow,
    first_toolkit: Option<String>,
    last_toolkit: Option<String>,
    torch: Vec<Span>,
    newest_torch: Vec<Newest>,
    cuda: Vec<Major>,
}

/// The releases of torch with one verdict, on one CPU architecture.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    arch: &'static str,
    verdict: &'static str,
    first: String,
    first_variants: Vec<String>,
    last: String,
    last_variants: Vec<String>,
}

/// One build of the newest release.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Newest {
    torch: String,
    arch: &'static str,
    verdict: &'static str,
    least_driver: Option<String>,
    codes: Vec<&'static str>,
    gap: Option<String>,
}

/// What software of one CUDA generation needs, if it is compiled for everything that the toolkit can compile for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Major {
    cuda: u16,
    verdict: &'static str,
    least_driver: Option<String>,
    codes: Vec<&'static str>,
}

/// A build with what becomes of it on the GPU.
struct Judged<'a> {
    build: &'a TorchBuild,
    software: Software,
    judgement: Judgement,
}

/// One product in the form that was asked for.
pub(super) fn show(request: &Request<'_>, gpu: &Gpu) -> anyhow::Result<Shown> {
    let product = Product::of(request.catalog, gpu);
    let items = std::slice::from_ref(&product);
    let text = match request.output {
        CatalogOutput::Table | CatalogOutput::Wide => product.text(request),
        CatalogOutput::Json => table::json(&request.document("gpu", items))?,
        CatalogOutput::Yaml => table::yaml(&request.document("gpu", items))?,
        CatalogOutput::Name => product.gpu.name.clone() + "\n",
    };
    let (asked, name) = (request.filter_text(), &product.gpu.name);
    let hint = || format!("{asked:?} is read as {name:?}");
    let plain = name
        .to_ascii_lowercase()
        .ends_with(&asked.to_ascii_lowercase());
    Ok(Shown {
        text,
        entries: 1,
        hint: (!plain).then(hint),
    })
}

impl Product {
    fn of(catalog: &Catalog, gpu: &Gpu) -> Self {
        let chip = catalog.chip(gpu.capability);
        let mut product = Self {
            gpu: GpuRow::of(catalog, gpu),
            first_toolkit: chip.map(|chip| chip.first_toolkit.to_string()),
            last_toolkit: chip
                .and_then(|chip| chip.last_toolkit)
                .map(|last| last.to_string()),
            torch: Vec::new(),
            newest_torch: Vec::new(),
            cuda: majors(catalog, gpu),
        };
        for arch in architectures(catalog, gpu) {
            let judged = judged(catalog, gpu, arch);
            for verdict in [Verdict::Runs, Verdict::Degraded] {
                product.torch.extend(span(&judged, arch, verdict));
            }
            product.newest_torch.extend(newest(catalog, gpu, &judged));
        }
        product
    }

    fn text(&self, request: &Request<'_>) -> String {
        let bold = |text: &str| table::heading(text, request.look.colors);
        let mut text = bold(&self.gpu.name) + "\n";
        for (key, value) in self.facts(request.output) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {key:<10}  {value}");
        }
        let parts = [
            ("torch by pip, with the newest driver", self.spans()),
            ("the newest torch that is known", self.newest()),
            (
                "software that is compiled for all that its CUDA can compile for",
                self.majors(),
            ),
        ];
        for (title, table) in parts {
            let table = table.text(request.look);
            if !table.is_empty() {
                let _ = write!(text, "\n{}:\n{table}", bold(title));
            }
        }
        text
    }

    fn facts(&self, output: CatalogOutput) -> Vec<(&'static str, String)> {
        let (capability, sm) = (&self.gpu.compute_capability, &self.gpu.sm);
        let family = self.gpu.family.as_ref().map(|family| format!(", {family}"));
        let mut facts = vec![
            (
                "capability",
                format!("{capability} ({sm}{})", family.unwrap_or_default()),
            ),
            ("class", row::or_dash(self.gpu.class)),
            ("drivers", self.gpu.drivers.clone()),
            ("toolkits", row::or_dash(self.toolkits())),
        ];
        if output == CatalogOutput::Wide {
            facts.push(("proof", self.gpu.proof.to_owned()));
            facts.push(("source", self.gpu.source.clone()));
        }
        facts
    }

    fn toolkits(&self) -> Option<String> {
        let first = self.first_toolkit.as_ref()?;
        let end = self
            .last_toolkit
            .as_ref()
            .map_or_else(|| "and newer".to_owned(), |last| format!("to {last}"));
        Some(format!("CUDA {first} {end} compile for it"))
    }

    fn spans(&self) -> Table {
        let mut table = Table::new(["ARCH", "VERDICT", "SINCE", "UP TO"]);
        for span in &self.torch {
            let end =
                |release: &str, variants: &[String]| format!("{release} ({})", variants.join(" "));
            table.row(vec![
                span.arch.to_owned(),
                span.verdict.to_owned(),
                end(&span.first, &span.first_variants),
                end(&span.last, &span.last_variants),
            ]);
        }
        table
    }

    fn newest(&self) -> Table {
        let mut table = Table::new(["TORCH", "ARCH", "VERDICT", "LEAST DRIVER", "WHY"]);
        for newest in &self.newest_torch {
            let why = newest.gap.clone().or_else(|| words(&newest.codes));
            table.row(vec![
                newest.torch.clone(),
                newest.arch.to_owned(),
                newest.verdict.to_owned(),
                row::or_dash(newest.least_driver.as_ref()),
                row::or_dash(why),
            ]);
        }
        table
    }

    fn majors(&self) -> Table {
        let mut table = Table::new(["CUDA", "VERDICT", "LEAST DRIVER", "WHY"]);
        for major in &self.cuda {
            table.row(vec![
                format!("{}.x", major.cuda),
                major.verdict.to_owned(),
                row::or_dash(major.least_driver.as_ref()),
                row::or_dash(words(&major.codes)),
            ]);
        }
        table
    }
}

fn words(codes: &[&str]) -> Option<String> {
    (!codes.is_empty()).then(|| codes.join(" "))
}

/// The CPU architectures beside which the GPU may be; that of a Jetson is fixed.
fn architectures(catalog: &Catalog, gpu: &Gpu) -> Vec<CpuArchitecture> {
    match gpu.platform {
        Platform::Tegra => vec![CpuArchitecture::Arm64],
        Platform::Dgpu => catalog.torch_architectures(),
    }
}

/// What becomes of each CUDA wheel on the GPU, the oldest release first.
fn judged<'a>(catalog: &'a Catalog, gpu: &Gpu, arch: CpuArchitecture) -> Vec<Judged<'a>> {
    let host = Host::of_gpu(gpu)
        .with_architecture(arch)
        .assuming_newest(catalog);
    let wheels = catalog.torch_builds().iter().filter(|build| {
        let cuda = matches!(build.variant, Variant::Cuda(_));
        cuda && build.arch == arch && build.channel == Channel::Pip
    });
    let judged = wheels.map(|build| {
        let software = catalog.software_of(build, &version_of(build.release));
        let judgement = judge_with(catalog, &software, &host);
        Judged {
            build,
            software,
            judgement,
        }
    });
    judged.collect()
}

fn span(judged: &[Judged<'_>], arch: CpuArchitecture, verdict: Verdict) -> Option<Span> {
    let with_verdict = || judged.iter().filter(|one| one.judgement.verdict == verdict);
    let minors = || with_verdict().map(|one| minor(one.build.release));
    let (first, last) = minors().min().zip(minors().max())?;
    let variants = |of: (u16, u16)| {
        let same = with_verdict().filter(|one| minor(one.build.release) == of);
        let mut variants: Vec<Variant> = same.map(|one| one.build.variant).collect();
        variants.sort_unstable();
        variants.dedup();
        variants.iter().map(ToString::to_string).collect()
    };
    Some(Span {
        arch: arch.word(),
        verdict: verdict.word(),
        first: format!("{}.{}", first.0, first.1),
        first_variants: variants(first),
        last: format!("{}.{}", last.0, last.1),
        last_variants: variants(last),
    })
}

fn minor(release: ReleasePattern) -> (u16, u16) {
    (release.major, release.minor)
}

fn newest(catalog: &Catalog, gpu: &Gpu, judged: &[Judged<'_>]) -> Vec<Newest> {
    let newest = judged.iter().map(|one| minor(one.build.release)).max();
    let builds = judged
        .iter()
        .filter(|one| Some(minor(one.build.release)) == newest);
    let rows = builds.map(|one| Newest {
        torch: format!("{}+{}", one.build.release, one.build.variant),
        arch: one.build.arch.word(),
        verdict: one.judgement.verdict.word(),
        least_driver: floor(catalog, &one.software, gpu),
        codes: codes(&one.judgement),
        gap: one
            .judgement
            .gaps
            .first()
            .map(|missing| missing.gap.to_string()),
    });
    rows.collect()
}

fn codes(judgement: &Judgement) -> Vec<&'static str> {
    judgement
        .findings
        .iter()
        .map(|finding| finding.code.word())
        .collect()
}

fn floor(catalog: &Catalog, software: &Software, gpu: &Gpu) -> Option<String> {
    match least_driver(catalog, software, gpu.capability) {
        LeastDriver::Is(floor) => Some(floor.to_string()),
        LeastDriver::Impossible | LeastDriver::Unknown => None,
    }
}

/// For each CUDA generation the toolkit that asks least of the driver, among those that do best on the GPU.
fn majors(catalog: &Catalog, gpu: &Gpu) -> Vec<Major> {
    let host = Host::of_gpu(gpu).assuming_newest(catalog);
    let checked = || {
        catalog
            .toolkits()
            .iter()
            .filter(|toolkit| !toolkit.targets.is_empty())
    };
    let mut numbers: Vec<u16> = checked().map(|toolkit| toolkit.cuda.major).collect();
    numbers.dedup();
    let best = numbers.into_iter().filter_map(|number| {
        let of_major = checked().filter(|toolkit| toolkit.cuda.major == number);
        let majors = of_major.map(|toolkit| {
            let software = everything(catalog, toolkit);
            let judgement = judge_with(catalog, &software, &host);
            let floor = least_driver(catalog, &software, gpu.capability);
            (judgement.verdict, floor_rank(floor), judgement, software)
        });
        let (verdict, _, judgement, software) = majors.min_by_key(|one| (one.0, one.1))?;
        Some(Major {
            cuda: number,
            verdict: verdict.word(),
            least_driver: floor(catalog, &software, gpu),
            codes: codes(&judgement),
        })
    });
    best.collect()
}

fn floor_rank(floor: LeastDriver) -> Option<DriverFloor> {
    match floor {
        LeastDriver::Is(floor) => Some(floor),
        LeastDriver::Impossible | LeastDriver::Unknown => None,
    }
}

/// Software with code for everything that a toolkit compiles for.
fn everything(catalog: &Catalog, toolkit: &Toolkit) -> Software {
    let evidence = toolkit.evidence();
    let ptx = catalog.ptx_of(&toolkit.targets, toolkit.cuda);
    Software {
        build: Fact::Known(BuildKind::Cuda, evidence.clone()),
        cuda: Fact::Known(toolkit.cuda, evidence.clone()),
        sass: Fact::Known(toolkit.targets.clone(), evidence.clone()),
        ptx: Fact::Known(ptx, evidence.clone()),
        compat: Fact::Known(CompatPackage::Absent, evidence.clone()),
        requirements: Fact::Known(Requirements::default(), evidence.clone()),
        libraries: Fact::Known([].into(), evidence),
        ..Software::unknown("not told")
    }
}
