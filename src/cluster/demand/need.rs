//! How much of each extended resource a whole Pod needs: the scheduler's arithmetic.
//!
//! Source: `k8s.io/component-helpers/resource` (`AggregateContainerRequests`): containers and sidecars run together;
//! an init container runs alone, but for the sidecars before it; Pod-level resources stand for all containers.

use std::collections::BTreeMap;

use super::container::Role;

/// Amounts by resource.
pub(super) type Amounts = BTreeMap<String, u64>;

/// What the Pod needs of each resource. `containers` are in the order of the Pod, init containers first.
pub(super) fn of_pod<'a>(
    containers: impl Iterator<Item = (Role, &'a Amounts)>,
    pod_level: &Amounts,
) -> Amounts {
    let mut together = Amounts::new();
    let mut sidecars = Amounts::new();
    let mut most = Amounts::new();
    for (role, amounts) in containers {
        match role {
            Role::Main => add(&mut together, amounts),
            Role::Sidecar => {
                add(&mut sidecars, amounts);
                add(&mut together, amounts);
            }
            Role::Init => {
                let mut alone = sidecars.clone();
                add(&mut alone, amounts);
                raise(&mut most, &alone);
            }
        }
    }
    raise(&mut most, &together);
    most.extend(
        pod_level
            .iter()
            .map(|(name, amount)| (name.clone(), *amount)),
    );
    most.retain(|_, amount| *amount > 0);
    most
}

fn add(sums: &mut Amounts, amounts: &Amounts) {
    for (name, amount) in amounts {
        let sum = sums.entry(name.clone()).or_default();
        *sum = sum.saturating_add(*amount);
    }
}

fn raise(most: &mut Amounts, amounts: &Amounts) {
    for (name, amount) in amounts {
        let greatest = most.entry(name.clone()).or_default();
        *greatest = (*greatest).max(*amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(containers: &[(Role, u64)]) -> u64 {
        let amounts = |count: u64| Amounts::from([("nvidia.com/gpu".to_owned(), count)]);
        let containers: Vec<(Role, Amounts)> = containers
            .iter()
            .map(|(role, count)| (*role, amounts(*count)))
            .collect();
        let found = of_pod(
            containers.iter().map(|(role, amounts)| (*role, amounts)),
            &Amounts::new(),
        );
        found.get("nvidia.com/gpu").copied().unwrap_or_default()
    }

    #[test]
    fn containers_add_up_and_an_init_container_counts_alone() {
        use Role::{Init, Main, Sidecar};
        assert_eq!(need(&[(Main, 1), (Main, 2)]), 3);
        assert_eq!(need(&[(Init, 1), (Main, 2)]), 2);
        assert_eq!(need(&[(Init, 4), (Init, 1), (Main, 2)]), 4);
        assert_eq!(need(&[(Sidecar, 1), (Main, 2)]), 3);
        assert_eq!(need(&[(Sidecar, 1), (Init, 3), (Main, 2)]), 4);
        assert_eq!(need(&[(Init, 3), (Sidecar, 1), (Main, 2)]), 3);
        assert_eq!(need(&[(Main, 0)]), 0);
        assert_eq!(need(&[(Main, u64::MAX), (Main, 1)]), u64::MAX);
    }
}
