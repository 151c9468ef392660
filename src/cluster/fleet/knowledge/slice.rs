//! Devices that NVIDIA's driver for dynamic resource allocation publishes, node by node.
//!
//! Pure. Attributes: facts of dra-driver-nvidia-gpu; pools and generations: resource.k8s.io/v1 `ResourcePool`. What a
//! selector in CEL picks is read only in the form that NVIDIA's own classes have; any other picks "some of them".

use std::collections::{BTreeMap, BTreeSet, HashMap};

use k8s_openapi::api::resource::v1::{Device, DeviceAttribute, DeviceClass, ResourceSlice};

use super::super::roster::{Change, put};
use super::model::Models;
use super::{Doubt, Group, Knowledge, Serves};
use crate::compat::{ComputeCapability, CpuArchitecture, CudaVersion, DriverVersion, Host};

/// The driver whose devices are GPUs.
const DRIVER: &str = "gpu.nvidia.com";
/// Beginning of the resource by which every class can be asked for (KEP 5004).
const IMPLICIT: &str = "deviceclass.resource.kubernetes.io/";

/// What matters of a ResourceSlice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceObject {
    name: String,
    pool: String,
    generation: i64,
    pool_slices: i64,
    node: String,
    devices: Vec<SliceDevice>,
}

/// One device: what it is given out as, and what it is, if its attributes tell.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SliceDevice {
    serves: Serves,
    host: Option<Host>,
}

/// What matters of a DeviceClass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceClassObject {
    pub(in super::super) name: String,
    pub(in super::super) resource: Option<String>,
    pub(in super::super) picks: Picks,
}

/// Which devices a class picks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::cluster) enum Picks {
    /// Whole GPUs.
    Gpus,
    /// MIG devices.
    Migs,
    /// Some of NVIDIA's, by a selector that is not read.
    Some,
}

impl SliceObject {
    /// The driver whose slices are read.
    pub const DRIVER: &str = DRIVER;

    /// A slice of NVIDIA's GPU driver that belongs to one node; `None` for any other.
    #[must_use]
    pub fn read(slice: ResourceSlice) -> Option<Self> {
        let spec = slice.spec;
        if spec.driver != DRIVER {
            return None;
        }
        let devices = spec.devices.into_iter().flatten();
        Some(Self {
            name: slice.metadata.name?,
            pool: spec.pool.name,
            generation: spec.pool.generation,
            pool_slices: spec.pool.resource_slice_count,
            node: spec.node_name.filter(|name| !name.is_empty())?,
            devices: devices
                .filter_map(|device| SliceDevice::read(&device))
                .collect(),
        })
    }

    /// The slice's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl SliceDevice {
    /// A device that runs CUDA; devices passed through to virtual machines are none.
    fn read(device: &Device) -> Option<Self> {
        let empty = BTreeMap::new();
        let attributes = Attributes(device.attributes.as_ref().unwrap_or(&empty));
        let serves = match attributes.text("type") {
            Some("gpu") | None => Serves::Whole,
            Some("mig") => Serves::Mig(attributes.text("profile").unwrap_or_default().into()),
            Some(_) => return None,
        };
        Some(Self {
            serves,
            host: attributes.host(),
        })
    }
}

struct Attributes<'a>(&'a BTreeMap<String, DeviceAttribute>);

impl<'a> Attributes<'a> {
    fn get(&self, name: &str) -> Option<&'a DeviceAttribute> {
        self.0
            .get(name)
            .or_else(|| self.0.get(&format!("{DRIVER}/{name}")))
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.get(name)?.string.as_deref()
    }

    /// The numbers of a semantic version, without what may follow them.
    fn numbers(&self, name: &str) -> Option<Vec<u32>> {
        let version = self.get(name)?.version.as_deref()?;
        let plain = version.split(['-', '+']).next()?;
        plain.split('.').map(|part| part.parse().ok()).collect()
    }

    fn capability(&self) -> Option<ComputeCapability> {
        match *self.numbers("cudaComputeCapability")?.as_slice() {
            [major, minor, ..] => {
                ComputeCapability::new(major.try_into().ok()?, minor.try_into().ok()?)
            }
            _ => None,
        }
    }

    fn driver(&self) -> Option<DriverVersion> {
        let numbers = self.numbers("driverVersion")?;
        let texts: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        texts.join(".").parse().ok()
    }

    fn cuda(&self) -> Option<CudaVersion> {
        match *self.numbers("cudaDriverVersion")?.as_slice() {
            [major, minor, ..] => Some(CudaVersion::new(
                major.try_into().ok()?,
                minor.try_into().ok()?,
            )),
            _ => None,
        }
    }

    fn host(&self) -> Option<Host> {
        let capability = self.capability()?;
        Some(Host {
            product: self.text("productName").map(Box::from),
            driver: self.driver(),
            cuda: self.cuda(),
            ..Host::of_capability(capability)
        })
    }
}

impl DeviceClassObject {
    /// A class that picks devices of NVIDIA's GPU driver; `None` for any other.
    #[must_use]
    pub fn read(class: DeviceClass) -> Option<Self> {
        let spec = class.spec.unwrap_or_default();
        let selectors = spec.selectors.unwrap_or_default();
        let expressions = selectors
            .into_iter()
            .filter_map(|selector| selector.cel)
            .map(|cel| plain(&cel.expression));
        let picks = picks(&expressions.collect::<Vec<_>>().join("&&"))?;
        Some(Self {
            name: class.metadata.name?,
            resource: spec.extended_resource_name,
            picks,
        })
    }

    /// Whether the class serves an extended resource.
    pub(in super::super) fn is_for(&self, resource: &str) -> bool {
        self.resource.as_deref() == Some(resource)
            || resource.strip_prefix(IMPLICIT) == Some(self.name.as_str())
    }
}

fn plain(expression: &str) -> String {
    let letters = expression.chars().filter(|letter| !letter.is_whitespace());
    letters
        .map(|letter| if letter == '"' { '\'' } else { letter })
        .collect()
}

fn picks(expression: &str) -> Option<Picks> {
    const GPUS: &str =
        "device.driver=='gpu.nvidia.com'&&device.attributes['gpu.nvidia.com'].type=='gpu'";
    const MIGS: &str =
        "device.driver=='gpu.nvidia.com'&&device.attributes['gpu.nvidia.com'].type=='mig'";
    match expression {
        GPUS => Some(Picks::Gpus),
        MIGS => Some(Picks::Migs),
        other if other.contains(".type=='vfio'") => None,
        other => other.contains(DRIVER).then_some(Picks::Some),
    }
}

/// What a node's slices say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct SliceFinding {
    pub(in super::super) knowledge: Knowledge,
    /// Whole GPUs.
    pub(in super::super) gpus: u64,
    /// MIG devices of all profiles.
    pub(in super::super) migs: u64,
}

/// All slices, by name.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Slices(BTreeMap<String, SliceObject>);

impl Slices {
    pub(in super::super) fn put(&mut self, slice: SliceObject) -> Change {
        put(&mut self.0, slice.name.clone(), slice)
    }

    pub(in super::super) fn remove(&mut self, name: &str) -> Option<SliceObject> {
        self.0.remove(name)
    }

    /// Forgets all but these; how many there were.
    pub(in super::super) fn keep(&mut self, names: &BTreeSet<String>) -> usize {
        let before = self.0.len();
        self.0.retain(|name, _| names.contains(name));
        before - self.0.len()
    }

    /// What the newest generation of each node's pools says, node by node.
    pub(in super::super) fn by_node(&self, models: &mut Models<'_>) -> HashMap<&str, SliceFinding> {
        let mut pools: BTreeMap<(&str, &str), Vec<&SliceObject>> = BTreeMap::new();
        for slice in self.0.values() {
            let pool = pools.entry((&slice.node, &slice.pool)).or_default();
            let newest = pool.first().map_or(i64::MIN, |other| other.generation);
            if slice.generation > newest {
                pool.clear();
            }
            if slice.generation >= newest {
                pool.push(slice);
            }
        }
        let mut nodes: HashMap<&str, Vec<&SliceObject>> = HashMap::new();
        for ((node, _), pool) in pools {
            nodes.entry(node).or_default().extend(pool);
        }
        nodes
            .into_iter()
            .map(|(node, slices)| (node, finding(&slices, models)))
            .collect()
    }
}

fn finding(slices: &[&SliceObject], models: &mut Models<'_>) -> SliceFinding {
    let devices = || slices.iter().flat_map(|slice| &slice.devices);
    let is_mig = |device: &&SliceDevice| matches!(device.serves, Serves::Mig(_));
    let all = devices().count();
    let migs = devices().filter(is_mig).count();
    let complete = slices.iter().all(|slice| {
        let same = slices.iter().filter(|other| other.pool == slice.pool);
        i64::try_from(same.count()) == Ok(slice.pool_slices)
    });
    let groups = groups(devices(), models).filter(|groups| complete && !groups.is_empty());
    SliceFinding {
        knowledge: match groups {
            Some(groups) => Knowledge::Known(groups.into()),
            None => Knowledge::Unknown(Doubt::UnreadableSlices),
        },
        gpus: (all - migs) as u64,
        migs: migs as u64,
    }
}

/// Equal devices grouped, in a stable order; `None` if one of them does not tell what it is.
fn groups<'a>(
    devices: impl Iterator<Item = &'a SliceDevice>,
    models: &mut Models<'_>,
) -> Option<Vec<Group>> {
    let mut groups: Vec<Group> = Vec::new();
    for device in devices {
        let host = named(device.host.clone()?, models);
        let same = |group: &&mut Group| group.host == host && group.serves == device.serves;
        match groups.iter_mut().find(same) {
            Some(group) => group.count = group.count.map(|count| count.saturating_add(1)),
            None => groups.push(Group {
                host,
                serves: device.serves.clone(),
                count: Some(1),
            }),
        }
    }
    if let [only] = groups.as_mut_slice() {
        only.count = None;
    }
    groups.sort_by_cached_key(|group| format!("{group:?}"));
    Some(groups)
}

/// With class and brand, where the knowledge base knows the product.
fn named(host: Host, models: &mut Models<'_>) -> Host {
    let Some((product, capability)) = host.product.as_deref().zip(host.capability) else {
        return host;
    };
    Host {
        driver: host.driver,
        cuda: host.cuda,
        ..models.measured(product, capability)
    }
}

impl SliceFinding {
    /// The same with the architecture of the node.
    pub(in super::super) fn on(&self, architecture: Option<CpuArchitecture>) -> Knowledge {
        match &self.knowledge {
            Knowledge::Known(groups) => {
                let with = |group: &Group| Group {
                    host: Host {
                        architecture,
                        ..group.host.clone()
                    },
                    ..group.clone()
                };
                Knowledge::Known(groups.iter().map(with).collect())
            }
            Knowledge::Unknown(doubt) => Knowledge::Unknown(*doubt),
        }
    }
}
