//! CUDA toolkits: the drivers that they need, and the GPUs that they compile for.

use serde::Serialize;

use super::row::{self, Column, Row, column, wide};
use super::{Request, Unusable, cut};
use crate::compat::catalog::Toolkit;
use crate::compat::{CudaVersion, Variant};

/// One toolkit.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolkitRow {
    cuda: String,
    ships_with: Vec<Release>,
    least_driver: Option<String>,
    forward_from: Option<Vec<u16>>,
    least_driver_for_zstd: Option<String>,
    ptx: Option<String>,
    compiles_for: Vec<String>,
    note: Option<String>,
    proof: &'static str,
    source: String,
    #[serde(skip)]
    first_driver: Option<String>,
    #[serde(skip)]
    range: String,
}

/// A release of a toolkit and its driver.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Release {
    release: String,
    driver: String,
}

/// What a filter word asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    Version(CudaVersion),
    Major(u16),
}

/// The toolkits that fit all words of the filter, the oldest first.
pub(super) fn rows(request: &Request<'_>) -> Result<Vec<ToolkitRow>, Unusable> {
    let wishes = request
        .filter
        .iter()
        .map(|word| wish(word))
        .collect::<Result<Vec<_>, _>>()?;
    let fits = |toolkit: &&Toolkit| wishes.iter().all(|wish| wish.fits(toolkit.cuda));
    let toolkits = request.catalog.toolkits().iter().filter(fits);
    Ok(toolkits.map(ToolkitRow::of).collect())
}

impl Row for ToolkitRow {
    const COLUMNS: &'static [Column] = &[
        column("CUDA"),
        column("SHIPS WITH DRIVER"),
        column("LEAST DRIVER"),
        column("FORWARD COMPATIBLE FROM"),
        column("PTX"),
        column("COMPILES FOR"),
        wide("ALL RELEASES"),
        wide("LEAST DRIVER FOR ZSTD"),
        wide("NOTE"),
        wide("PROOF"),
        wide("SOURCE"),
    ];

    fn name(&self) -> String {
        self.cuda.clone()
    }

    fn cells(&self) -> Vec<String> {
        let releases = self.ships_with.iter();
        let releases: Vec<String> = releases
            .map(|release| format!("{}: {}", release.release, release.driver))
            .collect();
        vec![
            self.name(),
            row::or_dash(self.first_driver.as_ref()),
            row::or_dash(self.least_driver.as_ref()),
            self.forward_from
                .as_deref()
                .map_or_else(|| "not known".to_owned(), branches),
            row::or_dash(self.ptx.as_ref()),
            self.range.clone(),
            releases.join("; "),
            row::or_dash(self.least_driver_for_zstd.as_ref()),
            row::or_dash(self.note.as_ref()),
            self.proof.to_owned(),
            self.source.clone(),
        ]
    }
}

impl ToolkitRow {
    fn of(toolkit: &Toolkit) -> Self {
        let releases = toolkit.releases.iter().map(|release| Release {
            release: release.name.to_string(),
            driver: release.driver.to_string(),
        });
        Self {
            cuda: toolkit.cuda.to_string(),
            ships_with: releases.collect(),
            least_driver: toolkit.floor().map(|floor| floor.to_string()),
            forward_from: toolkit.forward.clone(),
            least_driver_for_zstd: toolkit.zstd.map(|floor| floor.to_string()),
            ptx: toolkit.ptx.map(|isa| isa.to_string()),
            compiles_for: row::sass_names(&toolkit.targets),
            note: toolkit.note.as_deref().map(str::to_owned),
            proof: toolkit.proof.word(),
            source: toolkit.source.to_string(),
            first_driver: toolkit.first_driver().map(|driver| driver.to_string()),
            range: range(toolkit),
        }
    }
}

/// `5.0 to 9.0`: the oldest and the newest GPU that a toolkit compiles for.
fn range(toolkit: &Toolkit) -> String {
    let mut capabilities = toolkit.targets.iter().map(|target| target.capability);
    match (capabilities.next(), capabilities.next_back()) {
        (Some(lowest), Some(highest)) => format!("{lowest} to {highest}"),
        (Some(only), None) => only.to_string(),
        (None, _) => "not checked".to_owned(),
    }
}

fn branches(branches: &[u16]) -> String {
    let numbers: Vec<String> = branches.iter().map(u16::to_string).collect();
    if numbers.is_empty() {
        "-".to_owned()
    } else {
        numbers.join(" ")
    }
}

fn wish(word: &str) -> Result<Wish, Unusable> {
    let lower = word.to_ascii_lowercase();
    let number = lower.strip_prefix("cuda").unwrap_or(&lower);
    let version = number.parse().ok().map(Wish::Version);
    let compact = || match lower.parse().ok()? {
        Variant::Cuda(cuda) => Some(Wish::Version(cuda)),
        Variant::Cpu | Variant::Rocm(..) | Variant::Xpu => None,
    };
    let major = || {
        number
            .parse()
            .ok()
            .filter(|major| *major > 0)
            .map(Wish::Major)
    };
    version
        .or_else(compact)
        .or_else(major)
        .ok_or_else(|| Unusable::Word {
            word: cut(word),
            table: "CUDA toolkit",
            expected: "a version (12.4), a major version (12) or cu124",
        })
}

impl Wish {
    fn fits(&self, cuda: CudaVersion) -> bool {
        match *self {
            Self::Version(version) => cuda == version,
            Self::Major(major) => cuda.major == major,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_in_all_their_spellings() {
        for text in ["12.4", "12.4.1", "cu124", "CUDA12.4"] {
            let expected = Wish::Version(CudaVersion::new(12, 4));
            assert_eq!(wish(text).ok(), Some(expected), "{text}");
        }
        assert_eq!(wish("12").ok(), Some(Wish::Major(12)));
        for text in ["", "twelve", "12,4", "-1", "cpu"] {
            assert!(wish(text).is_err(), "{text}");
        }
    }
}
