//! TPC-DS: its tables, its data and its 99 queries.
//!
//! Source: *TPC Benchmark DS, Standard Specification*, version 4.0.0. Timings made with this crate are not audited
//! TPC results and may not be compared with such.

mod queries;
mod rows;
mod tables;
mod text;

pub use tables::{
    CALL_CENTER, CATALOG_PAGE, CATALOG_RETURNS, CATALOG_SALES, CUSTOMER, CUSTOMER_ADDRESS, CUSTOMER_DEMOGRAPHICS,
    DATE_DIM, HOUSEHOLD_DEMOGRAPHICS, INCOME_BAND, INVENTORY, ITEM, PROMOTION, REASON, SHIP_MODE, STORE, STORE_RETURNS,
    STORE_SALES, TIME_DIM, WAREHOUSE, WEB_PAGE, WEB_RETURNS, WEB_SALES, WEB_SITE,
};

use crate::suite::{Queries, Suite, Table};

/// TPC-DS.
pub const SUITE: Suite = Suite::new("tpcds", "TPC-DS", &TABLES, Queries::new(&queries::TEXTS, queries::parameters));

const TABLES: [Table; 24] = [
    DATE_DIM,
    TIME_DIM,
    REASON,
    SHIP_MODE,
    INCOME_BAND,
    HOUSEHOLD_DEMOGRAPHICS,
    CUSTOMER_DEMOGRAPHICS,
    CUSTOMER_ADDRESS,
    WAREHOUSE,
    ITEM,
    PROMOTION,
    CUSTOMER,
    STORE,
    CALL_CENTER,
    CATALOG_PAGE,
    WEB_SITE,
    WEB_PAGE,
    STORE_SALES,
    STORE_RETURNS,
    CATALOG_SALES,
    CATALOG_RETURNS,
    WEB_SALES,
    WEB_RETURNS,
    INVENTORY,
];
