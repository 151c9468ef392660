//! Overlay files: read no further than an overlay may reach, and left to the catalog to understand.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::compat::catalog::MAXIMUM_OVERLAY_LENGTH;

/// The bytes of an overlay; of a file that is too long, one more than the catalog takes.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(MAXIMUM_OVERLAY_LENGTH).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    File::open(path)?
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}
