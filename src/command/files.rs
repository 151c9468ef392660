//! Reads the files that an option names: each named one, standard input for `-`, and of a folder all that end in
//! `.yaml`, `.yml` or `.json`. Reads no more of one than it was told. Knows nothing of what is in them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Most files of one folder.
const MAX_FILES: usize = 10_000;
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
const STANDARD_INPUT: &str = "-";
const STANDARD_INPUT_NAME: &str = "standard input";

/// An option that names files, and how much of each is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Files<'a> {
    /// The option, for errors: `--nodes`.
    pub(super) option: &'static str,
    /// What was named.
    pub(super) paths: &'a [PathBuf],
    /// Most bytes of one file.
    pub(super) limit: usize,
    /// What to do about a longer one, as the end of an error.
    pub(super) remedy: &'static str,
}

/// A file or folder that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system says no.
    #[error("{option} {path}: cannot be read", path = path.display())]
    Read {
        /// The option.
        option: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Standard input is named twice: it is empty the second time.
    #[error(
        "{first} - and {second} -: standard input can be read once: write one of the two to a file"
    )]
    Twice {
        /// An option.
        first: &'static str,
        /// Another one, or the same.
        second: &'static str,
    },
    /// More than is read of one file.
    #[error("{option} {path}: more than {limit} bytes: {remedy}", path = path.display())]
    TooLarge {
        /// The option.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// Most bytes that are read.
        limit: usize,
        /// What to do.
        remedy: &'static str,
    },
    /// A folder with nothing to read.
    #[error("{option} {path}: no file in this folder ends in .yaml, .yml or .json", path = path.display())]
    NoFiles {
        /// The option.
        option: &'static str,
        /// The folder.
        path: PathBuf,
    },
    /// A folder with absurdly many files.
    #[error("{option} {path}: more than {MAX_FILES} files: name those that are meant", path = path.display())]
    TooManyFiles {
        /// The option.
        option: &'static str,
        /// The folder.
        path: PathBuf,
    },
}

/// Holds that of all options and what they name standard input is named at most once.
pub(super) fn once(options: &[(&'static str, &[PathBuf])]) -> Result<(), FileError> {
    let all = options
        .iter()
        .flat_map(|(option, paths)| paths.iter().map(move |path| (*option, path)));
    let mut named = all.filter(|(_, path)| path.as_os_str() == STANDARD_INPUT);
    match (named.next(), named.next()) {
        (Some((first, _)), Some((second, _))) => Err(FileError::Twice { first, second }),
        (Some(_) | None, Some(_) | None) => Ok(()),
    }
}

impl Files<'_> {
    /// Reads all of them, and hands over the name and the bytes of each.
    pub(super) fn each(self, mut take: impl FnMut(&str, Vec<u8>)) -> Result<(), FileError> {
        for path in self.paths {
            let files = if path.as_os_str() != STANDARD_INPUT && path.is_dir() {
                self.files_of(path)?
            } else {
                vec![path.clone()]
            };
            for file in files {
                let (name, bytes) = self.one(&file)?;
                take(&name, bytes);
            }
        }
        Ok(())
    }

    /// Reads what a path names, a file or standard input, and gives its name and bytes.
    pub(super) fn one(self, path: &Path) -> Result<(String, Vec<u8>), FileError> {
        if path.as_os_str() == STANDARD_INPUT {
            let bytes = self.bounded(path, io::stdin().lock())?;
            return Ok((STANDARD_INPUT_NAME.to_owned(), bytes));
        }
        Ok((path.display().to_string(), self.file(path)?))
    }

    fn file(self, path: &Path) -> Result<Vec<u8>, FileError> {
        let file = File::open(path).map_err(|source| self.failed(path, source))?;
        self.bounded(path, file)
    }

    fn bounded(self, path: &Path, from: impl Read) -> Result<Vec<u8>, FileError> {
        let limit = u64::try_from(self.limit).unwrap_or(u64::MAX);
        let mut bytes = Vec::new();
        from.take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|source| self.failed(path, source))?;
        if bytes.len() > self.limit {
            return Err(FileError::TooLarge {
                option: self.option,
                path: path.to_owned(),
                limit: self.limit,
                remedy: self.remedy,
            });
        }
        Ok(bytes)
    }

    /// The files of a folder that may be meant, by name.
    fn files_of(self, folder: &Path) -> Result<Vec<PathBuf>, FileError> {
        let (option, path) = (self.option, folder.to_owned());
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).map_err(|source| self.failed(folder, source))? {
            let file = entry.map_err(|source| self.failed(folder, source))?.path();
            let ending = file.extension().and_then(|ending| ending.to_str());
            if ending.is_some_and(|ending| ENDINGS.contains(&ending)) && file.is_file() {
                found.push(file);
            }
            if found.len() > MAX_FILES {
                return Err(FileError::TooManyFiles { option, path });
            }
        }
        if found.is_empty() {
            return Err(FileError::NoFiles { option, path });
        }
        found.sort();
        Ok(found)
    }

    fn failed(self, path: &Path, source: io::Error) -> FileError {
        FileError::Read {
            option: self.option,
            path: path.to_owned(),
            source,
        }
    }
}
