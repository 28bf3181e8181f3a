//! Identities and resources as Cedar entities.

use std::collections::{BTreeMap, HashSet};

use cedar_policy::{
    Entities, Entity, EntityUid, PartialEntities, PartialEntity, RestrictedExpression, Schema, pst::SmolStr,
};
use sqe_core::{Column, ColumnType, Error, Identity, Resource, Result, policy::TableFacts};

use super::names::{self, Kind};

/// Who asks, as an entity.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) uid: EntityUid,
    /// The groups and roles.
    pub(super) parents: HashSet<EntityUid>,
    attributes: Vec<(&'static str, String)>,
    tags: BTreeMap<String, String>,
}

impl Person {
    pub(super) fn of(identity: &Identity) -> Result<Self> {
        let groups = identity.groups.iter().map(|name| uid(Kind::Group, name));
        let roles = identity.roles.iter().map(|name| uid(Kind::Role, name));
        Ok(Self {
            uid: uid(Kind::User, &names::user(&identity.principal))?,
            parents: groups.chain(roles).collect::<Result<_>>()?,
            attributes: vec![
                ("issuer", identity.principal.issuer.clone()),
                ("subject", identity.principal.subject.clone()),
            ],
            tags: identity.attributes.clone(),
        })
    }

    fn entity(&self) -> Result<Entity> {
        Entity::new_with_tags(
            self.uid.clone(),
            self.attributes.iter().map(|(name, value)| ((*name).to_owned(), text(value))),
            self.parents.iter().cloned(),
            self.tags.iter().map(|(name, value)| (name.clone(), text(value))),
        )
        .map_err(defect)
    }

    fn partial(&self, schema: &Schema) -> Result<PartialEntity> {
        let attributes = self.attributes.iter().map(|(name, value)| (SmolStr::from(*name), text(value))).collect();
        let tags = self.tags.iter().map(|(name, value)| (SmolStr::from(name), text(value))).collect();
        PartialEntity::new(self.uid.clone(), Some(attributes), Some(self.parents.clone()), Some(tags), schema)
            .map_err(defect)
    }
}

/// A resource with all that it is inside of, and of a table all columns and a row.
#[derive(Debug)]
pub(super) struct World {
    /// The resource that was asked about.
    pub(super) resource: EntityUid,
    pub(super) entities: Entities,
    /// A row of the table: an entity that no policy can name. Only for tables.
    pub(super) row: Option<EntityUid>,
    /// The table's columns, each with its entity.
    pub(super) columns: Vec<(EntityUid, Column)>,
    /// What a row is inside of: the table, its schemas, its catalog.
    pub(super) holders: HashSet<EntityUid>,
}

impl World {
    pub(super) fn of(person: &Person, resource: &Resource) -> Result<Self> {
        let mut world = Building { entities: vec![person.entity()?], holders: HashSet::new() };
        match resource {
            Resource::Catalog(catalog) => {
                let resource = world.catalog(catalog)?;
                world.finish(resource, None, Vec::new())
            }
            Resource::Schema { catalog, schema } => {
                let resource = world.schema(catalog, schema)?;
                world.finish(resource, None, Vec::new())
            }
            Resource::Table(table) => world.table(table),
            _ => Err(Error::internal("policies do not know this kind of resource yet")),
        }
    }

    /// Who asks and a row whose values are unknown, for partial evaluation.
    pub(super) fn partial(&self, person: &Person, row: &EntityUid, schema: &Schema) -> Result<PartialEntities> {
        let row = PartialEntity::new(row.clone(), None, Some(self.holders.clone()), Some(BTreeMap::new()), schema)
            .map_err(defect)?;
        PartialEntities::from_partial_entities([person.partial(schema)?, row], schema).map_err(defect)
    }
}

struct Building {
    entities: Vec<Entity>,
    holders: HashSet<EntityUid>,
}

impl Building {
    fn add(
        &mut self,
        uid: EntityUid,
        attributes: Vec<(&str, RestrictedExpression)>,
        parent: Option<&EntityUid>,
    ) -> Result<EntityUid> {
        let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value));
        self.entities.push(Entity::new_with_tags(uid.clone(), attributes, parent.cloned(), []).map_err(defect)?);
        Ok(uid)
    }

    fn catalog(&mut self, name: &str) -> Result<EntityUid> {
        let catalog = self.add(uid(Kind::Catalog, &names::catalog(name))?, vec![("name", text(name))], None)?;
        self.holders.insert(catalog.clone());
        Ok(catalog)
    }

    fn schema(&mut self, catalog: &str, schema: &str) -> Result<EntityUid> {
        let mut holder = self.catalog(catalog)?;
        for (id, level) in names::schemas(catalog, schema).iter().zip(schema.split('.')) {
            holder = self.add(uid(Kind::Schema, id)?, vec![("name", text(level))], Some(&holder))?;
            self.holders.insert(holder.clone());
        }
        Ok(holder)
    }

    fn table(mut self, table: &TableFacts) -> Result<World> {
        let name = &table.id.name;
        let schema = self.schema(&name.catalog, &name.schema)?;
        let id = names::table(name);
        let mut attributes = vec![("name", text(&name.table)), ("uuid", text(&table.id.uuid.to_string()))];
        if let Some(owner) = &table.owner {
            let owner = uid(Kind::User, &names::user(owner))?;
            attributes.push(("owner", RestrictedExpression::new_entity_uid(owner)));
        }
        let resource = self.add(uid(Kind::Table, &id)?, attributes, Some(&schema))?;
        self.holders.insert(resource.clone());
        let row = self.add(uid(Kind::Row, &id)?, Vec::new(), Some(&resource))?;
        let mut columns = Vec::with_capacity(table.columns.len());
        for column in &table.columns {
            let attributes = vec![
                ("name", text(&column.name)),
                ("field_id", RestrictedExpression::new_long(column.field_id.0.into())),
                ("kind", text(kind(column.ty))),
                ("nullable", RestrictedExpression::new_bool(column.nullable)),
                ("tags", RestrictedExpression::new_set(column.tags.iter().map(|tag| text(tag)))),
            ];
            let uid = self.add(uid(Kind::Column, &names::column(&id, &column.name))?, attributes, Some(&resource))?;
            columns.push((uid, column.clone()));
        }
        self.finish(resource, Some(row), columns)
    }

    fn finish(self, resource: EntityUid, row: Option<EntityUid>, columns: Vec<(EntityUid, Column)>) -> Result<World> {
        let entities = Entities::from_entities(self.entities, None).map_err(defect)?;
        Ok(World { resource, entities, row, columns, holders: self.holders })
    }
}

/// A column's type as policies spell it.
fn kind(ty: ColumnType) -> &'static str {
    match ty {
        ColumnType::Boolean => "boolean",
        ColumnType::Integer => "integer",
        ColumnType::Float => "float",
        ColumnType::Decimal => "decimal",
        ColumnType::Date => "date",
        ColumnType::Time => "time",
        ColumnType::Timestamp => "timestamp",
        ColumnType::Text => "text",
        ColumnType::Binary => "binary",
        _ => "other",
    }
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

pub(super) fn uid(kind: Kind, id: &str) -> Result<EntityUid> {
    kind.uid(id).ok_or_else(|| Error::internal(format!("no policy entity can be made of {id:?}")))
}

fn defect(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::internal("policy entities do not match the policy schema; this is a defect").with_source(cause)
}
