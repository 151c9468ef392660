//! What a host offers to GPU software: one class of equal GPUs with their driver and runtime.
//!
//! Knows nothing of how these facts are read (NVML, node labels, a person's word). Every field may be
//! unknown; a rule that needs an unknown field answers `unknown`.

use std::fmt;
use std::str::FromStr;

use super::catalog::{Catalog, Gpu};
use super::target::ComputeCapability;
use super::version::{CudaVersion, DriverVersion, as_text_in_data};

/// A word that is none of the words of a closed list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {kind} (expected {expected})")]
pub struct WordError {
    /// What was expected, for example `runtime mode`.
    pub kind: &'static str,
    /// The words that would have been understood.
    pub expected: &'static str,
    /// The word as given, cut to 64 characters.
    pub text: String,
}

impl WordError {
    pub(super) fn new(kind: &'static str, expected: &'static str, text: &str) -> Self {
        Self {
            kind,
            expected,
            text: text.chars().take(64).collect(),
        }
    }
}

/// Declares an enum that has one word per variant, with `FromStr` and `Display`.
macro_rules! word_enum {
    ($(#[$outer:meta])* $name:ident, $kind:literal { $($(#[$inner:meta])* $variant:ident = $word:literal $(| $other:literal)*),+ $(,)? }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$inner])* $variant),+ }

        impl $name {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word that stands for it in data and in text.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::compat::host::WordError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word $(| $other)* => Ok(Self::$variant),)+
                    _ => Err($crate::compat::host::WordError::new($kind, concat!($($word, " "),+), text)),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.pad(self.word())
            }
        }

        $crate::compat::version::as_text_in_data!($name);
    };
}
pub(super) use word_enum;

word_enum! {
    /// What market a GPU was made for; NVIDIA's forward compatibility depends on it.
    GpuClass, "GPU class" {
        /// Tesla, A100, H100, L4 and their like.
        DataCentre = "data-centre",
        /// Quadro and RTX professional boards, desktop and laptop.
        Workstation = "workstation",
        /// `GeForce` and Titan.
        Consumer = "consumer",
        /// Jetson.
        Embedded = "embedded",
    }
}

word_enum! {
    /// How a GPU is built in.
    Platform, "platform" {
        /// A discrete GPU (or one that behaves like it) with the ordinary driver.
        Dgpu = "dgpu",
        /// The integrated GPU of a Tegra chip, with the driver of Linux for Tegra.
        Tegra = "tegra",
    }
}

word_enum! {
    /// Architecture of a host's processors, by the name that container images use.
    CpuArchitecture, "CPU architecture" {
        /// x86-64.
        Amd64 = "amd64" | "x86_64",
        /// 64-bit Arm.
        Arm64 = "arm64" | "aarch64",
        /// 64-bit POWER, little-endian.
        Ppc64le = "ppc64le",
    }
}

word_enum! {
    /// How the container runtime of a host gives GPUs to containers. Only legacy mode evaluates
    /// `NVIDIA_REQUIRE_*` (NVIDIA container toolkit 1.20.0; toolkit issue 1470).
    RuntimeMode, "runtime mode" {
        /// The prestart hook with nvidia-container-cli.
        Legacy = "legacy",
        /// The container device interface, written or made just in time.
        Cdi = "cdi",
        /// The default runtime gives none: a Pod has to name a RuntimeClass.
        Absent = "none",
    }
}

/// Brand of a GPU as the driver reports it, in the form that `NVIDIA_REQUIRE_*` lines use: lower case, no
/// spaces (`tesla`, `nvidia`, `geforce`, `quadrortx`; NVML's enumeration `nvmlBrandType_t`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Brand(Box<str>);

impl Brand {
    /// The brand's word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Brand {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        let word: String = text
            .chars()
            .filter(|letter| !letter.is_whitespace())
            .take(65)
            .collect();
        let legal = !word.is_empty()
            && word.len() <= 64
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if legal {
            Ok(Self(word.to_ascii_lowercase().into()))
        } else {
            Err(WordError::new(
                "GPU brand",
                "letters and digits, like tesla or nvidiartx",
                text,
            ))
        }
    }
}

impl fmt::Display for Brand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

as_text_in_data!(Brand);

/// One class of equal GPUs and what surrounds them. `None` anywhere means "not known".
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Host {
    /// Product name, as NVML prints it or as a person wrote it; for messages only.
    pub product: Option<Box<str>>,
    /// What the GPU can execute.
    pub capability: Option<ComputeCapability>,
    /// What market it is for.
    pub class: Option<GpuClass>,
    /// Brands of which it has one, for `NVIDIA_REQUIRE_*`: one if known, none if nothing is known.
    pub brands: Vec<Brand>,
    /// Discrete or Tegra; where unknown, the capability tells.
    pub platform: Option<Platform>,
    /// The driver, on Tegra that of Linux for Tegra.
    pub driver: Option<DriverVersion>,
    /// The CUDA version that the driver says it offers; where unknown, the driver's branch tells (not on Tegra).
    pub cuda: Option<CudaVersion>,
    /// Architecture of the host's processors.
    pub architecture: Option<CpuArchitecture>,
    /// How its container runtime gives GPUs.
    pub runtime: Option<RuntimeMode>,
}

impl Host {
    /// A host of which only the GPU is known.
    #[must_use]
    pub fn of_gpu(gpu: &Gpu) -> Self {
        Self {
            product: Some(gpu.name.clone()),
            capability: Some(gpu.capability),
            class: gpu.class,
            brands: gpu.brands.clone(),
            platform: Some(gpu.platform),
            ..Self::default()
        }
    }

    /// A host of which only the capability is known.
    #[must_use]
    pub fn of_capability(capability: ComputeCapability) -> Self {
        Self {
            capability: Some(capability),
            ..Self::default()
        }
    }

    /// The same host with the newest driver that drives its GPU, if no driver was told; on a chip that only Linux
    /// for Tegra drives, with the newest CUDA version that compiles for it.
    #[must_use]
    pub fn assuming_newest(self, catalog: &Catalog) -> Self {
        let Some(capability) = self
            .capability
            .filter(|_| self.driver.is_none() && self.cuda.is_none())
        else {
            return self;
        };
        match catalog.newest_driver(capability) {
            Some(driver) => self.with_driver(driver),
            None => Self {
                cuda: catalog.newest_toolkit_for(capability),
                ..self
            },
        }
    }

    /// The same host with that driver.
    #[must_use]
    pub fn with_driver(self, driver: DriverVersion) -> Self {
        Self {
            driver: Some(driver),
            ..self
        }
    }

    /// The same host with that CPU architecture.
    #[must_use]
    pub fn with_architecture(self, architecture: CpuArchitecture) -> Self {
        Self {
            architecture: Some(architecture),
            ..self
        }
    }

    /// The same host with that way of giving GPUs to containers.
    #[must_use]
    pub fn with_runtime(self, runtime: RuntimeMode) -> Self {
        Self {
            runtime: Some(runtime),
            ..self
        }
    }
}
