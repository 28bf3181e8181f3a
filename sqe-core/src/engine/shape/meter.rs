//! The dialect that the engine reads, for a limited time.
//!
//! A parser that does not get on goes back and tries the same words as something else. Where each word can be two things,
//! a short text takes it longer than anybody lives, and nothing interrupts it. It asks its dialect before each operand,
//! and this one says stop.

use std::{
    any::TypeId,
    cell::Cell,
    iter::Peekable,
    str::Chars,
    time::{Duration, Instant},
};

use datafusion::sql::sqlparser::{
    ast::{ColumnOption, Expr, GranteesType, Ident, ObjectNamePart, Statement},
    dialect::{Dialect, GenericDialect, Precedence},
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::Token,
};

use super::too_much;
use crate::Result;

static GENERIC: GenericDialect = GenericDialect;

/// Operands that every statement may have tried, beside those that its length explains.
const TRIES: usize = 100_000;
/// How long parsing may take: what stands between two operands is not counted, and can be long.
const PATIENCE: Duration = Duration::from_secs(10);

/// [`GenericDialect`] for one statement.
#[derive(Debug)]
pub(in crate::engine) struct MeteredDialect {
    left: Cell<usize>,
    until: Instant,
    versions: bool,
}

impl MeteredDialect {
    /// For a statement of `length` bytes.
    pub(in crate::engine) fn new(length: usize) -> Self {
        // An operand is rarely tried more than twice, and is followed by at least one byte.
        let left = length.saturating_mul(2).saturating_add(TRIES);
        Self { left: Cell::new(left), until: Instant::now() + PATIENCE, versions: false }
    }

    /// For a statement that reads older states of tables, or not: where they can be asked for, `at` and `before` are no
    /// names for tables.
    pub(in crate::engine) fn with_versions(mut self, versions: bool) -> Self {
        self.versions = versions;
        self
    }

    /// Whatever the parser made of a statement that it was stopped in is not what was written.
    ///
    /// # Errors
    /// `InvalidInput` if the parser was stopped.
    pub(in crate::engine) fn check(&self) -> Result<()> {
        if self.left.get() == 0 { Err(too_much("can be read in too many ways")) } else { Ok(()) }
    }

    /// Takes one try; says whether there is nothing left, which then stays so.
    fn spend(&self) -> bool {
        let left = if Instant::now() < self.until { self.left.get().saturating_sub(1) } else { 0 };
        self.left.set(left);
        left == 0
    }
}

macro_rules! as_generic {
    ($($name:ident)*) => {
        $(fn $name(&self) -> bool {
            GENERIC.$name()
        })*
    };
}

#[deny(clippy::missing_trait_methods)]
impl Dialect for MeteredDialect {
    fn parse_prefix(&self, parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
        if self.spend() {
            // The one error that parsers do not take for a reason to try something else.
            return Some(Err(ParserError::RecursionLimitExceeded));
        }
        GENERIC.parse_prefix(parser)
    }

    fn supports_table_versioning(&self) -> bool {
        self.versions
    }

    fn dialect(&self) -> TypeId {
        TypeId::of::<GenericDialect>()
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        GENERIC.is_delimited_identifier_start(ch)
    }

    fn is_nested_delimited_identifier_start(&self, ch: char) -> bool {
        GENERIC.is_nested_delimited_identifier_start(ch)
    }

    fn peek_nested_delimited_identifier_quotes(&self, chars: Peekable<Chars<'_>>) -> Option<(char, Option<char>)> {
        GENERIC.peek_nested_delimited_identifier_quotes(chars)
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        GENERIC.identifier_quote_style(identifier)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        GENERIC.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        GENERIC.is_identifier_part(ch)
    }

    fn is_custom_operator_part(&self, ch: char) -> bool {
        GENERIC.is_custom_operator_part(ch)
    }

    fn parse_infix(&self, parser: &mut Parser<'_>, expr: &Expr, precedence: u8) -> Option<Result<Expr, ParserError>> {
        GENERIC.parse_infix(parser, expr, precedence)
    }

    fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
        GENERIC.get_next_precedence(parser)
    }

    /// Steps into documents bind tighter than comparisons and looser than sums, as in PostgreSQL.
    fn get_next_precedence_default(&self, parser: &Parser<'_>) -> Result<u8, ParserError> {
        match parser.peek_token_ref().token {
            Token::Arrow | Token::LongArrow => Ok(GENERIC.prec_value(Precedence::PlusMinus).saturating_sub(1)),
            _ => GENERIC.get_next_precedence_default(parser),
        }
    }

    fn parse_statement(&self, parser: &mut Parser<'_>) -> Option<Result<Statement, ParserError>> {
        GENERIC.parse_statement(parser)
    }

    fn parse_column_option(
        &self,
        parser: &mut Parser<'_>,
    ) -> Result<Option<Result<Option<ColumnOption>, ParserError>>, ParserError> {
        GENERIC.parse_column_option(parser)
    }

    fn prec_value(&self, prec: Precedence) -> u8 {
        GENERIC.prec_value(prec)
    }

    fn prec_unknown(&self) -> u8 {
        GENERIC.prec_unknown()
    }

    fn is_reserved_for_identifier(&self, kw: Keyword) -> bool {
        GENERIC.is_reserved_for_identifier(kw)
    }

    fn get_reserved_keywords_for_select_item_operator(&self) -> &[Keyword] {
        GENERIC.get_reserved_keywords_for_select_item_operator()
    }

    fn get_reserved_grantees_types(&self) -> &[GranteesType] {
        GENERIC.get_reserved_grantees_types()
    }

    fn is_column_alias(&self, kw: &Keyword, parser: &mut Parser<'_>) -> bool {
        GENERIC.is_column_alias(kw, parser)
    }

    fn is_select_item_alias(&self, explicit: bool, kw: &Keyword, parser: &mut Parser<'_>) -> bool {
        GENERIC.is_select_item_alias(explicit, kw, parser)
    }

    fn is_table_factor(&self, kw: &Keyword, parser: &mut Parser<'_>) -> bool {
        GENERIC.is_table_factor(kw, parser)
    }

    fn is_table_alias(&self, kw: &Keyword, parser: &mut Parser<'_>) -> bool {
        GENERIC.is_table_alias(kw, parser)
    }

    fn is_table_factor_alias(&self, explicit: bool, kw: &Keyword, parser: &mut Parser<'_>) -> bool {
        GENERIC.is_table_factor_alias(explicit, kw, parser)
    }

    fn is_identifier_generating_function_name(&self, ident: &Ident, name_parts: &[ObjectNamePart]) -> bool {
        GENERIC.is_identifier_generating_function_name(ident, name_parts)
    }

    as_generic! {
        allow_extract_custom
        allow_extract_single_quotes
        convert_type_before_value
        describe_requires_table_keyword
        ignores_wildcard_escapes
        require_interval_qualifier
        requires_single_line_comment_whitespace
        support_map_literal_syntax
        supports_alter_column_type_using
        supports_array_join_syntax
        supports_array_typedef_with_brackets
        supports_array_typedef_without_element_type
        supports_asc_desc_in_column_definition
        supports_bang_not_operator
        supports_binary_kw_as_cast
        supports_bitwise_shift_operators
        supports_boolean_literals
        supports_column_definition_trailing_commas
        supports_comma_separated_drop_column_list
        supports_comma_separated_set_assignments
        supports_comma_separated_trim
        supports_comment_on
        supports_comment_optimizer_hint
        supports_connect_by
        supports_constraint_keyword_without_name
        supports_create_index_with_clause
        supports_create_table_like_parenthesized
        supports_create_table_multi_schema_info_sources
        supports_create_table_select
        supports_create_table_using
        supports_create_view_comment_syntax
        supports_cross_join_constraint
        supports_cte_without_as
        supports_data_type_signed_suffix
        supports_detach
        supports_dictionary_syntax
        supports_dollar_as_money_prefix
        supports_dollar_placeholder
        supports_double_ampersand_operator
        supports_empty_projections
        supports_end_transaction_modifier
        supports_eq_alias_assignment
        supports_execute_immediate
        supports_explain_with_utility_options
        supports_extract_comma_syntax
        supports_factorial_operator
        supports_filter_during_aggregation
        supports_from_first_insert
        supports_from_first_select
        supports_from_trailing_commas
        supports_geometric_types
        supports_group_by_expr
        supports_group_by_with_modifier
        supports_in_empty_list
        supports_insert_format
        supports_insert_set
        supports_insert_table_alias
        supports_insert_table_function
        supports_insert_table_query
        supports_install
        supports_interpolate
        supports_interval_options
        supports_key_column_option
        supports_lambda_functions
        supports_left_associative_joins_without_parens
        supports_limit_by
        supports_limit_comma
        supports_listen_notify
        supports_load_data
        supports_load_extension
        supports_long_type_as_bigint
        supports_map_literal_with_angle_brackets
        supports_match_against
        supports_match_recognize
        supports_multiline_comment_hints
        supports_named_fn_args_with_assignment_operator
        supports_named_fn_args_with_colon_operator
        supports_named_fn_args_with_eq_operator
        supports_named_fn_args_with_expr_name
        supports_named_fn_args_with_rarrow_operator
        supports_nested_comments
        supports_notnull_operator
        supports_numeric_literal_underscores
        supports_numeric_prefix
        supports_object_name_double_dot_notation
        supports_optimize_table
        supports_order_by_all
        supports_outer_join_operator
        supports_parens_around_table_factor
        supports_parenthesized_set_variables
        supports_partiql
        supports_partition_by_after_order_by
        supports_pipe_operator
        supports_prewhere
        supports_projection_trailing_commas
        supports_quote_delimited_string
        supports_select_exclude
        supports_select_expr_star
        supports_select_format
        supports_select_item_multi_column_alias
        supports_select_modifiers
        supports_select_wildcard_except
        supports_select_wildcard_exclude
        supports_select_wildcard_ilike
        supports_select_wildcard_rename
        supports_select_wildcard_replace
        supports_select_wildcard_with_alias
        supports_semantic_view_table_factor
        supports_set_names
        supports_set_stmt_without_operator
        supports_settings
        supports_show_like_before_in
        supports_space_separated_column_options
        supports_start_transaction_modifier
        supports_string_escape_constant
        supports_string_literal_backslash_escape
        supports_string_literal_concatenation
        supports_string_literal_concatenation_with_newline
        supports_struct_literal
        supports_subquery_as_function_arg
        supports_table_hints
        supports_table_sample_before_alias
        supports_top_before_distinct
        supports_trailing_commas
        supports_triple_quoted_string
        supports_try_convert
        supports_unicode_string_literal
        supports_update_order_by
        supports_user_host_grantee
        supports_values_as_table_factor
        supports_window_clause_named_window_reference
        supports_window_function_null_treatment_arg
        supports_with_fill
        supports_within_after_array_aggregation
        supports_xml_expressions
    }
}
