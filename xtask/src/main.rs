//! Developer tasks: `cargo xtask test [--quick] [STAGE…]` is what `.ci/run` calls; `cargo xtask stages` lists them;
//! `cargo xtask api` writes the lists of what the crates offer; `cargo xtask semver` compares the crates with their last
//! releases.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]
#![expect(clippy::disallowed_methods, reason = "a tool of developers is told about their machine by environment")]

mod markdown;
mod process;
mod run;
mod semver;
mod stages;
mod workspace;

use std::process::ExitCode;

const USAGE: &str =
    "usage: cargo xtask test [--quick] [STAGE…] | cargo xtask api | cargo xtask semver | cargo xtask stages";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["test" | "ci", rest @ ..] => run::test(rest),
        ["api"] => workspace::Workspace::find().and_then(|workspace| stages::api::write(&workspace)).map(|()| true),
        ["semver"] => workspace::Workspace::find().and_then(|workspace| semver::run(&workspace)).map(|()| true),
        ["stages"] => {
            for stage in stages::ALL {
                println!("{:<10} {}{}", stage.name, stage.about, if stage.quick { "" } else { " (not in --quick)" });
            }
            Ok(true)
        }
        _ => Err(anyhow::anyhow!(USAGE)),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}
