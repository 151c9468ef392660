//! Reads files with nodes: each named one, standard input for `-`, and of a folder all that end in `.yaml`, `.yml` or
//! `.json`. Reads no more of one than a listing takes.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::cluster::fleet::{Listing, MAX_SOURCE_BYTES};

/// Most files of one folder.
const MAX_FILES: usize = 10_000;
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
const STANDARD_INPUT: &str = "-";

/// A file or folder that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system says no.
    #[error("--nodes {path}: cannot be read", path = path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// More than is read of one source.
    #[error(
        "--nodes {path}: more than {MAX_SOURCE_BYTES} bytes: split it, or pass what \"gpu-capgate snapshot\" makes of it",
        path = path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A folder with nothing to read.
    #[error("--nodes {path}: no file in this folder ends in .yaml, .yml or .json", path = path.display())]
    NoFiles {
        /// The folder.
        path: PathBuf,
    },
    /// A folder with absurdly many files.
    #[error("--nodes {path}: more than {MAX_FILES} files: name those that hold nodes", path = path.display())]
    TooManyFiles {
        /// The folder.
        path: PathBuf,
    },
}

/// Reads all of them into a listing.
pub(super) fn read(paths: &[PathBuf], listing: &mut Listing<'_>) -> Result<(), FileError> {
    for path in paths {
        if path.as_os_str() == STANDARD_INPUT {
            let bytes = bounded(path, io::stdin().lock())?;
            listing.read("standard input", &bytes);
        } else if path.is_dir() {
            for file in files_of(path)? {
                read_file(&file, listing)?;
            }
        } else {
            read_file(path, listing)?;
        }
    }
    Ok(())
}

fn read_file(path: &Path, listing: &mut Listing<'_>) -> Result<(), FileError> {
    let file = File::open(path).map_err(|source| failed(path, source))?;
    let bytes = bounded(path, file)?;
    listing.read(&path.display().to_string(), &bytes);
    Ok(())
}

fn bounded(path: &Path, from: impl Read) -> Result<Vec<u8>, FileError> {
    let limit = u64::try_from(MAX_SOURCE_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    from.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|source| failed(path, source))?;
    if bytes.len() > MAX_SOURCE_BYTES {
        return Err(FileError::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(bytes)
}

/// The files of a folder that may hold nodes, by name.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|source| failed(folder, source))? {
        let path = entry.map_err(|source| failed(folder, source))?.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if ending.is_some_and(|ending| ENDINGS.contains(&ending)) && path.is_file() {
            found.push(path);
        }
        if found.len() > MAX_FILES {
            return Err(FileError::TooManyFiles {
                path: folder.to_owned(),
            });
        }
    }
    if found.is_empty() {
        return Err(FileError::NoFiles {
            path: folder.to_owned(),
        });
    }
    found.sort();
    Ok(found)
}

fn failed(path: &Path, source: io::Error) -> FileError {
    FileError::Read {
        path: path.to_owned(),
        source,
    }
}
