//! What a container holds: its image by name, what its author declares, and what the Pod changes about both.
//!
//! Pure. Knows neither nodes nor verdicts.

use crate::cluster::demand::{ContainerDemand, Environment, Setting};
use crate::compat::require::Requirements;
use crate::compat::{CpuArchitecture, Evidence, Fact, Origin, Proof, Software};
use crate::image::evidence::{Conflict, Knowledge, Named, Override};
use crate::image::reference::Reference;
use crate::image::requires::{Requires, RequiresError};

/// The variable that switches all start conditions off.
const DISABLE: &str = "NVIDIA_DISABLE_REQUIRE";

/// The software of a container on one CPU architecture, and what is worth saying about how it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Contents {
    /// The software.
    pub software: Software,
    /// The image that was judged, where an alias led to another.
    pub image: Option<Reference>,
    /// The image that was probably meant.
    pub suggestion: Option<Reference>,
    /// Facts about which two sources disagreed.
    pub conflicts: Vec<Conflict>,
}

impl Contents {
    /// Software of which nothing is known, for that reason.
    #[must_use]
    pub fn unknown(reason: &str) -> Self {
        Self::of_software(Software::unknown(reason))
    }

    /// That software, and nothing to say about it.
    #[must_use]
    pub const fn of_software(software: Software) -> Self {
        Self {
            software,
            image: None,
            suggestion: None,
            conflicts: Vec::new(),
        }
    }

    /// What was found by an image's name.
    #[must_use]
    pub fn of_image(named: Named, asked: &Reference) -> Self {
        Self {
            software: named.software,
            image: Some(named.image).filter(|image| image != asked),
            suggestion: named.suggestion,
            conflicts: named.conflicts,
        }
    }

    /// The same with its author's declaration.
    #[must_use]
    pub fn declared(
        mut self,
        requires: &Requires,
        permission: Override,
        knowledge: Knowledge<'_>,
    ) -> Self {
        let (software, conflicts) = knowledge.declared(self.software, requires, permission);
        self.software = software;
        self.conflicts.extend(conflicts);
        self
    }

    /// The same with the start conditions that the Pod sets.
    fn conditioned(mut self, environment: &Environment) -> Self {
        self.software.requirements = conditions(self.software.requirements, environment);
        self
    }
}

/// What a container holds. A declaration that cannot be read says nothing; [`declaration`] tells what is wrong with it.
#[must_use]
pub fn of_container(
    container: &ContainerDemand,
    architecture: CpuArchitecture,
    knowledge: Knowledge<'_>,
    permission: Override,
) -> Contents {
    let contents = named(container, architecture, knowledge);
    let contents = contents.conditioned(&container.environment);
    match declaration(container) {
        Some(Ok(requires)) => contents.declared(&requires, permission, knowledge),
        Some(Err(_)) | None => contents,
    }
}

/// What the author declares of a container's image, if anything.
#[must_use]
pub fn declaration(container: &ContainerDemand) -> Option<Result<Requires, RequiresError>> {
    container.requires.as_deref().map(str::parse)
}

fn named(
    container: &ContainerDemand,
    architecture: CpuArchitecture,
    knowledge: Knowledge<'_>,
) -> Contents {
    if let Some(change) = &container.changed {
        return Contents::unknown(&change.to_string());
    }
    let Some(image) = &container.image else {
        return Contents::unknown("it names no image");
    };
    let Ok(image) = image.parse::<Reference>() else {
        return Contents::unknown("the image's name cannot be read");
    };
    match knowledge.named(&image, architecture) {
        Ok(named) => Contents::of_image(named, &image),
        Err(error) => Contents::unknown(&error.to_string()),
    }
}

/// The image's start conditions with those of the Pod, whose variables go before the image's.
fn conditions(of_image: Fact<Requirements>, environment: &Environment) -> Fact<Requirements> {
    let elsewhere = |name| environment.get(name) == Setting::Elsewhere;
    if elsewhere(DISABLE) || elsewhere("NVIDIA_REQUIRE_CUDA") {
        return Fact::gap("its start conditions may be set from elsewhere");
    }
    if environment.texts().next().is_none() {
        return of_image;
    }
    let word = Evidence::new(Origin::Declared, Proof::Doc, "the container's env");
    let base = of_image.value().cloned().unwrap_or_default();
    match base.overlaid(environment.texts()) {
        Ok(conditions) if conditions == base => of_image,
        Ok(conditions) => Fact::Known(conditions, word),
        Err(error) => Fact::gap(error.to_string()),
    }
}
