//! The generators of the 24 tables.
//!
//! They count *source rows*: of the tables of sales and returns that are tickets and orders, which have several lines,
//! and else the table's own rows. A part of a table is made of a share of the source rows, so parts differ in size.

pub(super) use tpcdsgen::config::Table as Generated;

use sqe_core::{Error, Result};
use tpcdsgen::{
    config::{Scaling, Session, SessionBuilder},
    row::{
        CallCenterRowGenerator, CatalogPageRowGenerator, CatalogReturnsRowGenerator, CatalogSalesRowGenerator,
        CustomerAddressRowGenerator, CustomerDemographicsRowGenerator, CustomerRowGenerator, DateDimRowGenerator,
        HouseholdDemographicsRowGenerator, IncomeBandRowGenerator, InventoryRowGenerator, ItemRowGenerator,
        PromotionRowGenerator, ReasonRowGenerator, ShipModeRowGenerator, StoreReturnsRowGenerator, StoreRowGenerator,
        StoreSalesRowGenerator, TimeDimRowGenerator, WarehouseRowGenerator, WebPageRowGenerator,
        WebReturnsRowGenerator, WebSalesRowGenerator, WebSiteRowGenerator,
    },
};

use super::text::Lines;
use crate::suite::{
    Scale, Table,
    data::{BoxedBatches, Part, batched},
};

/// How many source rows a table has.
pub(super) fn count(table: Generated, scale: Scale) -> u64 {
    Scaling::new(scale.factor()).get_row_count(table)
}

/// One function a table: a generator over the source rows of the part, whose rows are read in their text form.
macro_rules! generate {
    ($($table:ident: $generated:ident, $generator:ident;)*) => {
        $(pub(super) fn $table(table: Table, scale: Scale, batch_rows: usize, part: Part) -> BoxedBatches {
            let session = match session(scale) {
                Ok(session) => session,
                Err(error) => return Box::new(std::iter::once(Err(error))),
            };
            let all = session.get_scaling().get_row_count(Generated::$generated);
            let (before, last) = part.share(all);
            if before == last {
                return Box::new(std::iter::empty());
            }
            let mut rows = $generator::new(session, all);
            rows.set_source_row_range(before + 1, last);
            let mut lines = Lines::new(table.schema());
            batched(table, batch_rows, rows, move |rows| lines.columns(rows))
        })*
    };
}

generate! {
    store_sales: StoreSales, StoreSalesRowGenerator;
    store_returns: StoreReturns, StoreReturnsRowGenerator;
    catalog_sales: CatalogSales, CatalogSalesRowGenerator;
    catalog_returns: CatalogReturns, CatalogReturnsRowGenerator;
    web_sales: WebSales, WebSalesRowGenerator;
    web_returns: WebReturns, WebReturnsRowGenerator;
    inventory: Inventory, InventoryRowGenerator;
    date_dim: DateDim, DateDimRowGenerator;
    time_dim: TimeDim, TimeDimRowGenerator;
    reason: Reason, ReasonRowGenerator;
    ship_mode: ShipMode, ShipModeRowGenerator;
    income_band: IncomeBand, IncomeBandRowGenerator;
    household_demographics: HouseholdDemographics, HouseholdDemographicsRowGenerator;
    customer_demographics: CustomerDemographics, CustomerDemographicsRowGenerator;
    customer_address: CustomerAddress, CustomerAddressRowGenerator;
    warehouse: Warehouse, WarehouseRowGenerator;
    item: Item, ItemRowGenerator;
    promotion: Promotion, PromotionRowGenerator;
    customer: Customer, CustomerRowGenerator;
    store: Store, StoreRowGenerator;
    call_center: CallCenter, CallCenterRowGenerator;
    catalog_page: CatalogPage, CatalogPageRowGenerator;
    web_site: WebSite, WebSiteRowGenerator;
    web_page: WebPage, WebPageRowGenerator;
}

fn session(scale: Scale) -> Result<Session> {
    SessionBuilder::new()
        .with_scale_factor(scale.factor())
        .build()
        .map_err(|error| Error::invalid(format!("the generator refuses the scale factor {scale}")).with_source(error))
}
