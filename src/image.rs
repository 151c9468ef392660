//! Images: from a reference to what is known of the software inside, by its name alone.
//!
//! Everything here is pure: no registry is asked. The layer knows no Pods and no nodes, and judges nothing.
//! [`mod@reference`] reads names; [`alias`] follows an operator's names to known ones; [`repositories`] is the catalog of
//! well-known repositories, written with the [`pattern`]s of its data file; [`tag`] reads the conventions of tags in
//! any repository; [`requires`] is the grammar of the author's own declaration; [`evidence`] makes software of them.

pub mod alias;
pub mod evidence;
pub mod pattern;
pub mod reference;
pub mod repositories;
pub mod requires;
pub mod tag;
