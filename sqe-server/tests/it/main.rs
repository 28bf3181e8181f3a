//! The binary `sqe`, from outside: as its users, its operators and its enemies meet it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod ambient;
mod bench;
mod clients;
mod command_line;
mod configuration;
mod demo;
mod durability;
mod full_disk;
mod limits;
mod operations;
mod probe;
mod reload;
mod site;
mod stopping;
mod tokens;
