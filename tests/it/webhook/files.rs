//! A certificate in files that somebody else renews, as the kubelet mounts a Secret: a link to a folder that is swapped.

use std::fs;
use std::path::Path;

use axum::http::StatusCode;
use gpu_capgate::admission::certificates::{Files, Source};
use tempfile::TempDir;

use super::certificates::{
    CONFIGURATION, Replica, encoded, installed, ours, replica_with, trusted, until,
};
use super::program_of;
use crate::support::api_server::ApiServer;
use crate::support::http::get;
use crate::support::process::{Running, argument};
use crate::support::tls::TestAuthority;

/// A mounted Secret.
struct Mount(TempDir);

/// What a mounted Secret holds.
struct Pair {
    ca: String,
    certificate: String,
    key: String,
}

impl Pair {
    fn of(authority: &TestAuthority, days: i64) -> Self {
        let (certificate, key) = authority.sign(days);
        Self {
            ca: authority.pem.clone(),
            certificate,
            key,
        }
    }
}

impl Mount {
    fn holding(pair: &Pair) -> Self {
        let mount = Self(tempfile::tempdir().unwrap());
        mount.swap(pair);
        for file in ["ca.crt", "tls.crt", "tls.key"] {
            let target = Path::new("..data").join(file);
            std::os::unix::fs::symlink(target, mount.0.path().join(file)).unwrap();
        }
        mount
    }

    /// Replaces all files at once, as the kubelet does (`AtomicWriter` in k8s.io/kubernetes/pkg/volume/util).
    fn swap(&self, pair: &Pair) {
        let folder = tempfile::tempdir_in(self.0.path()).unwrap().keep();
        fs::write(folder.join("ca.crt"), &pair.ca).unwrap();
        fs::write(folder.join("tls.crt"), &pair.certificate).unwrap();
        fs::write(folder.join("tls.key"), &pair.key).unwrap();
        let link = self.0.path().join("..data_tmp");
        std::os::unix::fs::symlink(folder, &link).unwrap();
        fs::rename(link, self.0.path().join("..data")).unwrap();
    }

    fn files(&self, ca: bool) -> Files {
        let path = |file| self.0.path().join(file);
        Files {
            certificate: path("tls.crt"),
            key: path("tls.key"),
            ca: ca.then(|| path("ca.crt")),
        }
    }
}

async fn replica(api: &ApiServer, mount: &Mount) -> Replica {
    replica_with(api, Source::Files(mount.files(true)), 0).await
}

fn authority() -> TestAuthority {
    TestAuthority::made_days_ago(40)
}

#[tokio::test]
async fn a_mounted_pair_is_shown_and_its_ca_is_announced() {
    let (mut api, authority) = (installed().await, authority());
    let mount = Mount::holding(&Pair::of(&authority, 30));
    let replica = replica(&api, &mount).await;
    replica.ready().await;
    assert!(replica.serves(&authority.pem).await);
    assert_eq!(trusted(&api), authority.pem);
    assert_eq!(api.write().await.path, CONFIGURATION);
    assert_eq!(
        api.unread_writes(),
        0,
        "the Secret of our own CA stays empty"
    );
}

#[tokio::test]
async fn a_swapped_pair_is_shown_and_the_ca_before_it_stays_trusted() {
    let (api, old, new) = (installed().await, authority(), authority());
    let mount = Mount::holding(&Pair::of(&old, 30));
    let replica = replica(&api, &mount).await;
    replica.ready().await;
    mount.swap(&Pair::of(&new, 30));
    replica.comes_to_serve(&new.pem).await;
    until("the announcement", async || {
        trusted(&api) == format!("{}{}", new.pem, old.pem)
    })
    .await;
    replica.ready().await;
}

#[tokio::test]
async fn a_pair_that_is_no_pair_changes_nothing_and_is_counted_once() {
    let (api, authority) = (installed().await, authority());
    let good = Pair::of(&authority, 30);
    let mount = Mount::holding(&good);
    let replica = replica(&api, &mount).await;
    replica.ready().await;
    let other = Pair::of(&authority, 30);
    let bad = [
        // The first, so that each look at it while the others come would be counted if it were a new complaint.
        Pair::of(&authority, -1),
        Pair {
            key: other.key.clone(),
            certificate: good.certificate.clone(),
            ca: good.ca.clone(),
        },
        Pair {
            certificate: "garbage".to_owned(),
            ..Pair::of(&authority, 30)
        },
        Pair {
            key: String::new(),
            ..Pair::of(&authority, 30)
        },
        Pair {
            ca: "garbage".to_owned(),
            ..Pair::of(&authority, 30)
        },
    ];
    for (number, pair) in bad.iter().enumerate() {
        mount.swap(pair);
        let line = format!("gpu_capgate_certificate_failures_total {}\n", number + 1);
        until(&line, async || replica.registry.page().contains(&line)).await;
        assert!(replica.serves(&authority.pem).await);
        assert!(replica.readiness.waiting().is_empty());
    }
    mount.swap(&other);
    let renewed = "gpu_capgate_certificate_renewals_total 1\n";
    until(renewed, async || replica.registry.page().contains(renewed)).await;
    let failures = "gpu_capgate_certificate_failures_total 5\n";
    assert!(replica.registry.page().contains(failures));
}

#[tokio::test]
async fn without_a_ca_file_it_is_ready_once_somebody_else_has_announced_the_ca() {
    let (mut api, authority) = (installed().await, authority());
    let mount = Mount::holding(&Pair::of(&authority, 30));
    let replica = replica_with(&api, Source::Files(mount.files(false)), 0).await;
    replica.comes_to_serve(&authority.pem).await;
    replica.not_ready().await;
    let mut announced = ours();
    announced["webhooks"][1]["clientConfig"]["caBundle"] = encoded(&authority.pem);
    api.put(CONFIGURATION, announced);
    replica.ready().await;
    assert_eq!(api.unread_writes(), 0);
}

#[tokio::test]
async fn the_program_serves_files_that_come_late() {
    let api = installed().await;
    let folder = tempfile::tempdir().unwrap();
    let path = |file: &str| folder.path().join(file);
    let (certificate, key, ca) = (path("tls.crt"), path("tls.key"), path("ca.crt"));
    let more = [
        "--shutdown-delay-seconds=0",
        "--tls-cert-file",
        argument(&certificate),
        "--tls-key-file",
        argument(&key),
        "--tls-ca-file",
        argument(&ca),
    ];
    let mut command = program_of(&api, folder.path(), &more);
    let mut webhook = Running::start(&mut command);
    let health = webhook.listens("--health-listen").await;
    webhook
        .says(&["needs care", "cannot read", "tls.crt"])
        .await;
    let pair = Pair::of(&authority(), 30);
    fs::write(&key, pair.key).unwrap();
    fs::write(&ca, pair.ca).unwrap();
    fs::write(&certificate, pair.certificate).unwrap();
    webhook.says(&["ready", "registration"]).await;
    let (status, page) = get(&health, "/metrics").await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        page.contains("gpu_capgate_certificate_trusted 1\n"),
        "{page}"
    );
    assert_eq!(webhook.stop().await, Some(0));
}
