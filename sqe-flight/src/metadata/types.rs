//! The types of columns, as SQL and as ODBC name them.

use arrow::datatypes::DataType;
use arrow_flight::{
    error::FlightError,
    sql::{
        Nullable, Searchable, XdbcDataType, XdbcDatetimeSubcode,
        metadata::{XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder},
    },
};

/// The SQL name of a type, as a column of it would be declared.
pub(super) fn sql_name(ty: &DataType) -> String {
    let name = match ty {
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 => "TINYINT",
        DataType::Int16 => "SMALLINT",
        DataType::Int32 => "INTEGER",
        DataType::Int64 => "BIGINT",
        DataType::UInt8 => "TINYINT UNSIGNED",
        DataType::UInt16 => "SMALLINT UNSIGNED",
        DataType::UInt32 => "INTEGER UNSIGNED",
        DataType::UInt64 => "BIGINT UNSIGNED",
        DataType::Float16 | DataType::Float32 => "REAL",
        DataType::Float64 => "DOUBLE",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "BYTEA",
        DataType::Date32 | DataType::Date64 => "DATE",
        DataType::Time32(_) | DataType::Time64(_) => "TIME",
        DataType::Timestamp(_, None) => "TIMESTAMP",
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE",
        DataType::Interval(_) | DataType::Duration(_) => "INTERVAL",
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => return format!("DECIMAL({precision}, {scale})"),
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(_, _)
        | DataType::ListView(_)
        | DataType::LargeListView(_) => "ARRAY",
        DataType::Struct(_) => "STRUCT",
        DataType::Map(_, _) => "MAP",
        DataType::Dictionary(_, values) => return sql_name(values),
        DataType::RunEndEncoded(_, values) => return sql_name(values.data_type()),
        DataType::Null => "NULL",
        DataType::Union(_, _) => "UNION",
    };
    name.to_owned()
}

/// The answer to `CommandGetXdbcTypeInfo`: what a column may be declared as (ODBC, `SQLGetTypeInfo`).
pub(super) fn build() -> Result<XdbcTypeInfoData, FlightError> {
    use XdbcDataType as X;
    let mut builder = XdbcTypeInfoDataBuilder::new();
    let plain = |name: &str, ty: XdbcDataType, size: i32| XdbcTypeInfo {
        type_name: name.to_owned(),
        data_type: ty,
        column_size: Some(size),
        nullable: Nullable::NullabilityNullable,
        searchable: Searchable::Full,
        local_type_name: Some(name.to_owned()),
        sql_data_type: ty,
        ..XdbcTypeInfo::default()
    };
    // A number: its digits are counted in base `radix`.
    let number = |name: &str, ty: XdbcDataType, size: i32, radix: i32| XdbcTypeInfo {
        unsigned_attribute: Some(false),
        auto_increment: Some(false),
        num_prec_radix: Some(radix),
        ..plain(name, ty, size)
    };
    let quoted = |info: XdbcTypeInfo, prefix: &str| XdbcTypeInfo {
        literal_prefix: Some(prefix.to_owned()),
        literal_suffix: Some("'".to_owned()),
        ..info
    };
    // In ODBC 3 the verbose type of dates and times is DATETIME, and the subcode says which.
    let moment = |name: &str, ty: XdbcDataType, size: i32, prefix: &str, subcode: XdbcDatetimeSubcode| XdbcTypeInfo {
        sql_data_type: X::XdbcDatetime,
        datetime_subcode: Some(subcode),
        ..quoted(plain(name, ty, size), prefix)
    };
    builder.append(plain("BOOLEAN", X::XdbcBit, 1));
    builder.append(number("TINYINT", X::XdbcTinyint, 3, 10));
    builder.append(number("SMALLINT", X::XdbcSmallint, 5, 10));
    builder.append(number("INTEGER", X::XdbcInteger, 10, 10));
    builder.append(number("BIGINT", X::XdbcBigint, 19, 10));
    builder.append(number("REAL", X::XdbcReal, 24, 2));
    builder.append(number("FLOAT", X::XdbcFloat, 24, 2));
    builder.append(number("DOUBLE", X::XdbcDouble, 53, 2));
    for (name, ty) in [("DECIMAL", X::XdbcDecimal), ("NUMERIC", X::XdbcNumeric)] {
        builder.append(XdbcTypeInfo {
            create_params: Some(vec!["precision".to_owned(), "scale".to_owned()]),
            minimum_scale: Some(0),
            maximum_scale: Some(38),
            ..number(name, ty, 38, 10)
        });
    }
    // Texts are all of one kind; drivers look for each by its own code.
    for (name, ty) in [("CHAR", X::XdbcChar), ("VARCHAR", X::XdbcVarchar), ("TEXT", X::XdbcLongvarchar)] {
        builder.append(XdbcTypeInfo { case_sensitive: true, ..quoted(plain(name, ty, i32::MAX), "'") });
    }
    builder.append(quoted(plain("BYTEA", X::XdbcVarbinary, i32::MAX), "X'"));
    // 1 is both "year" of intervals and "date" of moments; the generated enumeration has one name for it.
    builder.append(moment("DATE", X::XdbcDate, 10, "DATE '", XdbcDatetimeSubcode::XdbcSubcodeYear));
    builder.append(XdbcTypeInfo {
        minimum_scale: Some(0),
        maximum_scale: Some(9),
        ..moment("TIME", X::XdbcTime, 18, "TIME '", XdbcDatetimeSubcode::XdbcSubcodeTime)
    });
    builder.append(XdbcTypeInfo {
        minimum_scale: Some(0),
        maximum_scale: Some(9),
        ..moment("TIMESTAMP", X::XdbcTimestamp, 29, "TIMESTAMP '", XdbcDatetimeSubcode::XdbcSubcodeTimestamp)
    });
    let zoned = XdbcDatetimeSubcode::XdbcSubcodeTimestampWithTimezone;
    builder.append(XdbcTypeInfo {
        minimum_scale: Some(0),
        maximum_scale: Some(9),
        ..moment("TIMESTAMP WITH TIME ZONE", X::XdbcTimestamp, 35, "TIMESTAMP WITH TIME ZONE '", zoned)
    });
    builder.append(quoted(plain("INTERVAL", X::XdbcInterval, i32::MAX), "INTERVAL '"));
    builder.build()
}
