//! Row predicates and masks as data.
//!
//! A small expression form over field ids: serialisable, so that it travels to workers; hashable, so that the audit
//! trail can name it; free of DataFusion, so that policy engines build in seconds. The engine lowers it to its own
//! expressions. Logic is SQL's: three-valued, and a row passes only if the predicate is *true*.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::FieldId;

/// A constant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Value {
    /// SQL NULL.
    Null,
    /// A boolean.
    Boolean(bool),
    /// A signed integer.
    Integer(i64),
    /// An exact decimal in plain notation, such as `-12.50`.
    Decimal(String),
    /// Text.
    Text(String),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are the operators")]
pub enum CompareOp {
    Eq,
    NotEq,
    Lt,
    LtEq,
    Gt,
    GtEq,
}

/// A row predicate, or an operand inside of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RowPredicate {
    /// The raw value of a column, named by its field id.
    Column(FieldId),
    /// A constant.
    Literal(Value),
    /// A comparison; unknown if either side is NULL.
    Compare {
        /// The operator.
        op: CompareOp,
        /// Left operand.
        left: Box<RowPredicate>,
        /// Right operand.
        right: Box<RowPredicate>,
    },
    /// True if all are true; true if empty.
    And(Vec<RowPredicate>),
    /// True if any is true; false if empty.
    Or(Vec<RowPredicate>),
    /// Negation; unknown stays unknown.
    Not(Box<RowPredicate>),
    /// Whether the operand is NULL; never unknown.
    IsNull(Box<RowPredicate>),
    /// SQL `LIKE` with `\` as escape character.
    Like {
        /// The text to look at.
        value: Box<RowPredicate>,
        /// The pattern: `%` any run, `_` any one character, `\` escapes.
        pattern: String,
    },
    /// Whether the operand equals one of the values.
    In {
        /// The operand.
        value: Box<RowPredicate>,
        /// The values.
        list: Vec<Value>,
    },
    /// `if condition then … else …`; an unknown condition takes `otherwise`.
    If {
        /// The condition.
        condition: Box<RowPredicate>,
        /// The result if the condition is true.
        then: Box<RowPredicate>,
        /// The result if it is not.
        otherwise: Box<RowPredicate>,
    },
    /// The operand, or the value if the operand is NULL.
    Coalesce(Box<RowPredicate>, Value),
}

impl RowPredicate {
    /// The predicate that lets no row through.
    #[must_use]
    pub fn never() -> Self {
        Self::Literal(Value::Boolean(false))
    }

    /// `column op value`.
    pub fn compare(column: FieldId, op: CompareOp, value: Value) -> Self {
        Self::Compare { op, left: Box::new(Self::Column(column)), right: Box::new(Self::Literal(value)) }
    }

    /// All columns that the predicate reads.
    #[must_use]
    pub fn columns(&self) -> BTreeSet<FieldId> {
        let mut found = BTreeSet::new();
        self.collect_columns(&mut found);
        found
    }

    fn collect_columns(&self, into: &mut BTreeSet<FieldId>) {
        match self {
            Self::Column(id) => {
                into.insert(*id);
            }
            Self::Literal(_) => {}
            Self::Compare { left, right, .. } => {
                left.collect_columns(into);
                right.collect_columns(into);
            }
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.collect_columns(into)),
            Self::Not(inner) | Self::IsNull(inner) | Self::Coalesce(inner, _) => inner.collect_columns(into),
            Self::Like { value, .. } | Self::In { value, .. } => value.collect_columns(into),
            Self::If { condition, then, otherwise } => {
                condition.collect_columns(into);
                then.collect_columns(into);
                otherwise.collect_columns(into);
            }
        }
    }
}

/// What a person sees instead of a column's value. The column's type stays.
///
/// Ordered from the least to the most restrictive; where policies disagree, the greatest wins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Mask {
    /// The last `n` characters of a text; a text of `n` characters or fewer becomes empty. Text only.
    KeepLast(u32),
    /// Lower-case hexadecimal HMAC-SHA-256 of the text under the engine's mask key. Equal values stay equal. Text only.
    KeyedHash,
    /// One and the same value of the column's type.
    Constant(Value),
    /// NULL.
    Null,
}

impl Mask {
    /// Where the mask stands in the order of restriction; higher hides more.
    #[must_use]
    pub fn strictness(&self) -> u64 {
        match self {
            Self::KeepLast(n) => u64::from(u32::MAX - n),
            Self::KeyedHash => 1 << 33,
            Self::Constant(_) => 1 << 34,
            Self::Null => 1 << 35,
        }
    }

    /// The more restrictive of two masks; of two constants NULL, since neither may win by chance.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        if self == other {
            return self;
        }
        match self.strictness().cmp(&other.strictness()) {
            std::cmp::Ordering::Less => other,
            std::cmp::Ordering::Greater => self,
            std::cmp::Ordering::Equal => Self::Null,
        }
    }
}

/// SHA-256 over the canonical JSON of a value, in lower-case hexadecimal.
#[must_use]
pub fn digest<T: Serialize>(value: &T) -> String {
    // INVARIANT: the forms hashed here hold no maps with unordered keys, so their JSON is canonical.
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
