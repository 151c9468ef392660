//! Events on the owners of Pods, against an API server that answers as it likes.

use gpu_capgate::admission::events::{Events, Notice, Run};
use gpu_capgate::cluster::demand::Owner;
use gpu_capgate::cluster::workload::ObjectKind;
use gpu_capgate::compat::Code;
use serde_json::json;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::asked_server::AskedServer;
use crate::support::within;

fn notice(uid: &str, code: Code, text: &str) -> Notice {
    Notice {
        namespace: "ml".to_owned(),
        owner: Owner {
            kind: ObjectKind::new("apps/v1", "ReplicaSet"),
            name: "train-6d9f".to_owned(),
            uid: uid.to_owned(),
        },
        code,
        text: text.to_owned(),
        run: Run::Real,
    }
}

fn recording(server: &AskedServer) -> (Events, DropGuard) {
    let (events, recorder) = Events::new(server.client(), "gpu-capgate-webhook-5c9");
    let stop = CancellationToken::new();
    tokio::spawn(recorder.run(stop.clone()));
    (events, stop.drop_guard())
}

/// Waits until a number of notices is as it should be.
async fn counted(what: &str, count: impl Fn() -> u64, wanted: u64) {
    let equal = async {
        while count() != wanted {
            tokio::task::yield_now().await;
        }
    };
    within(&format!("{wanted} {what}"), equal).await;
}

#[tokio::test]
async fn the_owner_of_a_refused_pod_is_told_the_cause_and_the_fix() {
    let mut server = AskedServer::start().await;
    let (events, _stop) = recording(&server);
    events.tell(notice(
        "uid-1",
        Code::Arch,
        "cause [GPU-ARCH]\n  image  i\n  fix    use another\n  more   m",
    ));
    let asked = server.asked().await;
    assert_eq!(asked.path, "/apis/events.k8s.io/v1/namespaces/ml/events");
    assert_eq!(
        asked.body["regarding"],
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "train-6d9f", "namespace": "ml", "uid": "uid-1"})
    );
    assert_eq!(asked.body["type"], "Warning");
    assert_eq!(asked.body["reason"], "GPU-ARCH");
    assert_eq!(
        asked.body["note"],
        "gpu-capgate: cause [GPU-ARCH]\n  fix    use another"
    );
    assert_eq!(asked.body["reportingController"], "gpu-capgate.io/webhook");
    assert_eq!(asked.body["reportingInstance"], "gpu-capgate-webhook-5c9");
    assert_eq!(asked.body["metadata"]["generateName"], "train-6d9f-");
    let body = asked.body.clone();
    asked.answer(&body);
    counted("sent", || events.counts().sent(), 1).await;
}

#[tokio::test]
async fn the_same_is_told_once_and_a_dry_run_tells_nothing() {
    let mut server = AskedServer::start().await;
    let (events, _stop) = recording(&server);
    let dry = Notice {
        run: Run::Dry,
        ..notice("uid-1", Code::Arch, "dry")
    };
    events.tell(dry);
    for _ in 0..5 {
        events.tell(notice("uid-1", Code::Arch, "one"));
    }
    let others = [
        notice("uid-1", Code::Arch, "another text"),
        notice("uid-1", Code::Driver, "one"),
        notice("uid-2", Code::Arch, "one"),
    ];
    for other in others {
        events.tell(other);
    }
    let mut notes = Vec::new();
    for _ in 0..4 {
        let asked = server.asked().await;
        notes.push(asked.body["note"].as_str().unwrap().to_owned());
        let body = asked.body.clone();
        asked.answer(&body);
    }
    assert_eq!(
        notes,
        [
            "gpu-capgate: one",
            "gpu-capgate: another text",
            "gpu-capgate: one",
            "gpu-capgate: one"
        ]
    );
    counted("sent", || events.counts().sent(), 4).await;
    assert_eq!(events.counts().repeated(), 4);
    assert!(!server.has_unread());
}

#[tokio::test]
async fn what_was_not_taken_is_told_again() {
    let mut server = AskedServer::start().await;
    let (events, _stop) = recording(&server);
    events.tell(notice("uid-1", Code::Arch, "one"));
    server.asked().await.refuse(403);
    counted("failed", || events.counts().failed(), 1).await;
    events.tell(notice("uid-1", Code::Arch, "one"));
    let asked = server.asked().await;
    let body = asked.body.clone();
    asked.answer(&body);
    counted("sent", || events.counts().sent(), 1).await;
}

#[tokio::test]
async fn an_api_server_that_does_not_answer_holds_up_nobody() {
    let mut server = AskedServer::start().await;
    let (events, _stop) = recording(&server);
    events.tell(notice("uid-first", Code::Arch, "one"));
    let held = server.asked().await;
    for number in 0..1000 {
        events.tell(notice(&format!("uid-{number}"), Code::Arch, "one"));
    }
    assert_eq!(events.counts().dropped(), 1000 - 256);
    drop(held);
}

#[tokio::test]
async fn an_owner_that_cannot_exist_is_told_nothing() {
    let server = AskedServer::start().await;
    let (events, _stop) = recording(&server);
    events.tell(notice("uid/1", Code::Arch, "one"));
    assert_eq!(events.counts().dropped(), 1);
}
