//! The stages of `cargo xtask test`, in their order: cheap ones first.

pub(crate) mod api;
mod book;
mod build;
mod fences;
mod habits;
mod package;
mod setup;

use anyhow::Result;

pub(crate) use package::published;

use crate::{process::Counts, workspace::Workspace};

/// One stage.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Whether it is worth its time between two edits.
    pub(crate) quick: bool,
    pub(crate) run: fn(&Workspace) -> Result<Counts>,
}

const fn stage(name: &'static str, quick: bool, run: fn(&Workspace) -> Result<Counts>, about: &'static str) -> Stage {
    Stage { name, about, quick, run }
}

/// All of them.
pub(crate) const ALL: &[Stage] = &[
    stage(
        "setup",
        true,
        setup::run,
        "the Python and Node environments of tools, real clients and independent services",
    ),
    stage("format", true, build::format, "rustfmt has nothing to change"),
    stage("habits", true, habits::run, "rules of the house that no compiler checks"),
    stage("book", true, book::run, "the book builds and its links lead somewhere"),
    stage("fences", true, fences::run, "what a crate may depend on"),
    stage("clippy", true, build::clippy, "no lint fires"),
    stage("test", true, build::test, "unit, integration and SQL tests"),
    stage("clients", false, build::clients, "real clients and independent engines against a running server"),
    stage("doctest", false, build::doctest, "the code in the documentation runs"),
    stage("examples", false, build::examples, "every example runs"),
    stage("rustdoc", false, build::rustdoc, "the reference documentation builds without warnings, as on docs.rs"),
    stage("api", false, api::run, "what others can call is what public-api.txt says"),
    stage("package", false, package::run, "every crate packages, and others can build on the packages"),
];
