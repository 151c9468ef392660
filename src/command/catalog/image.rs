//! Images that are known by name: what a name tells, and NVIDIA's `PyTorch` images one by one.
//!
//! Without a filter a person gets the families; with one, and for programs always, each form of tag.

use serde::Serialize;

use super::row::{self, Column, Row, column, wide};
use super::{Request, Shown, Unusable};
use crate::cli::CatalogOutput;
use crate::compat::TargetList;
use crate::compat::catalog::NgcImage;
use crate::image::reference::Reference;
use crate::image::repositories::{Family, FoundTag, Kernels, Presence, Repositories, TagRule};

/// Repositories whose tags follow the same rules.
#[derive(Debug, Serialize)]
struct FamilyRow {
    family: String,
    repositories: Vec<String>,
    tags: usize,
}

/// A form of tag, or one tag.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImageRow {
    family: String,
    repositories: Vec<String>,
    tag: String,
    holds: String,
    gpu_code: String,
    cuda_compat: Option<&'static str>,
    not_known: Option<String>,
    note: Option<String>,
    proof: &'static str,
    source: String,
}

/// What a filter that is the name of an image picks.
enum Picked<'a> {
    /// All of a family.
    Family(&'a Family),
    /// One form of its tags.
    Tag(&'a TagRule, String),
    /// No known image: the filter's words are looked for instead.
    Words,
}

/// The families, or what the filter picks of them.
pub(super) fn show(request: &Request<'_>) -> anyhow::Result<Shown> {
    match request.output {
        CatalogOutput::Table | CatalogOutput::Wide | CatalogOutput::Name
            if request.filter.is_empty() =>
        {
            let repositories = Repositories::bundled().map_err(Unusable::from)?;
            let families = repositories.families().iter();
            let rows = families.map(|family| FamilyRow::of(request, family));
            request.listing("image", &rows.collect::<Vec<_>>())
        }
        CatalogOutput::Table
        | CatalogOutput::Wide
        | CatalogOutput::Json
        | CatalogOutput::Yaml
        | CatalogOutput::Name => request.listing("image", &rows(request)?),
    }
}

/// The forms of tags, and the single images, that the filter picks: by the name of an image, else by words that
/// family, repository or tag must have.
fn rows(request: &Request<'_>) -> Result<Vec<ImageRow>, Unusable> {
    let repositories = Repositories::bundled()?;
    let picked = picked(&repositories, &request.filter_text())?;
    let images = request.catalog.ngc_images();
    let mut rows = Vec::new();
    for family in repositories.families() {
        let whole = matches!(picked, Picked::Family(one) if std::ptr::eq(one, family));
        for rule in family.rules() {
            let row = ImageRow::of_rule(family, rule);
            let chosen = match &picked {
                Picked::Family(_) => whole,
                Picked::Tag(one, _) => std::ptr::eq(*one, rule),
                Picked::Words => row.has_all(request.filter),
            };
            rows.extend(chosen.then_some(row));
            if rule.kernels == Kernels::Listed {
                let listed = images.iter().map(|image| ImageRow::of_image(family, image));
                rows.extend(listed.filter(|row| match &picked {
                    Picked::Family(_) => whole,
                    Picked::Tag(_, tag) => row.tag == *tag,
                    Picked::Words => row.has_all(request.filter),
                }));
            }
        }
    }
    Ok(rows)
}

fn picked<'a>(repositories: &'a Repositories, name: &str) -> Result<Picked<'a>, Unusable> {
    let reference: Option<Reference> = name.parse().ok();
    let found = reference
        .as_ref()
        .and_then(|reference| Some((reference, repositories.find(reference)?)));
    let Some((reference, found)) = found else {
        return Ok(Picked::Words);
    };
    let written = reference
        .tag()
        .filter(|tag| name.ends_with(&format!(":{}", tag.as_str())));
    let Some(tag) = written else {
        return Ok(Picked::Family(found.family));
    };
    match found.tag {
        FoundTag::Rule(rule) => Ok(Picked::Tag(rule, tag.as_str().to_owned())),
        FoundTag::Other => Ok(Picked::Words),
        FoundTag::Impossible { suggestion, reason } => Err(Unusable::Tag {
            name: name.to_owned(),
            reason: reason.to_owned(),
            suggestion,
        }),
    }
}

impl Row for FamilyRow {
    const COLUMNS: &'static [Column] = &[column("FAMILY"), column("REPOSITORIES"), wide("TAGS")];

    fn name(&self) -> String {
        self.family.clone()
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.name(),
            self.repositories.join(" "),
            self.tags.to_string(),
        ]
    }
}

impl FamilyRow {
    fn of(request: &Request<'_>, family: &Family) -> Self {
        let forms = family.rules().iter();
        let listed = forms.clone().any(|rule| rule.kernels == Kernels::Listed);
        let images = if listed {
            request.catalog.ngc_images().len()
        } else {
            0
        };
        Self {
            family: family.name.clone(),
            repositories: family.repositories().map(ToString::to_string).collect(),
            tags: forms.len() + images,
        }
    }
}

impl Row for ImageRow {
    const COLUMNS: &'static [Column] = &[
        column("TAG"),
        column("HOLDS"),
        column("GPU CODE"),
        column("FAMILY"),
        wide("PROOF"),
        wide("REPOSITORIES"),
        wide("CUDA-COMPAT"),
        wide("NOT KNOWN"),
        wide("NOTE"),
        wide("SOURCE"),
    ];

    fn name(&self) -> String {
        self.family.clone()
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.tag.clone(),
            self.holds.clone(),
            self.gpu_code.clone(),
            self.family.clone(),
            self.proof.to_owned(),
            self.repositories.join(" "),
            row::or_dash(self.cuda_compat),
            row::or_dash(self.not_known.as_ref()),
            row::or_dash(self.note.as_ref()),
            self.source.clone(),
        ]
    }
}

impl ImageRow {
    fn of_rule(family: &Family, rule: &TagRule) -> Self {
        let compat = rule.compat.map(|presence| match presence {
            Presence::Present => "present",
            Presence::Absent => "absent",
        });
        let code = match rule.kernels {
            Kernels::Published => "that of the published torch build",
            Kernels::Listed => "by tag, see below",
            Kernels::Own => "not known by name",
            Kernels::Base => "none, a base image",
        };
        Self {
            tag: rule.pattern().to_string(),
            holds: rule.build.word().to_owned(),
            gpu_code: rule
                .built_for
                .map_or_else(|| code.to_owned(), |target| target.to_string()),
            cuda_compat: compat,
            not_known: rule.gap.clone(),
            note: None,
            proof: rule.proof.word(),
            source: rule.source.clone(),
            ..Self::of_family(family)
        }
    }

    fn of_image(family: &Family, image: &NgcImage) -> Self {
        let torch = image
            .torch
            .as_ref()
            .map(|torch| format!("torch {}", torch.without_local()));
        let cuda = image.cuda.map(|cuda| format!("CUDA {cuda}"));
        let holds: Vec<String> = torch.into_iter().chain(cuda).collect();
        let lowest = image.lowest.map(|lowest| format!("from {lowest}"));
        let code = code("amd64", image.sass_amd64.as_ref(), image.ptx_amd64.as_ref())
            .into_iter()
            .chain(code(
                "arm64",
                image.sass_arm64.as_ref(),
                image.ptx_arm64.as_ref(),
            ));
        let code = code.collect::<Vec<_>>().join("; ");
        Self {
            tag: image.tag.to_string(),
            holds: row::or_dash((!holds.is_empty()).then(|| holds.join(", "))),
            gpu_code: row::or_dash(Some(code).filter(|code| !code.is_empty()).or(lowest)),
            cuda_compat: None,
            not_known: None,
            note: image.note.as_deref().map(str::to_owned),
            proof: image.proof.word(),
            source: image.source.to_string(),
            ..Self::of_family(family)
        }
    }

    /// A row of that family without anything about its tag.
    fn of_family(family: &Family) -> Self {
        Self {
            family: family.name.clone(),
            repositories: family.repositories().map(ToString::to_string).collect(),
            tag: String::new(),
            holds: String::new(),
            gpu_code: String::new(),
            cuda_compat: None,
            not_known: None,
            note: None,
            proof: "",
            source: String::new(),
        }
    }

    fn has_all(&self, words: &[String]) -> bool {
        let texts = || {
            self.repositories
                .iter()
                .chain([&self.family, &self.tag, &self.holds])
        };
        words.iter().all(|word| {
            let lower = word.to_ascii_lowercase();
            texts().any(|text| text.to_ascii_lowercase().contains(&lower))
        })
    }
}

fn code(arch: &str, sass: Option<&TargetList>, ptx: Option<&TargetList>) -> Option<String> {
    let sass = row::capabilities(sass?);
    let ptx = ptx
        .filter(|ptx| !ptx.is_empty())
        .map(|ptx| format!(" + PTX {}", row::capabilities(ptx)));
    Some(format!("{arch}: {sass}{}", ptx.unwrap_or_default()))
}
