//! Which nodes have had no ready agent for a while, so that their inventory may be out of date.
//!
//! Knows no clock: moments are passed in. A node whose agent nobody has ever seen is not its business, for inventories
//! may be written by others, and agents may be switched off.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::seen::{AgentPod, Readiness};

/// How long a node's agent may be not ready before its inventory is no longer believed.
pub(super) const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// Whether a node's agent keeps its inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Standing {
    #[default]
    Present,
    /// Not ready for longer than [`PATIENCE`].
    Away,
}

/// The agents of all nodes.
#[derive(Debug, Default)]
pub(super) struct Agents {
    nodes: BTreeMap<String, Agent>,
    /// The node of each Pod.
    pods: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct Agent {
    pods: BTreeMap<String, Readiness>,
    /// Since when none of them is ready.
    unready: Option<Instant>,
    /// As it was last told.
    standing: Standing,
}

impl Agents {
    /// Takes a Pod that is new or has changed; `since` is when its readiness changed.
    pub(super) fn put(&mut self, name: &str, pod: AgentPod, since: Instant) {
        let Some(node) = pod.node else {
            return;
        };
        let agent = self.nodes.entry(node.clone()).or_default();
        agent.pods.insert(name.to_owned(), pod.readiness);
        agent.look(since);
        self.pods.insert(name.to_owned(), node);
    }

    /// Forgets a Pod; its node is without it from now on.
    pub(super) fn remove(&mut self, name: &str, now: Instant) {
        let node = self.pods.remove(name);
        if let Some(agent) = node.and_then(|node| self.nodes.get_mut(&node)) {
            agent.pods.remove(name);
            agent.look(now);
        }
    }

    /// Forgets all Pods but these.
    pub(super) fn keep(&mut self, names: &BTreeSet<String>, now: Instant) {
        let gone: Vec<String> = self
            .pods
            .keys()
            .filter(|name| !names.contains(*name))
            .cloned()
            .collect();
        for name in gone {
            self.remove(&name, now);
        }
    }

    /// Forgets nodes that are there no longer, once they have no Pod either.
    pub(super) fn forget(&mut self, exists: impl Fn(&str) -> bool) {
        self.nodes
            .retain(|node, agent| !agent.pods.is_empty() || exists(node));
    }

    /// The nodes whose standing is another than it was at the last call.
    pub(super) fn changed(&mut self, now: Instant) -> Vec<(&str, Standing)> {
        let mut changed = Vec::new();
        for (node, agent) in &mut self.nodes {
            let standing = agent.standing_at(now);
            if std::mem::replace(&mut agent.standing, standing) != standing {
                changed.push((node.as_str(), standing));
            }
        }
        changed
    }

    /// When a standing will change next, if no Pod does before.
    pub(super) fn next(&self) -> Option<Instant> {
        let present = self
            .nodes
            .values()
            .filter(|agent| agent.standing == Standing::Present);
        present
            .filter_map(|agent| Some(agent.unready? + PATIENCE))
            .min()
    }
}

impl Agent {
    fn look(&mut self, since: Instant) {
        if self.pods.values().any(|pod| *pod == Readiness::Ready) {
            self.unready = None;
        } else {
            self.unready.get_or_insert(since);
        }
    }

    fn standing_at(&self, now: Instant) -> Standing {
        match self.unready {
            Some(since) if now.duration_since(since) >= PATIENCE => Standing::Away,
            Some(_) | None => Standing::Present,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(node: &str, readiness: Readiness) -> AgentPod {
        AgentPod {
            node: Some(node.to_owned()),
            readiness,
            since: None,
        }
    }

    #[test]
    fn a_node_is_away_five_minutes_after_its_last_ready_agent_and_back_with_the_next() {
        let start = Instant::now();
        let mut agents = Agents::default();
        agents.put("one", pod("a", Readiness::Ready), start);
        assert_eq!(agents.next(), None);
        agents.put("one", pod("a", Readiness::NotReady), start);
        assert_eq!(agents.changed(start), []);
        // Another Pod that is not ready either does not begin the wait anew.
        let later = start + Duration::from_secs(100);
        agents.put("two", pod("a", Readiness::NotReady), later);
        agents.remove("one", later);
        assert_eq!(agents.next(), Some(start + PATIENCE));
        assert_eq!(
            agents.changed(start + PATIENCE),
            [("a", Standing::Away)],
            "told once"
        );
        assert_eq!(agents.changed(start + PATIENCE), []);
        assert_eq!(agents.next(), None);
        agents.put("two", pod("a", Readiness::Ready), start + PATIENCE);
        assert_eq!(agents.changed(start + PATIENCE), [("a", Standing::Present)]);
    }

    #[test]
    fn a_pod_that_a_whole_list_does_not_tell_is_gone_since_then() {
        let start = Instant::now();
        let mut agents = Agents::default();
        agents.put("one", pod("a", Readiness::Ready), start);
        agents.put("two", pod("b", Readiness::Ready), start);
        agents.keep(&BTreeSet::from(["two".to_owned()]), start);
        assert_eq!(agents.next(), Some(start + PATIENCE));
        assert_eq!(agents.changed(start + PATIENCE), [("a", Standing::Away)]);
    }

    #[test]
    fn nodes_that_are_gone_are_forgotten() {
        let start = Instant::now();
        let mut agents = Agents::default();
        agents.put("one", pod("a", Readiness::Ready), start);
        agents.forget(|_| false);
        assert_eq!(agents.nodes.len(), 1, "its Pod is still there");
        agents.remove("one", start);
        agents.forget(|_| false);
        assert_eq!(agents.nodes.len(), 0);
    }
}
