//! From an image's name to what is known of its software: aliases, then the catalog of repositories, then the
//! conventions of tags, each fact with its origin, proof and source (design, section 3).
//!
//! Judges nothing: what a GPU makes of the software is `compat`'s business.

mod claim;
mod declaration;
mod family;
mod published;

use super::alias::{AliasError, Resolved, resolve};
use super::reference::Reference;
use super::repositories::{FoundTag, Repositories};
use super::tag::TagClaims;
use crate::compat::software::Merge;
use crate::compat::{
    BuildKind, Catalog, CpuArchitecture, CudaVersion, Evidence, Fact, FactName, Origin, PtxList,
    PtxTarget, Software, TargetList, TorchVersion,
};

pub use declaration::Override;

const NOTHING: &str = "nothing in this name says which CUDA it holds";

/// What names are looked up in.
#[derive(Debug, Clone, Copy)]
pub struct Knowledge<'a> {
    /// torch builds, toolkits, NVIDIA's images, aliases.
    pub catalog: &'a Catalog,
    /// Families of images.
    pub repositories: &'a Repositories,
}

/// What a name tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    /// The software, each fact with its evidence or the reason why it is not known.
    pub software: Software,
    /// The image that was judged: another than the name where an alias says so.
    pub image: Reference,
    /// The family that the image belongs to.
    pub family: Option<String>,
    /// The image that was probably meant, where the name is one that should not exist.
    pub suggestion: Option<Reference>,
    /// Facts about which two sources disagreed.
    pub conflicts: Vec<Conflict>,
}

/// Two sources that disagreed about one fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The fact.
    pub fact: FactName,
    /// The value that won, if one did, else one of the two.
    pub first: (String, Evidence),
    /// The other.
    pub second: (String, Evidence),
    /// Who won.
    pub winner: Winner,
}

/// How a conflict ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Winner {
    /// The first, by strength or by permission.
    First,
    /// Nobody: equally strong, so the fact is unknown.
    Nobody,
}

impl Knowledge<'_> {
    /// What an image's name tells of its software on a CPU architecture. A tag is believed where it has a digest
    /// too; a digest alone tells nothing.
    ///
    /// # Errors
    /// If aliases go round in circles or lead to something that is no image.
    pub fn named(
        &self,
        name: &Reference,
        architecture: CpuArchitecture,
    ) -> Result<Named, AliasError> {
        let resolved = resolve(name, self.catalog.aliases())?;
        let mut named = self.unaliased(&resolved.image, architecture);
        if !resolved.through.is_empty() {
            attach(&mut named.software, &resolved);
        }
        Ok(named)
    }

    fn unaliased(&self, image: &Reference, architecture: CpuArchitecture) -> Named {
        let mut named = Named {
            software: Software::unknown(NOTHING),
            image: image.clone(),
            family: None,
            suggestion: None,
            conflicts: Vec::new(),
        };
        let Some(found) = self.repositories.find(image) else {
            self.add_claims(&mut named);
            return named;
        };
        named.family = Some(found.family.name.clone());
        match found.tag {
            FoundTag::Impossible {
                ref suggestion,
                reason,
            } => refuse(&mut named, suggestion, reason),
            FoundTag::Other => self.add_claims(&mut named),
            FoundTag::Rule(rule) => {
                let reading = family::Reading {
                    knowledge: *self,
                    image,
                    rule,
                    captures: &found.captures,
                };
                let told = reading.told(architecture);
                named.software = told.software;
                named.suggestion = told.suggestion;
                if told.claims == family::Claims::Count {
                    self.add_claims(&mut named);
                }
            }
        }
        named
    }

    /// Adds what the tag says by convention, at the strength of a name.
    fn add_claims(&self, named: &mut Named) {
        let Some(tag) = named.image.tag() else { return };
        let claims = TagClaims::read(tag.as_str());
        let said = claim::said(&claims, &named.image, self.catalog);
        let Named {
            software,
            conflicts,
            ..
        } = named;
        join(&mut software.build, said.build, FactName::Build, conflicts);
        join(&mut software.torch, said.torch, FactName::Torch, conflicts);
        join(&mut software.cuda, said.cuda, FactName::Cuda, conflicts);
    }
}

/// Joins a second statement about a fact into the first and notes a conflict. Of two gaps, the newer reason stays
/// only where the first is the general one.
fn join<T: PartialEq + Clone + std::fmt::Display>(
    fact: &mut Fact<T>,
    other: Fact<T>,
    name: FactName,
    conflicts: &mut Vec<Conflict>,
) {
    if let (Fact::Gap(mine), Fact::Gap(theirs)) = (&*fact, &other) {
        if &*mine.0 == NOTHING {
            *fact = Fact::Gap(theirs.clone());
        }
        return;
    }
    let shown = |(value, evidence): (T, Evidence)| (value.to_string(), evidence);
    let merged = fact.clone().merge(other);
    match &merged {
        Merge::Agreed(_) => {}
        Merge::Overruled { fact: won, loser } => {
            if let Some((value, evidence)) = won.known() {
                let first = (value.to_string(), evidence.clone());
                conflicts.push(Conflict {
                    fact: name,
                    first,
                    second: shown(loser.clone()),
                    winner: Winner::First,
                });
            }
        }
        Merge::Contradiction {
            values: [first, second],
            ..
        } => {
            let (first, second) = (shown(first.clone()), shown(second.clone()));
            conflicts.push(Conflict {
                fact: name,
                first,
                second,
                winner: Winner::Nobody,
            });
        }
    }
    *fact = merged.into_fact();
}

fn refuse(named: &mut Named, suggestion: &str, reason: &str) {
    let meant = suggestion.parse().ok().map(|tag| named.image.with_tag(tag));
    let name = named.image.familiar();
    let question = meant.as_ref().map_or_else(String::new, |meant| {
        format!(": did you mean {}?", meant.familiar())
    });
    named.software = Software::unknown(format!("{name} should not exist ({reason}){question}"));
    named.suggestion = meant;
}

/// An alias is the operator's word: what the catalog says of its target counts as attached.
fn attach(software: &mut Software, resolved: &Resolved) {
    let path = resolved.through.join(" -> ");
    let prefix = format!("alias {path} -> {}; ", resolved.image.familiar());
    let Software {
        scope: _,
        build,
        others: _,
        torch,
        cuda,
        driver,
        lowest,
        sass,
        ptx,
        zstd,
        compat,
        requirements,
        libraries,
        platforms,
        binaries,
    } = software;
    raise(build, &prefix);
    raise(torch, &prefix);
    raise(cuda, &prefix);
    raise(driver, &prefix);
    raise(lowest, &prefix);
    raise(sass, &prefix);
    raise(ptx, &prefix);
    raise(zstd, &prefix);
    raise(compat, &prefix);
    raise(requirements, &prefix);
    raise(libraries, &prefix);
    raise(platforms, &prefix);
    raise(binaries, &prefix);
}

fn raise<T>(fact: &mut Fact<T>, prefix: &str) {
    if let Fact::Known(_, evidence) = fact {
        evidence.source = format!("{prefix}{}", evidence.source).into();
        if evidence.origin == Origin::Catalog {
            evidence.origin = Origin::Attached;
        }
    }
}

/// PTX in the language version of its toolkit, or, where that is not known, in one that is not known either.
fn ptx_list(catalog: &Catalog, targets: &TargetList, cuda: Option<CudaVersion>) -> PtxList {
    match cuda {
        Some(cuda) => catalog.ptx_of(targets, cuda),
        None => targets
            .iter()
            .map(|target| PtxTarget {
                target: *target,
                isa: None,
            })
            .collect(),
    }
}

/// The facts that a tag's conventions can tell.
#[derive(Debug)]
struct Said {
    build: Fact<BuildKind>,
    torch: Fact<TorchVersion>,
    cuda: Fact<CudaVersion>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::compat::software::Binaries;
    use crate::compat::{CompatPackage, Proof, Requirements, Scope};

    fn named_on(name: &str, architecture: CpuArchitecture) -> Named {
        let repositories = Repositories::bundled().unwrap();
        let knowledge = Knowledge {
            catalog: Catalog::embedded(),
            repositories: &repositories,
        };
        knowledge
            .named(&name.parse().unwrap(), architecture)
            .unwrap()
    }

    fn named(name: &str) -> Named {
        named_on(name, CpuArchitecture::Amd64)
    }

    fn software(name: &str) -> Software {
        named(name).software
    }

    fn declared(
        software: Software,
        requires: &str,
        permission: Override,
    ) -> (Software, Vec<Conflict>) {
        let repositories = Repositories::bundled().unwrap();
        let knowledge = Knowledge {
            catalog: Catalog::embedded(),
            repositories: &repositories,
        };
        knowledge.declared(software, &requires.parse().unwrap(), permission)
    }

    fn told<T: std::fmt::Display>(fact: &Fact<T>) -> String {
        match fact {
            Fact::Known(value, evidence) => {
                format!("{value} ({} {})", evidence.origin, evidence.proof)
            }
            Fact::Gap(gap) => gap.to_string(),
        }
    }

    fn require_line(software: &Software) -> Option<String> {
        let lines = &software.requirements.value()?.lines;
        lines.first().map(|(name, _)| name.to_string())
    }

    #[test]
    fn pytorch_runtime_names_a_wheel_without_compat_and_start_condition() {
        let software = software("pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime");
        assert_eq!(told(&software.torch), "2.6.0 (catalog script)");
        assert_eq!(told(&software.cuda), "12.4 (catalog script)");
        assert_eq!(told(&software.build), "cuda (catalog script)");
        assert_eq!(
            told(&software.sass),
            "sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90 (catalog wheel)"
        );
        assert_eq!(told(&software.ptx), "none (catalog wheel)");
        assert_eq!(told(&software.compat), "absent (catalog script)");
        assert_eq!(
            software.requirements.value(),
            Some(&Requirements::default())
        );
        assert_eq!(
            software.libraries.value().unwrap()[0].to_string(),
            "nvidia-cudnn 9.1.0.70"
        );
        assert_eq!(software.scope, Scope::Kernels);
    }

    #[test]
    fn pytorch_devel_carries_compat_and_the_start_condition_of_its_base() {
        let software = software("pytorch/pytorch:2.6.0-cuda11.8-cudnn9-devel");
        assert_eq!(
            told(&software.sass),
            "sm_37 sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90 (catalog observed)"
        );
        assert_eq!(told(&software.compat), "CUDA 11.8 (catalog script)");
        assert_eq!(
            require_line(&software).as_deref(),
            Some("NVIDIA_REQUIRE_CUDA")
        );
    }

    #[test]
    fn pytorch_up_to_2_4_1_holds_the_conda_package() {
        let software = software("pytorch/pytorch:2.4.1-cuda11.8-cudnn9-runtime");
        assert_eq!(
            told(&software.sass),
            "sm_37 sm_50 sm_60 sm_61 sm_70 sm_75 sm_80 sm_86 sm_90 (catalog script)"
        );
        assert_eq!(told(&software.ptx), "compute_37 (PTX 7.8) (catalog script)");
    }

    #[test]
    fn a_tag_with_a_digest_is_judged_by_the_tag_and_a_digest_alone_by_nothing() {
        let digest = format!("@sha256:{}", "a".repeat(64));
        let tagged = software(&format!(
            "pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime{digest}"
        ));
        assert_eq!(
            tagged,
            software("pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime")
        );
        let bare = named(&format!("pytorch/pytorch{digest}"));
        assert_eq!(
            told(&bare.software.cuda),
            "nothing in this name says which CUDA it holds"
        );
        assert_eq!(bare.family.as_deref(), Some("pytorch/pytorch"));
    }

    #[test]
    fn an_impossible_tag_is_unknown_with_the_one_that_was_meant() {
        let named = named("pytorch/pytorch:2.6.0-cuda11.8-cudnn8-runtime");
        let meant = named.suggestion.unwrap();
        assert_eq!(
            meant.familiar(),
            "pytorch/pytorch:2.6.0-cuda11.8-cudnn9-runtime"
        );
        let gap = told(&named.software.cuda);
        assert!(
            gap.contains("did you mean pytorch/pytorch:2.6.0-cuda11.8-cudnn9-runtime?"),
            "{gap}"
        );
    }

    #[test]
    fn a_variant_that_does_not_exist_is_unknown_and_names_the_nearest() {
        let named = named("pytorch/pytorch:2.6.0-cuda12.1-cudnn9-runtime");
        let gap = told(&named.software.cuda);
        assert!(
            gap.contains(
                "no build of torch 2.6.0 for CUDA 12.1 is known, only for 11.8, 12.4, 12.6"
            ),
            "{gap}"
        );
        assert!(
            gap.ends_with("did you mean pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime?"),
            "{gap}"
        );
        let meant = named.suggestion.unwrap();
        assert_eq!(
            meant.familiar(),
            "pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime"
        );
    }

    #[test]
    fn a_release_that_is_not_known_has_floors_only() {
        let software = software("pytorch/pytorch:2.99.0-cuda13.0-cudnn9-runtime");
        assert_eq!(told(&software.cuda), "13.0 (catalog script)");
        assert_eq!(told(&software.sass), "no build of torch 2.99.0 is known");
    }

    #[test]
    fn arm64_layers_are_cpu_only_as_far_as_established() {
        let old = named_on(
            "pytorch/pytorch:2.9.1-cuda12.8-cudnn9-runtime",
            CpuArchitecture::Arm64,
        )
        .software;
        assert_eq!(told(&old.build), "cpu (catalog script)");
        assert_eq!(told(&old.cuda), "the arm64 layers hold a CPU build");
        let new = named_on(
            "pytorch/pytorch:2.12.1-cuda13.0-cudnn9-runtime",
            CpuArchitecture::Arm64,
        )
        .software;
        assert!(
            told(&new.build).contains("arm64 layers"),
            "{}",
            told(&new.build)
        );
        assert!(
            told(&new.cuda).contains("not established"),
            "{}",
            told(&new.cuda)
        );
    }

    #[test]
    fn nvidia_pytorch_is_read_from_the_table_by_architecture() {
        let amd64 = software("nvcr.io/nvidia/pytorch:25.10-py3");
        assert_eq!(told(&amd64.cuda), "13.0 (catalog observed)");
        assert_eq!(told(&amd64.torch), "2.9.0a0+145a3a7bda (catalog observed)");
        assert_eq!(
            told(&amd64.sass),
            "sm_75 sm_80 sm_86 sm_90 sm_100 sm_120 (catalog observed)"
        );
        assert_eq!(told(&amd64.ptx), "compute_120 (PTX 9.0) (catalog observed)");
        assert_eq!(told(&amd64.compat), "CUDA 13.0 (catalog observed)");
        let arm64 = named_on("nvcr.io/nvidia/pytorch:25.10-py3", CpuArchitecture::Arm64).software;
        assert_eq!(
            told(&arm64.sass),
            "sm_80 sm_86 sm_90 sm_100 sm_110 sm_120 (catalog observed)"
        );
        let unlisted = software("nvcr.io/nvidia/pytorch:24.09-py3");
        assert_eq!(
            told(&unlisted.cuda),
            "what this release of NVIDIA's image holds is not established"
        );
        assert_eq!(
            require_line(&unlisted).as_deref(),
            Some("NVIDIA_REQUIRE_CUDA")
        );
        let jetson = named_on(
            "nvcr.io/nvidia/pytorch:25.10-py3-igpu",
            CpuArchitecture::Arm64,
        )
        .software;
        assert_eq!(jetson.binaries.value(), Some(&Binaries::Tegra));
        assert_eq!(
            &**jetson.platforms.value().unwrap(),
            [CpuArchitecture::Arm64]
        );
    }

    #[test]
    fn a_base_image_has_start_conditions_only() {
        let software = software("nvidia/cuda:12.6.3-cudnn-runtime-ubuntu22.04");
        assert_eq!(software.scope, Scope::StartOnly);
        assert_eq!(told(&software.cuda), "12.6 (catalog script)");
        assert_eq!(told(&software.torch), "a base image holds no torch");
        assert_eq!(
            software.compat.value(),
            Some(&CompatPackage::Present {
                cuda: CudaVersion::new(12, 6),
                driver: None,
                branches: None
            })
        );
        assert!(software.requirements.value().is_some());
    }

    #[test]
    fn families_tell_what_their_names_hold_and_no_kernels() {
        for (name, torch, cuda) in [
            (
                "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.6.0-gpu-py312-cu126-ubuntu22.04-ec2",
                "2.6.0 (catalog doc)",
                "12.6 (catalog doc)",
            ),
            (
                "us-docker.pkg.dev/deeplearning-platform-release/gcr.io/pytorch-cu124.2-4.py310",
                "the name tells torch 2.4, but not which release of it",
                "12.4 (catalog doc)",
            ),
            (
                "mcr.microsoft.com/aifx/acpt/stable-ubuntu2204-cu126-py310-torch280:biweekly.202607.1",
                "2.8.0 (catalog doc)",
                "12.6 (catalog doc)",
            ),
            (
                "lmsysorg/sglang:v0.5.19-cu129",
                "the name does not tell which torch it holds",
                "12.9 (catalog doc)",
            ),
            (
                "vllm/vllm-openai:v0.29.0-cu129-ubuntu2404",
                "the name does not tell which torch it holds",
                "12.9 (catalog doc)",
            ),
            (
                "rayproject/ray:2.9.3-py310-cu118",
                "the name does not tell which torch it holds",
                "11.8 (catalog doc)",
            ),
        ] {
            let software = software(name);
            assert_eq!(told(&software.build), "cuda (catalog doc)", "{name}");
            assert_eq!(told(&software.torch), torch, "{name}");
            assert_eq!(told(&software.cuda), cuda, "{name}");
            assert!(software.sass.known().is_none(), "{name}");
        }
    }

    #[test]
    fn families_that_do_not_tell_their_cuda_say_so() {
        for name in [
            "vllm/vllm-openai:v0.23.0",
            "ghcr.io/huggingface/text-generation-inference:3.3.5",
            "ghcr.io/kubeflow/kubeflow/notebook-servers/jupyter-pytorch-cuda-full:v1.10.0",
            "nvcr.io/nvidia/tritonserver:25.10-py3",
            "ghcr.io/huggingface/text-embeddings-inference:89-1.8",
        ] {
            let software = software(name);
            assert_eq!(told(&software.build), "cuda (catalog doc)", "{name}");
            assert!(software.cuda.known().is_none(), "{name}");
        }
    }

    #[test]
    fn a_major_version_gives_its_least_minor_for_floors_and_a_target_nothing_below_it() {
        let notebook = software("quay.io/jupyter/pytorch-notebook:cuda12-latest");
        assert_eq!(told(&notebook.cuda), "12.0 (catalog doc)");
        assert!(
            notebook
                .cuda
                .known()
                .unwrap()
                .1
                .source
                .contains("12.0 or later")
        );
        let embeddings = software("ghcr.io/huggingface/text-embeddings-inference:89-1.8");
        assert_eq!(told(&embeddings.sass), "sm_89 (catalog doc)");
        assert_eq!(told(&embeddings.ptx), "compute_89 (catalog doc)");
    }

    #[test]
    fn a_toolkit_that_does_not_exist_is_a_gap() {
        let gap = told(&software("nvidia/cuda:12.7.0-base-ubuntu22.04").cuda);
        assert_eq!(
            gap,
            "the name tells CUDA 12.7, of which no toolkit is known"
        );
    }

    #[test]
    fn cpu_and_rocm_families_are_known_as_such() {
        for name in [
            "ghcr.io/kubeflow/kubeflow/notebook-servers/jupyter-pytorch-full:v1.10.0",
            "us-docker.pkg.dev/deeplearning-platform-release/gcr.io/base-cpu.py310",
            "rayproject/ray:2.9.3-py310-cpu",
            "ghcr.io/huggingface/text-embeddings-inference:cpu-1.8",
        ] {
            assert_eq!(told(&software(name).build), "cpu (catalog doc)", "{name}");
        }
        let rocm = software("rocm/pytorch:rocm7.2.4_ubuntu24.04_py3.12_pytorch_release_2.9.1");
        assert_eq!(told(&rocm.build), "rocm (catalog doc)");
        assert_eq!(told(&software("team/app:1.0-cpu").build), "cpu (name doc)");
        assert_eq!(
            told(&software("team/app:1.0-rocm6.2").build),
            "rocm (name doc)"
        );
    }

    #[test]
    fn a_convention_gives_the_cuda_version_at_the_strength_of_a_name() {
        let software = software("your-registry.ai/team-pytorch:2.6-cu124");
        assert_eq!(told(&software.cuda), "12.4 (name doc)");
        assert_eq!(told(&software.build), "cuda (name doc)");
        assert_eq!(
            told(&software.torch),
            "the tag names torch 2.6, but not which release of it"
        );
        assert!(software.sass.known().is_none());
        assert_eq!(
            told(&self::software("team/pytorch:2.6.0-cuda12.1").torch),
            "2.6.0 (name doc)"
        );
        for other in ["team/app:2.6.0-cuda12.1", "pytorch/torchserve:0.9.0-gpu"] {
            let torch = told(&self::software(other).torch);
            assert_eq!(
                torch, "nothing in this name says which torch it holds",
                "{other}"
            );
        }
        assert_eq!(
            told(&self::software("team/app:2.6.0-cuda12.1").torch),
            "nothing in this name says which torch it holds"
        );
    }

    #[test]
    fn a_name_that_tells_nothing_says_so() {
        let named = named("team/app:v1");
        assert_eq!(
            told(&named.software.cuda),
            "nothing in this name says which CUDA it holds"
        );
        assert_eq!(named.family, None);
        assert_eq!(
            told(&software("team/app:cu12").cuda),
            "the tag names CUDA 12, but not which version of it"
        );
        assert_eq!(
            told(&software("team/app:cu118-cu124").cuda),
            "the tag names several CUDA versions"
        );
        assert_eq!(
            told(&software("team/app:cu127").cuda),
            "the tag seems to name CUDA 12.7, of which no toolkit is known"
        );
    }

    #[test]
    fn a_mirror_is_not_taken_for_the_original() {
        let software = software("mirror.corp/pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime");
        assert_eq!(told(&software.cuda), "12.4 (name doc)");
        assert!(software.sass.known().is_none());
        assert!(software.compat.known().is_none());
    }

    #[test]
    fn an_alias_makes_the_facts_attached_and_says_so() {
        let overlay = "[[alias]]\nimage = \"your-registry.ai/team-pytorch:2.6-gpu\"\n\
                       is = \"pytorch/pytorch:2.6.0-cuda11.8-cudnn9-runtime\"\n";
        let catalog = Catalog::with_overlay(overlay.as_bytes()).unwrap();
        let repositories = Repositories::bundled().unwrap();
        let knowledge = Knowledge {
            catalog: &catalog,
            repositories: &repositories,
        };
        let name = "your-registry.ai/team-pytorch:2.6-gpu".parse().unwrap();
        let named = knowledge.named(&name, CpuArchitecture::Amd64).unwrap();
        assert_eq!(
            named.image.familiar(),
            "pytorch/pytorch:2.6.0-cuda11.8-cudnn9-runtime"
        );
        let (_, evidence) = named.software.sass.known().unwrap();
        assert_eq!(
            (evidence.origin, evidence.proof),
            (Origin::Attached, Proof::Observed)
        );
        let path = "alias your-registry.ai/team-pytorch:2.6-gpu -> pytorch/pytorch:2.6.0-cuda11.8-cudnn9-runtime; ";
        assert!(evidence.source.starts_with(path), "{}", evidence.source);
    }

    #[test]
    fn a_declaration_fills_gaps_and_overrides_the_catalog_only_where_allowed() {
        let requires = "cuda=12.6; sm=80,90; ptx=90";
        let (filled, conflicts) = declared(software("team/app:v1"), requires, Override::Refused);
        assert_eq!(told(&filled.cuda), "12.6 (declared doc)");
        assert_eq!(told(&filled.sass), "sm_80 sm_90 (declared doc)");
        assert_eq!(told(&filled.ptx), "compute_90 (PTX 8.5) (declared doc)");
        assert_eq!(told(&filled.build), "cuda (declared doc)");
        assert!(conflicts.is_empty());

        let known = software("pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime");
        let (kept, conflicts) = declared(known.clone(), requires, Override::Refused);
        assert_eq!(told(&kept.cuda), "12.4 (catalog script)");
        assert_eq!(conflicts.len(), 3);
        let (overridden, conflicts) = declared(known, requires, Override::Allowed);
        assert_eq!(told(&overridden.cuda), "12.6 (declared doc)");
        assert_eq!(told(&overridden.sass), "sm_80 sm_90 (declared doc)");
        assert_eq!(conflicts.len(), 3);
        assert_eq!(conflicts[0].second.0, "12.4");
        assert_eq!(conflicts[0].winner, Winner::First);
    }

    #[test]
    fn a_declaration_outweighs_a_name_and_yields_to_what_was_attached() {
        let requires = "cuda=12.6";
        let (software, conflicts) =
            declared(software("team/app:cu124"), requires, Override::Refused);
        assert_eq!(told(&software.cuda), "12.6 (declared doc)");
        assert_eq!(conflicts.len(), 1);
        let mut attached = self::software("pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime");
        raise(&mut attached.cuda, "");
        let (attached, _) = declared(attached, requires, Override::Allowed);
        assert_eq!(told(&attached.cuda), "12.4 (attached script)");
    }

    proptest! {
        #[test]
        fn never_panics_on_any_tag_of_a_known_family(
            repository in prop::sample::select(vec![
                "pytorch/pytorch", "nvcr.io/nvidia/pytorch", "nvidia/cuda", "vllm/vllm-openai", "team/torch",
            ]),
            tag in "[a-z0-9][a-z0-9.-]{0,30}|[0-9]\\.[0-9]{1,2}\\.[0-9]-cuda1[0-9]\\.[0-9]-cudnn[89]-(runtime|devel)",
        ) {
            for architecture in CpuArchitecture::ALL {
                let _ = named_on(&format!("{repository}:{tag}"), *architecture);
            }
        }
    }
}
