"""PyIceberg and SQE share one SQLite catalog: each reads what the other wrote."""

import datetime
import sys

import pyarrow
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.expressions import EqualTo, GreaterThanOrEqual
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import BucketTransform, IdentityTransform, MonthTransform
from pyiceberg.types import DateType, LongType, NestedField, StringType

from demo import Demo

demo = Demo(sys.argv[1])
catalog = SqlCatalog("lake", uri=f"sqlite:///{demo.folder}/catalog.db", warehouse=f"file://{demo.folder}/warehouse")

# What SQE wrote.
demo.check("namespaces", {("tpch",), ("scratch",)} <= set(catalog.list_namespaces()))
demo.equal("tables", len(catalog.list_tables("tpch")), 8)
for name in ["region", "customer", "lineitem"]:
    ours = demo.value("bob", f"SELECT count(*) FROM {name}")
    demo.equal(f"rows of {name}", catalog.load_table(("tpch", name)).scan().to_arrow().num_rows, ours)
theirs = catalog.load_table(("tpch", "customer")).scan(row_filter=EqualTo("c_mktsegment", "BUILDING")).to_arrow()
ours = demo.table("bob", "SELECT * FROM customer WHERE c_mktsegment = 'BUILDING' ORDER BY c_custkey")
theirs = theirs.sort_by("c_custkey")
demo.equal("columns of customer", theirs.column_names, ours.column_names)
for name in ours.column_names:
    demo.equal(f"values of {name}", theirs[name].to_pylist(), ours[name].to_pylist())

# A table that SQE makes while PyIceberg has the catalog open.
demo.rows("alice", "DROP TABLE IF EXISTS lake.scratch.ours")
demo.rows("alice", "CREATE TABLE lake.scratch.ours AS SELECT o_orderkey, o_orderdate, o_totalprice FROM orders")
table = catalog.load_table(("scratch", "ours"))
day = datetime.date(1995, 1, 1)
expected = demo.value("alice", "SELECT count(*) FROM lake.scratch.ours WHERE o_orderdate >= DATE '1995-01-01'")
found = table.scan(row_filter=GreaterThanOrEqual("o_orderdate", day.isoformat())).to_arrow().num_rows
demo.equal("a filter of PyIceberg's on SQE's table", found, expected)
demo.rows("alice", "DROP TABLE lake.scratch.ours")

# What PyIceberg wrote: partitioned three ways, then a column added, one renamed, one dropped, and more rows.
schema = Schema(
    NestedField(1, "id", LongType(), required=False),
    NestedField(2, "region", StringType(), required=False),
    NestedField(3, "day", DateType(), required=False),
    NestedField(4, "old", StringType(), required=False),
    NestedField(5, "dropped", LongType(), required=False),
)
spec = PartitionSpec(
    PartitionField(source_id=2, field_id=1000, transform=IdentityTransform(), name="region"),
    PartitionField(source_id=3, field_id=1001, transform=MonthTransform(), name="day_month"),
    PartitionField(source_id=1, field_id=1002, transform=BucketTransform(4), name="id_bucket"),
)
if catalog.table_exists(("scratch", "theirs")):
    catalog.drop_table(("scratch", "theirs"))
# The creator says whose table it is; the demo's policies let an owner use it.
owner = {"sqe.owner.issuer": "urn:sqe:development", "sqe.owner.subject": "alice"}
table = catalog.create_table(("scratch", "theirs"), schema=schema, partition_spec=spec, properties=owner)


def rows(start, count):
    ids = range(start, start + count)
    first = datetime.date(2024, 1, 1)
    return {
        "id": list(ids),
        "region": [["north", "south", None][i % 3] for i in ids],
        "day": [first + datetime.timedelta(days=i) for i in ids],
    }


before = rows(0, 90)
kind = pyarrow.schema(
    [("id", "int64"), ("region", "string"), ("day", "date32"), ("old", "string"), ("dropped", "int64")]
)
table.append(
    pyarrow.table({**before, "old": [f"v{i}" for i in before["id"]], "dropped": before["id"]}, schema=kind)
)
with table.update_schema() as change:
    change.add_column("added", LongType())
    change.rename_column("old", "new")
    change.delete_column("dropped")
after = rows(90, 30)
kind = pyarrow.schema(
    [("id", "int64"), ("region", "string"), ("day", "date32"), ("new", "string"), ("added", "int64")]
)
table.append(
    pyarrow.table({**after, "new": [f"v{i}" for i in after["id"]], "added": after["id"]}, schema=kind)
)

expected = table.scan().to_arrow().sort_by("id")
name = "lake.scratch.theirs"
actual = demo.table("bob", f"SELECT * FROM {name} ORDER BY id")
demo.equal("columns after evolution", actual.column_names, ["id", "region", "day", "new", "added"])
for column in actual.column_names:
    demo.equal(f"values of {column}", actual[column].to_pylist(), expected[column].to_pylist())
for predicate in [
    "region = 'north'",
    "region IS NULL",
    "day >= DATE '2024-03-01'",
    "day BETWEEN DATE '2024-02-10' AND DATE '2024-02-20' AND region <> 'south'",
    "id = 17",
    "id IN (3, 95, 1000)",
    "new = 'v42'",
    "added >= 100",
    "added IS NULL AND id > 80",
]:
    # The second form cannot be pushed down: it must find the same rows.
    pushed = demo.rows("bob", f"SELECT id FROM {name} WHERE {predicate} ORDER BY id")
    held = demo.rows("bob", f"SELECT id FROM {name} WHERE CASE WHEN {predicate} THEN random() >= 0 END ORDER BY id")
    demo.equal(f"{predicate}, pushed down and not", pushed, held)
    demo.check(f"{predicate} finds something", len(pushed) > 0)

# And back: SQE appends to PyIceberg's partitioned table.
demo.rows("alice", f"INSERT INTO {name} (id, region, day, new, added) VALUES (500, 'north', DATE '2025-05-05', 'sqe', 1)")
table.refresh()
found = table.scan(row_filter=EqualTo("new", "sqe")).to_arrow().to_pylist()
demo.equal("a row of SQE's in PyIceberg's table", [row["id"] for row in found], [500])
demo.equal("rows together", demo.value("bob", f"SELECT count(*) FROM {name}"), 121)
demo.rows("alice", f"DROP TABLE {name}")
demo.done()
