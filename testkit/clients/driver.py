"""The rest of what ADBC can do: loads, cancelling, options, partitions, polling, metadata, and errors by kind."""

import decimal
import datetime
import sys
import threading
import time

import adbc_driver_manager
import pandas
import polars
import pyarrow

from adbc_driver_flightsql import ConnectionOptions, StatementOptions as FlightOptions
from adbc_driver_manager import StatementOptions

from demo import Demo, Status, flight_sql

demo = Demo(sys.argv[1])
SCRATCH = {"catalog_name": "lake", "db_schema_name": "scratch"}


def refused(what, status, call):
    try:
        call()
    except adbc_driver_manager.Error as error:
        demo.check(f"{what}: {error.status_code} instead of {status}: {error}", error.status_code == status)
        return str(error)
    demo.check(f"{what}: succeeded instead of {status}", False)
    return ""


# Loads, in every mode.
columns = {
    "id": pyarrow.array([1, 2, 3], pyarrow.int64()),
    "small": pyarrow.array([1, None, 3], pyarrow.int32()),
    "word": pyarrow.array(["a", None, "ü"], pyarrow.string()),
    "packed": pyarrow.array(["x", "y", "x"]).dictionary_encode(),
    "price": pyarrow.array([decimal.Decimal("1.50"), None, decimal.Decimal("-2.25")], pyarrow.decimal128(12, 2)),
    "day": pyarrow.array([datetime.date(2024, 2, 29), None, datetime.date(1969, 12, 31)]),
    "moment": pyarrow.array([datetime.datetime(2024, 2, 29, 12, 34, 56, 789), None, None], pyarrow.timestamp("us")),
    "zoned": pyarrow.array([0, None, 1], pyarrow.timestamp("us", "UTC")),
    "yes": pyarrow.array([True, False, None]),
    "raw": pyarrow.array([b"\x00", None, b"xyz"]),
    "list": pyarrow.array([[1, 2], None, []], pyarrow.list_(pyarrow.int64())),
}
table = pyarrow.table(columns)
with demo.connect("alice") as connection, connection.cursor() as cursor:
    cursor.execute("DROP TABLE IF EXISTS lake.scratch.loaded")
    demo.equal("rows of create", cursor.adbc_ingest("loaded", table, mode="create", **SCRATCH), 3)
    message = refused("create once more", Status.ALREADY_EXISTS, lambda: cursor.adbc_ingest("loaded", table, mode="create", **SCRATCH))
    demo.check(f"what exists is named: {message}", "loaded" in message)
    demo.equal("rows of append", cursor.adbc_ingest("loaded", table, mode="append", **SCRATCH), 3)
    demo.equal("rows of create_append", cursor.adbc_ingest("loaded", table, mode="create_append", **SCRATCH), 3)
    cursor.execute("SELECT * FROM lake.scratch.loaded")
    back = cursor.fetch_arrow_table().sort_by("id")
    demo.equal("columns that come back", back.column_names, list(columns))
    for name in columns:
        demo.equal(f"values of {name}", back[name].to_pylist()[::3], table[name].to_pylist())
    demo.equal("rows of replace", cursor.adbc_ingest("loaded", table.select(["id"]).slice(0, 2), mode="replace", **SCRATCH), 2)
    cursor.execute("SELECT * FROM lake.scratch.loaded ORDER BY id")
    demo.equal("what takes the place", cursor.fetch_arrow_table().to_pydict(), {"id": [1, 2]})
    # A table that is new either way.
    for mode in ["create_append", "replace"]:
        cursor.execute("DROP TABLE lake.scratch.loaded")
        demo.equal(f"rows of {mode} of nothing", cursor.adbc_ingest("loaded", table, mode=mode, **SCRATCH), 3)
    refused("append to nothing", Status.NOT_FOUND, lambda: cursor.adbc_ingest("nothing", table, mode="append", **SCRATCH))
    refused("a temporary table", Status.NOT_IMPLEMENTED, lambda: cursor.adbc_ingest("nothing", table, temporary=True))
    wrong = pyarrow.table({"id": ["one"]})
    message = refused("columns that do not fit", Status.INVALID_ARGUMENT, lambda: cursor.adbc_ingest("loaded", wrong, mode="append", **SCRATCH))
    demo.check(f"the column is named: {message}", "id" in message)
    cursor.execute("SELECT count(*) FROM lake.scratch.loaded")
    demo.equal("nothing of it is there", cursor.fetchone(), (3,))

    # Views are read, listed and described as what they are to the reader, and no load takes one for a table.
    cursor.execute("CREATE OR REPLACE VIEW lake.scratch.contacts AS SELECT c_custkey AS id, c_phone FROM lake.tpch.customer")
    cursor.execute("SELECT count(*), max(length(c_phone)) FROM lake.scratch.contacts")
    shown, longest = cursor.fetchone()
    demo.equal("the mask stands below the view", longest, 4)
    cursor.execute("SELECT count(*) FROM lake.tpch.customer")
    demo.equal("the filter stands below the view", cursor.fetchone(), (shown,))
    found = connection.adbc_get_objects(depth="all", catalog_filter="lake", db_schema_filter="scratch", table_name_filter="contacts")
    (found,) = found.read_all().to_pylist()[0]["catalog_db_schemas"][0]["db_schema_tables"]
    demo.equal("it is listed as a view", found["table_type"], "VIEW")
    demo.equal("with its columns", [column["column_name"] for column in found["table_columns"]], ["id", "c_phone"])
    ids = pyarrow.table({"id": pyarrow.array([1], pyarrow.int64())})
    for mode in ["append", "replace", "create_append"]:
        refused(f"{mode} a view", Status.INVALID_ARGUMENT, lambda: cursor.adbc_ingest("contacts", ids, mode=mode, **SCRATCH))
    refused("create over a view", Status.ALREADY_EXISTS, lambda: cursor.adbc_ingest("contacts", ids, mode="create", **SCRATCH))
    with demo.connect("bob") as other, other.cursor() as auditor:
        auditor.execute("SELECT count(*) FROM lake.scratch.contacts")
        demo.check("an auditor sees more of it", auditor.fetchone()[0] > shown)
    cursor.execute("DROP VIEW lake.scratch.contacts")

    # Data frames, and more than fits into one message.
    frame = pandas.DataFrame({"id": range(5), "when": pandas.date_range("2024-01-01", periods=5), "t": list("abcde")})
    cursor.adbc_ingest("frame", pyarrow.Table.from_pandas(frame, preserve_index=False), mode="replace", **SCRATCH)
    cursor.execute("SELECT * FROM lake.scratch.frame ORDER BY id")
    back = cursor.fetch_df()
    demo.equal("pandas", back["t"].tolist(), frame["t"].tolist())
    demo.equal("moments of pandas", [str(when) for when in back["when"]], [str(when) for when in frame["when"]])
    nanoseconds = pyarrow.table({"n": pyarrow.array([1_000, 2_000], pyarrow.timestamp("ns"))})
    demo.equal("whole microseconds", cursor.adbc_ingest("frame", nanoseconds, mode="replace", **SCRATCH), 2)
    nanoseconds = pyarrow.table({"n": pyarrow.array([1], pyarrow.timestamp("ns"))})
    refused("a part of one", Status.INVALID_ARGUMENT, lambda: cursor.adbc_ingest("frame", nanoseconds, mode="append", **SCRATCH))

    def batches():
        for start in range(0, 300_000, 10_000):
            ids = pyarrow.array(range(start, start + 10_000))
            yield pyarrow.record_batch({"id": ids, "filler": pyarrow.array(["x" * 100] * 10_000)})

    schema = pyarrow.schema([("id", "int64"), ("filler", "string")])
    reader = pyarrow.RecordBatchReader.from_batches(schema, batches())
    demo.equal("rows of a large load", cursor.adbc_ingest("large", reader, mode="replace", **SCRATCH), 300_000)
    cursor.execute("SELECT count(*), sum(id), min(length(filler)) FROM lake.scratch.large")
    demo.equal("and what it holds", cursor.fetchone(), (300_000, 299_999 * 150_000, 100))

    # A load whose source fails in the middle.
    def broken():
        yield pyarrow.record_batch({"id": pyarrow.array([1]), "filler": pyarrow.array(["x"])})
        raise RuntimeError("the source broke")

    try:
        reader = pyarrow.RecordBatchReader.from_batches(schema, broken())
        cursor.adbc_ingest("large", reader, mode="replace", **SCRATCH)
        demo.check("a load whose source broke succeeded", False)
    except Exception:  # noqa: BLE001 - whatever the driver makes of it
        cursor.execute("SELECT count(*) FROM lake.scratch.large")
        demo.equal("the old table is untouched", cursor.fetchone(), (300_000,))
    for name in ["loaded", "frame", "large"]:
        cursor.execute(f"DROP TABLE lake.scratch.{name}")

# Loads are governed like INSERT and CREATE.
rows = pyarrow.table({"r_regionkey": pyarrow.array([9], pyarrow.int64())})
TPCH = {"catalog_name": "lake", "db_schema_name": "tpch"}
for person, status in [("alice", Status.UNAUTHORIZED), ("mallory", Status.NOT_FOUND)]:
    with demo.connect(person) as connection, connection.cursor() as cursor:
        for mode in ["append", "replace"]:
            refused(f"{person} loads with {mode}", status, lambda: cursor.adbc_ingest("region", rows, mode=mode, **TPCH))
        refused(f"{person} makes a table", status, lambda: cursor.adbc_ingest("mine", rows, mode="create", **TPCH))
demo.equal("regions", demo.value("bob", "SELECT count(*) FROM region"), 5)

# executemany, with values of every kind and with none.
with demo.connect("alice") as connection, connection.cursor() as cursor:
    cursor.execute("DROP TABLE IF EXISTS lake.scratch.many")
    cursor.execute("CREATE TABLE lake.scratch.many (id BIGINT, word VARCHAR, price DECIMAL(10, 2), day DATE)")
    values = [(n, None if n % 3 else f"w{n}", decimal.Decimal(n) / 4, datetime.date(2024, 1, 1 + n)) for n in range(20)]
    cursor.executemany("INSERT INTO lake.scratch.many VALUES ($1, $2, $3, $4)", values)
    demo.equal("rowcount", cursor.rowcount, 20)
    cursor.execute("SELECT * FROM lake.scratch.many ORDER BY id")
    demo.equal("rows", cursor.fetchall(), values)
    refused("too few values", Status.INVALID_ARGUMENT, lambda: cursor.executemany("INSERT INTO lake.scratch.many VALUES ($1, $2, $3, $4)", [(1, "x")]))
    cursor.execute("SELECT word FROM lake.scratch.many WHERE id = $1 AND price >= $2", (18, decimal.Decimal("4.50")))
    demo.equal("parameters of a query", cursor.fetchone(), ("w18",))
    schema = cursor.adbc_prepare("SELECT id FROM lake.scratch.many WHERE word = $1 AND day > $2")
    demo.equal("parameters have types", [field.type for field in schema], [pyarrow.string(), pyarrow.date32()])
    schema = cursor.adbc_execute_schema("SELECT id, word FROM lake.scratch.many")
    demo.equal("a schema without running", schema.names, ["id", "word"])
    cursor.execute("DROP TABLE lake.scratch.many")

# Partitions: one, which another connection of the same person can read, once.
with demo.connect("bob") as connection, connection.cursor() as cursor:
    partitions, schema = cursor.adbc_execute_partitions("SELECT r_regionkey FROM region")
    demo.equal("partitions", len(partitions), 1)
    demo.equal("their schema", schema.names, ["r_regionkey"])
    with demo.connect("mallory") as others, others.cursor() as theirs:
        refused("a partition of somebody else's", Status.NOT_FOUND, lambda: (theirs.adbc_read_partition(partitions[0]), theirs.fetchall()))
    with demo.connect("bob") as others, others.cursor() as theirs:
        theirs.adbc_read_partition(partitions[0])
        demo.equal("rows of a partition", theirs.fetch_arrow_table().num_rows, 5)
        refused("a partition once more", Status.NOT_FOUND, lambda: (theirs.adbc_read_partition(partitions[0]), theirs.fetchall()))

# PollFlightInfo.
with demo.connect("bob") as connection, connection.cursor() as cursor:
    cursor.adbc_statement.set_options(**{StatementOptions.INCREMENTAL.value: "true"})
    cursor.adbc_statement.set_sql_query("SELECT sum(l_quantity) AS s FROM lineitem")
    found = []
    for _ in range(100):
        partitions, _schema, _rows = cursor.adbc_statement.execute_partitions()
        if not partitions:
            break
        found.extend(partitions)
    demo.equal("partitions by polling", len(found), 1)
    cursor.adbc_read_partition(found[0])
    demo.equal("their rows", cursor.fetchone(), (demo.value("bob", "SELECT sum(l_quantity) FROM lineitem"),))

# Cancelling a query that would take for ever.
with demo.connect("bob") as connection, connection.cursor() as cursor:
    slow = "SELECT count(*) FROM lineitem a, lineitem b, lineitem c WHERE a.l_comment || b.l_comment < c.l_comment"
    outcome = []

    def run():
        try:
            cursor.execute(slow)
            outcome.append(cursor.fetchall())
        except adbc_driver_manager.Error as error:
            outcome.append(error.status_code)

    thread = threading.Thread(target=run)
    thread.start()
    while not demo.value("bob", "SELECT count(*) FROM system.audit.access WHERE outcome = 'running' AND subject = 'bob' AND \"table\" = 'lineitem'"):
        time.sleep(0.05)
    cursor.adbc_cancel()
    thread.join(60)
    demo.equal("a cancelled query", outcome, [Status.CANCELLED])
    demo.equal("the server is still there", demo.value("bob", "SELECT 1"), 1)

# Options of the session.
with demo.login("bob") as connection:
    raw = connection.adbc_connection
    catalog, schema = connection.adbc_current_catalog, connection.adbc_current_db_schema
    demo.equal("the catalog and the schema", (catalog, schema), ("lake", "tpch"))
    connection.adbc_current_db_schema = "scratch"
    refused("names point elsewhere", Status.NOT_FOUND, lambda: connection.cursor().execute("SELECT * FROM region"))
    connection.adbc_current_db_schema = schema
    views = ConnectionOptions.OPTION_BOOL_SESSION_OPTION_PREFIX.value + "arrow_views"
    raw.set_options(**{views: "true"})
    demo.equal("an option that was set", raw.get_option(views), "true")
    with connection.cursor() as cursor:
        cursor.execute("SELECT r_name FROM region")
        demo.equal("views are kept", cursor.fetch_arrow_table().schema.field(0).type, pyarrow.string_view())
    raw.set_options(**{ConnectionOptions.OPTION_ERASE_SESSION_OPTION_PREFIX.value + "arrow_views": ""})
    with connection.cursor() as cursor:
        cursor.execute("SELECT r_name FROM region")
        demo.equal("views are flattened again", cursor.fetch_arrow_table().schema.field(0).type, pyarrow.string())
    unknown = ConnectionOptions.OPTION_SESSION_OPTION_PREFIX.value + "colour"
    refused("an unknown option", Status.INVALID_ARGUMENT, lambda: raw.set_options(**{unknown: "red"}))

# Metadata, at every depth and with filters.
with demo.connect("bob") as connection:
    def names(**filters):
        found = connection.adbc_get_objects(depth="tables", **filters).read_all().to_pylist()
        return sorted(
            (c["catalog_name"], s["db_schema_name"], t["table_name"])
            for c in found
            for s in c["catalog_db_schemas"] or []
            for t in s["db_schema_tables"] or []
        )

    demo.equal("by pattern", names(catalog_filter="lake", db_schema_filter="tp%", table_name_filter="%part%"), [("lake", "tpch", "part"), ("lake", "tpch", "partsupp")])
    demo.equal("by escaped pattern", names(catalog_filter="lake", table_name_filter="p\\_rt"), [])
    demo.equal("by type", names(catalog_filter="lake", table_types_filter=["VIEW"]), [])
    depth = connection.adbc_get_objects(depth="catalogs").read_all().to_pylist()
    demo.check("catalogs", {"lake", "system"} <= {catalog["catalog_name"] for catalog in depth})
    refused("the schema of nothing", Status.NOT_FOUND, lambda: connection.adbc_get_table_schema("nothing"))
    info = connection.adbc_get_info()
    demo.check(f"what the server is: {info}", info["vendor_name"] == "SQE" and bool(info["vendor_version"]))

# Errors by kind.
for sql, status in [
    ("SELEKT", Status.INVALID_ARGUMENT),
    ("SELECT * FROM nothing", Status.NOT_FOUND),
    ("CREATE TABLE lake.scratch.x (a BLOB(7", Status.INVALID_ARGUMENT),
    ("UPDATE region SET r_name = 'x'", Status.NOT_IMPLEMENTED),
]:
    demo.fails("bob", sql, status, without=["panicked", "DataFusion"])
demo.fails("alice", "INSERT INTO region VALUES (9, 'x', 'y')", Status.UNAUTHORIZED)
with demo.connect("bob", **{FlightOptions.TIMEOUT_FETCH.value: "1.0", FlightOptions.TIMEOUT_QUERY.value: "1.0"}) as connection:
    with connection.cursor() as cursor:
        refused("a timeout", Status.TIMEOUT, lambda: (cursor.execute(slow), cursor.fetchall()))

# Polars, over ADBC.
with demo.connect("alice") as connection:
    frame = polars.read_database("SELECT r_regionkey, r_name FROM region ORDER BY 1", connection)
    demo.equal("polars reads", frame["r_name"].to_list()[:2], ["AFRICA", "AMERICA"])
    given = polars.DataFrame({"id": [1, 2, 3], "word": ["a", None, "c"], "x": [0.5, 1.5, None], "at": [datetime.time(1, 2, 3)] * 3})
    demo.equal("polars writes", given.write_database("lake.scratch.frame", connection, engine="adbc", if_table_exists="replace"), 3)
    demo.equal("polars appends", given.write_database("lake.scratch.frame", connection, engine="adbc", if_table_exists="append"), 3)
    back = polars.read_database("SELECT * FROM lake.scratch.frame ORDER BY id", connection)
    demo.equal("what polars wrote", back.unique(maintain_order=True).to_dict(as_series=False), given.to_dict(as_series=False))
    batches = polars.read_database("SELECT * FROM lake.scratch.frame", connection, iter_batches=True, batch_size=2)
    demo.equal("polars in batches", sum(batch.height for batch in batches), 6)
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE lake.scratch.frame")

# pandas, over ADBC.
with demo.login("alice") as connection:
    frame = pandas.read_sql("SELECT r_regionkey, r_name FROM region ORDER BY 1", connection)
    demo.equal("pandas reads", frame["r_name"].tolist()[:2], ["AFRICA", "AMERICA"])
    connection.adbc_current_db_schema = "scratch"
    given = pandas.DataFrame({"id": [1, 2], "word": ["a", "b"]})
    demo.equal("pandas writes", given.to_sql("frame", connection, if_exists="replace", index=False), 2)
    demo.equal("pandas appends", given.to_sql("frame", connection, if_exists="append", index=False), 2)
    back = pandas.read_sql("SELECT * FROM frame ORDER BY id", connection)
    demo.equal("what pandas wrote", back["id"].tolist(), [1, 1, 2, 2])
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE frame")
demo.done()
