//! What the conventions of a tag say, as facts of strength `name`.

use super::{NOTHING, Said};
use crate::compat::{BuildKind, Catalog, CudaVersion, Evidence, Fact, Origin, Proof, TorchVersion};
use crate::image::reference::Reference;
use crate::image::tag::{BuildName, Claim, CudaName, TagClaims, TorchName};

/// The claims of an image's tag, checked against the knowledge base: a toolkit that is not known is a gap.
pub(super) fn said(claims: &TagClaims, image: &Reference, catalog: &Catalog) -> Said {
    let tag = image.tag().map_or("", |tag| tag.as_str());
    let by_name = Evidence::new(
        Origin::Name,
        Proof::Doc,
        format!("tag {tag} (a naming convention)"),
    );
    Said {
        build: build(claims.build, &by_name),
        torch: torch(claims, image, &by_name),
        cuda: cuda(claims, catalog, &by_name),
    }
}

fn build(claim: Claim<BuildName>, by_name: &Evidence) -> Fact<BuildKind> {
    let kind = match claim {
        Claim::Silent => return Fact::gap("nothing in this name says for whose GPUs it is built"),
        Claim::Contradicts => return Fact::gap("the tag names several kinds of hardware"),
        Claim::Says(BuildName::Cpu) => BuildKind::CpuOnly,
        Claim::Says(BuildName::Cuda) => BuildKind::Cuda,
        Claim::Says(BuildName::Rocm) => BuildKind::Rocm,
        Claim::Says(BuildName::Xpu) => BuildKind::Xpu,
    };
    Fact::Known(kind, by_name.clone())
}

/// A torch version counts only with all three numbers, and a bare leading one only where the repository is torch's.
fn torch(claims: &TagClaims, image: &Reference, by_name: &Evidence) -> Fact<TorchVersion> {
    let leading = claims
        .leading
        .filter(|_| is_torch(image.repository().last()));
    let exact = |name: TorchName| Some(TorchVersion::release(name.major, name.minor, name.patch?));
    match (claims.torch, leading) {
        (Claim::Contradicts, _) => Fact::gap("the tag names several torch versions"),
        (Claim::Says(name), _) | (Claim::Silent, Some(name)) => exact(name).map_or_else(
            || {
                Fact::gap(format!(
                    "the tag names torch {name}, but not which release of it"
                ))
            },
            |version| Fact::Known(version, by_name.clone()),
        ),
        (Claim::Silent, None) => Fact::gap("nothing in this name says which torch it holds"),
    }
}

/// `team-pytorch` and `torch`, and not `torchserve`, whose versions are its own.
fn is_torch(repository: &str) -> bool {
    repository
        .split(['-', '_', '.'])
        .any(|word| matches!(word, "torch" | "pytorch"))
}

fn cuda(claims: &TagClaims, catalog: &Catalog, by_name: &Evidence) -> Fact<CudaVersion> {
    match claims.cuda {
        Claim::Contradicts => Fact::gap("the tag names several CUDA versions"),
        Claim::Says(CudaName {
            major, minor: None, ..
        }) => Fact::gap(format!(
            "the tag names CUDA {major}, but not which version of it"
        )),
        Claim::Says(CudaName {
            major,
            minor: Some(minor),
            ..
        }) => known(CudaVersion::new(major, minor), catalog, by_name),
        Claim::Silent => silent(claims.build),
    }
}

fn known(cuda: CudaVersion, catalog: &Catalog, by_name: &Evidence) -> Fact<CudaVersion> {
    if catalog.toolkit(cuda).is_some() {
        return Fact::Known(cuda, by_name.clone());
    }
    Fact::gap(format!(
        "the tag seems to name CUDA {cuda}, of which no toolkit is known"
    ))
}

fn silent(build: Claim<BuildName>) -> Fact<CudaVersion> {
    match build {
        Claim::Says(BuildName::Cpu) => Fact::gap("the tag names a CPU build"),
        Claim::Says(BuildName::Rocm) => Fact::gap("the tag names a ROCm build"),
        Claim::Says(BuildName::Xpu) => Fact::gap("the tag names a build for Intel GPUs"),
        Claim::Says(BuildName::Cuda) | Claim::Silent | Claim::Contradicts => Fact::gap(NOTHING),
    }
}
