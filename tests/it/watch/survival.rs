//! What can go wrong on a watch, and what comes of it.

use super::*;

#[tokio::test]
async fn an_outage_keeps_the_last_state_and_what_changed_meanwhile_is_seen_after_it() {
    let mut server = WatchServer::start(Lists::Streamed).await;
    server.put(NODES, node("a", 1));
    let follower = Follower::synced(&server).await;
    server.refuse("/", 503);
    let outdated = |state: &ClusterState| state.standing(Watched::Nodes) == Standing::Outdated;
    let state = follower.until("the outage is known", outdated).await;
    assert_eq!((state.synced, state.fleet.nodes()), (Synced::Whole, 1));
    assert!(follower.freshness.failures(Watched::Nodes) > 0);
    server.put(NODES, node("b", 1));
    let asked = server.requests(NODES);
    server.asked_more_than(NODES, asked).await;
    server.allow("/");
    let state = follower
        .until("two nodes", |state| state.fleet.nodes() == 2)
        .await;
    assert_eq!(state.standing(Watched::Nodes), Standing::Followed);
    // A watch on which nothing happens is known to go on as well.
    let goes_on =
        |state: &ClusterState| state.standing(Watched::RuntimeClasses) == Standing::Followed;
    follower.until("all go on", goes_on).await;
}

#[tokio::test]
async fn after_gone_everything_is_listed_anew() {
    let server = WatchServer::start(Lists::Streamed).await;
    server.put(NODES, node("a", 1));
    let follower = Follower::synced(&server).await;
    server.refuse("/", 503);
    server.delete(NODES, "a");
    server.put(NODES, node("b", 1));
    server.put(NODES, node("c", 1));
    server.compact(NODES);
    server.allow("/");
    let state = follower
        .until("the new nodes", |state| state.fleet.nodes() == 2)
        .await;
    assert_eq!(state.standing(Watched::Nodes), Standing::Followed);
}

#[tokio::test]
async fn a_kind_that_is_not_served_is_worked_without_and_found_later() {
    let server = WatchServer::start(Lists::Streamed).await;
    let follower = Follower::synced(&server).await;
    assert_eq!(
        follower.state().standing(Watched::NodePools),
        Standing::NotServed
    );
    server.serve(NODE_POOLS);
    server.put(
        NODE_POOLS,
        json!({"metadata": {"name": "gpu"}, "spec": {"template": {"spec": {"requirements": [
        {"key": "karpenter.k8s.aws/instance-gpu-name", "operator": "In", "values": ["t4"]}]}}}}),
    );
    follower.until("the pool", |state| pools(state) == 1).await;
    assert!(
        server.requests(NODE_POOLS) < 12,
        "it is not asked for all the time"
    );
    // Whoever uninstalls Karpenter takes the pools along.
    server.withdraw(NODE_POOLS);
    let gone = |state: &ClusterState| state.standing(Watched::NodePools) == Standing::NotServed;
    let state = follower.until("no Karpenter", gone).await;
    assert_eq!(pools(&state), 0);
}

fn pools(state: &ClusterState) -> usize {
    let found = gpu_capgate::cluster::schedule::possible(&Placement::anywhere(), &state.fleet);
    found.classes.iter().map(|class| class.pools.len()).sum()
}

#[tokio::test]
async fn an_older_version_of_an_api_will_do() {
    let server = WatchServer::start(Lists::Streamed).await;
    server.withdraw(SLICES);
    let older = SLICES.replace("/v1/", "/v1beta2/");
    server.serve(&older);
    let follower = Follower::synced(&server).await;
    let standing = follower.state().standing(Watched::ResourceSlices);
    assert_eq!(standing, Standing::Followed);
    assert_eq!(server.requests(SLICES), 1, "asked for first");
    assert_eq!(server.requests(&older), 1);
}

#[tokio::test]
async fn a_kind_that_may_not_be_read_is_worked_without() {
    let mut server = WatchServer::start(Lists::Streamed).await;
    server.refuse(RUNTIME_CLASSES, 403);
    server.refuse(SLICES, 500);
    let follower = Follower::synced(&server).await;
    let state = follower.state();
    assert_eq!(state.standing(Watched::RuntimeClasses), Standing::Forbidden);
    assert_eq!(state.standing(Watched::ResourceSlices), Standing::Failing);
    server
        .asked_more_than(RUNTIME_CLASSES, server.requests(RUNTIME_CLASSES))
        .await;
    server.allow(RUNTIME_CLASSES);
    let goes_on =
        |state: &ClusterState| state.standing(Watched::RuntimeClasses) == Standing::Followed;
    follower.until("it is followed", goes_on).await;
}

#[tokio::test]
async fn without_nodes_nothing_is_ever_whole() {
    let mut server = WatchServer::start(Lists::Streamed).await;
    server.refuse(NODES, 403);
    let mut follower = Follower::of(&server);
    server.asked_more_than(NODES, 2).await;
    assert_eq!(follower.state().synced, Synced::NotYet);
    assert!(follower.synced.as_mut().unwrap().try_recv().is_err());
    assert_eq!(follower.freshness.age(Watched::Nodes), None);
    server.allow(NODES);
    follower.sync().await;
    assert_eq!(follower.state().synced, Synced::Whole);
}

#[tokio::test]
async fn hostile_objects_do_not_take_the_others_along() {
    for lists in [Lists::Streamed, Lists::InPages] {
        let server = WatchServer::start(lists).await;
        let mut huge = node("huge", 1);
        for number in 0..20_000 {
            huge["metadata"]["labels"][format!("example.com/label-{number}")] =
                json!("x".repeat(40));
        }
        server.put(NODES, huge);
        server.put(
            NODES,
            json!({"metadata": {"name": "broken", "labels": ["no", "mapping"]}}),
        );
        server.put(NODES, json!({"metadata": {"name": 7}}));
        server.put(NODES, node("sound", 1));
        let follower = Follower::synced(&server).await;
        let state = follower.state();
        assert_eq!((state.fleet.nodes(), state.unreadable), (2, 2), "{lists:?}");
        server.say(NODES, "{\"type\":\"ADDED\",\"object\":{\"metadata\"");
        server.say(NODES, "{\"type\":\"ADDED\",\"object\":[]}");
        server.say(NODES, "no JSON at all");
        server.put(NODES, node("late", 1));
        server.put(NODES, node("broken", 1));
        let state = follower
            .until("four nodes", |state| state.fleet.nodes() == 4)
            .await;
        assert!(state.unreadable <= 1);
    }
}

#[tokio::test]
async fn a_bookmark_is_contact_and_a_silent_watch_is_opened_again() {
    let mut server = WatchServer::start(Lists::Streamed).await;
    server.put(NODES, node("a", 1));
    let follower = Follower::synced(&server).await;
    let asked = server.requests(NODES);
    pass(200).await;
    assert!(follower.freshness.age(Watched::Nodes).unwrap() >= Duration::from_secs(200));
    server.say(NODES, &bookmark(9, &json!({})));
    let heard = async {
        while follower.freshness.age(Watched::Nodes).unwrap() > Duration::from_secs(100) {
            tokio::task::yield_now().await;
        }
    };
    within("the bookmark", heard).await;
    assert_eq!(server.requests(NODES), asked);
    pass(250).await;
    server.asked_more_than(NODES, asked).await;
    assert_eq!(follower.state().fleet.nodes(), 1);
}

/// Lets time pass at once.
async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}
