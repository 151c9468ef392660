//! Finds what a person asks for: a code, the number of a CUDA error, or the text of an error as it was printed.

use super::document::Document;
use crate::compat::catalog::ErrorText;
use crate::compat::{Catalog, Code};

/// Longest question that is looked at, in bytes; a longer one is cut.
const MAXIMUM_LENGTH: usize = 4096;
/// Shortest piece of an error text, in bytes, that is enough to recognize it.
const ENOUGH: usize = 10;
/// What stands for a value in a known error text.
const PLACEHOLDERS: [&str; 4] = ["%s", "%d", "x.y", "linux/arm64"];
/// How alike a code must be to be offered, from 0 to 1 (Jaro-Winkler).
const ALIKE: f64 = 0.8;
/// How many codes or errors are offered.
const NEAREST: usize = 3;

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// That code.
    Code(Code),
    /// A known error.
    Error {
        /// The codes that can lead to it, the most likely first.
        codes: Vec<Code>,
        /// Its entry, if it is in the catalog.
        error: Option<&'a ErrorText>,
    },
    /// Nothing; these are most alike.
    Nothing {
        /// Codes and error texts.
        near: Vec<String>,
    },
}

/// A known error text and where it belongs.
struct Known<'a> {
    text: &'a str,
    codes: Vec<Code>,
    error: Option<&'a ErrorText>,
}

/// What a question means.
pub(super) fn find<'a>(query: &str, document: &Document<'a>, catalog: &'a Catalog) -> Found<'a> {
    let query = cut(query.trim());
    if let Some(code) = code(query) {
        return Found::Code(code);
    }
    let known = known(document, catalog);
    let words = normal(query);
    let scored = known
        .into_iter()
        .map(|known| (score(known.text, &words), known));
    let best = scored
        .filter(|(score, _)| *score > 0)
        // What has a code beats a mere wrapper around it; then the longest piece, and the first of equals.
        .min_by_key(|(score, known)| (known.codes.is_empty(), std::cmp::Reverse(*score)));
    if let Some((_, known)) = best {
        return Found::Error {
            codes: known.codes,
            error: known.error,
        };
    }
    let by_number = number(query).and_then(|number| catalog.error_by_number(number));
    match by_number {
        Some(error) => Found::Error {
            codes: codes_of(&error.text, document, error.code),
            error: Some(error),
        },
        None => Found::Nothing {
            near: near(query, &words, document),
        },
    }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAXIMUM_LENGTH);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// `GPU-ARCH`, `gpu_arch`, `arch`, `cpu build`.
fn code(query: &str) -> Option<Code> {
    let name = query.to_ascii_uppercase().replace(['_', ' '], "-");
    let bare = || format!("GPU-{name}").parse().ok();
    name.parse().ok().or_else(bare)
}

/// The number of a CUDA error: `209`, `error 209`, `CUDA error 209`.
fn number(query: &str) -> Option<u32> {
    query.rsplit([' ', ':']).next()?.parse().ok()
}

fn known<'a>(document: &Document<'a>, catalog: &'a Catalog) -> Vec<Known<'a>> {
    let errors = catalog.error_texts();
    let mut known: Vec<Known<'a>> = errors
        .iter()
        .map(|error| Known {
            text: &error.text,
            codes: codes_of(&error.text, document, error.code),
            error: Some(error),
        })
        .collect();
    for text in document
        .sections()
        .iter()
        .flat_map(|section| &section.errors)
    {
        if !known.iter().any(|known| known.text == *text) {
            known.push(Known {
                text,
                codes: codes_of(text, document, None),
                error: None,
            });
        }
    }
    known
}

/// The codes whose sections list an error, that of the catalog first.
fn codes_of(text: &str, document: &Document<'_>, first: Option<Code>) -> Vec<Code> {
    let sections = document.sections().iter();
    let listed = sections
        .filter(|section| section.errors.contains(&text))
        .map(|section| section.code);
    let others = listed.filter(|code| Some(*code) != first);
    first.into_iter().chain(others).collect()
}

/// Lower-case words with single spaces.
fn normal(text: &str) -> String {
    let lower = text.to_lowercase();
    let words = lower
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// How much of a known text is in the question, or of the question in the text: bytes, 0 for too little.
fn score(text: &str, query: &str) -> usize {
    let whole = normal(text);
    let inside = |part: &str, all: &str| format!(" {all} ").contains(&format!(" {part} "));
    if whole == query {
        return usize::MAX;
    }
    if query.len() >= ENOUGH && inside(query, &whole) {
        return query.len();
    }
    let pieces = pieces(text);
    let told = pieces
        .iter()
        .filter(|piece| piece.len() >= ENOUGH && inside(piece, query));
    told.map(String::len).sum()
}

/// The pieces of a known text between its placeholders.
fn pieces(text: &str) -> Vec<String> {
    let mut text = text.to_lowercase();
    for placeholder in PLACEHOLDERS {
        text = text.replace(placeholder, "\n");
    }
    text.lines().map(normal).collect()
}

/// Codes that are written alike, and errors that share most words.
fn near(query: &str, words: &str, document: &Document<'_>) -> Vec<String> {
    let upper = query.to_ascii_uppercase();
    let bare = |name: &str| {
        name.trim_start_matches("GPU")
            .trim_start_matches('-')
            .to_owned()
    };
    let alike = |code: &Code| strsim::jaro_winkler(&bare(code.word()), &bare(&upper));
    let mut codes: Vec<(f64, Code)> = Code::ALL.iter().map(|code| (alike(code), *code)).collect();
    codes.retain(|(likeness, _)| *likeness >= ALIKE);
    codes.sort_by(|one, other| other.0.total_cmp(&one.0));
    let codes = codes.into_iter().map(|(_, code)| code.to_string());
    let mut errors: Vec<(usize, &str)> = document
        .sections()
        .iter()
        .flat_map(|section| &section.errors)
        .map(|text| (shared(text, words), *text))
        .filter(|(shared, _)| *shared > 1)
        .collect();
    errors.sort_by_key(|(shared, _)| std::cmp::Reverse(*shared));
    let mut near: Vec<String> = codes
        .chain(errors.into_iter().map(|(_, text)| text.to_owned()))
        .collect();
    near.dedup();
    near.truncate(NEAREST);
    near
}

/// How many words of some length two texts share.
fn shared(text: &str, query: &str) -> usize {
    let text = normal(text);
    let words = query.split(' ').filter(|word| word.len() > 3);
    words
        .filter(|word| text.split(' ').any(|other| other == *word))
        .count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::command::explain::CODES;

    fn codes(query: &str) -> Vec<Code> {
        match find(query, &Document::new(CODES), Catalog::embedded()) {
            Found::Code(code) => vec![code],
            Found::Error { codes, .. } => codes,
            Found::Nothing { .. } => Vec::new(),
        }
    }

    #[test]
    fn codes_are_read_in_any_case_and_without_their_prefix() {
        for query in [
            "GPU-CPU-BUILD",
            "gpu-cpu-build",
            "cpu build",
            "gpu_cpu_build",
        ] {
            assert_eq!(codes(query), [Code::CpuBuild], "{query}");
        }
    }

    #[test]
    fn errors_are_recognized_as_programs_print_them() {
        for (query, code) in [
            (
                "RuntimeError: CUDA error: no kernel image is available for execution on the device",
                Code::Arch,
            ),
            ("no kernel image is available", Code::Arch),
            (
                "NVIDIA GeForce RTX 5090 with CUDA capability sm_120 is not compatible with the current PyTorch installation.",
                Code::Arch,
            ),
            (
                "The NVIDIA driver on your system is too old (found version 12040). Please update your GPU driver",
                Code::Driver,
            ),
            (
                "nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.8, please update your driver to a newer version",
                Code::Require,
            ),
            (
                "AssertionError: Torch not compiled with CUDA enabled",
                Code::CpuBuild,
            ),
            (
                "Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling NumCudaDevices() that might have already set an error? Error 804: forward compatibility was attempted on non supported HW",
                Code::Compat,
            ),
            ("exec /usr/bin/python: exec format error", Code::Platform),
            ("CUDA error 222", Code::Ptx),
            ("209", Code::Arch),
            (
                "no matching manifest for linux/arm64/v8 in the manifest list entries",
                Code::Platform,
            ),
        ] {
            assert_eq!(codes(query).first(), Some(&code), "{query}");
        }
    }

    #[test]
    fn an_error_that_no_code_is_about_is_found_all_the_same() {
        let document = Document::new(CODES);
        let found = find(
            "Error 802: system not yet initialized",
            &document,
            Catalog::embedded(),
        );
        assert!(
            matches!(found, Found::Error { ref codes, error: Some(error) } if codes.is_empty() && error.number == Some(802)),
            "{found:?}"
        );
    }

    #[test]
    fn what_is_not_known_gets_what_is_most_alike() {
        let document = Document::new(CODES);
        let near = |query| match find(query, &document, Catalog::embedded()) {
            Found::Nothing { near } => near,
            other @ (Found::Code(_) | Found::Error { .. }) => panic!("{other:?}"),
        };
        assert_eq!(
            near("GPU-ARHC").first().map(String::as_str),
            Some("GPU-ARCH")
        );
        assert_eq!(
            near("libr").first().map(String::as_str),
            Some("GPU-LIBRARY")
        );
        let texts = near("kernel image missing on my device");
        assert!(
            texts.iter().any(|text| text.starts_with("no kernel image")),
            "{texts:?}"
        );
        assert_eq!(near("zzz"), [""; 0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_question_panics(query in ".{0,80}") {
            let _ = find(&query, &Document::new(CODES), Catalog::embedded());
        }
    }
}
