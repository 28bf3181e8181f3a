//! The seventeen tables of what the facts refer to (clause 2.4).

use super::{date, id, int, key, large, money, rate, reference, text};
use crate::{
    suite::{Rows, Table},
    tpcds::rows::{self, Generated},
};

/// 73,049 days: 1900-01-01 to 2100-01-01.
pub const DATE_DIM: Table = Table::new(
    "date_dim",
    &[
        key("d_date_sk"),
        id("d_date_id"),
        date("d_date"),
        int("d_month_seq"),
        int("d_week_seq"),
        int("d_quarter_seq"),
        int("d_year"),
        int("d_dow"),
        int("d_moy"),
        int("d_dom"),
        int("d_qoy"),
        int("d_fy_year"),
        int("d_fy_quarter_seq"),
        int("d_fy_week_seq"),
        text("d_day_name"),
        text("d_quarter_name"),
        text("d_holiday"),
        text("d_weekend"),
        text("d_following_holiday"),
        int("d_first_dom"),
        int("d_last_dom"),
        int("d_same_day_ly"),
        int("d_same_day_lq"),
        text("d_current_day"),
        text("d_current_week"),
        text("d_current_month"),
        text("d_current_quarter"),
        text("d_current_year"),
    ],
    Rows::Constant(73_049),
    rows::date_dim,
);

/// 86,400 seconds of a day.
pub const TIME_DIM: Table = Table::new(
    "time_dim",
    &[
        key("t_time_sk"),
        id("t_time_id"),
        int("t_time"),
        int("t_hour"),
        int("t_minute"),
        int("t_second"),
        text("t_am_pm"),
        text("t_shift"),
        text("t_sub_shift"),
        text("t_meal_time"),
    ],
    Rows::Constant(86_400),
    rows::time_dim,
);

/// 75 reasons to return something.
pub const REASON: Table = Table::new(
    "reason",
    &[key("r_reason_sk"), id("r_reason_id"), text("r_reason_desc")],
    Rows::Constant(75),
    rows::reason,
);

/// 20 ways to ship.
pub const SHIP_MODE: Table = Table::new(
    "ship_mode",
    &[
        key("sm_ship_mode_sk"),
        id("sm_ship_mode_id"),
        text("sm_type"),
        text("sm_code"),
        text("sm_carrier"),
        text("sm_contract"),
    ],
    Rows::Constant(20),
    rows::ship_mode,
);

/// 20 bands of income.
pub const INCOME_BAND: Table = Table::new(
    "income_band",
    &[key("ib_income_band_sk"), int("ib_lower_bound"), int("ib_upper_bound")],
    Rows::Constant(20),
    rows::income_band,
);

/// 7,200 kinds of household.
pub const HOUSEHOLD_DEMOGRAPHICS: Table = Table::new(
    "household_demographics",
    &[
        key("hd_demo_sk"),
        reference("hd_income_band_sk"),
        text("hd_buy_potential"),
        int("hd_dep_count"),
        int("hd_vehicle_count"),
    ],
    Rows::Constant(7_200),
    rows::household_demographics,
);

/// 1,920,800 kinds of customer, at every scale.
pub const CUSTOMER_DEMOGRAPHICS: Table = Table::new(
    "customer_demographics",
    &[
        key("cd_demo_sk"),
        text("cd_gender"),
        text("cd_marital_status"),
        text("cd_education_status"),
        int("cd_purchase_estimate"),
        text("cd_credit_rating"),
        int("cd_dep_count"),
        int("cd_dep_employed_count"),
        int("cd_dep_college_count"),
    ],
    Rows::Constant(1_920_800),
    rows::customer_demographics,
);

/// 50,000 rows at scale 1.
pub const CUSTOMER_ADDRESS: Table = Table::new(
    "customer_address",
    &[
        key("ca_address_sk"),
        id("ca_address_id"),
        text("ca_street_number"),
        text("ca_street_name"),
        text("ca_street_type"),
        text("ca_suite_number"),
        text("ca_city"),
        text("ca_county"),
        text("ca_state"),
        text("ca_zip"),
        text("ca_country"),
        rate("ca_gmt_offset"),
        text("ca_location_type"),
    ],
    Rows::Stepped(|scale| rows::count(Generated::CustomerAddress, scale)),
    rows::customer_address,
);

/// 5 rows at scale 1.
pub const WAREHOUSE: Table = Table::new(
    "warehouse",
    &[
        key("w_warehouse_sk"),
        id("w_warehouse_id"),
        text("w_warehouse_name"),
        int("w_warehouse_sq_ft"),
        text("w_street_number"),
        text("w_street_name"),
        text("w_street_type"),
        text("w_suite_number"),
        text("w_city"),
        text("w_county"),
        text("w_state"),
        text("w_zip"),
        text("w_country"),
        rate("w_gmt_offset"),
    ],
    Rows::Stepped(|scale| rows::count(Generated::Warehouse, scale)),
    rows::warehouse,
);

/// 18,000 rows at scale 1.
pub const ITEM: Table = Table::new(
    "item",
    &[
        key("i_item_sk"),
        id("i_item_id"),
        date("i_rec_start_date"),
        date("i_rec_end_date"),
        text("i_item_desc"),
        money("i_current_price"),
        money("i_wholesale_cost"),
        int("i_brand_id"),
        text("i_brand"),
        int("i_class_id"),
        text("i_class"),
        int("i_category_id"),
        text("i_category"),
        int("i_manufact_id"),
        text("i_manufact"),
        text("i_size"),
        text("i_formulation"),
        text("i_color"),
        text("i_units"),
        text("i_container"),
        int("i_manager_id"),
        text("i_product_name"),
    ],
    Rows::Stepped(|scale| rows::count(Generated::Item, scale)),
    rows::item,
);

/// 300 rows at scale 1.
pub const PROMOTION: Table = Table::new(
    "promotion",
    &[
        key("p_promo_sk"),
        id("p_promo_id"),
        reference("p_start_date_sk"),
        reference("p_end_date_sk"),
        reference("p_item_sk"),
        large("p_cost"),
        int("p_response_target"),
        text("p_promo_name"),
        text("p_channel_dmail"),
        text("p_channel_email"),
        text("p_channel_catalog"),
        text("p_channel_tv"),
        text("p_channel_radio"),
        text("p_channel_press"),
        text("p_channel_event"),
        text("p_channel_demo"),
        text("p_channel_details"),
        text("p_purpose"),
        text("p_discount_active"),
    ],
    Rows::Stepped(|scale| rows::count(Generated::Promotion, scale)),
    rows::promotion,
);

/// 100,000 rows at scale 1.
pub const CUSTOMER: Table = Table::new(
    "customer",
    &[
        key("c_customer_sk"),
        id("c_customer_id"),
        reference("c_current_cdemo_sk"),
        reference("c_current_hdemo_sk"),
        reference("c_current_addr_sk"),
        reference("c_first_shipto_date_sk"),
        reference("c_first_sales_date_sk"),
        text("c_salutation"),
        text("c_first_name"),
        text("c_last_name"),
        text("c_preferred_cust_flag"),
        int("c_birth_day"),
        int("c_birth_month"),
        int("c_birth_year"),
        text("c_birth_country"),
        text("c_login"),
        text("c_email_address"),
        reference("c_last_review_date_sk"),
    ],
    Rows::Stepped(|scale| rows::count(Generated::Customer, scale)),
    rows::customer,
);

/// 12 rows at scale 1.
pub const STORE: Table = Table::new(
    "store",
    &[
        key("s_store_sk"),
        id("s_store_id"),
        date("s_rec_start_date"),
        date("s_rec_end_date"),
        reference("s_closed_date_sk"),
        text("s_store_name"),
        int("s_number_employees"),
        int("s_floor_space"),
        text("s_hours"),
        text("s_manager"),
        int("s_market_id"),
        text("s_geography_class"),
        text("s_market_desc"),
        text("s_market_manager"),
        int("s_division_id"),
        text("s_division_name"),
        int("s_company_id"),
        text("s_company_name"),
        text("s_street_number"),
        text("s_street_name"),
        text("s_street_type"),
        text("s_suite_number"),
        text("s_city"),
        text("s_county"),
        text("s_state"),
        text("s_zip"),
        text("s_country"),
        rate("s_gmt_offset"),
        rate("s_tax_precentage"),
    ],
    Rows::Stepped(|scale| rows::count(Generated::Store, scale)),
    rows::store,
);

/// 6 rows at scale 1.
pub const CALL_CENTER: Table = Table::new(
    "call_center",
    &[
        key("cc_call_center_sk"),
        id("cc_call_center_id"),
        date("cc_rec_start_date"),
        date("cc_rec_end_date"),
        reference("cc_closed_date_sk"),
        reference("cc_open_date_sk"),
        text("cc_name"),
        text("cc_class"),
        int("cc_employees"),
        int("cc_sq_ft"),
        text("cc_hours"),
        text("cc_manager"),
        int("cc_mkt_id"),
        text("cc_mkt_class"),
        text("cc_mkt_desc"),
        text("cc_market_manager"),
        int("cc_division"),
        text("cc_division_name"),
        int("cc_company"),
        text("cc_company_name"),
        text("cc_street_number"),
        text("cc_street_name"),
        text("cc_street_type"),
        text("cc_suite_number"),
        text("cc_city"),
        text("cc_county"),
        text("cc_state"),
        text("cc_zip"),
        text("cc_country"),
        rate("cc_gmt_offset"),
        rate("cc_tax_percentage"),
    ],
    Rows::Stepped(|scale| rows::count(Generated::CallCenter, scale)),
    rows::call_center,
);

/// 11,718 rows at scale 1.
pub const CATALOG_PAGE: Table = Table::new(
    "catalog_page",
    &[
        key("cp_catalog_page_sk"),
        id("cp_catalog_page_id"),
        reference("cp_start_date_sk"),
        reference("cp_end_date_sk"),
        text("cp_department"),
        int("cp_catalog_number"),
        int("cp_catalog_page_number"),
        text("cp_description"),
        text("cp_type"),
    ],
    Rows::Stepped(|scale| rows::count(Generated::CatalogPage, scale)),
    rows::catalog_page,
);

/// 30 rows at scale 1.
pub const WEB_SITE: Table = Table::new(
    "web_site",
    &[
        key("web_site_sk"),
        id("web_site_id"),
        date("web_rec_start_date"),
        date("web_rec_end_date"),
        text("web_name"),
        reference("web_open_date_sk"),
        reference("web_close_date_sk"),
        text("web_class"),
        text("web_manager"),
        int("web_mkt_id"),
        text("web_mkt_class"),
        text("web_mkt_desc"),
        text("web_market_manager"),
        int("web_company_id"),
        text("web_company_name"),
        text("web_street_number"),
        text("web_street_name"),
        text("web_street_type"),
        text("web_suite_number"),
        text("web_city"),
        text("web_county"),
        text("web_state"),
        text("web_zip"),
        text("web_country"),
        rate("web_gmt_offset"),
        rate("web_tax_percentage"),
    ],
    Rows::Stepped(|scale| rows::count(Generated::WebSite, scale)),
    rows::web_site,
);

/// 60 rows at scale 1.
pub const WEB_PAGE: Table = Table::new(
    "web_page",
    &[
        key("wp_web_page_sk"),
        id("wp_web_page_id"),
        date("wp_rec_start_date"),
        date("wp_rec_end_date"),
        reference("wp_creation_date_sk"),
        reference("wp_access_date_sk"),
        text("wp_autogen_flag"),
        reference("wp_customer_sk"),
        text("wp_url"),
        text("wp_type"),
        int("wp_char_count"),
        int("wp_link_count"),
        int("wp_image_count"),
        int("wp_max_ad_count"),
    ],
    Rows::Stepped(|scale| rows::count(Generated::WebPage, scale)),
    rows::web_page,
);
