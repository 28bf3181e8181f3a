"""What ADBC needs of Flight SQL: prepared statements, parameters, metadata, errors by kind, large messages."""

import sys

import adbc_driver_manager
import pyarrow

from demo import Demo, Status

demo = Demo(sys.argv[1])

# Tokens that are none, and one of somebody else's making.
control = demo.value("mallory", "SELECT 1")
demo.equal("a valid token", control, 1)
good = demo.tokens["bob"]
header, body, signature = good.split(".")
for token in ["", "garbage", "a.b.c", f"{header}.{body}.", f"{header}.{body}.{signature[::-1]}", good + "x"]:
    try:
        with demo.connect_with(token) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchall()
    except adbc_driver_manager.Error as error:
        demo.equal("a rejected token's status", error.status_code, Status.UNAUTHENTICATED)
        demo.check("an error repeats no token", not token or token not in str(error))
    else:
        demo.check(f"a token was accepted that nobody issued: {token[:8]}…", False)

with demo.connect("bob") as connection:
    with connection.cursor() as cursor:
        # The schema that is announced is the schema that comes.
        cursor.adbc_prepare("SELECT c_custkey, c_name, c_acctbal, c_mktsegment FROM customer WHERE c_custkey = $1")
        cursor.execute("SELECT c_custkey, c_name, c_acctbal, c_mktsegment FROM customer WHERE c_custkey = $1", (7,))
        table = cursor.fetch_arrow_table()
        demo.equal("rows of a prepared statement", table.num_rows, 1)
        demo.equal("its value", table["c_custkey"][0].as_py(), 7)
        demo.check("text arrives as text that every client knows", table.schema.field("c_name").type == pyarrow.string())
        demo.check("money arrives as decimal", pyarrow.types.is_decimal(table.schema.field("c_acctbal").type))
        for parameters, expected in [((1, "a"), (1, "a")), ((None, None), (None, None)), ((2**40, "ü'"), (2**40, "ü'"))]:
            cursor.execute("SELECT CAST($1 AS BIGINT), CAST($2 AS VARCHAR)", parameters)
            demo.equal("parameters", cursor.fetchall(), [expected])

# Changes, by somebody who may make them.
with demo.connect("alice") as connection:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS lake.scratch.protocol (a BIGINT, b VARCHAR)")
        cursor.execute("DROP TABLE lake.scratch.protocol")
        cursor.execute("CREATE TABLE lake.scratch.protocol (a BIGINT, b VARCHAR)")
        cursor.executemany("INSERT INTO lake.scratch.protocol VALUES ($1, $2)", [(1, "x"), (2, None), (3, "z")])
        cursor.execute("SELECT a, b FROM lake.scratch.protocol ORDER BY a")
        demo.equal("rows of executemany", cursor.fetchall(), [(1, "x"), (2, None), (3, "z")])
        cursor.execute("INSERT INTO lake.scratch.protocol SELECT a + 10, b FROM lake.scratch.protocol")
        cursor.execute("SELECT count(*) FROM lake.scratch.protocol")
        demo.equal("rows of INSERT … SELECT", cursor.fetchall(), [(6,)])
        cursor.execute("DROP TABLE lake.scratch.protocol")

# Metadata.
with demo.connect("bob") as connection:
    objects = connection.adbc_get_objects(depth="all", catalog_filter="lake", db_schema_filter="tpch").read_all().to_pylist()
    [catalog] = objects
    demo.equal("the catalog", catalog["catalog_name"], "lake")
    [schema] = catalog["catalog_db_schemas"]
    tables = {table["table_name"]: table for table in schema["db_schema_tables"]}
    demo.equal("tables", len(tables), 8)
    names = [column["column_name"] for column in tables["customer"]["table_columns"]]
    demo.check("columns", names[0] == "c_custkey" and "c_acctbal" in names)
    demo.check("table types", set(connection.adbc_get_table_types()) == {"TABLE", "VIEW"})
    schema = connection.adbc_get_table_schema("customer", catalog_filter="lake", db_schema_filter="tpch")
    demo.equal("a table's schema", schema.names, names)
    demo.check("the vendor has a name", bool(connection.adbc_get_info()["vendor_name"]))

with demo.connect("alice") as connection:
    [catalog] = connection.adbc_get_objects(depth="all", catalog_filter="lake", db_schema_filter="tpch").read_all().to_pylist()
    tables = {table["table_name"]: table for table in catalog["catalog_db_schemas"][0]["db_schema_tables"]}
    demo.check("alice's metadata has no supplier", "supplier" not in tables and len(tables) == 7)
    names = [column["column_name"] for column in tables["customer"]["table_columns"]]
    demo.check("alice's metadata has no balance", "c_acctbal" not in names and "c_phone" in names)

with demo.connect("mallory") as connection:
    objects = connection.adbc_get_objects(depth="all").read_all().to_pylist()
    visible = [t for c in objects for s in c["catalog_db_schemas"] or [] for t in s["db_schema_tables"] or []]
    demo.equal("mallory's metadata", [table["table_name"] for table in visible], [])

# Errors by kind.
for sql, status in [
    ("SELECT", Status.INVALID_ARGUMENT),
    ("SELECT 1 / 0", Status.INVALID_ARGUMENT),
    ("SELECT CAST('x' AS INT)", Status.INVALID_ARGUMENT),
    ("SELECT nothing FROM region", Status.INVALID_ARGUMENT),
    ("SELECT * FROM nowhere", Status.NOT_FOUND),
    ("CREATE TABLE lake.tpch.region (a INT)", Status.ALREADY_EXISTS),
    ("COPY region TO 'x.csv'", Status.UNAUTHORIZED),
]:
    person = "bob"
    try:
        demo.rows(person, sql)
    except adbc_driver_manager.Error as error:
        if sql.startswith(("COPY", "CREATE")):
            known = {Status.UNAUTHORIZED, Status.NOT_IMPLEMENTED, Status.ALREADY_EXISTS, Status.INVALID_ARGUMENT}
            demo.check(f"{sql}: {error.status_code}", error.status_code in known)
        else:
            demo.check(f"{sql}: {error.status_code} instead of {status}: {error}", error.status_code == status)
        demo.check(f"{sql}: {error}", "DataFusion" not in str(error) and "panicked" not in str(error))
    else:
        demo.check(f"{sql} succeeded", False)

# More rows than one message of 4 MiB holds, in both directions.
wide = demo.table("bob", "SELECT repeat('x', 1000) AS filler, value FROM generate_series(1, 20000) AS t(value)")
demo.equal("rows of a large answer", wide.num_rows, 20000)
long = "x" * (6 << 20)
demo.equal("a large parameter", demo.value("bob", "SELECT length(CAST($1 AS VARCHAR))", (long,)), len(long))

# Ten megabytes of SQL are refused, and the server is still there.
try:
    demo.rows("bob", "SELECT '" + "x" * (10 << 20) + "'")
except adbc_driver_manager.Error as error:
    demo.check(f"10 MB of SQL: {error.status_code}", error.status_code is not None)
else:
    demo.check("10 MB of SQL were accepted", False)
demo.equal("the server is still there", demo.value("bob", "SELECT 1"), 1)
demo.done()
