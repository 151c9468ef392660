//! The catalog of well-known repositories: loads `data/repositories.toml`, checks it, and finds the entry for a name.
//!
//! The file says what a name tells; what follows from it for a piece of software is `evidence`'s business.

mod rule;

use serde::Deserialize;
use thiserror::Error;

use super::pattern::{Captures, Pattern, PatternError};
use super::reference::Reference;
use crate::compat::{CudaVersion, Proof};
pub use rule::{Arm64, Kernels, Presence, RequireRule, TagRule};
use rule::{ImpossibleTag, Written};

const BUNDLED: &str = include_str!("data/repositories.toml");

/// All families of images that are known by name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repositories {
    as_of: String,
    brands: Vec<BrandList>,
    base: Vec<BaseLine>,
    family: Vec<Family>,
}

/// One family: repositories whose tags follow the same rules.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Family {
    /// What people call it.
    pub name: String,
    repositories: Vec<Written<Pattern>>,
    #[serde(default)]
    impossible: Vec<ImpossibleTag>,
    tag: Vec<TagRule>,
}

/// The `NVIDIA_REQUIRE_CUDA` of the `nvidia/cuda` images of one CUDA version.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseLine {
    cuda: CudaVersion,
    brands: String,
    branches: Vec<u16>,
    #[serde(default)]
    not_in: Vec<String>,
    /// Where this is written.
    pub source: String,
    /// How it is known.
    pub proof: Proof,
}

/// What the catalog has for a name.
#[derive(Debug, Clone)]
pub struct Found<'a> {
    /// The family that the repository belongs to.
    pub family: &'a Family,
    /// What holes of the repository and of the tag took.
    pub captures: Captures,
    /// What the tag is.
    pub tag: FoundTag<'a>,
}

/// What a tag of a known family is.
#[derive(Debug, Clone)]
pub enum FoundTag<'a> {
    /// One that follows a rule.
    Rule(&'a TagRule),
    /// One that should not exist.
    Impossible {
        /// The tag that was probably meant.
        suggestion: String,
        /// Why there is no such tag.
        reason: &'a str,
    },
    /// One of which the family says nothing.
    Other,
}

/// A catalog that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RepositoriesError {
    /// Not TOML, or not of the right form; the cause has line and key.
    #[error("catalog of repositories: cannot be read")]
    Parse(#[source] toml::de::Error),
    /// Entries out of order.
    #[error("catalog of repositories: {after:?} must stand after {before:?}, entries are sorted")]
    Unsorted {
        /// The entry that should come first.
        before: String,
        /// The one that should follow.
        after: String,
    },
    /// A line that names a list of brands that does not exist.
    #[error(
        "catalog of repositories: the base line of CUDA {cuda} names brands {brands:?}, which are not listed"
    )]
    UnknownBrands {
        /// The CUDA version of the line.
        cuda: CudaVersion,
        /// The name of the list.
        brands: String,
    },
    /// A suggestion that uses what its pattern does not capture.
    #[error("catalog of repositories: family {family}: a suggestion cannot be written")]
    Suggestion {
        /// The family.
        family: String,
        /// The hole that is missing.
        #[source]
        cause: PatternError,
    },
}

impl Repositories {
    /// The catalog that the program carries.
    ///
    /// # Errors
    /// None in a released program: a test reads it.
    pub fn bundled() -> Result<Self, RepositoriesError> {
        Self::parse(BUNDLED)
    }

    /// Reads and checks a catalog.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, RepositoriesError> {
        let catalog: Self = toml::from_str(text).map_err(RepositoriesError::Parse)?;
        catalog.check()?;
        Ok(catalog)
    }

    /// The day of the newest fact in it, `YYYY-MM-DD`.
    #[must_use]
    pub fn as_of(&self) -> &str {
        &self.as_of
    }

    /// The families, sorted by name.
    #[must_use]
    pub fn families(&self) -> &[Family] {
        &self.family
    }

    /// The family that a repository belongs to, and what its tag is there.
    #[must_use]
    pub fn find(&self, reference: &Reference) -> Option<Found<'_>> {
        let name = format!(
            "{}/{}",
            reference.registry().as_str().to_ascii_lowercase(),
            reference.repository()
        );
        self.family.iter().find_map(|family| {
            let captures = family
                .repositories
                .iter()
                .find_map(|pattern| pattern.0.captures(&name))?;
            Some(family.with_tag(captures, reference.tag().map_or("", |tag| tag.as_str())))
        })
    }

    /// The `NVIDIA_REQUIRE_CUDA` of the `nvidia/cuda` image for a CUDA version; the tag tells its system.
    #[must_use]
    pub fn base_line(&self, cuda: CudaVersion, tag: &str) -> Option<(String, &BaseLine)> {
        let line = self.base.iter().find(|line| line.cuda == cuda)?;
        if line
            .not_in
            .iter()
            .any(|system| tag.contains(system.as_str()))
        {
            return None;
        }
        let brands = self.brands.iter().find(|list| list.name == line.brands)?;
        Some((line.text(&brands.brands), line))
    }

    fn check(&self) -> Result<(), RepositoriesError> {
        sorted(self.family.iter().map(|family| family.name.clone()))?;
        sorted(self.brands.iter().map(|list| list.name.clone()))?;
        for line in &self.base {
            if !self.brands.iter().any(|list| list.name == line.brands) {
                return Err(RepositoriesError::UnknownBrands {
                    cuda: line.cuda,
                    brands: line.brands.clone(),
                });
            }
        }
        self.family.iter().try_for_each(Family::check)
    }
}

impl Family {
    /// The repositories, as patterns.
    pub fn repositories(&self) -> impl Iterator<Item = &Pattern> {
        self.repositories.iter().map(|pattern| &pattern.0)
    }

    /// The rules for its tags, in the order in which they are tried.
    #[must_use]
    pub fn rules(&self) -> &[TagRule] {
        &self.tag
    }

    fn with_tag(&self, captures: Captures, tag: &str) -> Found<'_> {
        for rule in &self.impossible {
            if let Some((suggestion, reason)) = rule.suggestion_for(tag) {
                return Found {
                    family: self,
                    captures,
                    tag: FoundTag::Impossible { suggestion, reason },
                };
            }
        }
        for rule in &self.tag {
            if let Some(captures) = rule.captures(&captures, tag) {
                return Found {
                    family: self,
                    captures,
                    tag: FoundTag::Rule(rule),
                };
            }
        }
        Found {
            family: self,
            captures,
            tag: FoundTag::Other,
        }
    }

    fn check(&self) -> Result<(), RepositoriesError> {
        let unsound = self.impossible.iter().find_map(|rule| rule.check().err());
        unsound.map_or(Ok(()), |cause| {
            Err(RepositoriesError::Suggestion {
                family: self.name.clone(),
                cause,
            })
        })
    }
}

impl BaseLine {
    /// `cuda>=12.4 brand=tesla,driver>=470,driver<471 ...`, as NVIDIA writes it.
    fn text(&self, brands: &[String]) -> String {
        let terms = self.branches.iter().flat_map(|branch| {
            let above = branch.saturating_add(1);
            brands
                .iter()
                .map(move |brand| format!(" brand={brand},driver>={branch},driver<{above}"))
        });
        std::iter::once(format!("cuda>={}", self.cuda))
            .chain(terms)
            .collect()
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct BrandList {
    name: String,
    brands: Vec<String>,
    #[expect(
        dead_code,
        reason = "every entry cites its source, for whoever reads the file"
    )]
    source: String,
    #[expect(
        dead_code,
        reason = "every entry says how it is known, for whoever reads the file"
    )]
    proof: Proof,
}

fn sorted(names: impl Iterator<Item = String>) -> Result<(), RepositoriesError> {
    let names: Vec<String> = names.collect();
    let wrong = names.windows(2).find_map(|pair| match pair {
        [first, second] if first >= second => Some((second.clone(), first.clone())),
        _ => None,
    });
    wrong.map_or(Ok(()), |(before, after)| {
        Err(RepositoriesError::Unsorted { before, after })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compat::catalog::Channel;
    use crate::image::tag::TorchName;

    fn bundled() -> Repositories {
        Repositories::bundled().unwrap()
    }

    fn family(name: &str) -> Option<String> {
        bundled()
            .find(&name.parse().unwrap())
            .map(|found| found.family.name.clone())
    }

    fn rule_source(name: &str) -> String {
        let repositories = bundled();
        match repositories.find(&name.parse().unwrap()).unwrap().tag {
            FoundTag::Rule(rule) => rule.source.clone(),
            FoundTag::Impossible { suggestion, .. } => format!("did you mean {suggestion}"),
            FoundTag::Other => "other".to_owned(),
        }
    }

    #[test]
    fn the_catalog_in_the_program_is_right_and_dated() {
        assert_eq!(bundled().as_of(), "2026-11-23");
    }

    #[test]
    fn knows_the_families_that_people_use() {
        for (name, expected) in [
            (
                "pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime",
                "pytorch/pytorch",
            ),
            ("docker.io/pytorch/pytorch", "pytorch/pytorch"),
            ("nvcr.io/nvidia/pytorch:25.10-py3", "nvcr.io/nvidia/pytorch"),
            (
                "nvidia/cuda:12.6.3-cudnn-runtime-ubuntu22.04",
                "nvidia/cuda",
            ),
            ("vllm/vllm-openai:v0.29.0", "vLLM"),
            ("lmsysorg/sglang:v0.5.19-cu130", "SGLang"),
            (
                "ghcr.io/huggingface/text-generation-inference:3.3.5",
                "Hugging Face TGI",
            ),
            (
                "ghcr.io/huggingface/text-embeddings-inference:89-1.8",
                "Hugging Face TEI",
            ),
            ("rayproject/ray:2.9.3-py310-cu118", "Ray"),
            (
                "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.6.0-gpu-py312-cu126-ubuntu22.04-ec2",
                "AWS deep learning containers",
            ),
            (
                "us-docker.pkg.dev/deeplearning-platform-release/gcr.io/pytorch-cu124.2-4.py310",
                "GCP deep learning containers",
            ),
            (
                "mcr.microsoft.com/aifx/acpt/stable-ubuntu2204-cu126-py310-torch280:biweekly.202607.1",
                "Azure ACPT",
            ),
            (
                "quay.io/jupyter/pytorch-notebook:cuda12-latest",
                "Jupyter docker stacks",
            ),
            (
                "ghcr.io/kubeflow/kubeflow/notebook-servers/jupyter-pytorch-cuda-full:v1.10.0",
                "Kubeflow notebooks, CUDA",
            ),
            (
                "nvcr.io/nvidia/tritonserver:25.10-py3",
                "NVIDIA Triton server",
            ),
            (
                "nvcr.io/nvidia/l4t-pytorch:r35.2.1-pth2.0-py3",
                "Jetson l4t-pytorch",
            ),
            (
                "rocm/pytorch:rocm7.2.4_ubuntu24.04_py3.12_pytorch_release_2.9.1",
                "rocm/pytorch",
            ),
        ] {
            assert_eq!(family(name).as_deref(), Some(expected), "{name}");
        }
    }

    #[test]
    fn does_not_take_mirrors_and_look_alikes_for_the_family() {
        for name in [
            "registry.example.com/pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime",
            "pytorch/pytorch-nightly:2.6.0-cuda12.4-cudnn9-runtime",
            "team/pytorch/pytorch:2.6.0",
            "123456789012.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.6.0-gpu-py312-cu126-ubuntu22.04-ec2",
        ] {
            assert_eq!(family(name), None, "{name}");
        }
    }

    #[test]
    fn suggests_the_tag_that_was_meant() {
        assert_eq!(
            rule_source("pytorch/pytorch:2.6.0-cuda11.8-cudnn8-runtime"),
            "did you mean 2.6.0-cuda11.8-cudnn9-runtime"
        );
        assert_eq!(
            rule_source("pytorch/pytorch:2.3.1-cuda12.1-cudnn9-devel"),
            "did you mean 2.3.1-cuda12.1-cudnn8-devel"
        );
        assert!(rule_source("pytorch/pytorch:2.3.1-cuda12.1-cudnn8-devel").contains("Dockerfile"));
        assert_eq!(rule_source("pytorch/pytorch:latest"), "other");
    }

    #[test]
    fn tells_conda_from_pip_by_release_and_arm64_by_release() {
        let repositories = bundled();
        let reference: Reference = "pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime"
            .parse()
            .unwrap();
        let FoundTag::Rule(rule) = repositories.find(&reference).unwrap().tag else {
            panic!("no rule")
        };
        let torch = |text: &str| TorchName::dotted(text).unwrap();
        assert_eq!(rule.channel(torch("2.4.1")), Some(Channel::Conda));
        assert_eq!(rule.channel(torch("2.5.0")), Some(Channel::Pip));
        assert_eq!(rule.arm64(Some(torch("2.9.1"))), Some(Arm64::Cpu));
        assert_eq!(rule.arm64(Some(torch("2.10.0"))), None);
        assert_eq!(rule.arm64(None), None);
    }

    #[test]
    fn writes_the_start_condition_as_nvidia_does() {
        let repositories = bundled();
        let (line, _) = repositories
            .base_line(CudaVersion::new(11, 8), "11.8.0-devel-ubuntu22.04")
            .unwrap();
        assert_eq!(
            line,
            "cuda>=11.8 brand=tesla,driver>=470,driver<471 brand=unknown,driver>=470,driver<471 \
             brand=nvidia,driver>=470,driver<471 brand=nvidiartx,driver>=470,driver<471 \
             brand=geforce,driver>=470,driver<471 brand=geforcertx,driver>=470,driver<471 \
             brand=quadro,driver>=470,driver<471 brand=quadrortx,driver>=470,driver<471 \
             brand=titan,driver>=470,driver<471 brand=titanrtx,driver>=470,driver<471"
        );
        assert!(
            repositories
                .base_line(CudaVersion::new(11, 8), "11.8.0-devel-ubuntu18.04")
                .is_none()
        );
        assert!(
            repositories
                .base_line(CudaVersion::new(11, 0), "11.0-base")
                .is_none()
        );
        let (line, _) = repositories
            .base_line(CudaVersion::new(12, 6), "12.6.3-base")
            .unwrap();
        assert!(line.starts_with(
            "cuda>=12.6 brand=unknown,driver>=470,driver<471 brand=grid,driver>=470,driver<471"
        ));
        assert!(line.ends_with("brand=cloudgaming,driver>=550,driver<551"));
        assert!(!line.contains("geforce"));
    }

    #[test]
    fn start_conditions_list_the_branches_that_the_knowledge_base_has_for_the_toolkit() {
        let catalog = crate::compat::Catalog::embedded();
        for line in &bundled().base {
            let toolkit = catalog.toolkit(line.cuda).unwrap();
            assert_eq!(
                toolkit.forward.as_deref(),
                Some(line.branches.as_slice()),
                "{}",
                line.cuda
            );
        }
    }

    #[test]
    fn refuses_a_catalog_with_a_wrong_key_value_or_order() {
        let family = |name: &str, extra: &str| {
            format!(
                "[[family]]\nname = \"{name}\"\nrepositories = [\"a/{{word}}\"]\ntag = []\n{extra}\n"
            )
        };
        let head = "as_of = \"2026-01-01\"\nbrands = []\nbase = []\n";
        let problem = |body: &str| {
            let error = Repositories::parse(&format!("{head}{body}")).unwrap_err();
            let cause =
                std::error::Error::source(&error).map_or_else(String::new, ToString::to_string);
            format!("{error}: {cause}")
        };
        assert!(Repositories::parse(&format!("{head}{}", family("x", ""))).is_ok());
        assert!(problem(&family("x", "shape = 1")).contains("unknown field `shape`"));
        assert!(
            problem(&format!("{}{}", family("x", ""), family("a", "")))
                .contains("\"x\" must stand after \"a\"")
        );
        assert!(
            problem("[[family]]\nname = \"x\"\nrepositories = [\"{torh}\"]\ntag = []")
                .contains("{torh}")
        );
        let base = "[[base]]\ncuda = \"12.4\"\nbrands = \"x\"\nbranches = [470]\nsource = \"s\"\nproof = \"doc\"\n";
        let error = Repositories::parse(&format!("as_of = \"x\"\nbrands = []\n{base}family = []"))
            .unwrap_err();
        assert!(std::error::Error::source(&error).is_some());
    }
}
