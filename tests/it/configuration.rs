//! The webhook's configuration file while it changes, as a kubelet changes it.

use std::os::unix::fs::symlink;
use std::path::Path;

use gpu_capgate::admission::policy::Mode;
use gpu_capgate::admission::reload::{Follower, Look, ReloadError};

/// Puts a file where a mounted ConfigMap has it: behind a link to a folder, which is swapped as a whole.
fn mount(volume: &Path, version: &str, text: &str) {
    let folder = volume.join(version);
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("config.yaml"), text).unwrap();
    let next = volume.join("..data_tmp");
    symlink(version, &next).unwrap();
    std::fs::rename(next, volume.join("..data")).unwrap();
}

#[test]
fn a_configuration_that_changes_is_taken_and_a_broken_one_is_not() {
    let volume = tempfile::tempdir().unwrap();
    mount(volume.path(), "..1", "mode: warn\n");
    let file = volume.path().join("config.yaml");
    symlink("..data/config.yaml", &file).unwrap();
    let mut follower = Follower::open(&file).unwrap();
    let (shared, failing) = (follower.configuration(), follower.failing());
    let mode = || shared.load().policy.mode;
    assert_eq!((mode(), failing.since()), (Mode::Warn, 0));
    assert_eq!(follower.look(), Look::Same);

    mount(volume.path(), "..2", "mode: audit\n");
    assert_eq!(follower.look(), Look::Replaced);
    assert_eq!(mode(), Mode::Audit);

    mount(volume.path(), "..3", "mode: wran\n");
    assert_eq!(follower.look(), Look::Refused);
    assert_eq!(mode(), Mode::Audit, "the last good one stays");
    let since = failing.since();
    assert!(since > 0);
    // Told once: the same content is not looked at again.
    assert_eq!(follower.look(), Look::Same);
    assert_eq!(failing.since(), since);

    std::fs::remove_file(volume.path().join("..data")).unwrap();
    assert_eq!(follower.look(), Look::Refused);
    assert_eq!((mode(), follower.look()), (Mode::Audit, Look::Same));

    mount(volume.path(), "..4", "mode: \"off\"\n");
    assert_eq!(follower.look(), Look::Replaced);
    assert_eq!((mode(), failing.since()), (Mode::Off, 0));
}

#[test]
fn a_first_configuration_that_cannot_be_used_is_named_with_its_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    let error = Follower::open(&file).unwrap_err();
    assert!(matches!(error, ReloadError::Read { .. }), "{error}");
    std::fs::write(&file, "mode: warn\npodModse: false\n").unwrap();
    let told = Follower::open(&file).unwrap_err().to_string();
    let expected = format!("{}:2:1: key \"podModse\"", file.display());
    assert!(told.starts_with(&expected), "{told}");
}

#[test]
fn a_file_without_an_end_is_not_read_to_its_end() {
    let told = Follower::open(Path::new("/dev/zero"))
        .unwrap_err()
        .to_string();
    assert!(told.contains("bytes (at most 1048576)"), "{told}");
}
