"""Writes Iceberg tables with PyIceberg, and what PyIceberg reads back from them.

Usage: python written_by_pyiceberg.py FOLDER

Prints a JSON list of {"metadata": location, "checks": [{"filter": SQL or null, "columns": [...], "expected": file}]}.
Expected rows are Arrow IPC files, sorted by the column `id`.
"""

import json
import sys
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import (
    BucketTransform,
    DayTransform,
    HourTransform,
    IdentityTransform,
    MonthTransform,
    TruncateTransform,
    YearTransform,
)
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StringType,
    StructType,
    TimestampType,
    TimestamptzType,
)

folder = Path(sys.argv[1])
catalog = SqlCatalog("test", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}/warehouse")
catalog.create_namespace("s")
report = []


def check(table, filters, columns=("*",)):
    """Reads the table back with each filter, and notes what came."""
    table.refresh()
    checks = []
    for number, condition in enumerate([None, *filters]):
        rows = table.scan(row_filter=condition or "true", selected_fields=tuple(columns)).to_arrow()
        rows = rows.sort_by("id").combine_chunks()
        path = folder / f"{table.name()[-1]}-{number}.arrow"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
            writer.write_table(rows)
        checks.append({"filter": condition, "columns": rows.column_names, "expected": str(path)})
    report.append({"name": table.name()[-1], "metadata": table.metadata_location, "checks": checks})


def at(text):
    return datetime.fromisoformat(text)


plain = Schema(
    NestedField(1, "id", LongType(), required=True),
    NestedField(2, "region", StringType()),
    NestedField(3, "at", TimestampType()),
    NestedField(4, "amount", IntegerType()),
    NestedField(5, "price", DecimalType(9, 2)),
    NestedField(6, "day", DateType()),
    NestedField(7, "seen", TimestamptzType()),
    NestedField(8, "ratio", DoubleType()),
    NestedField(9, "flag", BooleanType()),
    NestedField(10, "raw", BinaryType()),
    NestedField(11, "small", FloatType()),
)


def sample(schema):
    rows = []
    for i in range(40):
        null = i % 13 == 5
        moment = at(f"20{20 + i % 4:02}-{1 + i % 12:02}-{1 + i % 27:02}T{i % 24:02}:30:00.000001")
        rows.append(
            {
                "id": i,
                "region": None if null else ["north", "south/east", "west & co", ""][i % 4],
                "at": None if null else (at("1969-07-20T20:17:40") if i == 7 else moment),
                "amount": None if null else i * 7 - 100,
                "price": None if null else Decimal(i * 333 - 5000) / 100,
                "day": None if null else date(1968 + i % 5, 1 + i % 12, 1 + i % 28),
                "seen": None if null else moment.replace(tzinfo=timezone.utc),
                "ratio": None if null else i / 8,
                "flag": None if null else i % 2 == 0,
                "raw": None if null else bytes([i, 255, 0]),
                "small": None if null else i / 2,
            }
        )
    return pa.Table.from_pylist(rows, schema=schema.as_arrow())


FILTERS = [
    "region = 'north'",
    "region = 'south/east' and id > 20",
    "region is null",
    "region is not null and region <> ''",
    "region in ('west & co', '')",
    "region like 'so%'",
    "at < '1970-01-01T00:00:00'",
    "at >= '2022-01-01T00:00:00' and at < '2023-01-01T00:00:00'",
    "amount = 40",
    "amount < -50 or amount > 150",
    "not (amount < 100)",
    "price >= 12.34",
    "day = '1970-11-11'",
    "day < '1970-01-01'",
    "seen > '2021-06-01T00:00:00+00:00'",
    "flag = true",
    "ratio > 4.5",
    "small <= 1.5",
    "id = 17",
    "id in (1, 2, 39, 400)",
]

layouts = {
    "bare": [],
    "by_region": [(2, "identity", IdentityTransform())],
    "by_bucket": [(1, "id_bucket", BucketTransform(4)), (2, "region_bucket", BucketTransform(3))],
    "by_year": [(3, "at_year", YearTransform())],
    "by_month": [(6, "day_month", MonthTransform())],
    "by_day": [(7, "seen_day", DayTransform())],
    "by_hour": [(3, "at_hour", HourTransform())],
    "by_cut": [(4, "amount_cut", TruncateTransform(50)), (2, "region_cut", TruncateTransform(2))],
    "by_price": [(5, "price_cut", TruncateTransform(1000))],
    "by_flag": [(9, "flag_is", IdentityTransform()), (6, "day_is", IdentityTransform())],
}
for name, fields in layouts.items():
    for version in ("1", "2") if name in ("bare", "by_cut") else ("2",):
        spec = PartitionSpec(*[PartitionField(f, 1000 + i, t, n) for i, (f, n, t) in enumerate(fields)])
        table = catalog.create_table(
            f"s.{name}_v{version}", plain, partition_spec=spec, properties={"format-version": version}
        )
        rows = sample(table.schema())
        table.append(rows.slice(0, 25))
        table.append(rows.slice(25))
        check(table, FILTERS)

# A schema that went through everything; filters go over old and new files alike.
table = catalog.create_table(
    "s.evolved",
    Schema(
        NestedField(1, "id", IntegerType(), required=True),
        NestedField(2, "old", StringType()),
        NestedField(3, "gone", StringType()),
        NestedField(4, "measure", FloatType()),
        NestedField(5, "money", DecimalType(5, 2)),
        NestedField(6, "swap_a", IntegerType()),
        NestedField(7, "swap_b", IntegerType()),
        NestedField(8, "s", StructType(NestedField(20, "x", IntegerType()), NestedField(21, "y", StringType()))),
        NestedField(9, "l", ListType(30, StructType(NestedField(31, "p", IntegerType())), element_required=False)),
        NestedField(10, "m", MapType(40, StringType(), 41, IntegerType(), value_required=False)),
    ),
)
table.append(
    pa.Table.from_pylist(
        [
            {"id": i, "old": f"o{i}", "gone": "g", "measure": i / 4, "money": Decimal(i) / 4, "swap_a": i,
             "swap_b": -i, "s": {"x": i, "y": f"y{i}"}, "l": [{"p": i}, None], "m": {"k": i}}
            for i in range(5)
        ],
        schema=table.schema().as_arrow(),
    )
)
with table.update_schema() as update:
    update.rename_column("old", "new")
    update.delete_column("gone")
    update.update_column("id", LongType())
    update.update_column("measure", DoubleType())
    update.update_column("money", DecimalType(18, 2))
    update.add_column("added", StringType())
    update.add_column(("s", "z"), LongType())
    update.rename_column("s.x", "xx")
    update.update_column(("l", "element", "p"), LongType())
    update.rename_column("l.element.p", "pp")
with table.update_schema() as update:
    update.rename_column("swap_a", "swap_c")
    update.move_first("measure")
with table.update_schema() as update:
    update.rename_column("swap_b", "swap_a")
with table.update_schema() as update:
    update.rename_column("swap_c", "swap_b")
    update.add_column("gone", StringType())
table.refresh()
table.append(
    pa.Table.from_pylist(
        [
            {"id": 10_000_000_000 + i, "new": f"n{i}", "measure": i / 4, "money": Decimal(i) / 4, "swap_b": i,
             "swap_a": -i, "s": {"xx": i, "y": f"y{i}", "z": i}, "l": [{"pp": i}], "m": {"k": i, "j": None},
             "added": "a", "gone": "again"}
            for i in range(5)
        ],
        schema=table.schema().as_arrow(),
    )
)
check(
    table,
    ["new = 'o3'", "new like 'n%'", "id > 9000000000", "id = 3", "measure >= 0.75", "money < 1", "swap_a < -2",
     "swap_b = 4", "added is null", "gone is null", "gone = 'again'"],
)

# Partitions that changed, twice.
table = catalog.create_table(
    "s.repartitioned", plain, partition_spec=PartitionSpec(PartitionField(2, 1000, IdentityTransform(), "region"))
)
rows = sample(table.schema())
table.append(rows.slice(0, 10))
with table.update_spec() as update:
    update.remove_field("region")
    update.add_field("at", MonthTransform(), "at_month")
table.append(rows.slice(10, 15))
with table.update_spec() as update:
    update.add_field("id", BucketTransform(3), "id_bucket")
table.append(rows.slice(25))
check(table, FILTERS)

# The column of a former partition field is gone. (Version 1 keeps a void field over it, and then PyIceberg itself can
# neither write the table nor prune it.)
table = catalog.create_table(
    "s.unpartitioned",
    plain,
    partition_spec=PartitionSpec(PartitionField(2, 1000, IdentityTransform(), "region_part")),
)
rows = sample(table.schema())
table.append(rows.slice(0, 10))
with table.update_spec() as update:
    update.remove_field("region_part")
with table.update_schema() as update:
    update.delete_column("region")
table.append(rows.slice(10).drop_columns(["region"]))
check(table, ["id = 5", "amount > 100", "at is null"])

# Files of others, without field ids: PyIceberg sets a name mapping.
table = catalog.create_table("s.adopted", plain)
foreign = folder / "foreign.parquet"
rows = sample(table.schema())
pq.write_table(pa.Table.from_pylist(rows.to_pylist()[:20], schema=pa.schema(
    [pa.field(f.name, f.type, f.nullable) for f in table.schema().as_arrow()])), foreign)
target = Path(table.location().removeprefix("file://")) / "data" / "foreign.parquet"
target.parent.mkdir(parents=True, exist_ok=True)
target.write_bytes(foreign.read_bytes())
table.add_files([f"{table.location()}/data/foreign.parquet"])
with table.update_schema() as update:
    update.rename_column("region", "area")
check(table, ["area = 'north'", "id = 3", "amount < -50"])

print(json.dumps(report))
