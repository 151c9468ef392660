//! Entries that an operator lays over the embedded tables, and names for copies of known images.

use super::check::{self, DataError};
use super::table::{Document, Table};
use super::{CHIP, Catalog, DRIVER, ERROR, GPU, LIBRARY, NGC, TOOLKIT, TORCH, TORCH_DEFAULT};

/// Largest overlay that is read, in bytes.
pub const MAXIMUM_OVERLAY_LENGTH: usize = 4 * 1024 * 1024;

/// An overlay that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverlayError {
    /// It is larger than [`MAXIMUM_OVERLAY_LENGTH`].
    #[error("the overlay has {length} bytes (at most {MAXIMUM_OVERLAY_LENGTH})")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// It is not UTF-8.
    #[error("line {line}: the overlay is not UTF-8")]
    NotUtf8 {
        /// Line of the first bad byte, from 1.
        line: usize,
    },
    /// It is not TOML, or a key or value is not what it should be.
    #[error("line {line}: {key}: {problem}")]
    Malformed {
        /// Line, from 1.
        line: usize,
        /// Key on that line, or the line itself.
        key: String,
        /// What is wrong and what was expected.
        problem: String,
    },
    /// An entry contradicts the knowledge base.
    #[error(transparent)]
    Inconsistent(#[from] DataError),
}

impl Catalog {
    /// The embedded tables with an overlay over them: a TOML document with the same kinds of entries as the
    /// embedded ones, plus `[[alias]]`. An entry with the key of an embedded one replaces it.
    ///
    /// # Errors
    /// If it is too long, not UTF-8, not such a document, or if an entry fails the checks.
    pub fn with_overlay(document: &[u8]) -> Result<Self, OverlayError> {
        if document.len() > MAXIMUM_OVERLAY_LENGTH {
            return Err(OverlayError::TooLong {
                length: document.len(),
            });
        }
        let text = std::str::from_utf8(document).map_err(|error| OverlayError::NotUtf8 {
            line: line_of(document, error.valid_up_to()),
        })?;
        let overlay: Document = toml::from_str(text).map_err(|error| malformed(text, &error))?;
        check::unique(&overlay)?;
        let catalog = Self::overlaid(overlay.clone());
        check::overlay(&catalog, &overlay)?;
        Ok(catalog)
    }

    fn overlaid(overlay: Document) -> Self {
        Self {
            torch: Table::overlaid(TORCH, |document| document.torch, overlay.torch),
            torch_default: Table::overlaid(
                TORCH_DEFAULT,
                |document| document.torch_default,
                overlay.torch_default,
            ),
            toolkit: Table::overlaid(TOOLKIT, |document| document.toolkit, overlay.toolkit),
            driver: Table::overlaid(DRIVER, |document| document.driver, overlay.driver),
            chip: Table::overlaid(CHIP, |document| document.chip, overlay.chip),
            gpu: Table::overlaid(GPU, |document| document.gpu, overlay.gpu),
            library: Table::overlaid(LIBRARY, |document| document.library, overlay.library),
            ngc: Table::overlaid(NGC, |document| document.ngc, overlay.ngc),
            error: Table::overlaid(ERROR, |document| document.error, overlay.error),
            aliases: overlay.alias,
            overlay_date: overlay.date,
        }
    }
}

fn line_of(document: &[u8], offset: usize) -> usize {
    document
        .iter()
        .take(offset)
        .filter(|byte| **byte == b'\n')
        .count()
        + 1
}

fn malformed(text: &str, error: &toml::de::Error) -> OverlayError {
    let offset = error.span().map_or(0, |span| span.start);
    let line = line_of(text.as_bytes(), offset);
    let written = text.lines().nth(line - 1).unwrap_or_default();
    let key = written.split('=').next().unwrap_or_default().trim();
    OverlayError::Malformed {
        line,
        key: key.chars().take(80).collect(),
        problem: error.message().trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compat::catalog::Channel;
    use crate::compat::host::CpuArchitecture;
    use crate::compat::software::Origin;
    use proptest::prelude::*;

    const BUILD: &str = r#"
date = "2027-01-15"

[[torch]]
release = "2.16.0"
variant = "cu134"
channel = "pip"
arch = "amd64"
sass = ["7.5", "8.0"]
ptx = []
source = "our own build"
proof = "wheel"

[[alias]]
image = "your-registry.ai/team-pytorch:2.6-gpu"
is = "docker.io/pytorch/pytorch:2.6.0-cuda11.8-cudnn9-runtime"
"#;

    fn problem(document: &str) -> String {
        Catalog::with_overlay(document.as_bytes())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn entries_are_added_and_marked_and_aliases_stored() {
        let catalog = Catalog::with_overlay(BUILD.as_bytes()).unwrap();
        let version = "2.16.0".parse().unwrap();
        let lookup = catalog.torch_build(
            &version,
            "cu134".parse().unwrap(),
            CpuArchitecture::Amd64,
            Channel::Pip,
        );
        assert_eq!(lookup.build().unwrap().origin, Origin::Attached);
        assert_eq!(
            catalog.torch_builds().len(),
            Catalog::embedded().torch_builds().len() + 1
        );
        assert!(catalog.torch_builds().is_sorted_by_key(|build| (
            build.arch,
            build.channel,
            build.release,
            build.variant
        )));
        assert_eq!(catalog.aliases().len(), 1);
        assert_eq!(catalog.overlay_date(), Some("2027-01-15"));
    }

    #[test]
    fn an_entry_with_a_known_key_replaces_it() {
        let catalog = Catalog::with_overlay(BUILD.replace("2.16.0", "2.15.0").as_bytes()).unwrap();
        assert_eq!(
            catalog.torch_builds().len(),
            Catalog::embedded().torch_builds().len()
        );
    }

    #[test]
    fn errors_name_line_key_and_what_was_expected() {
        let error = problem(&BUILD.replace("cu134", "cuda13"));
        assert_eq!(
            error,
            "line 6: variant: \"cuda13\" is not a torch variant (expected cpu, cu124, rocm6.2 or xpu)"
        );
        let error = problem(&BUILD.replace("channel = \"pip\"", "chanel = \"pip\""));
        assert!(
            error.starts_with("line 7: chanel: unknown field `chanel`, expected one of `release`"),
            "{error}"
        );
        let error = problem(&BUILD.replace("proof = \"wheel\"\n", ""));
        assert!(
            error.starts_with("line 4: [[torch]]: missing field `proof`"),
            "{error}"
        );
        let error = problem(&BUILD.replace("\"wheel\"", "\"certain\""));
        assert!(
            error
                .contains("\"certain\" is not a proof (expected wheel script observed doc assumed"),
            "{error}"
        );
    }

    #[test]
    fn contradictions_are_refused() {
        assert_eq!(
            problem(&BUILD.replace("cu134", "cu149")),
            "torch 2.16.0+cu149: there is no toolkit 14.9"
        );
        assert_eq!(
            problem(&BUILD.replace("\"7.5\"", "\"7.0\"")),
            "torch 2.16.0+cu134: CUDA 13.4 does not build sm_70"
        );
        let twice = format!(
            "{BUILD}\n[[alias]]\nimage = \"your-registry.ai/team-pytorch:2.6-gpu\"\nis = \"x\"\n"
        );
        assert!(problem(&twice).starts_with("alias "), "{}", problem(&twice));
    }

    #[test]
    fn bytes_that_are_no_text_and_absurd_lengths_are_refused() {
        let bad = Catalog::with_overlay(b"# fine\n\xff\xfe").unwrap_err();
        assert_eq!(bad, OverlayError::NotUtf8 { line: 2 });
        let long = vec![b'#'; MAXIMUM_OVERLAY_LENGTH + 1];
        assert_eq!(
            Catalog::with_overlay(&long).unwrap_err(),
            OverlayError::TooLong { length: long.len() }
        );
    }

    proptest! {
        #[test]
        fn no_document_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0_usize..400) {
            let _ = Catalog::with_overlay(&bytes);
            let _ = Catalog::with_overlay(BUILD.as_bytes().get(cut..).unwrap_or_default());
        }
    }
}
