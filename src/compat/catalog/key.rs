//! What tells one entry of a table from another; tables are sorted by it.

use std::fmt;

use super::entry::{
    Alias, Chip, DefaultVariant, DriverBranch, ErrorText, Gpu, LibraryCode, NgcImage, Toolkit,
    TorchBuild,
};
use super::release::{Channel, ReleasePattern};
use crate::compat::host::CpuArchitecture;
use crate::compat::software::Origin;
use crate::compat::target::ComputeCapability;
use crate::compat::version::{CudaVersion, DottedVersion, Variant};

/// What tables need of their entries.
pub(super) trait Entry: Clone {
    /// What tells one entry from another; tables are sorted by it.
    type Key<'a>: Ord + fmt::Debug
    where
        Self: 'a;

    /// The entry's key.
    fn key(&self) -> Self::Key<'_>;

    /// Marks an entry that came from an overlay.
    fn mark_attached(&mut self) {}
}

macro_rules! keyed {
    ($name:ident, $key:ty, |$entry:ident| $get:expr) => {
        impl Entry for $name {
            type Key<'a> = $key;

            fn key(&self) -> Self::Key<'_> {
                let $entry = self;
                $get
            }
        }
    };
}

impl Entry for TorchBuild {
    type Key<'a> = (CpuArchitecture, Channel, ReleasePattern, Variant);

    fn key(&self) -> Self::Key<'_> {
        (self.arch, self.channel, self.release, self.variant)
    }

    fn mark_attached(&mut self) {
        self.origin = Origin::Attached;
    }
}

keyed!(DefaultVariant, (CpuArchitecture, ReleasePattern), |entry| (
    entry.arch,
    entry.first
));
keyed!(Toolkit, CudaVersion, |entry| entry.cuda);
keyed!(DriverBranch, u16, |entry| entry.branch);
keyed!(Chip, ComputeCapability, |entry| entry.capability);
keyed!(Gpu, &'a str, |entry| &*entry.name);
keyed!(
    LibraryCode,
    (&'a str, CpuArchitecture, u16, DottedVersion, &'a str),
    |entry| (
        &*entry.name,
        entry.arch,
        entry.cuda_major,
        entry.version,
        &*entry.file
    )
);
keyed!(NgcImage, &'a str, |entry| &*entry.tag);
keyed!(ErrorText, (&'a str, Option<u32>, &'a str), |entry| (
    &*entry.origin,
    entry.number,
    &*entry.text
));
keyed!(Alias, &'a str, |entry| &*entry.image);
