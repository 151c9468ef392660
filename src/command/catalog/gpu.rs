//! GPU products: what they are, by name, generation, target or class.

use serde::Serialize;

use super::row::{self, Column, Row, column, wide};
use super::{Request, Shown, Unusable, cut, product};
use crate::compat::catalog::{Gpu, GpuLookup};
use crate::compat::{Catalog, GpuClass};

/// One product.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GpuRow {
    pub(super) name: String,
    aliases: Vec<String>,
    pub(super) compute_capability: String,
    pub(super) family: Option<String>,
    pub(super) class: Option<&'static str>,
    platform: &'static str,
    first_driver: Option<String>,
    last_driver: Option<u16>,
    pci: Vec<String>,
    pub(super) proof: &'static str,
    pub(super) source: String,
    #[serde(skip)]
    pub(super) drivers: String,
    #[serde(skip)]
    pub(super) sm: String,
}

/// One product in full where the filter names one; else those that fit all its words, by name.
pub(super) fn show(request: &Request<'_>) -> anyhow::Result<Shown> {
    let (catalog, name) = (request.catalog, request.filter_text());
    if request.filter.is_empty() {
        return listing(request, catalog.gpus());
    }
    match catalog.find_gpu(&name) {
        GpuLookup::Found(gpu) => product::show(request, gpu),
        GpuLookup::Ambiguous(gpus) => {
            let hint = format!("{name:?} may be any of these; name one to see what runs there");
            let shown = listing(request, gpus)?;
            Ok(Shown {
                hint: Some(hint),
                ..shown
            })
        }
        GpuLookup::Unknown(near) => {
            let fits = |gpu: &&Gpu| request.filter.iter().all(|word| is(catalog, gpu, word));
            let gpus: Vec<&Gpu> = catalog.gpus().iter().filter(fits).collect();
            if gpus.is_empty() {
                let near = near.iter().map(|gpu| gpu.name.to_string()).collect();
                let name = cut(&name);
                return Err(Unusable::Gpu { name, near }.into());
            }
            listing(request, gpus)
        }
    }
}

fn listing<'a>(
    request: &Request<'_>,
    gpus: impl IntoIterator<Item = &'a Gpu>,
) -> anyhow::Result<Shown> {
    let rows = gpus.into_iter().map(|gpu| GpuRow::of(request.catalog, gpu));
    request.listing("gpu", &rows.collect::<Vec<_>>())
}

/// Whether one word of a filter fits a product.
fn is(catalog: &Catalog, gpu: &Gpu, word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    let dotted = || word.contains('.').then(|| word.parse().ok()).flatten();
    if let Some(capability) = row::target_word(&lower).or_else(dotted) {
        return capability == gpu.capability;
    }
    let family = catalog
        .chip(gpu.capability)
        .map(|chip| chip.family.to_ascii_lowercase());
    let class = gpu.class.map(GpuClass::word);
    let names = || std::iter::once(&gpu.name).chain(&gpu.aliases);
    family.as_deref() == Some(&lower)
        || class == Some(&lower)
        || gpu.platform.word() == lower
        || names().any(|name| name.to_ascii_lowercase().contains(&lower))
}

impl Row for GpuRow {
    const COLUMNS: &'static [Column] = &[
        column("NAME"),
        column("SM"),
        column("FAMILY"),
        column("CLASS"),
        column("DRIVERS"),
        wide("PLATFORM"),
        wide("ALSO"),
        wide("PCI"),
        wide("PROOF"),
        wide("SOURCE"),
    ];

    fn name(&self) -> String {
        self.name.clone()
    }

    fn cells(&self) -> Vec<String> {
        let list = |items: &[String], between| {
            row::or_dash((!items.is_empty()).then(|| items.join(between)))
        };
        vec![
            self.name(),
            self.sm.clone(),
            row::or_dash(self.family.as_ref()),
            row::or_dash(self.class),
            self.drivers.clone(),
            self.platform.to_owned(),
            list(&self.aliases, ", "),
            list(&self.pci, " "),
            self.proof.to_owned(),
            self.source.clone(),
        ]
    }
}

impl GpuRow {
    pub(super) fn of(catalog: &Catalog, gpu: &Gpu) -> Self {
        let chip = catalog.chip(gpu.capability);
        let first = chip.and_then(|chip| chip.first_driver);
        let last = chip.and_then(|chip| chip.last_driver);
        Self {
            name: gpu.name.to_string(),
            aliases: gpu.aliases.iter().map(ToString::to_string).collect(),
            compute_capability: gpu.capability.to_string(),
            family: chip.map(|chip| chip.family.to_string()),
            class: gpu.class.map(GpuClass::word),
            platform: gpu.platform.word(),
            first_driver: first.map(|floor| floor.to_string()),
            last_driver: last,
            pci: gpu.pci.iter().map(ToString::to_string).collect(),
            proof: gpu.proof.word(),
            source: gpu.source.to_string(),
            drivers: row::drivers(first, last),
            sm: gpu.capability.sm(),
        }
    }
}
