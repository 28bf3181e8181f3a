//! The 24 tables: names, types, and which columns have no nulls (clauses 2.3 and 2.4).
//!
//! Surrogate keys, ticket and order numbers are 64-bit integers, so that every scale fits; other integers are 32-bit;
//! money is `DECIMAL(7, 2)`; fixed and variable text is text without padding.

mod dimensions;
mod facts;

pub use dimensions::{
    CALL_CENTER, CATALOG_PAGE, CUSTOMER, CUSTOMER_ADDRESS, CUSTOMER_DEMOGRAPHICS, DATE_DIM, HOUSEHOLD_DEMOGRAPHICS,
    INCOME_BAND, ITEM, PROMOTION, REASON, SHIP_MODE, STORE, TIME_DIM, WAREHOUSE, WEB_PAGE, WEB_SITE,
};
pub use facts::{CATALOG_RETURNS, CATALOG_SALES, INVENTORY, STORE_RETURNS, STORE_SALES, WEB_RETURNS, WEB_SALES};

use crate::suite::{
    Column,
    Kind::{Date, Decimal, Int32, Int64, Text},
};

/// A number that identifies a row, alone or with others.
const fn key(name: &'static str) -> Column {
    Column::required(name, Int64)
}

/// The key of a row of another table.
const fn reference(name: &'static str) -> Column {
    Column::optional(name, Int64)
}

/// A business key: several rows of a table that keeps its history have the same.
const fn id(name: &'static str) -> Column {
    Column::required(name, Text)
}

const fn int(name: &'static str) -> Column {
    Column::optional(name, Int32)
}

const fn text(name: &'static str) -> Column {
    Column::optional(name, Text)
}

const fn date(name: &'static str) -> Column {
    Column::optional(name, Date)
}

const fn money(name: &'static str) -> Column {
    Column::optional(name, Decimal(7, 2))
}

const fn large(name: &'static str) -> Column {
    Column::optional(name, Decimal(15, 2))
}

const fn rate(name: &'static str) -> Column {
    Column::optional(name, Decimal(5, 2))
}
