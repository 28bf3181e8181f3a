//! From texts to policies that are fit for use, or the reasons why not.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    str::FromStr as _,
};

use cedar_policy::{
    Effect, Policy, PolicyId, PolicySet, ValidationMode, Validator,
    pst::{self, Clause},
};
use miette::Diagnostic as _;
use sqe_core::{Error, Result};

use super::{
    mask::{self, Statement},
    names::{Kind, depth},
    rows,
    scope::Scope,
};

/// One policy, accepted.
#[derive(Debug)]
pub(super) struct Entry {
    /// What it is called in decisions and messages: `@id`, or its file and its place there.
    pub(super) id: String,
    pub(super) effect: Effect,
    pub(super) scope: Scope,
    pub(super) policy: Policy,
    /// The policy alone in a set, to be evaluated by itself.
    pub(super) alone: PolicySet,
    /// What it masks columns with, if it does.
    pub(super) mask: Option<Statement>,
    /// Whether it reads the values of rows.
    pub(super) about_rows: bool,
    /// Whether a person may know that it decided: `@explainable`.
    pub(super) explainable: bool,
    /// Columns that it names and protects. If a table lacks one, the policy no longer protects what it meant to.
    pub(super) protects: BTreeSet<String>,
}

impl Entry {
    pub(super) fn is_forbid(&self) -> bool {
        self.effect == Effect::Forbid
    }
}

/// Accepts all policies of all texts, or none.
///
/// # Errors
/// `InvalidInput` with every refused policy, why it is refused and what to do.
pub(super) fn load(texts: &BTreeMap<String, String>, schema: &serde_json::Value) -> Result<Vec<Entry>> {
    let validator = Validator::new(rows::with_row(schema, &rows::RowTypes::default())?);
    let mut refused = Vec::new();
    let mut accepted: Vec<Entry> = Vec::new();
    let mut names = BTreeSet::new();
    for (file, text) in texts {
        let parsed = match PolicySet::from_str(text) {
            Ok(parsed) => parsed,
            Err(errors) => {
                refused.extend(errors.iter().map(|error| format!("{file}{}: {error}", place(error, text))));
                continue;
            }
        };
        for template in parsed.templates() {
            refused.push(format!(
                "{file}: {}: it has a slot such as ?principal, and nothing fills slots here; name who is meant",
                template.annotation("id").unwrap_or("a policy")
            ));
        }
        for (index, policy) in in_order(&parsed) {
            let id = match policy.annotation("id") {
                Some(id) if !id.trim().is_empty() => id.to_owned(),
                _ => format!("{file}#{index}"),
            };
            if !names.insert(id.clone()) {
                refused.push(format!("policy {id:?} in {file}: another policy has the same id; give each its own"));
                continue;
            }
            match accept(&id, policy, &validator, schema)? {
                Ok(entry) => accepted.push(entry),
                Err(reasons) => {
                    refused.extend(reasons.into_iter().map(|reason| format!("policy {id:?} in {file}: {reason}")));
                }
            }
        }
    }
    if refused.is_empty() {
        return Ok(accepted);
    }
    let mut message = "the policies are refused, and none of them came into force".to_owned();
    for reason in refused {
        let _ = write!(message, "\n  {reason}");
    }
    Err(Error::invalid(message))
}

/// The policies in the order of their text, counted from one. The parser numbers them `policy0`, `policy1`, ….
fn in_order(parsed: &PolicySet) -> Vec<(usize, &Policy)> {
    let number = |policy: &Policy| {
        policy.id().to_string().strip_prefix("policy").and_then(|number| number.parse::<usize>().ok())
    };
    let mut policies: Vec<_> = parsed.policies().collect();
    policies.sort_by_key(|policy| number(policy));
    policies.into_iter().enumerate().map(|(index, policy)| (index + 1, policy)).collect()
}

/// `:line` of an error in a text.
fn place(error: &cedar_policy::ParseError, text: &str) -> String {
    let offset = error.labels().and_then(|mut labels| labels.next()).map(|label| label.offset());
    offset
        .and_then(|offset| text.get(..offset))
        .map(|before| format!(":{}", before.matches('\n').count() + 1))
        .unwrap_or_default()
}

/// Checks one policy. The outer error is a defect of ours, the inner one says why the policy is refused.
fn accept(
    id: &str,
    policy: &Policy,
    base: &Validator,
    schema: &serde_json::Value,
) -> Result<Result<Entry, Vec<String>>> {
    let policy = policy.new_id(PolicyId::new(id));
    let mut alone = PolicySet::new();
    if let Err(cause) = alone.add(policy.clone()) {
        return Ok(Err(vec![format!("it cannot be used by itself: {cause}")]));
    }
    let tree = match policy.to_pst() {
        Ok(tree) => tree,
        Err(cause) => return Ok(Err(vec![format!("its conditions cannot be read: {cause}")])),
    };
    let pst::Policy::Static(tree) = &tree else { return Ok(Err(vec!["it is linked to a template".to_owned()])) };
    let clauses = tree.body().clauses();

    let scope = Scope::of(&policy);
    let about_rows = scope.is_about_rows();
    let mut reasons = names(&policy);
    let mask = mask_of(&policy, &scope).unwrap_or_else(|reason| {
        reasons.push(reason);
        None
    });
    let explainable = explainable(&policy).unwrap_or_else(|reason| {
        reasons.push(reason);
        false
    });
    if about_rows {
        match about(clauses) {
            Ok(types) => reasons.extend(validate(&Validator::new(rows::with_row(schema, &types)?), &alone)),
            Err(reason) => reasons.push(reason),
        }
    } else {
        if scope.may_be_about_rows() && rows::reads_resource(clauses) {
            reasons.push(
                "it reads an attribute of the resource without saying what the resource is; write `resource is Table`, \
                 `resource is Column` or `resource is Row`, with `in` where it is needed"
                    .to_owned(),
            );
        }
        reasons.extend(validate(base, &alone));
    }
    if !reasons.is_empty() {
        return Ok(Err(reasons));
    }
    let effect = policy.effect();
    let guards = mask.is_some() || (effect == Effect::Forbid && scope.admits_action("select"));
    let protects = if guards { literals(&policy, Kind::Column).collect() } else { BTreeSet::new() };
    Ok(Ok(Entry { id: id.to_owned(), effect, scope, policy, alone, mask, about_rows, explainable, protects }))
}

/// The columns that a policy about rows reads, if its conditions can become row filters.
fn about(clauses: &[Clause]) -> Result<rows::RowTypes, String> {
    rows::admit(clauses)?;
    rows::infer(clauses)
}

/// Cedar's own strict validation. Its warnings count too: a policy that can never apply protects nothing.
fn validate(validator: &Validator, alone: &PolicySet) -> Vec<String> {
    let result = validator.validate(alone, ValidationMode::Strict);
    let errors = result.validation_errors().map(|error| {
        let text = plain(error.to_string());
        match error.help() {
            Some(help) => format!("{text}; {help}"),
            None => text,
        }
    });
    let warnings = result.validation_warnings().map(|warning| plain(warning.to_string()));
    errors.chain(warnings).collect()
}

/// Cedar's message without the policy's id, which stands in front of it already.
fn plain(message: String) -> String {
    match message.strip_prefix("for policy `").and_then(|rest| rest.split_once("`, ")) {
        Some((_, rest)) => rest.to_owned(),
        None => message,
    }
}

fn literals(policy: &Policy, wanted: Kind) -> impl Iterator<Item = String> {
    policy
        .entity_literals()
        .into_iter()
        .filter(move |uid| Kind::of(uid) == Some(wanted))
        .map(|uid| uid.id().unescaped().to_owned())
}

/// Ids that can name nothing. A `forbid` on a misspelt name would forbid nothing.
fn names(policy: &Policy) -> Vec<String> {
    let mut reasons = BTreeSet::new();
    for uid in policy.entity_literals() {
        let id = uid.id().unescaped();
        let full = |least: usize| depth(id).is_some_and(|names| names >= least);
        let wanted = match Kind::of(&uid) {
            Some(Kind::Catalog) if depth(id) != Some(1) => "one name, such as Catalog::\"lake\"",
            Some(Kind::Schema) if !full(2) => "a full name, such as Schema::\"lake.tpch\"",
            Some(Kind::Table) if !full(3) => "a full name, such as Table::\"lake.tpch.customer\"",
            Some(Kind::Column) if !full(4) => "a full name, such as Column::\"lake.tpch.customer.c_phone\"",
            Some(Kind::User) if !id.contains('#') => "issuer#subject, such as User::\"https://idp.example#alice\"",
            Some(Kind::Row) => {
                reasons.insert(format!(
                    "`{uid}` names a row, and rows have no names; write `resource is Row in Table::\"…\"` and a condition"
                ));
                continue;
            }
            _ => continue,
        };
        reasons.insert(format!("`{uid}` can name nothing; write {wanted}"));
    }
    reasons.into_iter().collect()
}

/// Whether a policy says that people may know of it. A value is refused, for `@explainable("no")` would say the opposite
/// of what it does.
fn explainable(policy: &Policy) -> Result<bool, String> {
    match policy.annotation("explainable") {
        None => Ok(false),
        Some("") => Ok(true),
        Some(value) => Err(format!("@explainable takes no value, and has {value:?}; write @explainable, or remove it")),
    }
}

/// The mask that a policy states, if it states one.
fn mask_of(policy: &Policy, scope: &Scope) -> Result<Option<Statement>, String> {
    let annotation = |name: &str| policy.annotation(name).map(str::to_owned);
    let (actions, alone) = scope.spelled_actions();
    let Some(action) = actions.iter().find(|action| mask::ACTIONS.contains(action)) else {
        return match ["keep", "value"].into_iter().find(|name| annotation(name).is_some()) {
            Some(name) => Err(format!("@{name} belongs to masks, and this policy states none; remove it")),
            None => Ok(None),
        };
    };
    if policy.effect() == Effect::Forbid {
        return Err("a forbid cannot lift a mask; narrow the permit that states the mask instead".to_owned());
    }
    if !alone {
        return Err(format!(
            "write action == Action::\"{action}\": a mask stands alone, and lists of actions have none"
        ));
    }
    Statement::read(action, annotation).map(Some)
}
