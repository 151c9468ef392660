//! Finding a GPU by any of the names that people and programs use for it.

use super::Catalog;
use super::entry::Gpu;

/// Longest name that is looked at, in bytes.
const MAXIMUM_NAME_LENGTH: usize = 128;
/// How many near names are offered for one that is not known.
const NEAREST: usize = 3;
/// Words that a name may lack or have without meaning another product.
const SILENT: [&str; 2] = ["nvidia", "geforce"];
/// Words that name a series and are often left out.
const SERIES: [&str; 5] = ["tesla", "quadro", "rtx", "gtx", "jetson"];

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GpuLookup<'a> {
    /// One product, or several that agree in capability and class, of which this is the plainest.
    Found(&'a Gpu),
    /// Products that disagree in capability or class.
    Ambiguous(Vec<&'a Gpu>),
    /// None; these are written most alike.
    Unknown(Vec<&'a Gpu>),
}

impl<'a> GpuLookup<'a> {
    /// The product, if the name stands for one.
    #[must_use]
    pub fn found(&self) -> Option<&'a Gpu> {
        match self {
            Self::Found(gpu) => Some(gpu),
            Self::Ambiguous(_) | Self::Unknown(_) => None,
        }
    }
}

/// A name cut into lower-case words.
struct Words(Vec<String>);

impl Words {
    fn of(name: &str) -> Self {
        let lower = name.to_ascii_lowercase();
        let words = lower
            .split(|letter: char| !letter.is_ascii_alphanumeric())
            .filter(|word| !word.is_empty());
        Self(words.map(str::to_owned).collect())
    }

    /// As a name in a node label or of a MIG device has it, without what such names append.
    fn of_query(name: &str) -> Self {
        let Self(mut words) = Self::of(name);
        if let Some(at) = words.iter().position(|word| word == "mig") {
            words.truncate(at);
        }
        words.retain(|word| word != "shared" && !SILENT.contains(&word.as_str()));
        Self(words)
    }

    fn without_silent(&self) -> Vec<&str> {
        self.0
            .iter()
            .map(String::as_str)
            .filter(|word| !SILENT.contains(word))
            .collect()
    }

    fn model(&self) -> Option<&str> {
        self.0
            .iter()
            .map(String::as_str)
            .find(|word| !SILENT.contains(word) && !SERIES.contains(word))
    }

    fn contains_all(&self, query: &Self) -> bool {
        query.0.iter().all(|word| self.0.contains(word))
    }
}

impl Catalog {
    /// The GPU of that name: as NVML prints it, as node labels spell it, or short (`RTX 4090`, `A100`, `T4`).
    /// Case, dashes, and the words NVIDIA and `GeForce` do not matter.
    #[must_use]
    pub fn find_gpu(&self, name: &str) -> GpuLookup<'_> {
        let query = Words::of_query(name);
        if name.len() > MAXIMUM_NAME_LENGTH || query.0.is_empty() {
            return GpuLookup::Unknown(Vec::new());
        }
        let named: Vec<(&Gpu, Words)> = self.gpus().iter().flat_map(names_of).collect();
        let wanted: Vec<&str> = query.0.iter().map(String::as_str).collect();
        if let Some((gpu, _)) = named
            .iter()
            .find(|(_, words)| words.without_silent() == wanted)
        {
            return GpuLookup::Found(gpu);
        }
        let same_model =
            |words: &Words| words.model() == query.model() && words.contains_all(&query);
        let mut candidates: Vec<&(&Gpu, Words)> = named
            .iter()
            .filter(|(_, words)| same_model(words))
            .collect();
        candidates.sort_by_key(|(_, words)| words.0.len());
        match candidates.split_first() {
            None => GpuLookup::Unknown(nearest(&named, &query)),
            Some((plainest, rest)) => agreed(plainest.0, rest),
        }
    }
}

fn names_of(gpu: &Gpu) -> impl Iterator<Item = (&Gpu, Words)> {
    std::iter::once(&gpu.name)
        .chain(&gpu.aliases)
        .map(move |name| (gpu, Words::of(name)))
}

fn agreed<'a>(plainest: &'a Gpu, rest: &[&(&'a Gpu, Words)]) -> GpuLookup<'a> {
    let same = |gpu: &Gpu| (gpu.capability, gpu.class) == (plainest.capability, plainest.class);
    if rest.iter().all(|(gpu, _)| same(gpu)) {
        return GpuLookup::Found(plainest);
    }
    let mut all: Vec<&Gpu> = std::iter::once(plainest)
        .chain(rest.iter().map(|(gpu, _)| *gpu))
        .collect();
    all.sort_by_key(|gpu| &gpu.name);
    all.dedup();
    GpuLookup::Ambiguous(all)
}

fn nearest<'a>(named: &[(&'a Gpu, Words)], query: &Words) -> Vec<&'a Gpu> {
    let query = query.0.join(" ");
    let distance = |words: &Words| edits(&words.without_silent().join(" "), &query);
    let mut near: Vec<(usize, &Gpu)> = named
        .iter()
        .map(|(gpu, words)| (distance(words), *gpu))
        .collect();
    near.sort_by_key(|(distance, gpu)| (*distance, &gpu.name));
    near.dedup_by_key(|(_, gpu)| &gpu.name);
    near.into_iter()
        .filter(|(distance, _)| *distance <= query.len() / 2)
        .take(NEAREST)
        .map(|(_, gpu)| gpu)
        .collect()
}

/// Levenshtein's distance between two texts.
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        next.push(index + 1);
        for ((above, left_above), wanted) in row.iter().skip(1).zip(&row).zip(&other) {
            let left = next.last().copied().unwrap_or_default();
            let replaced = left_above + usize::from(letter != *wanted);
            next.push(replaced.min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(name: &str) -> &'static str {
        match Catalog::embedded().find_gpu(name) {
            GpuLookup::Found(gpu) => &gpu.name,
            other @ (GpuLookup::Ambiguous(_) | GpuLookup::Unknown(_)) => {
                panic!("{name}: {other:?}")
            }
        }
    }

    #[test]
    fn every_listed_name_finds_its_own_capability() {
        let catalog = Catalog::embedded();
        for gpu in catalog.gpus() {
            for name in std::iter::once(&gpu.name).chain(&gpu.aliases) {
                let lookup = catalog.find_gpu(name);
                let found = lookup
                    .found()
                    .unwrap_or_else(|| panic!("{name}: {lookup:?}"));
                assert_eq!(found.capability, gpu.capability, "{name}");
            }
        }
    }

    #[test]
    fn names_are_read_whatever_their_case_prefix_and_dashes() {
        assert_eq!(found("RTX 4090"), "NVIDIA GeForce RTX 4090");
        assert_eq!(found("rtx-4090"), "NVIDIA GeForce RTX 4090");
        assert_eq!(found("4090"), "NVIDIA GeForce RTX 4090");
        assert_eq!(found("T4"), "Tesla T4");
        assert_eq!(found("Tesla-T4-SHARED"), "Tesla T4");
        assert_eq!(
            found("NVIDIA-A100-SXM4-80GB-MIG-1g.10gb"),
            "NVIDIA A100-SXM4-80GB"
        );
        assert_eq!(found("GeForce GTX 1660 Ti"), "NVIDIA GeForce GTX 1660 Ti");
        assert_eq!(found("A6000"), "NVIDIA RTX A6000");
        assert_eq!(found("RTX 6000 Ada"), "NVIDIA RTX 6000 Ada Generation");
        assert_eq!(found("Titan Xp"), "NVIDIA TITAN Xp");
        assert_eq!(found("RTX 3050"), "NVIDIA GeForce RTX 3050");
        assert_eq!(found("Jetson Xavier NX"), "Xavier");
        assert_eq!(found("Orin"), "Orin (nvgpu)");
        assert_eq!(found("L4"), "NVIDIA L4");
    }

    #[test]
    fn short_names_resolve_where_all_candidates_agree() {
        let capability = |name| {
            Catalog::embedded()
                .find_gpu(name)
                .found()
                .map(|gpu| gpu.capability.to_string())
        };
        for (name, expected) in [
            ("A100", "8.0"),
            ("V100", "7.0"),
            ("H100", "9.0"),
            ("P100", "6.0"),
            ("GH200", "9.0"),
            ("A100 40GB", "8.0"),
        ] {
            assert_eq!(capability(name).as_deref(), Some(expected), "{name}");
        }
    }

    #[test]
    fn names_of_several_generations_are_listed() {
        for name in ["RTX 6000", "RTX 5000", "RTX 4000", "Titan X"] {
            let lookup = Catalog::embedded().find_gpu(name);
            assert!(
                matches!(lookup, GpuLookup::Ambiguous(ref all) if all.len() > 1),
                "{name}: {lookup:?}"
            );
        }
    }

    #[test]
    fn a_typing_error_gets_the_nearest_names() {
        let GpuLookup::Unknown(near) = Catalog::embedded().find_gpu("RTX 4909") else {
            panic!("found")
        };
        assert!(
            near.iter()
                .any(|gpu| &*gpu.name == "NVIDIA GeForce RTX 4090"),
            "{near:?}"
        );
        assert!(near.len() <= NEAREST);
        assert_eq!(
            Catalog::embedded().find_gpu(&"x".repeat(1000)),
            GpuLookup::Unknown(Vec::new())
        );
        assert_eq!(
            Catalog::embedded().find_gpu("   "),
            GpuLookup::Unknown(Vec::new())
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn no_name_panics(name in ".{0,60}") {
            let _ = Catalog::embedded().find_gpu(&name);
        }
    }
}
