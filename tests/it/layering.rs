//! Holds the code to the layer table in `src/lib.rs`: who may import whom, and which files are pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::Visit;

/// What a pure file may not name, as the beginning of a path.
const IMPURE: [&str; 14] = [
    "tokio",
    "tonic",
    "kube",
    "hyper",
    "axum",
    "reqwest",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "std::time::SystemTime",
    "std::time::Instant",
    "std::io",
];

struct Table {
    layers: BTreeMap<String, BTreeSet<String>>,
    pure: BTreeSet<String>,
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The lines of the fenced block with that name in the docs of lib.rs.
fn block(name: &str) -> Vec<String> {
    let text = fs::read_to_string(source().join("lib.rs")).unwrap();
    let lines = text
        .lines()
        .map(|line| line.trim_start_matches("//!").trim().to_owned());
    let inside = lines
        .skip_while(|line| *line != format!("```{name}"))
        .skip(1);
    let found: Vec<String> = inside.take_while(|line| line != "```").collect();
    assert!(!found.is_empty(), "lib.rs has no block {name}");
    found
}

fn table() -> Table {
    let layers = block("layers").into_iter().map(|line| {
        let (layer, imports) = line.split_once(':').unwrap();
        (
            layer.to_owned(),
            imports.split_whitespace().map(str::to_owned).collect(),
        )
    });
    let pure = block("pure")
        .iter()
        .flat_map(|line| line.split_whitespace())
        .map(str::to_owned)
        .collect();
    Table {
        layers: layers.collect(),
        pure,
    }
}

/// Every source file, as its path below `src` without the ending: `image/reference`.
fn files() -> BTreeMap<String, syn::File> {
    let mut found = BTreeMap::new();
    let mut open = vec![source()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(source()).unwrap().with_extension("");
                let text = fs::read_to_string(&path).unwrap();
                let syntax = syn::parse_file(&text)
                    .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                found.insert(name.to_str().unwrap().to_owned(), syntax);
            }
        }
    }
    found
}

fn layer_of(file: &str) -> &str {
    file.split('/').next().unwrap()
}

/// Every path that a file names outside its tests, `use` trees spelt out: `crate::compat::Host`.
#[derive(Default)]
struct Paths(BTreeSet<String>);

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_test(&module.attrs) {
            syn::visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_test(&item.attrs) {
            self.spell_out("", &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        self.0.insert(segments.join("::"));
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, body: &'ast syn::Macro) {
        // Macro bodies are tokens; their text is searched for paths of ours.
        let text = body.tokens.to_string().replace(' ', "");
        for (at, _) in text.match_indices("crate::") {
            let path: String = text[at..]
                .chars()
                .take_while(|letter| letter.is_alphanumeric() || matches!(letter, '_' | ':'))
                .collect();
            self.0.insert(path);
        }
        syn::visit::visit_macro(self, body);
    }
}

impl Paths {
    fn spell_out(&mut self, before: &str, tree: &syn::UseTree) {
        let joined = |name: String| {
            if before.is_empty() {
                name
            } else {
                format!("{before}::{name}")
            }
        };
        match tree {
            syn::UseTree::Path(path) => self.spell_out(&joined(path.ident.to_string()), &path.tree),
            syn::UseTree::Name(name) => drop(self.0.insert(joined(name.ident.to_string()))),
            syn::UseTree::Rename(rename) => drop(self.0.insert(joined(rename.ident.to_string()))),
            syn::UseTree::Glob(_) => drop(self.0.insert(joined("*".to_owned()))),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.spell_out(before, tree);
                }
            }
        }
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .meta
                .require_list()
                .is_ok_and(|list| list.tokens.to_string() == "test")
    })
}

fn paths_of(file: &syn::File) -> BTreeSet<String> {
    let mut paths = Paths::default();
    paths.visit_file(file);
    paths.0
}

#[test]
fn every_import_is_one_that_the_table_allows() {
    let table = table();
    let mut wrong = Vec::new();
    for (name, file) in files() {
        if name == "lib" {
            continue;
        }
        let layer = layer_of(&name).to_owned();
        let Some(allowed) = table.layers.get(&layer) else {
            wrong.push(format!("src/{name}.rs: layer {layer} is not in the table"));
            continue;
        };
        for path in paths_of(&file) {
            let inside = path
                .strip_prefix("crate::")
                .or_else(|| path.strip_prefix("gpu_capgate::"));
            let Some(other) = inside.and_then(|inside| inside.split("::").next()) else {
                continue;
            };
            if other != layer && !allowed.contains(other) {
                wrong.push(format!(
                    "src/{name}.rs: {layer} may not import {other} ({path})"
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nchange the table in src/lib.rs only with a reason",
        wrong.join("\n")
    );
}

#[test]
fn the_table_has_no_cycle_and_names_only_what_exists() {
    let table = table();
    let existing: BTreeSet<String> = files()
        .keys()
        .map(|name| layer_of(name).to_owned())
        .collect();
    let mut below: BTreeSet<String> = BTreeSet::new();
    while let Some(next) = table.layers.iter().find(|(layer, imports)| {
        !below.contains(*layer) && imports.iter().all(|import| below.contains(import))
    }) {
        below.insert(next.0.clone());
    }
    let layers: BTreeSet<String> = table.layers.keys().cloned().collect();
    assert_eq!(
        below, layers,
        "these import each other, or name a layer that is not there"
    );
    let listed: BTreeSet<String> = layers.into_iter().chain(["lib".to_owned()]).collect();
    assert_eq!(existing, listed);
}

#[test]
fn pure_files_name_no_io_time_environment_or_runtime() {
    let pure = table().pure;
    let files = files();
    let mut wrong = Vec::new();
    for entry in &pure {
        let inside = |name: &str| name == entry || name.starts_with(&format!("{entry}/"));
        let members: Vec<_> = files.iter().filter(|(name, _)| inside(name)).collect();
        assert!(
            !members.is_empty(),
            "the table calls {entry} pure, and there is no such file"
        );
        for (name, file) in members {
            for path in paths_of(file) {
                let beneath =
                    |impure: &str| path == impure || path.starts_with(&format!("{impure}::"));
                if let Some(impure) = IMPURE.into_iter().find(|impure| beneath(impure)) {
                    wrong.push(format!("src/{name}.rs is pure and names {impure} ({path})"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
