//! Governed scans on the wire: grants and barriers, sealed so that only a holder of the key can have written them.
//!
//! The format: four bytes `SQEG`, a version, an HMAC-SHA-256 tag, and a message. The tag covers everything else, and it
//! is checked before the message is looked at. What a node carries is its own: its input travels beside it, and the
//! seal only says which kinds of nodes and which columns the input must have.

use std::{fmt, sync::Arc};

use arrow::datatypes::{DataType, Schema};
use datafusion::{
    error::Result as DataFusionResult,
    execution::TaskContext,
    physical_expr::{PhysicalExpr, utils::collect_columns},
    physical_plan::ExecutionPlan,
};
use datafusion_proto::{
    physical_plan::{
        DefaultPhysicalExtensionCodec, PhysicalExtensionCodec, from_proto::parse_physical_expr,
        to_proto::serialize_physical_expr,
    },
    protobuf,
};
use hmac::{Hmac, Mac};
use prost::Message;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;

use super::{
    GrantedScanExec, ScanGrant, SecurityBarrierExec,
    barrier::{Policy, Source, learns, node_names},
    mask::FittedMask,
    opaque::OpaqueScanExec,
    verify::below,
};
use crate::{Error, Principal, QueryId, Result, Secret, TableId, scheduler::LocalScheduler};

const MAGIC: &[u8; 4] = b"SQEG";
const VERSION: u8 = 1;
const TAG_BYTES: usize = 32;
const MOST_PARTITIONS: usize = 1 << 20;
/// Keeps the tags of this format apart from any other use of the same key.
const PURPOSE: &[u8] = b"sqe governed scan 1";

/// The key that seals grants on their way to other processes. **Whoever holds it can mint grants**, so only the
/// coordinator and its workers may: a person, a catalog or a policy engine never needs it.
#[derive(Debug, Clone)]
pub struct GrantKey(Secret);

impl GrantKey {
    /// A key out of at least 32 bytes of text that nobody can guess, such as 32 random bytes in hexadecimal.
    ///
    /// # Errors
    /// `InvalidInput` for a shorter text.
    pub fn new(secret: Secret) -> Result<Self> {
        if secret.expose().len() < 32 {
            return Err(Error::invalid("a grant key needs at least 32 bytes; generate a random one"));
        }
        Ok(Self(secret))
    }
}

/// Encodes [`GrantedScanExec`] and [`SecurityBarrierExec`], and no other node. Scans of catalogs in memory are refused:
/// they stay where their rows are.
///
/// The key of keyed-hash masks is never encoded. It is part of what the seal is made with, so that a process with
/// another mask key refuses the scan instead of answering with hashes that do not match.
#[derive(Clone)]
pub struct GovernedCodec {
    seal: Hmac<Sha256>,
    mask_key: Secret,
}

impl fmt::Debug for GovernedCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GovernedCodec").finish_non_exhaustive()
    }
}

impl GovernedCodec {
    /// A codec that seals and opens with `grant_key`, and masks with `mask_key`. Both sides need the same two. Read at
    /// [`GrantKey`] who may have one: a codec can restore any grant that was sealed with its key.
    ///
    /// # Errors
    /// `Internal` if the algorithm does not take the key.
    pub fn new(grant_key: &GrantKey, mask_key: Secret) -> Result<Self> {
        let keyed = |key: &[u8]| {
            Hmac::<Sha256>::new_from_slice(key).map_err(|_| Error::internal("the grant key does not fit its algorithm"))
        };
        let mut both = keyed(grant_key.0.expose().as_bytes())?;
        both.update(PURPOSE);
        both.update(mask_key.expose().as_bytes());
        Ok(Self { seal: keyed(&both.finalize().into_bytes())?, mask_key })
    }

    fn tag(&self, body: &[u8]) -> Hmac<Sha256> {
        let mut tag = self.seal.clone();
        tag.update(MAGIC);
        tag.update(&[VERSION]);
        tag.update(body);
        tag
    }

    /// The message behind an intact seal.
    fn open<'a>(&self, sealed: &'a [u8]) -> Result<&'a [u8]> {
        let rest = sealed.strip_prefix(MAGIC).ok_or_else(|| refused("it is none"))?;
        let (tag, body) = match rest.split_first() {
            Some((&VERSION, rest)) => rest.split_at_checked(TAG_BYTES).ok_or_else(|| refused("it is cut off"))?,
            _ => return Err(refused("it is of another version of this engine")),
        };
        self.tag(body).verify_slice(tag).map_err(|_| refused("its seal is not that of this engine's keys"))?;
        Ok(body)
    }
}

impl PhysicalExtensionCodec for GovernedCodec {
    fn try_encode(&self, node: Arc<dyn ExecutionPlan>, buf: &mut Vec<u8>) -> DataFusionResult<()> {
        let scan = if let Some(scan) = node.downcast_ref::<GrantedScanExec>() {
            let mut names = Vec::new();
            node.children().into_iter().for_each(|input| node_names(input, &mut names));
            Scan::of(scan.grant(), &node, names, None)?
        } else if let Some(barrier) = node.downcast_ref::<SecurityBarrierExec>() {
            Scan::of(barrier.grant(), &node, barrier.scan_nodes().to_vec(), Some(Barrier::of(barrier)?))?
        } else if node.is::<OpaqueScanExec>() {
            return Err(stays_here().into());
        } else {
            return Err(Error::unsupported("this is no governed scan").into());
        };
        let body = scan.encode_to_vec();
        buf.extend_from_slice(MAGIC);
        buf.push(VERSION);
        buf.extend_from_slice(&self.tag(&body).finalize().into_bytes());
        buf.extend_from_slice(&body);
        Ok(())
    }

    fn try_decode(
        &self,
        buf: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        ctx: &TaskContext,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let scan = Scan::decode(self.open(buf)?).map_err(|_| refused("it is damaged"))?;
        let [input] = inputs else { return Err(refused("it has not exactly one input").into()) };
        scan.restore(input, ctx, &self.mask_key)
    }
}

/// A grant and what is done under it. Tags are part of the wire format.
#[derive(Clone, PartialEq, Message)]
struct Scan {
    /// [`Grant`] as JSON.
    #[prost(bytes = "vec", tag = "1")]
    grant: Vec<u8>,
    /// The columns of the input.
    #[prost(message, optional, tag = "2")]
    input: Option<protobuf::Schema>,
    /// The kinds of nodes that the input consists of.
    #[prost(string, repeated, tag = "3")]
    scan_nodes: Vec<String>,
    /// Absent for an unconditional grant.
    #[prost(message, optional, tag = "4")]
    barrier: Option<Barrier>,
}

#[derive(Serialize, Deserialize)]
struct Grant {
    id: Uuid,
    query: QueryId,
    principal: Principal,
    table: TableId,
    unconditional: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Barrier {
    /// The digest of the decision.
    #[prost(string, tag = "1")]
    decision: String,
    #[prost(message, optional, tag = "2")]
    filter: Option<protobuf::PhysicalExprNode>,
    #[prost(message, repeated, tag = "3")]
    columns: Vec<Shown>,
    #[prost(message, optional, tag = "4")]
    schema: Option<protobuf::Schema>,
    #[prost(uint64, optional, tag = "5")]
    blurred_rows: Option<u64>,
    /// Partitions that the barrier has at least.
    #[prost(uint64, tag = "6")]
    partitions: u64,
    /// Leakproof predicates over the input. Those that learn while the query runs stay in their process.
    #[prost(message, repeated, tag = "7")]
    predicates: Vec<protobuf::PhysicalExprNode>,
}

/// Where a visible column comes from: a position in the input, a mask, or both.
#[derive(Clone, PartialEq, Message)]
struct Shown {
    #[prost(uint64, optional, tag = "1")]
    raw: Option<u64>,
    /// [`FittedMask`] as JSON.
    #[prost(bytes = "vec", optional, tag = "2")]
    mask: Option<Vec<u8>>,
}

impl Scan {
    fn of(
        grant: &ScanGrant,
        node: &Arc<dyn ExecutionPlan>,
        scan_nodes: Vec<String>,
        barrier: Option<Barrier>,
    ) -> DataFusionResult<Self> {
        if grant.is_unconditional() != barrier.is_none() {
            return Err(Error::internal("a grant stands on a scan that is not its own").into());
        }
        let children = node.children();
        let [input] = children.as_slice() else { return Err(Error::internal("a scan without its input").into()) };
        if scan_nodes.iter().any(|name| name == "OpaqueScanExec") {
            return Err(stays_here().into());
        }
        let grant = Grant {
            id: grant.id(),
            query: grant.query(),
            principal: grant.principal().clone(),
            table: grant.table().clone(),
            unconditional: grant.is_unconditional(),
        };
        Ok(Self { grant: json(&grant)?, input: Some(input.schema().as_ref().try_into()?), scan_nodes, barrier })
    }

    fn restore(
        self,
        input: &Arc<dyn ExecutionPlan>,
        ctx: &TaskContext,
        mask_key: &Secret,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let Grant { id, query, principal, table, unconditional } = from_json(&self.grant)?;
        let grant = ScanGrant::restore(id, query, principal, table, unconditional);
        let announced: Schema = self.input.as_ref().ok_or_else(|| refused("it has no columns"))?.try_into()?;
        if *input.schema() != announced {
            return Err(refused("its input has other columns than it was sealed for").into());
        }
        match (self.barrier, unconditional) {
            (None, true) => {
                let scan: Arc<dyn ExecutionPlan> = Arc::new(GrantedScanExec::new(grant, Arc::clone(input))?);
                below(&scan, &self.scan_nodes, &LocalScheduler)?;
                Ok(scan)
            }
            (Some(barrier), false) => {
                let decision = barrier.decision.clone();
                let predicates = barrier.predicates(&announced, ctx)?;
                let policy = barrier.policy(&announced, ctx, mask_key)?;
                let barrier = SecurityBarrierExec::new(grant, decision, policy, Arc::clone(input));
                let barrier: Arc<dyn ExecutionPlan> = Arc::new(barrier.with_predicates(predicates));
                below(&barrier, &self.scan_nodes, &LocalScheduler)?;
                Ok(barrier)
            }
            _ => Err(refused("its grant and its policy do not fit together").into()),
        }
    }
}

impl Barrier {
    fn of(barrier: &SecurityBarrierExec) -> DataFusionResult<Self> {
        let Policy { filter, sources, schema, mask_key: _, blurred_rows, partitions } = barrier.policy();
        let codec = DefaultPhysicalExtensionCodec {};
        let columns = (sources.iter())
            .map(|source| {
                Ok(match source {
                    Source::Raw(raw) => Shown { raw: Some(*raw as u64), mask: None },
                    Source::Masked(raw, mask) => Shown { raw: Some(*raw as u64), mask: Some(json(mask)?) },
                    Source::Blank(mask) => Shown { raw: None, mask: Some(json(mask)?) },
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            decision: barrier.decision().to_owned(),
            filter: filter.as_ref().map(|filter| serialize_physical_expr(filter, &codec)).transpose()?,
            columns,
            schema: Some(schema.as_ref().try_into()?),
            blurred_rows: blurred_rows.map(|rows| rows as u64),
            partitions: *partitions as u64,
            predicates: (barrier.predicates().iter())
                .filter(|predicate| !learns(predicate))
                .map(|predicate| serialize_physical_expr(predicate, &codec))
                .collect::<DataFusionResult<_>>()?,
        })
    }

    fn predicates(&self, input: &Schema, ctx: &TaskContext) -> DataFusionResult<Vec<Arc<dyn PhysicalExpr>>> {
        let codec = DefaultPhysicalExtensionCodec {};
        (self.predicates.iter())
            .map(|predicate| row_filter(parse_physical_expr(predicate, ctx, input, &codec)?, input))
            .collect()
    }

    fn policy(self, input: &Schema, ctx: &TaskContext, mask_key: &Secret) -> DataFusionResult<Policy> {
        let columns = input.fields().len();
        let filter = (self.filter.as_ref())
            .map(|filter| {
                row_filter(parse_physical_expr(filter, ctx, input, &DefaultPhysicalExtensionCodec {})?, input)
            })
            .transpose()?;
        let sources = (self.columns.iter())
            .map(|shown| {
                let raw =
                    shown.raw.map(usize::try_from).transpose().ok().filter(|raw| raw.is_none_or(|at| at < columns));
                let mask: Option<FittedMask> = shown.mask.as_deref().map(from_json).transpose()?;
                match (raw, mask) {
                    (Some(Some(raw)), None) => Ok(Source::Raw(raw)),
                    (Some(Some(raw)), Some(mask)) if mask.reads_raw() => Ok(Source::Masked(raw, mask)),
                    (Some(None), Some(mask)) if !mask.reads_raw() => Ok(Source::Blank(mask)),
                    _ => Err(refused("its masks do not fit its columns")),
                }
            })
            .collect::<Result<Vec<_>>>()?;
        let schema: Schema = self.schema.as_ref().ok_or_else(|| refused("it shows no columns"))?.try_into()?;
        if schema.fields().len() != sources.len() {
            return Err(refused("its masks do not fit its columns").into());
        }
        let blurred_rows = self.blurred_rows.map(|rows| usize::try_from(rows).unwrap_or(usize::MAX));
        let partitions = usize::try_from(self.partitions).ok().filter(|count| *count <= MOST_PARTITIONS);
        let partitions = partitions.ok_or_else(|| refused("it has too many partitions"))?;
        Ok(Policy { filter, sources, schema: Arc::new(schema), mask_key: mask_key.clone(), blurred_rows, partitions })
    }
}

/// A filter that is one: boolean, over columns that the input has.
fn row_filter(filter: Arc<dyn PhysicalExpr>, input: &Schema) -> DataFusionResult<Arc<dyn PhysicalExpr>> {
    let known = collect_columns(&filter)
        .iter()
        .all(|column| input.fields().get(column.index()).is_some_and(|field| field.name() == column.name()));
    if known && filter.data_type(input)? == DataType::Boolean {
        Ok(filter)
    } else {
        Err(refused("its row filter does not fit its columns").into())
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|_| Error::internal("a grant or a mask cannot be written down"))
}

fn from_json<T: for<'de> Deserialize<'de>>(text: &[u8]) -> Result<T> {
    serde_json::from_slice(text).map_err(|_| refused("it is damaged"))
}

fn stays_here() -> Error {
    Error::unsupported("a scan of a catalog in memory cannot leave its process")
}

fn refused(why: &str) -> Error {
    Error::denied(format!("a governed scan from another process was refused: {why}"))
}

#[cfg(test)]
mod tests;
