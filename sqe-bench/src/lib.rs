#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod answer;
pub mod by_hand;
pub mod compare;
pub mod contender;
pub mod load;
pub mod oracle;
pub mod run;
pub mod suite;
pub mod tpcds;
pub mod tpch;
