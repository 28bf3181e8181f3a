//! The wire form of this crate's plan nodes. The first byte says which node it is; it is part of the wire format.

use std::{fmt, sync::Arc};

use datafusion::{
    common::{DataFusionError, Result, internal_err},
    execution::TaskContext,
    physical_plan::ExecutionPlan,
};
use datafusion_proto::physical_plan::PhysicalExtensionCodec;

use super::{
    scan,
    write::{WriteExec, WriteSpec},
};

const SCAN: u8 = 1;
const WRITE: u8 = 2;

/// Encodes scans and writes of Iceberg tables. Neither carries a right: what they refer to by a lease's id must be found
/// in the registry of the machine that runs them.
pub struct IcebergCodec {
    scans: Arc<dyn PhysicalExtensionCodec>,
}

impl Default for IcebergCodec {
    fn default() -> Self {
        Self { scans: scan::codec() }
    }
}

impl fmt::Debug for IcebergCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IcebergCodec").finish_non_exhaustive()
    }
}

impl PhysicalExtensionCodec for IcebergCodec {
    fn try_decode(
        &self,
        buf: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        ctx: &TaskContext,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (buf.split_first(), inputs) {
            (Some((&SCAN, rest)), inputs) => self.scans.try_decode(rest, inputs, ctx),
            (Some((&WRITE, rest)), [input]) => {
                let spec: WriteSpec = serde_json::from_slice(rest)
                    .map_err(|error| DataFusionError::Internal(format!("a write cannot be decoded: {error}")))?;
                Ok(Arc::new(WriteExec::try_new(Arc::clone(input), spec)?))
            }
            _ => internal_err!("a node of another catalog cannot be decoded here"),
        }
    }

    fn try_encode(&self, node: Arc<dyn ExecutionPlan>, buf: &mut Vec<u8>) -> Result<()> {
        let Some(write) = node.downcast_ref::<WriteExec>() else {
            buf.push(SCAN);
            return self.scans.try_encode(node, buf);
        };
        buf.push(WRITE);
        serde_json::to_writer(buf, write.spec())
            .map_err(|error| DataFusionError::Internal(format!("a write cannot be encoded: {error}")))
    }
}
