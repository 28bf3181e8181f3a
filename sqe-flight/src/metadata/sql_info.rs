//! `CommandGetSqlInfo`: every key of `SqlInfo` (`FlightSql.proto`) with what is true here.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{AsArray, RecordBatch};
use arrow_flight::{
    error::FlightError,
    sql::{
        SqlInfo, SqlNullOrdering, SqlOuterJoinsSupportLevel, SqlSupportedCaseSensitivity, SqlSupportedGroupBy,
        SqlSupportedResultSetConcurrency, SqlSupportedResultSetType, SqlSupportedSubqueries, SqlSupportedTransaction,
        SqlSupportedUnions, SqlSupportsConvert, SqlTransactionIsolationLevel, SupportedSqlGrammar,
        metadata::{SqlInfoData, SqlInfoDataBuilder},
    },
};

use crate::settings::Settings;

/// The bit of an enumeration's value.
fn bit(value: i32) -> i32 {
    1 << value
}

/// The version of Arrow that the server is built with.
const ARROW_VERSION: &str = arrow::ARROW_VERSION;

/// Words with a meaning that SQL-92 does not know.
const KEYWORDS: &[&str] = &[
    "ANTI",
    "ARRAY",
    "ASOF",
    "BIGINT",
    "CACHE",
    "CUBE",
    "DESCRIBE",
    "EXPLAIN",
    "FILTER",
    "GROUPING",
    "ILIKE",
    "LATERAL",
    "LIMIT",
    "MAP",
    "OFFSET",
    "OVER",
    "PARTITION",
    "PARTITIONED",
    "QUALIFY",
    "RECURSIVE",
    "REGEXP",
    "REPLACE",
    "RLIKE",
    "ROLLUP",
    "SEMI",
    "SETS",
    "SHOW",
    "STRUCT",
    "TABLESAMPLE",
    "UNNEST",
    "WINDOW",
    "WITHIN",
];

const NUMERIC_FUNCTIONS: &[&str] = &[
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cbrt",
    "ceil",
    "cos",
    "cosh",
    "cot",
    "degrees",
    "exp",
    "factorial",
    "floor",
    "gcd",
    "isnan",
    "iszero",
    "lcm",
    "ln",
    "log",
    "log10",
    "log2",
    "nanvl",
    "pi",
    "power",
    "radians",
    "random",
    "round",
    "signum",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "trunc",
];

const STRING_FUNCTIONS: &[&str] = &[
    "ascii",
    "bit_length",
    "btrim",
    "chr",
    "concat",
    "concat_ws",
    "contains",
    "ends_with",
    "initcap",
    "left",
    "length",
    "levenshtein",
    "lower",
    "lpad",
    "ltrim",
    "octet_length",
    "overlay",
    "regexp_count",
    "regexp_like",
    "regexp_match",
    "regexp_replace",
    "repeat",
    "replace",
    "reverse",
    "right",
    "rpad",
    "rtrim",
    "split_part",
    "starts_with",
    "strpos",
    "substr",
    "substr_index",
    "to_hex",
    "translate",
    "upper",
    "uuid",
];

const DATETIME_FUNCTIONS: &[&str] = &[
    "current_date",
    "current_time",
    "date_bin",
    "date_part",
    "date_trunc",
    "from_unixtime",
    "make_date",
    "now",
    "to_char",
    "to_date",
    "to_local_time",
    "to_timestamp",
    "to_timestamp_micros",
    "to_timestamp_millis",
    "to_timestamp_nanos",
    "to_timestamp_seconds",
    "to_unixtime",
];

const SYSTEM_FUNCTIONS: &[&str] = &["arrow_cast", "arrow_typeof", "coalesce", "nullif", "nvl", "nvl2", "version"];

pub(super) fn build(settings: &Settings) -> Result<SqlInfoData, FlightError> {
    let mut info = SqlInfoDataBuilder::new();
    server(&mut info, settings);
    names(&mut info);
    grammar(&mut info);
    limits(&mut info, settings);
    transactions_and_results(&mut info);
    info.build()
}

/// The rows of the wanted keys, of all if none is named. An unknown key has no row.
pub(super) fn answer(data: &SqlInfoData, wanted: &[u32]) -> Result<RecordBatch, FlightError> {
    let all = data.record_batch([])?;
    if wanted.is_empty() {
        return Ok(all);
    }
    // A request may name any number of keys; the work is bounded by those that exist.
    let known: BTreeSet<u32> =
        all.column(0).as_primitive::<arrow::datatypes::UInt32Type>().values().iter().copied().collect();
    let wanted: BTreeSet<u32> = wanted.iter().copied().filter(|key| known.contains(key)).collect();
    match wanted.is_empty() {
        true => Ok(all.slice(0, 0)),
        false => data.record_batch(wanted),
    }
}

fn server(info: &mut SqlInfoDataBuilder, settings: &Settings) {
    info.append(SqlInfo::FlightSqlServerName, settings.server_name.as_str());
    info.append(SqlInfo::FlightSqlServerVersion, settings.server_version.as_str());
    info.append(SqlInfo::FlightSqlServerArrowVersion, ARROW_VERSION);
    info.append(SqlInfo::FlightSqlServerReadOnly, false);
    info.append(SqlInfo::FlightSqlServerSql, true);
    info.append(SqlInfo::FlightSqlServerSubstrait, false);
    info.append(SqlInfo::FlightSqlServerSubstraitMinVersion, "");
    info.append(SqlInfo::FlightSqlServerSubstraitMaxVersion, "");
    info.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    info.append(SqlInfo::FlightSqlServerCancel, true);
    info.append(SqlInfo::FlightSqlServerBulkIngestion, true);
    info.append(SqlInfo::FlightSqlServerIngestTransactionsSupported, false);
    let idle = i32::try_from(settings.prepared_idle_timeout.as_millis()).unwrap_or(i32::MAX);
    info.append(SqlInfo::FlightSqlServerStatementTimeout, idle);
    // 0: there are no transactions that could end by time.
    info.append(SqlInfo::FlightSqlServerTransactionTimeout, 0_i32);
}

fn names(info: &mut SqlInfoDataBuilder) {
    info.append(SqlInfo::SqlDdlCatalog, false);
    info.append(SqlInfo::SqlDdlSchema, true);
    info.append(SqlInfo::SqlDdlTable, true);
    info.append(SqlInfo::SqlIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32);
    info.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    info.append(SqlInfo::SqlQuotedIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityUnknown as i32);
    // A person may know of a table without being allowed to read it.
    info.append(SqlInfo::SqlAllTablesAreSelectable, false);
    info.append(SqlInfo::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i32);
    info.append(SqlInfo::SqlKeywords, KEYWORDS);
    info.append(SqlInfo::SqlNumericFunctions, NUMERIC_FUNCTIONS);
    info.append(SqlInfo::SqlStringFunctions, STRING_FUNCTIONS);
    info.append(SqlInfo::SqlSystemFunctions, SYSTEM_FUNCTIONS);
    info.append(SqlInfo::SqlDatetimeFunctions, DATETIME_FUNCTIONS);
    info.append(SqlInfo::SqlSearchStringEscape, "\\");
    info.append(SqlInfo::SqlExtraNameCharacters, "");
    info.append(SqlInfo::SqlSchemaTerm, "schema");
    info.append(SqlInfo::SqlProcedureTerm, "");
    info.append(SqlInfo::SqlCatalogTerm, "catalog");
    info.append(SqlInfo::SqlCatalogAtStart, true);
}

fn grammar(info: &mut SqlInfoDataBuilder) {
    info.append(SqlInfo::SqlSupportsColumnAliasing, true);
    info.append(SqlInfo::SqlNullPlusNullIsNull, true);
    info.append(SqlInfo::SqlSupportsConvert, conversions());
    info.append(SqlInfo::SqlSupportsTableCorrelationNames, true);
    info.append(SqlInfo::SqlSupportsDifferentTableCorrelationNames, false);
    info.append(SqlInfo::SqlSupportsExpressionsInOrderBy, true);
    info.append(SqlInfo::SqlSupportsOrderByUnrelated, true);
    let group_by =
        bit(SqlSupportedGroupBy::SqlGroupByUnrelated as i32) | bit(SqlSupportedGroupBy::SqlGroupByBeyondSelect as i32);
    info.append(SqlInfo::SqlSupportedGroupBy, group_by);
    info.append(SqlInfo::SqlSupportsLikeEscapeClause, true);
    info.append(SqlInfo::SqlSupportsNonNullableColumns, true);
    let grammar = bit(SupportedSqlGrammar::SqlMinimumGrammar as i32) | bit(SupportedSqlGrammar::SqlCoreGrammar as i32);
    info.append(SqlInfo::SqlSupportedGrammar, grammar);
    // Entry level only: bit 0 of `SupportedAnsi92SqlGrammarLevel`.
    info.append(SqlInfo::SqlAnsi92SupportedLevel, 1_i32);
    info.append(SqlInfo::SqlSupportsIntegrityEnhancementFacility, false);
    // An ordinal by its description, a bitmask to the JDBC driver: full outer joins are both 2 and the bit of "limited".
    info.append(SqlInfo::SqlOuterJoinsSupportLevel, SqlOuterJoinsSupportLevel::SqlFullOuterJoins as i32);
    info.append(SqlInfo::SqlSchemasSupportedActions, 0_i32);
    info.append(SqlInfo::SqlCatalogsSupportedActions, 0_i32);
    info.append(SqlInfo::SqlSupportedPositionedCommands, 0_i32);
    info.append(SqlInfo::SqlSelectForUpdateSupported, false);
    info.append(SqlInfo::SqlStoredProceduresSupported, false);
    let subqueries = bit(SqlSupportedSubqueries::SqlSubqueriesInComparisons as i32)
        | bit(SqlSupportedSubqueries::SqlSubqueriesInExists as i32)
        | bit(SqlSupportedSubqueries::SqlSubqueriesInIns as i32);
    info.append(SqlInfo::SqlSupportedSubqueries, subqueries);
    info.append(SqlInfo::SqlCorrelatedSubqueriesSupported, true);
    let unions = bit(SqlSupportedUnions::SqlUnion as i32) | bit(SqlSupportedUnions::SqlUnionAll as i32);
    info.append(SqlInfo::SqlSupportedUnions, unions);
    info.append(SqlInfo::SqlNamedParametersSupported, false);
    info.append(SqlInfo::SqlLocatorsUpdateCopy, false);
    info.append(SqlInfo::SqlStoredFunctionsUsingCallSyntaxSupported, false);
}

/// What CAST turns into what, as far as clients ask.
fn conversions() -> BTreeMap<i32, Vec<i32>> {
    use SqlSupportsConvert as C;
    let numbers = [
        C::SqlConvertBigint,
        C::SqlConvertDecimal,
        C::SqlConvertFloat,
        C::SqlConvertInteger,
        C::SqlConvertNumeric,
        C::SqlConvertReal,
        C::SqlConvertSmallint,
        C::SqlConvertTinyint,
    ];
    let texts = [C::SqlConvertChar, C::SqlConvertVarchar, C::SqlConvertLongvarchar];
    let moments = [C::SqlConvertDate, C::SqlConvertTime, C::SqlConvertTimestamp];
    let codes = |groups: &[&[C]]| groups.iter().flat_map(|group| group.iter()).map(|code| *code as i32).collect();
    let mut all: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for number in numbers {
        all.insert(number as i32, codes(&[&numbers, &texts]));
    }
    for text in texts {
        all.insert(text as i32, codes(&[&numbers, &texts, &moments]));
    }
    all.insert(C::SqlConvertDate as i32, codes(&[&texts, &[C::SqlConvertDate, C::SqlConvertTimestamp]]));
    all.insert(C::SqlConvertTimestamp as i32, codes(&[&texts, &moments]));
    all.insert(C::SqlConvertTime as i32, codes(&[&texts, &[C::SqlConvertTime]]));
    all
}

fn limits(info: &mut SqlInfoDataBuilder, settings: &Settings) {
    // 0: no limit, or none that is known.
    for unlimited in [
        SqlInfo::SqlMaxBinaryLiteralLength,
        SqlInfo::SqlMaxCharLiteralLength,
        SqlInfo::SqlMaxColumnNameLength,
        SqlInfo::SqlMaxColumnsInGroupBy,
        SqlInfo::SqlMaxColumnsInIndex,
        SqlInfo::SqlMaxColumnsInOrderBy,
        SqlInfo::SqlMaxColumnsInSelect,
        SqlInfo::SqlMaxColumnsInTable,
        SqlInfo::SqlMaxCursorNameLength,
        SqlInfo::SqlMaxIndexLength,
        SqlInfo::SqlDbSchemaNameLength,
        SqlInfo::SqlMaxProcedureNameLength,
        SqlInfo::SqlMaxCatalogNameLength,
        SqlInfo::SqlMaxRowSize,
        SqlInfo::SqlMaxTableNameLength,
        SqlInfo::SqlMaxTablesInSelect,
        SqlInfo::SqlMaxUsernameLength,
    ] {
        info.append(unlimited, 0_i64);
    }
    let number = |limit: usize| i64::try_from(limit).unwrap_or(i64::MAX);
    info.append(SqlInfo::SqlMaxConnections, number(settings.max_sessions));
    info.append(SqlInfo::SqlMaxStatementLength, number(settings.max_statement_bytes));
    info.append(SqlInfo::SqlMaxStatements, number(settings.max_prepared_statements));
    info.append(SqlInfo::SqlMaxRowSizeIncludesBlobs, true);
}

fn transactions_and_results(info: &mut SqlInfoDataBuilder) {
    // An int32 by its description; the JDBC driver takes nothing but an int64.
    info.append(
        SqlInfo::SqlDefaultTransactionIsolation,
        i64::from(SqlTransactionIsolationLevel::SqlTransactionNone as i32),
    );
    info.append(SqlInfo::SqlTransactionsSupported, false);
    info.append(
        SqlInfo::SqlSupportedTransactionsIsolationLevels,
        bit(SqlTransactionIsolationLevel::SqlTransactionNone as i32),
    );
    info.append(SqlInfo::SqlDataDefinitionCausesTransactionCommit, false);
    info.append(SqlInfo::SqlDataDefinitionsInTransactionsIgnored, false);
    info.append(
        SqlInfo::SqlSupportedResultSetTypes,
        bit(SqlSupportedResultSetType::SqlResultSetTypeForwardOnly as i32),
    );
    let read_only = bit(SqlSupportedResultSetConcurrency::SqlResultSetConcurrencyReadOnly as i32);
    info.append(SqlInfo::SqlSupportedConcurrenciesForResultSetUnspecified, read_only);
    info.append(SqlInfo::SqlSupportedConcurrenciesForResultSetForwardOnly, read_only);
    info.append(SqlInfo::SqlSupportedConcurrenciesForResultSetScrollSensitive, 0_i32);
    info.append(SqlInfo::SqlSupportedConcurrenciesForResultSetScrollInsensitive, 0_i32);
    // Several rows of parameters for one prepared update.
    info.append(SqlInfo::SqlBatchUpdatesSupported, true);
    info.append(SqlInfo::SqlSavepointsSupported, false);
}
