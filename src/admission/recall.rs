//! What images were found to hold, and how that fares on each kind of GPU, for those that were met a moment ago: the Pods
//! of a cluster have far fewer images than there are Pods.
//!
//! What is found depends on what is asked, on the kind of GPU and on the configuration (knowledge base and policy), and on
//! nothing else, so one [`Recall`] serves one configuration. It tells what would be found anew, only sooner. Bounded.

use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;

use super::contents::Contents;
use super::slots::Slots;
use crate::cluster::demand::{ContainerDemand, Environment};
use crate::cluster::pod_hints::SoftwareChange;
use crate::compat::{CpuArchitecture, Host, Judgement};

/// How many images are remembered, each for an architecture and for what the Pod sets beside it.
const IMAGES: usize = 128;
/// On how many kinds of GPUs an image is remembered; a judgement takes some 500 bytes.
const HOSTS: usize = 128;

/// What was found under one configuration.
#[derive(Debug)]
pub struct Recall(Slots<Known>);

/// What is known of a container's software.
#[derive(Debug)]
pub struct Known {
    asked: Asked,
    /// What it is.
    pub contents: Arc<Contents>,
    fares: Mutex<HashMap<Host, Arc<Judgement>>>,
}

/// All that a container's software and its judgements depend on, beside host and configuration.
#[derive(Debug)]
struct Asked {
    architecture: CpuArchitecture,
    image: Option<String>,
    requires: Option<String>,
    environment: Environment,
    changed: Option<SoftwareChange>,
    gpus: Gpus,
}

/// How many GPUs a container gets, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Gpus {
    One,
    Several,
}

impl Default for Recall {
    fn default() -> Self {
        Self(Slots::new(IMAGES))
    }
}

impl Recall {
    /// What is known of a container's software on an architecture; `find` finds it, unless that was done before.
    #[must_use]
    pub fn known(
        &self,
        container: &ContainerDemand,
        architecture: CpuArchitecture,
        find: impl FnOnce() -> Contents,
    ) -> Arc<Known> {
        let key = (
            (&container.image, &container.requires),
            (architecture, Gpus::of(container)),
        );
        self.0.find(
            key,
            |known| known.asked.is(container, architecture),
            || Known::new(container, architecture, find()),
        )
    }
}

impl Known {
    fn new(container: &ContainerDemand, architecture: CpuArchitecture, contents: Contents) -> Self {
        Self {
            asked: Asked {
                architecture,
                image: container.image.clone(),
                requires: container.requires.clone(),
                environment: container.environment.clone(),
                changed: container.changed.clone(),
                gpus: Gpus::of(container),
            },
            contents: Arc::new(contents),
            fares: Mutex::default(),
        }
    }

    /// How it fares on a host; `judge` finds out, unless that was done before.
    #[must_use]
    pub fn on(&self, host: &Host, judge: impl FnOnce(&Contents) -> Judgement) -> Arc<Judgement> {
        let mut fares = self.fares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(judgement) = fares.get(host) {
            return Arc::clone(judgement);
        }
        let judgement = Arc::new(judge(&self.contents));
        if fares.len() < HOSTS {
            fares.insert(host.clone(), Arc::clone(&judgement));
        }
        judgement
    }
}

impl Asked {
    fn is(&self, container: &ContainerDemand, architecture: CpuArchitecture) -> bool {
        self.architecture == architecture
            && self.image == container.image
            && self.requires == container.requires
            && self.environment == container.environment
            && self.changed == container.changed
            && self.gpus == Gpus::of(container)
    }
}

impl Gpus {
    fn of(container: &ContainerDemand) -> Self {
        if container.gpu_count() > 1 {
            Self::Several
        } else {
            Self::One
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use serde_json::json;

    use super::*;
    use crate::cluster::demand::{Origin, Reader, Reading};
    use crate::cluster::resource::GpuResources;
    use crate::cluster::workload::Kinds;
    use crate::compat::{Software, judge};

    /// A container with an image, as a Pod writes it, with more of its fields.
    fn container(more: &serde_json::Value) -> ContainerDemand {
        let mut container = json!({
            "name": "train", "image": "a", "resources": {"limits": {"nvidia.com/gpu": "1"}},
        });
        let fields = container.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        let annotations = fields.remove("annotations");
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"annotations": annotations},
            "spec": {"containers": [container]},
        });
        let reader = Reader {
            kinds: &Kinds::bundled().unwrap(),
            resources: &GpuResources::default(),
            origin: Origin::Review,
        };
        let Reading::Workload(mut workload) = reader.read(&pod).unwrap() else {
            panic!("a Pod is a workload");
        };
        workload.groups.remove(0).demand.containers.remove(0)
    }

    /// How often software is looked up for these, one after the other.
    fn looked_up(asked: &[(&ContainerDemand, CpuArchitecture)]) -> usize {
        let (recall, count) = (Recall::default(), Cell::new(0));
        for (container, architecture) in asked {
            let found = recall.known(container, *architecture, || {
                count.set(count.get() + 1);
                Contents::unknown(&format!("{container:?} {architecture}"))
            });
            let expected = Contents::unknown(&format!("{container:?} {architecture}"));
            if container.name == "train" {
                assert_eq!(*found.contents, expected);
            }
        }
        count.get()
    }

    #[test]
    fn what_was_found_is_not_looked_up_again_whatever_the_container_is_called() {
        let one = container(&json!({}));
        let other = container(&json!({"name": "other", "command": ["python"]}));
        let amd64 = CpuArchitecture::Amd64;
        assert_eq!(
            looked_up(&[(&one, amd64), (&one, amd64), (&other, amd64)]),
            1
        );
    }

    #[test]
    fn whatever_software_depends_on_is_looked_up_for_itself() {
        let amd64 = CpuArchitecture::Amd64;
        let plain = container(&json!({}));
        assert_eq!(
            looked_up(&[(&plain, amd64), (&plain, CpuArchitecture::Arm64)]),
            2
        );
        for more in [
            json!({"image": "b"}),
            json!({"annotations": {"gpu-capgate.io/requires": "cuda=12.6"}}),
            json!({"env": [{"name": "NVIDIA_REQUIRE_CUDA", "value": "cuda>=12.4"}]}),
            json!({"command": ["pip", "install", "torch"]}),
            json!({"resources": {"limits": {"nvidia.com/gpu": "2"}}}),
        ] {
            let other = container(&more);
            let asked = [
                (&plain, amd64),
                (&other, amd64),
                (&plain, amd64),
                (&other, amd64),
            ];
            // Two that fall into the same slot take it from each other.
            assert!(looked_up(&asked) >= 2, "{more}");
        }
    }

    #[test]
    fn a_host_is_judged_once_and_each_for_itself() {
        let known = Recall::default().known(&container(&json!({})), CpuArchitecture::Amd64, || {
            Contents::unknown("nobody looked")
        });
        let count = Cell::new(0);
        let judged = |host: &Host| {
            known.on(host, |contents| {
                count.set(count.get() + 1);
                judge(&contents.software, host)
            })
        };
        let hosts = ["Tesla P100", "Tesla T4"].map(|product| Host {
            product: Some(product.into()),
            ..Host::default()
        });
        for host in hosts.iter().chain(&hosts) {
            assert_eq!(
                *judged(host),
                judge(&Software::unknown("nobody looked"), host)
            );
        }
        assert_eq!(count.get(), hosts.len());
    }

    #[test]
    fn more_hosts_than_are_remembered_are_judged_all_the_same() {
        let known = Recall::default().known(&container(&json!({})), CpuArchitecture::Amd64, || {
            Contents::unknown("nobody looked")
        });
        for number in 0..2 * HOSTS {
            let host = Host {
                product: Some(format!("GPU {number}").into()),
                ..Host::default()
            };
            let _ = known.on(&host, |contents| judge(&contents.software, &host));
        }
        assert_eq!(known.fares.lock().unwrap().len(), HOSTS);
    }
}
