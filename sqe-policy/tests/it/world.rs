//! People and tables that the tests share.

use sqe_core::{
    Access, Action, Column, ColumnType, Decision, FieldId, Identity, PolicyEngine, PolicyRequest, Principal, Resource,
    TableId, TableName,
    policy::{Restrictions, TableFacts},
};
use sqe_policy::CedarPolicy;
use uuid::Uuid;

pub(crate) const ISSUER: &str = "https://idp.example";

pub(crate) fn person(subject: &str, groups: &[&str]) -> Identity {
    Identity::new(Principal::new(ISSUER, subject)).with_groups(groups.iter().copied())
}

pub(crate) fn alice() -> Identity {
    person("alice", &["analyst"])
}

pub(crate) fn bob() -> Identity {
    person("bob", &["auditor"])
}

pub(crate) fn mallory() -> Identity {
    person("mallory", &[])
}

/// A table whose columns have the field ids 1, 2, 3, …, all of them nullable.
pub(crate) fn table(catalog: &str, schema: &str, name: &str, columns: &[(&str, ColumnType)]) -> TableFacts {
    let columns = (1..).zip(columns).map(|(id, (name, ty))| Column::new(FieldId(id), *name, *ty, true)).collect();
    let uuid = Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{catalog}.{schema}.{name}").as_bytes());
    TableFacts::new(TableId::new(TableName::new(catalog, schema, name), uuid), columns)
}

/// `lake.tpch.customer` as TPC-H has it (TPC-H specification, clause 1.4.1).
pub(crate) fn customer() -> TableFacts {
    table(
        "lake",
        "tpch",
        "customer",
        &[
            ("c_custkey", ColumnType::Integer),
            ("c_name", ColumnType::Text),
            ("c_address", ColumnType::Text),
            ("c_nationkey", ColumnType::Integer),
            ("c_phone", ColumnType::Text),
            ("c_acctbal", ColumnType::Decimal),
            ("c_mktsegment", ColumnType::Text),
            ("c_comment", ColumnType::Text),
        ],
    )
}

pub(crate) fn field(table: &TableFacts, name: &str) -> FieldId {
    table.columns.iter().find(|column| column.name == name).unwrap().field_id
}

/// An engine of one text of policies.
pub(crate) fn engine(policies: &str) -> CedarPolicy {
    CedarPolicy::from_sources([("test.cedar", policies)]).unwrap()
}

pub(crate) fn decide(engine: &CedarPolicy, who: &Identity, action: Action, resource: Resource) -> Decision {
    let accesses = [Access::new(action, resource)];
    let decide = async { engine.decide(&PolicyRequest::new(who, &accesses)).await };
    let mut decisions = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(decide).unwrap();
    assert_eq!(decisions.len(), 1);
    decisions.remove(0)
}

pub(crate) fn may(engine: &CedarPolicy, who: &Identity, action: Action, table: &TableFacts) -> bool {
    decide(engine, who, action, Resource::Table(table.clone())).is_permit()
}

/// What holds a person back from reading a table; `None` if they may not read it at all.
pub(crate) fn reading(engine: &CedarPolicy, who: &Identity, table: &TableFacts) -> Option<Restrictions> {
    decide(engine, who, Action::Select, Resource::Table(table.clone())).restrictions().cloned()
}
