//! The patterns of `data/pod_hints.toml`, and how they match.

use std::sync::LazyLock;

use serde::Deserialize;

const EMBEDDED: &str = include_str!("../data/pod_hints.toml");

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    toml::from_str(EMBEDDED).expect("the embedded patterns are parsed by the tests")
});

/// All patterns.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Patterns {
    installer: Vec<Installer>,
    shell: Vec<Programs>,
    python_path: Vec<Folder>,
    python_folder: Vec<Names>,
    python_variable: Vec<Names>,
    gpu_runtime_class: Vec<Names>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Installer {
    programs: Vec<String>,
    words: Vec<String>,
    #[serde(rename = "source")]
    _source: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Programs {
    programs: Vec<String>,
    #[serde(rename = "source")]
    _source: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Folder {
    path: String,
    #[serde(rename = "source")]
    _source: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Names {
    names: Vec<String>,
    #[serde(rename = "source")]
    _source: String,
}

impl Patterns {
    /// Those that the program carries.
    pub(super) fn embedded() -> &'static Self {
        &PATTERNS
    }

    /// Whether a program with these words after it installs software.
    pub(super) fn installs(&self, program: &str, words: &[&str]) -> bool {
        let name = base_name(program);
        let installs = |installer: &Installer| {
            any(&installer.programs, name)
                && (installer.words.is_empty()
                    || words
                        .iter()
                        .any(|word| installer.words.iter().any(|verb| verb == word)))
        };
        self.installer.iter().any(installs)
    }

    pub(super) fn is_shell(&self, program: &str) -> bool {
        let name = base_name(program);
        self.shell.iter().any(|shell| any(&shell.programs, name))
    }

    pub(super) fn is_python_variable(&self, name: &str) -> bool {
        self.python_variable
            .iter()
            .any(|variable| any(&variable.names, name))
    }

    pub(super) fn is_gpu_runtime_class(&self, name: &str) -> bool {
        self.gpu_runtime_class
            .iter()
            .any(|class| any(&class.names, name))
    }

    /// Whether a volume mounted there changes what Python imports.
    pub(super) fn touches_python(&self, mount: &str) -> bool {
        let named = |part| {
            self.python_folder
                .iter()
                .any(|folder| any(&folder.names, part))
        };
        parts(mount).any(named)
            || self
                .python_path
                .iter()
                .any(|folder| share_a_branch(&folder.path, mount))
    }
}

/// Whether a path is a folder or in it. Both are absolute.
pub(super) fn is_inside(path: &str, folder: &str) -> bool {
    let mut path = parts(path);
    parts(folder).all(|part| path.next() == Some(part))
}

/// Whether one of two paths is the other or inside of it; the first may have `*` in its parts.
fn share_a_branch(pattern: &str, path: &str) -> bool {
    parts(pattern)
        .zip(parts(path))
        .all(|(pattern, part)| matches(pattern, part))
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !matches!(*part, "" | "."))
}

fn any(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, name))
}

/// Whether a name fits a pattern with at most one `*`.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, end)) => name
            .strip_prefix(start)
            .is_some_and(|rest| rest.ends_with(end)),
    }
}

/// A program's name without its folder, and without the `-m` of `python -mNAME`.
fn base_name(program: &str) -> &str {
    let name = program.rsplit('/').next().unwrap_or(program);
    name.strip_prefix("-m").unwrap_or(name)
}
