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
        // A refusal leaves nothing behind: DataFusion hands the same buffer to the next codec.
        let Some(write) = node.downcast_ref::<WriteExec>() else {
            let mut scan = vec![SCAN];
            self.scans.try_encode(node, &mut scan)?;
            buf.append(&mut scan);
            return Ok(());
        };
        let spec = serde_json::to_vec(write.spec())
            .map_err(|error| DataFusionError::Internal(format!("a write cannot be encoded: {error}")))?;
        buf.push(WRITE);
        buf.extend_from_slice(&spec);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use datafusion::{physical_plan::empty::EmptyExec, prelude::SessionContext};
    use iceberg::spec::{
        FormatVersion, NestedField, PartitionSpec, PrimitiveType, Schema, SortOrder, TableMetadataBuilder, Type,
    };

    use super::*;

    #[test]
    fn a_write_arrives_as_it_was_sent_and_garbage_does_not() {
        let id = NestedField::optional(1, "id", Type::Primitive(PrimitiveType::Long)).into();
        let schema = Schema::builder().with_fields([id]).build().unwrap();
        let built = TableMetadataBuilder::new(
            schema,
            PartitionSpec::unpartition_spec(),
            SortOrder::unsorted_order(),
            "file:///w/t".to_owned(),
            FormatVersion::V2,
            HashMap::new(),
        );
        let metadata = built.unwrap().build().unwrap().metadata;
        let spec = WriteSpec::try_new(&metadata, "sqe-lease://x").unwrap();
        let input: Arc<dyn ExecutionPlan> = Arc::new(EmptyExec::new(spec.arrow_schema().unwrap()));
        let (codec, context, mut wire) = (IcebergCodec::default(), SessionContext::new().task_ctx(), Vec::new());
        codec.try_encode(spec.sink(Arc::clone(&input)).unwrap(), &mut wire).unwrap();
        let decoded = codec.try_decode(&wire, &[Arc::clone(&input)], &context).unwrap();
        assert_eq!(decoded.downcast_ref::<WriteExec>().unwrap().spec(), &spec);
        assert!(codec.try_decode(&wire, &[], &context).is_err());
        for garbage in [&[][..], &[9], &[WRITE], &[WRITE, b'{'], &[SCAN]] {
            assert!(codec.try_decode(garbage, &[Arc::clone(&input)], &context).is_err(), "{garbage:?}");
        }
        let mut nothing = Vec::new();
        assert!(codec.try_encode(input, &mut nothing).is_err());
        assert!(nothing.is_empty(), "a refused node leaves nothing for the next codec to trip over");
    }
}
