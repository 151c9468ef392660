//! The hosts that a check is about: GPU names, a driver and the rest become [`Host`]s, one for each name.

use crate::cli::{CheckArguments, GpuName};
use crate::compat::catalog::{Catalog, Gpu, GpuLookup};
use crate::compat::{ComputeCapability, CpuArchitecture, DottedVersion, Host, Platform};

/// Most GPUs in one check.
const MOST_GPUS: usize = 64;
/// Modules with an Arm processor on board, as their names say (NVIDIA Grace and DGX Spark data sheets).
const WITH_ARM: [&str; 4] = ["gh200", "gb200", "gb300", "gb10"];
/// Most names that an error offers.
const OFFERED: usize = 8;

/// A host, and what about it was not told but assumed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AskedHost {
    /// The host.
    pub(super) host: Host,
    /// Whether its driver (on a Jetson: its CUDA) was assumed.
    pub(super) assumed: bool,
}

/// Why GPUs cannot be judged as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// No such GPU.
    #[error("--gpu {name:?} is not known{} For one that is not listed, add --compute-capability X.Y", question(.nearest))]
    Unknown {
        /// As given.
        name: String,
        /// Names that are written alike.
        nearest: Vec<String>,
    },
    /// Several GPUs of that name.
    #[error("--gpu {name:?} stands for several GPUs: write one of {}, or add --compute-capability", .candidates.join(", "))]
    Ambiguous {
        /// As given.
        name: String,
        /// The GPUs, with their capabilities.
        candidates: Vec<String>,
    },
    /// A capability that the GPU does not have.
    #[error(
        "--compute-capability {told} does not fit --gpu {name:?}, which is {gpu} with {is}: leave one of them out"
    )]
    Differs {
        /// As given.
        name: String,
        /// The GPU.
        gpu: String,
        /// Its capability.
        is: ComputeCapability,
        /// The one that was told.
        told: ComputeCapability,
    },
    /// A `JetPack` version without a Jetson.
    #[error("--jetpack {jetpack} is for a Jetson, and none of the GPUs is one: use --driver")]
    NoJetson {
        /// As given.
        jetpack: DottedVersion,
    },
    /// Too many GPUs.
    #[error("--gpu has {0} names (at most {MOST_GPUS}): check them in several runs")]
    TooMany(usize),
}

/// The hosts that were asked about, in the order of their names.
pub(super) fn hosts(
    arguments: &CheckArguments,
    catalog: &Catalog,
) -> Result<Vec<AskedHost>, HostError> {
    if arguments.gpu.len() > MOST_GPUS {
        return Err(HostError::TooMany(arguments.gpu.len()));
    }
    let gpus = match arguments.compute_capability {
        Some(capability) if arguments.gpu.is_empty() => vec![Host::of_capability(capability)],
        Some(_) | None => named(arguments, catalog)?,
    };
    check_platforms(&gpus, arguments, catalog)?;
    let complete = |gpu| completed(gpu, arguments, catalog);
    Ok(gpus.into_iter().map(complete).collect())
}

fn named(arguments: &CheckArguments, catalog: &Catalog) -> Result<Vec<Host>, HostError> {
    let mut names: Vec<&GpuName> = Vec::new();
    for name in &arguments.gpu {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let capability = arguments.compute_capability;
    names
        .into_iter()
        .map(|name| gpu(name, capability, catalog))
        .collect()
}

fn gpu(
    name: &GpuName,
    capability: Option<ComputeCapability>,
    catalog: &Catalog,
) -> Result<Host, HostError> {
    let text = name.as_str().to_owned();
    match (catalog.find_gpu(name.as_str()), capability) {
        (GpuLookup::Found(gpu), Some(told)) if told != gpu.capability => Err(HostError::Differs {
            name: text,
            gpu: gpu.name.to_string(),
            is: gpu.capability,
            told,
        }),
        (GpuLookup::Found(gpu), _) => Ok(Host::of_gpu(gpu)),
        (GpuLookup::Ambiguous(gpus), Some(told)) => Ok(narrowed(&text, &gpus, told)),
        (GpuLookup::Ambiguous(gpus), None) => Err(HostError::Ambiguous {
            name: text,
            candidates: gpus
                .iter()
                .take(OFFERED)
                .map(|gpu| described(gpu))
                .collect(),
        }),
        (GpuLookup::Unknown(_), Some(told)) => Ok(unlisted(&text, told)),
        (GpuLookup::Unknown(nearest), None) => Err(HostError::Unknown {
            name: text,
            nearest: nearest.iter().map(|gpu| gpu.name.to_string()).collect(),
        }),
    }
}

/// The only one of several GPUs with that capability, else whatever has it.
fn narrowed(name: &str, gpus: &[&Gpu], told: ComputeCapability) -> Host {
    let mut fitting = gpus.iter().filter(|gpu| gpu.capability == told);
    match (fitting.next(), fitting.next()) {
        (Some(gpu), None) => Host::of_gpu(gpu),
        (Some(_) | None, Some(_) | None) => unlisted(name, told),
    }
}

fn unlisted(name: &str, capability: ComputeCapability) -> Host {
    Host {
        product: Some(name.into()),
        ..Host::of_capability(capability)
    }
}

fn described(gpu: &Gpu) -> String {
    format!("{:?} ({})", gpu.name, gpu.capability.sm())
}

fn question(nearest: &[String]) -> String {
    if nearest.is_empty() {
        return ".".to_owned();
    }
    let names: Vec<String> = nearest.iter().map(|name| format!("{name:?}")).collect();
    format!(": did you mean {}?", names.join(" or "))
}

/// A `JetPack` needs a Jetson.
fn check_platforms(
    gpus: &[Host],
    arguments: &CheckArguments,
    catalog: &Catalog,
) -> Result<(), HostError> {
    let jetsons = gpus.iter().filter(|gpu| is_jetson(gpu, catalog)).count();
    match arguments.jetpack {
        Some(jetpack) if jetsons == 0 => Err(HostError::NoJetson { jetpack }),
        Some(_) | None => Ok(()),
    }
}

/// Whether the GPU has the driver of Linux for Tegra and not the ordinary one.
pub(super) fn is_jetson(host: &Host, catalog: &Catalog) -> bool {
    match host
        .capability
        .and_then(|capability| catalog.chip(capability))
    {
        Some(chip) => chip.first_driver.is_none(),
        None => host.platform == Some(Platform::Tegra),
    }
}

fn completed(gpu: Host, arguments: &CheckArguments, catalog: &Catalog) -> AskedHost {
    let jetson = is_jetson(&gpu, catalog);
    let architecture = arguments
        .arch
        .unwrap_or_else(|| usual_architecture(&gpu, catalog));
    let host = Host {
        architecture: Some(architecture),
        runtime: arguments.runtime,
        driver: arguments.driver.filter(|_| !jetson),
        ..gpu
    };
    let told = if jetson {
        arguments.jetpack.is_some()
    } else {
        arguments.driver.is_some()
    };
    if told {
        return AskedHost {
            host,
            assumed: false,
        };
    }
    AskedHost {
        host: host.assuming_newest(catalog),
        assumed: true,
    }
}

/// arm64 where the GPU sits on one board with an Arm processor, else amd64.
fn usual_architecture(gpu: &Host, catalog: &Catalog) -> CpuArchitecture {
    let tegra = gpu.platform == Some(Platform::Tegra) || is_jetson(gpu, catalog);
    let name = gpu
        .product
        .as_deref()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let mut words = name.split(|letter: char| !letter.is_ascii_alphanumeric());
    if tegra || words.any(|word| WITH_ARM.contains(&word)) {
        CpuArchitecture::Arm64
    } else {
        CpuArchitecture::Amd64
    }
}
