use super::*;
use crate::cluster::fleet::{Knowledge, Origin};

fn read(text: &str) -> Listing<'static> {
    let mut listing = Listing::new(Settings::default(), Catalog::embedded());
    listing.read("nodes.yaml", text.as_bytes());
    listing
}

/// Products, number of nodes and origin of each class.
fn told(listing: &mut Listing<'_>) -> Vec<(String, usize, Vec<Origin>)> {
    let fleet = listing.fleet();
    fleet
        .classes()
        .map(|(id, knowledge, nodes)| {
            let product = match knowledge {
                Knowledge::Known(groups) => groups[0].host.product.clone().unwrap().into(),
                Knowledge::Unknown(doubt) => doubt.words().to_owned(),
            };
            (product, nodes, fleet.origins(id).collect())
        })
        .collect()
}

const NODE: &str = "\
- apiVersion: v1
  kind: Node
  metadata:
    name: NAME
    labels: {nvidia.com/gpu.product: Tesla-T4, nvidia.com/gpu.count: '1'}
  status:
    capacity: {nvidia.com/gpu: '1'}
";

fn node(name: &str) -> String {
    NODE.replace("NAME", name)
}

fn list(items: &[String]) -> String {
    format!("apiVersion: v1\nitems:\n{}kind: List\n", items.concat())
}

#[test]
fn a_broken_object_is_told_with_its_line_and_costs_no_other() {
    let broken = "- apiVersion: v1\n  kind: Node\n  metadata: {name: bad, labels: 3}\n".to_owned();
    let worse = "- apiVersion: v1\n  kind: \"Node\n  metadata: {name: worse}\n".to_owned();
    let mut listing = read(&list(&[node("a"), broken, worse, node("b")]));
    assert_eq!(listing.nodes(), 2);
    let errors = listing.take_errors();
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(
        texts[0].starts_with(
            "nodes.yaml:11:9: Node \"bad\" is not used: the Node cannot be read: invalid type"
        ),
        "{texts:?}"
    );
    assert!(
        texts[0].ends_with(": correct the object, or take it out"),
        "{texts:?}"
    );
    assert!(texts[1].starts_with("nodes.yaml:1"), "{texts:?}");
}

#[test]
fn json_and_yaml_and_lists_of_one_kind_give_the_same_fleet() {
    let mut yaml = read(&list(&[node("a"), node("b")]));
    let item = r#"{"metadata": {"name": "NAME", "labels": {"nvidia.com/gpu.product": "Tesla-T4", "nvidia.com/gpu.count": "1"}},
        "status": {"capacity": {"nvidia.com/gpu": "1"}}}"#;
    let items = [item.replace("NAME", "a"), item.replace("NAME", "b")].join(",");
    let mut json = read(&format!(
        r#"{{"kind": "NodeList", "apiVersion": "v1", "items": [{items}]}}"#
    ));
    let expected = [("Tesla T4".to_owned(), 2, vec![Origin::Discovery])];
    assert_eq!(told(&mut yaml), expected);
    assert_eq!(told(&mut json), expected);
}

#[test]
fn a_broken_item_in_json_is_told_with_its_line() {
    let mut listing = read(
        "{\"kind\": \"List\", \"items\": [\n{\"apiVersion\": \"v1\", \"kind\": \"Node\"},\n{\"x\": 1}, 5]}",
    );
    let errors = listing.take_errors();
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "nodes.yaml:2:1: Node \"\" is not used: the Node has no name: correct the object, or take it out",
            "nodes.yaml:3:1: this object does not say what it is: add apiVersion and kind, or leave the file out",
            "nodes.yaml:3:11: this is no Kubernetes object: it must be a mapping with apiVersion and kind",
        ]
    );
}

#[test]
fn other_kinds_are_counted_and_names_that_come_twice_are_told() {
    let service = "- {apiVersion: v1, kind: Service, metadata: {name: s}}\n".to_owned();
    let pool = "- {apiVersion: example.com/v1, kind: Pool, metadata: {name: p}}\n".to_owned();
    let listing = read(&list(&[node("a"), service, pool, node("a")]));
    assert_eq!(
        listing.notes(),
        [
            "skipped 2 objects that say nothing of nodes: 1 Pool.example.com, 1 Service",
            "1 node names were read more than once, a among them; the last one counts",
        ]
    );
}

#[test]
fn slices_of_the_beta_tell_what_the_devices_are() {
    let slice = "\
- apiVersion: resource.k8s.io/v1beta1
  kind: ResourceSlice
  metadata: {name: s}
  spec:
    driver: gpu.nvidia.com
    nodeName: a
    pool: {name: a, generation: 1, resourceSliceCount: 1}
    devices:
    - name: gpu-0
      basic:
        attributes:
          type: {string: gpu}
          productName: {string: NVIDIA L4}
          cudaComputeCapability: {version: 8.9.0}
";
    let node = "- {apiVersion: v1, kind: Node, metadata: {name: a}}\n";
    let mut listing = read(&list(&[node.to_owned(), slice.to_owned()]));
    assert!(listing.take_errors().is_empty());
    assert_eq!(
        told(&mut listing),
        [("NVIDIA L4".to_owned(), 1, vec![Origin::ResourceSlices])]
    );
}

#[test]
fn a_node_pool_is_a_pool_and_a_broken_one_an_error() {
    let good = "- {apiVersion: karpenter.sh/v1, kind: NodePool, metadata: {name: p}, spec: {template: {spec: {}}}}\n";
    let bad = "- {apiVersion: karpenter.sh/v1, kind: NodePool, metadata: {name: q}}\n";
    let mut listing = read(&list(&[good.to_owned(), bad.to_owned()]));
    assert!(listing.fleet().has_pools());
    let errors = listing.take_errors();
    assert!(
        errors[0].to_string().contains(
            "NodePool \"q\" is not used: the NodePool cannot be read: missing field `spec`"
        ),
        "{errors:?}"
    );
}

#[test]
fn faults_are_told_up_to_a_limit() {
    let broken = "- {apiVersion: v1, kind: Node}\n".to_owned();
    let items: Vec<String> = std::iter::repeat_n(broken, 500).collect();
    assert_eq!(read(&list(&items)).take_errors().len(), MAX_ERRORS + 1);
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(0_u8.., 0..300)) {
        let mut listing = Listing::new(Settings::default(), Catalog::embedded());
        listing.read("x", &bytes);
    }

    #[test]
    fn arbitrary_lists_never_panic(text in "(kind: List\n|items:\n|- |  a: b\n|---\n|\\{|\\}|\"items\":|\\[|\\]|\n|&x |\\*x){0,30}") {
        let mut listing = Listing::new(Settings::default(), Catalog::embedded());
        listing.read("x", text.as_bytes());
    }
}
