//! The binary `sqe`, from outside: as its users, its operators and its enemies meet it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod ambient;
mod audit_command;
mod bench;
mod clients;
mod collector;
mod command_line;
mod configuration;
mod demo;
mod device;
mod differing;
mod doctor;
mod durability;
mod full_disk;
mod issuers;
mod limits;
mod login;
mod operations;
mod probe;
mod prompt;
mod reload;
mod rights;
mod site;
mod stopping;
mod storm;
mod surface;
mod telemetry;
mod tls;
mod tokens;
