use proptest::prelude::*;

use super::*;
use crate::admission::policy::{Autoscaler, Existing, Mode, Permission, Reaction, Unchecked};
use crate::cluster::workload::ObjectKind;

fn parsed(text: &str) -> Configuration {
    Configuration::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn refused(text: &str) -> String {
    Configuration::parse(text.as_bytes())
        .unwrap_err()
        .to_string()
}

#[test]
fn a_file_that_says_nothing_is_the_default() {
    for empty in ["", "\n", "{}", "# a comment\n", "---\n"] {
        let configuration = parsed(empty);
        assert_eq!(configuration.policy, Policy::default(), "{empty:?}");
        assert_eq!(configuration.resources, GpuResources::default());
        assert_eq!(configuration.trust, GfdTrust::OneModel);
        assert!(configuration.pools.is_empty() && configuration.exemptions.is_empty());
        assert!(std::ptr::eq(configuration.catalog(), Catalog::embedded()));
    }
}

#[test]
fn every_choice_is_read() {
    let policy = parsed(
        "mode: audit\nnamespaceModes: false\npodModes: false\npartialFit: deny\ncpuBuild: deny\nunchecked: told\n\
         enforceExisting: true\nautoscaler: undeclared\n",
    )
    .policy;
    let expected = Policy {
        mode: Mode::Audit,
        namespace_modes: Permission::Ignored,
        pod_modes: Permission::Ignored,
        partial_fit: Reaction::Deny,
        cpu_build: Reaction::Deny,
        unchecked: Unchecked::Told,
        existing: Existing::Enforced,
        autoscaler: Autoscaler::Undeclared,
    };
    assert_eq!(policy, expected);
    assert_eq!(parsed("trustGfd: false").trust, GfdTrust::Nothing);
    // Both spellings of a mode that YAML 1.1 would take for `false`.
    assert_eq!(parsed("mode: off").policy.mode, Mode::Off);
    assert_eq!(parsed("mode: \"off\"").policy.mode, Mode::Off);
    let declared = parsed("autoscaler: declared").policy.autoscaler;
    assert_eq!(declared, Autoscaler::Settled);
}

#[test]
fn an_unknown_key_is_told_with_its_line_and_the_nearest_one() {
    assert_eq!(
        refused("mode: warn\npartialfit: deny\n").split(';').next(),
        Some("2:1: key \"partialfit\" is not known here: did you mean partialFit?")
    );
    assert!(
        refused("pools:\n  - name: a\n    lables: {}\n").starts_with(
            "3:5: key \"lables\" is not known here: did you mean labels?; known are name, labels,"
        )
    );
    assert!(!refused("colour: red").contains("did you mean"));
    assert!(refused("mode: warn\nmode: audit\n").starts_with("2:1: duplicate mapping key"));
}

#[test]
fn an_unknown_word_is_told_with_its_line_and_the_nearest_one() {
    assert_eq!(
        refused("podModes: true\nmode: wran\n"),
        "2:7: \"wran\" is not known here: did you mean warn?; known are enforce, warn, audit, off"
    );
    assert!(refused("podModes: maybe").starts_with("1:11: "));
    assert!(refused("- mode").starts_with("1:1: "));
}

#[test]
fn resources_are_named_whole() {
    let renamed = parsed("resources: [example.com/a100, nvidia.com/gpu]").resources;
    assert_eq!(
        renamed.names().collect::<Vec<_>>(),
        ["example.com/a100", "nvidia.com/gpu"]
    );
    for wrong in [
        "gpu",
        "kubernetes.io/gpu",
        "nvidia.com/mig-1g.5gb",
        "nvidia.com/gpu.shared",
        "a/b/c",
    ] {
        let told = refused(&format!("mode: warn\nresources:\n  - {wrong}\n"));
        assert!(told.starts_with("3:5: resources: "), "{told}");
    }
}

const POOL: &str = "pools:
  - name: batch
    labels: {pool: batch}
    taints: [{key: nvidia.com/gpu, effect: NoSchedule}]
    gpu: Tesla T4
    count: 4
    driver: 550.54.15
    cuda: 12.4
    architecture: amd64
    runtime: cdi
";

#[test]
fn a_declared_pool_is_read_whole() {
    let configuration = parsed(POOL);
    let [pool] = configuration.pools.as_slice() else {
        panic!("{:?}", configuration.pools)
    };
    assert_eq!(pool.labels.get("pool").map(String::as_str), Some("batch"));
    assert_eq!(pool.count, Some(4));
    assert_eq!(pool.driver.unwrap().to_string(), "550.54.15");
    assert_eq!(pool.cuda.unwrap().to_string(), "12.4");
}

#[test]
fn a_pool_that_no_node_could_be_of_is_refused_by_name() {
    for (from, to, told) in [
        ("name: batch", "name: ''", "2:5: pool \"\": name"),
        (
            "Tesla T4",
            "Tesla T44",
            "2:5: pool \"batch\": gpu: \"Tesla T44\" is not a GPU",
        ),
        ("count: 4", "count: 0", "pool \"batch\": count"),
        (
            "NoSchedule",
            "NoShedule",
            "taints: \"NoShedule\" is not NoSchedule, NoExecute",
        ),
        (
            "runtime: cdi",
            "runtime: fast",
            "runtime: \"fast\" is not legacy or cdi",
        ),
        ("550.54.15", "new", "7:13: "),
    ] {
        let wrong = POOL.replace(from, to);
        let error = refused(&wrong);
        assert!(error.contains(told), "{error}");
    }
    let twice = format!("{POOL}  - name: batch\n");
    assert!(
        refused(&twice).contains("11:5: pool \"batch\": name: \"batch\" is not a name of its own")
    );
}

#[test]
fn kinds_and_queues_of_an_operator_are_added() {
    let configuration = parsed(
        "kinds:
  - group: example.com
    versions: [v1]
    kinds: [Training]
    source: our operator
    template: [{path: 'spec.parts[].template', shape: template}]
queueLabels: [example.com/queue]
",
    );
    let kinds = &configuration.kinds;
    assert!(
        kinds
            .find(&ObjectKind::new("example.com/v1", "Training"))
            .is_some()
    );
    assert!(
        kinds
            .find(&ObjectKind::new("apps/v1", "Deployment"))
            .is_some()
    );
    let waiting = serde_json::json!({"labels": {"example.com/queue": "a"}});
    assert!(kinds.queues(&waiting));
    assert_eq!(
        configuration.added_groups,
        ["example.com".to_owned()].into()
    );
    assert!(
        refused("kinds: [{group: a, versions: [], kinds: [B], source: s, template: []}]")
            .contains("versions is empty")
    );
    assert!(refused("kinds:\n  - group: a\n    kind: B\n").starts_with("3:5: key \"kind\""));
}

#[test]
fn overlay_and_aliases_lie_over_the_catalog() {
    let configuration = parsed(
        "aliases:
  team.example/torch:2.6: pytorch/pytorch:2.6.0-cuda11.8-cudnn9-runtime
overlay: |
  date = \"2027-01-15\"
  [[alias]]
  image = \"team.example/other:*\"
  is = \"pytorch/pytorch:*\"
",
    );
    let aliases = configuration.catalog().aliases();
    assert_eq!(aliases.len(), 2);
    assert_eq!(configuration.catalog().overlay_date(), Some("2027-01-15"));
    let told = refused("mode: warn\noverlay: |\n  [[torch]]\n  relase = \"2.6.0\"\n");
    assert!(told.contains("overlay: line 2"), "{told}");
    assert!(refused("aliases: {'a\"b': c}").contains("aliases"));
}

#[test]
fn exemptions_are_narrow_and_say_why() {
    let configuration = parsed(
        "exemptions:
  - namespaces: [ci, 'team-*']
    images: ['ghcr.io/acme/*:dev', 'busybox*']
    reason: built anew each night
  - namespaces: [legacy]
    reason: to be retired
",
    );
    let exemptions = &configuration.exemptions;
    let reason = |namespace: &str, image: &str| {
        let exemption = exemptions.find(namespace, &image.parse().unwrap());
        exemption.map(|exemption| exemption.reason().to_owned())
    };
    let night = Some("built anew each night".to_owned());
    assert_eq!(reason("ci", "ghcr.io/acme/train:dev"), night);
    assert_eq!(reason("team-a", "docker.io/library/busybox:1"), night);
    assert_eq!(reason("prod", "ghcr.io/acme/train:dev"), None);
    assert_eq!(reason("ci", "ghcr.io/acme/train:v1"), None);
    assert_eq!(
        reason("legacy", "anything:1"),
        Some("to be retired".to_owned())
    );
    assert!(exemptions.of_namespace("legacy").is_some());
    assert!(exemptions.of_namespace("ci").is_none());
    for wide in [
        "[{reason: all}]",
        "[{namespaces: ['*'], images: ['**'], reason: all}]",
    ] {
        assert!(refused(&format!("exemptions: {wide}")).contains("mode: \"off\""));
    }
    assert!(refused("exemptions: [{namespaces: [a]}]").contains("missing field `reason`"));
    assert!(
        refused("exemptions: [{namespaces: [a], reason: ' '}]").contains("a reason on one line")
    );
    assert!(refused("exemptions: [{namespaces: ['a b'], reason: r}]").contains("\"a b\""));
}

#[test]
fn what_is_too_long_or_no_text_is_refused() {
    let long = vec![b'#'; MAX_CONFIGURATION_BYTES + 1];
    let error = Configuration::parse(&long).unwrap_err();
    assert!(matches!(
        error,
        ConfigurationError::TooLong { length: 1_048_577 }
    ));
    let error = Configuration::parse(b"mode: warn\n# \xff\n").unwrap_err();
    assert!(error.to_string().starts_with("2:3: this byte is not UTF-8"));
    let bomb = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n".to_owned() + &"# \n".repeat(10);
    assert!(Configuration::parse(bomb.as_bytes()).is_err());
    assert!(Configuration::parse("[".repeat(5000).as_bytes()).is_err());
}

/// The same by trying every split, which is slow and plainly right.
fn fits_slowly(glob: &str, text: &str) -> bool {
    match glob.chars().next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = glob.strip_prefix('*').unwrap();
            let ends = text.char_indices().map(|(index, _)| index);
            ends.chain([text.len()])
                .any(|index| fits_slowly(rest, text.split_at(index).1))
        }
        Some(letter) => text
            .strip_prefix(letter)
            .is_some_and(|text| fits_slowly(glob.strip_prefix(letter).unwrap(), text)),
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Configuration::parse(&bytes);
    }

    #[test]
    fn bytes_that_look_like_a_configuration_never_panic(
        lines in prop::collection::vec(
            "(mode|pools|kinds|aliases|overlay|exemptions|resources| - name| - group|  reason): ?[a-z\\[\\]{}&*|>'\"\\\\:/. -]{0,12}",
            0..12,
        ),
    ) {
        let _ = Configuration::parse(lines.join("\n").as_bytes());
    }

    #[test]
    fn patterns_fit_as_every_split_tells(glob in "[ab*]{1,7}", text in "[ab]{0,8}") {
        let written = glob.clone();
        if let Ok(glob) = Glob::try_from(glob) {
            prop_assert_eq!(glob.fits(&text), fits_slowly(&written, &text), "{} {}", written, text);
        }
    }
}
