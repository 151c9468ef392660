//! The compatibility engine: what a piece of software contains, times what a host has, gives a verdict.
//!
//! Everything here is pure: no files, network, clock, environment or threads. It has never heard of
//! Kubernetes, of image registries or of NVML; whoever knows those fills in [`Software`] and [`Host`] and
//! calls [`judge`]. Facts live in `compat/data/*.toml` (one entry each, with source and proof) and are
//! reached through [`Catalog`]; rules live in `compat/rules` and hold no number and no product name.
//!
//! Missing knowledge is data too: a [`Fact`] may be a [`Gap`], and a gap in something decisive makes the
//! verdict [`Verdict::Unknown`], never an error and never a denial.

pub mod catalog;
pub mod host;
pub mod require;
pub mod rules;
pub mod software;
pub mod target;
pub mod verdict;
pub mod version;

pub use catalog::Catalog;
pub use host::{Brand, CpuArchitecture, GpuClass, Host, Platform, RuntimeMode};
pub use require::Requirements;
pub use rules::{judge, judge_with};
pub use software::{
    BuildKind, CompatPackage, Evidence, Fact, FactName, Gap, Library, Origin, Proof, Scope,
    Software, Standing,
};
pub use target::{ComputeCapability, PtxList, PtxTarget, Suffix, Target, TargetList};
pub use verdict::{Cause, Code, Finding, Force, Judgement, UsedFact, Verdict};
pub use version::{
    CudaVersion, DottedVersion, DriverFloor, DriverVersion, PtxIsa, TorchVersion, Variant,
};
