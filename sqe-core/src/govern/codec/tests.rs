use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::{
    execution::TaskContext,
    logical_expr::Operator,
    physical_expr::{
        PhysicalExpr,
        expressions::{DynamicFilterPhysicalExpr, binary, col, lit},
    },
    physical_plan::{ExecutionPlan, empty::EmptyExec, filter::FilterExec},
};
use datafusion_proto::physical_plan::PhysicalExtensionCodec;
use prost::Message;

use super::{GovernedCodec, GrantKey, Scan, Shown};
use crate::{
    ErrorKind, Principal, QueryId, Secret, TableId, TableName,
    govern::{
        GrantedScanExec, ScanGrant, SecurityBarrierExec,
        barrier::{Policy, Source},
        mask::FittedMask,
        opaque::OpaqueScanExec,
    },
    predicate::Value,
};

fn codec(grant_key: &str, mask_key: &str) -> GovernedCodec {
    let key = GrantKey::new(Secret::new(grant_key.repeat(32))).unwrap();
    GovernedCodec::new(&key, Secret::new(mask_key)).unwrap()
}

fn columns() -> SchemaRef {
    let id = Field::new("id", DataType::Int64, false).with_metadata([("PARQUET:field_id".into(), "1".into())].into());
    Arc::new(Schema::new(vec![id, Field::new("name", DataType::Utf8, true)]))
}

fn raw() -> Arc<dyn ExecutionPlan> {
    Arc::new(EmptyExec::new(columns()))
}

fn grant(unconditional: bool) -> ScanGrant {
    let table = TableId::new(TableName::new("lake", "s", "t"), uuid::Uuid::from_u128(4711));
    ScanGrant::mint(QueryId::random(), Principal::new("issuer", "alice"), table, unconditional)
}

fn above_ten() -> Arc<dyn PhysicalExpr> {
    binary(col("id", &columns()).unwrap(), Operator::Gt, lit(10_i64), &columns()).unwrap()
}

fn below_fifty() -> Arc<dyn PhysicalExpr> {
    binary(col("id", &columns()).unwrap(), Operator::Lt, lit(50_i64), &columns()).unwrap()
}

fn barrier(input: Arc<dyn ExecutionPlan>) -> SecurityBarrierExec {
    let shown = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("note", DataType::Utf8, true),
    ]);
    let policy = Policy {
        filter: Some(above_ten()),
        sources: vec![
            Source::Raw(0),
            Source::Masked(1, FittedMask::KeyedHash),
            Source::Blank(FittedMask::Constant(Value::Text("hidden".into()))),
        ],
        schema: Arc::new(shown),
        mask_key: Secret::new("mask"),
        blurred_rows: Some(1000),
        partitions: 3,
    };
    let learned = Arc::new(DynamicFilterPhysicalExpr::new(vec![col("id", &columns()).unwrap()], lit(true)));
    SecurityBarrierExec::new(grant(false), "digest".into(), policy, input).with_predicates(vec![below_fifty(), learned])
}

fn sealed(codec: &GovernedCodec, node: impl ExecutionPlan + 'static) -> Vec<u8> {
    let mut buf = Vec::new();
    codec.try_encode(Arc::new(node), &mut buf).unwrap();
    buf
}

fn open(codec: &GovernedCodec, bytes: &[u8], input: Arc<dyn ExecutionPlan>) -> crate::Result<Arc<dyn ExecutionPlan>> {
    Ok(codec.try_decode(bytes, &[input], &TaskContext::default())?)
}

#[test]
fn what_was_sealed_here_opens_there_unchanged() {
    let (here, there) = (codec("k", "mask"), codec("k", "mask"));
    let scan = GrantedScanExec::new(grant(true), raw()).unwrap();
    let opened = open(&there, &sealed(&here, scan.clone()), raw()).unwrap();
    assert_eq!(opened.downcast_ref::<GrantedScanExec>().unwrap().grant(), scan.grant());
    assert_eq!(opened.schema(), scan.schema());

    let barrier = barrier(raw());
    let opened = open(&there, &sealed(&here, barrier.clone()), raw()).unwrap();
    let opened = opened.downcast_ref::<SecurityBarrierExec>().unwrap();
    assert_eq!((opened.grant(), opened.decision()), (barrier.grant(), "digest"));
    let (was, is) = (barrier.policy(), opened.policy());
    assert_eq!((&was.filter, &was.sources, &was.schema), (&is.filter, &is.sources, &is.schema));
    assert_eq!((&was.mask_key, was.blurred_rows, was.partitions), (&is.mask_key, is.blurred_rows, is.partitions));
    assert_eq!(opened.properties().output_partitioning().partition_count(), 3);
    // What learns while the query runs stays in its process.
    assert_eq!((barrier.predicates().len(), opened.predicates()), (2, [below_fifty()].as_slice()));
    assert_eq!(opened.scan_nodes(), ["EmptyExec"]);
}

#[test]
fn any_changed_missing_or_added_byte_is_refused() {
    let codec = codec("k", "mask");
    let granted = GrantedScanExec::new(grant(true), raw()).unwrap();
    for bytes in [sealed(&codec, granted), sealed(&codec, barrier(raw()))] {
        assert!(open(&codec, &bytes, raw()).is_ok());
        for at in 0..bytes.len() {
            for bit in [0x01, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= bit;
                let error = open(&codec, &changed, raw()).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::PermissionDenied, "byte {at}: {error}");
            }
            assert!(open(&codec, &bytes[..at], raw()).is_err(), "cut at {at}");
        }
        assert!(open(&codec, &[bytes.as_slice(), &[0]].concat(), raw()).is_err());
    }
}

#[test]
fn other_keys_are_refused() {
    let bytes = sealed(&codec("k", "mask"), barrier(raw()));
    assert!(open(&codec("k", "mask"), &bytes, raw()).is_ok());
    for other in [codec("x", "mask"), codec("k", "other"), codec("mask", "k")] {
        assert_eq!(open(&other, &bytes, raw()).unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
}

#[test]
fn a_seal_does_not_fit_another_input() {
    let codec = codec("k", "mask");
    let bytes = sealed(&codec, barrier(raw()));
    assert!(open(&codec, &bytes, raw()).is_ok());
    let swapped = Arc::new(columns().project(&[1, 0]).unwrap());
    assert!(open(&codec, &bytes, Arc::new(EmptyExec::new(swapped))).is_err());
    // A filter of the person's below the barrier would see hidden rows.
    let filtered = Arc::new(FilterExec::try_new(above_ten(), raw()).unwrap());
    assert!(open(&codec, &bytes, filtered).is_err());
    let context = TaskContext::default();
    assert!(codec.try_decode(&bytes, &[], &context).is_err());
    assert!(codec.try_decode(&bytes, &[raw(), raw()], &context).is_err());
}

#[test]
fn a_message_that_contradicts_itself_is_refused_although_sealed() {
    let codec = codec("k", "mask");
    let seal = |scan: &Scan| {
        let body = scan.encode_to_vec();
        let tag = hmac::Mac::finalize(codec.tag(&body)).into_bytes();
        [super::MAGIC.as_slice(), &[super::VERSION], &tag, &body].concat()
    };
    let bytes = sealed(&codec, barrier(raw()));
    let scan = Scan::decode(codec.open(&bytes).unwrap()).unwrap();
    assert_eq!(seal(&scan), bytes);
    let changes: [fn(&mut Scan); 10] = [
        |scan| scan.grant = b"{}".to_vec(),
        |scan| scan.input = None,
        |scan| scan.barrier = None,
        |scan| scan.barrier.as_mut().unwrap().schema = None,
        |scan| scan.barrier.as_mut().unwrap().columns[0].raw = Some(2),
        |scan| scan.barrier.as_mut().unwrap().columns[1].raw = None,
        |scan| scan.barrier.as_mut().unwrap().columns[2].mask = Some(b"rubbish".to_vec()),
        |scan| scan.barrier.as_mut().unwrap().columns.push(Shown { raw: Some(0), mask: None }),
        |scan| scan.barrier.as_mut().unwrap().partitions = u64::MAX,
        |scan| scan.barrier.as_mut().unwrap().predicates.push(Default::default()),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut scan = scan.clone();
        change(&mut scan);
        assert!(open(&codec, &seal(&scan), raw()).is_err(), "change {number}");
    }
}

#[test]
fn rows_in_memory_stay_where_they_are() {
    let codec = codec("k", "mask");
    let hidden = || -> Arc<dyn ExecutionPlan> { Arc::new(OpaqueScanExec::new(raw())) };
    let mut buf = Vec::new();
    for node in
        [hidden(), Arc::new(GrantedScanExec::new(grant(true), hidden()).unwrap()), Arc::new(barrier(hidden())), raw()]
    {
        assert!(codec.try_encode(node, &mut buf).is_err());
        assert!(buf.is_empty(), "a refused node leaves nothing for the next codec to trip over");
    }
    assert!(codec.try_encode(Arc::new(barrier(raw())), &mut buf).is_ok());
}

#[test]
fn keys_are_long_and_do_not_print() {
    assert_eq!(GrantKey::new(Secret::new("short")).unwrap_err().kind(), ErrorKind::InvalidInput);
    let key = GrantKey::new(Secret::new("hunter2".repeat(5))).unwrap();
    let codec = GovernedCodec::new(&key, Secret::new("hunter3")).unwrap();
    let printed = format!("{key:?} {codec:?}");
    assert!(!printed.contains("hunter"), "{printed}");
}
