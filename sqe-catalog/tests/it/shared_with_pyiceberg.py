"""Opens the catalog file of a lake that the engine made, as PyIceberg: one step an argument, one JSON document out."""

import json
import sys

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.types import LongType


def rows(table, row_filter=AlwaysTrue()):
    return sorted(json.dumps(row, default=str) for row in table.scan(row_filter=row_filter).to_arrow().to_pylist())


def partitions_hold(table):
    """Each file's partition values are the transforms of each of its rows."""
    schema, checked = table.schema(), 0
    for task in table.scan().plan_files():
        spec = table.specs()[task.file.spec_id]
        content = pa.parquet.read_table(task.file.file_path.removeprefix("file://"))
        for position, field in enumerate(spec.fields):
            source = schema.find_field(field.source_id)
            transform = field.transform.transform(source.field_type)
            for value in content.column(source.name).to_pylist():
                expected = transform(internal(value))
                assert expected == task.file.partition[position], (field, value, task.file.partition)
                checked += 1
    return checked


def internal(value):
    """The value as the format keeps it: dates as days, timestamps as microseconds."""
    import datetime

    epoch = datetime.datetime(1970, 1, 1)
    if isinstance(value, datetime.datetime):
        return (value.replace(tzinfo=None) - epoch) // datetime.timedelta(microseconds=1)
    if isinstance(value, datetime.date):
        return (value - epoch.date()).days
    return value


def read(catalog):
    found = {".".join(name): rows(catalog.load_table(name)) for name in catalog.list_tables("s")}
    events = catalog.load_table("s.events")
    filters = ["id == 77", "id < 10", "name == 'row 500'", "name > 'row 98'", "price is null", "at >= '2024-01-05T00:00:00'"]
    return {
        "namespaces": [".".join(name) for name in catalog.list_namespaces()],
        "owner": events.properties["sqe.owner.subject"],
        "rows": found,
        "partitions": partitions_hold(events),
        "filtered": {text: len(rows(events, text)) for text in filters},
    }


def change(catalog):
    plain = catalog.load_table("s.plain")
    plain.append(pa.table({"id": pa.array([3], pa.int64()), "name": ["from python"]}, schema=plain.schema().as_arrow()))
    with plain.update_schema() as update:
        update.add_column("extra", LongType())
        update.rename_column("name", "title")
    plain.manage_snapshots().create_tag(plain.metadata.snapshots[0].snapshot_id, "first").commit()
    catalog.create_namespace("py")
    made = catalog.create_table("py.made", pa.schema([("a", pa.int64()), ("b", pa.string())]))
    made.append(pa.table({"a": [1, 2], "b": ["x", None]}))
    history = plain.history()
    with plain.update_schema() as update:
        update.delete_column("extra")
        update.add_column("extra", LongType())
    return {"snapshots": [{"id": entry.snapshot_id, "millis": entry.timestamp_ms} for entry in history]}


if __name__ == "__main__":
    step, root = sys.argv[1:]
    catalog = SqlCatalog("lake", uri=f"sqlite:///{root}/catalog.db", warehouse=f"file://{root}/wh")
    print(json.dumps({"read": read, "change": change}[step](catalog)))
