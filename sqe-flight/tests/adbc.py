"""Real client: Python's ADBC driver against a running server.

    python adbc.py grpc://127.0.0.1:50051 TOKEN [--schema CATALOG.SCHEMA]

The token's person must be allowed to create tables in the schema (default: the session's own). Prints one line a check
and ends with a status other than 0 if one fails. Needs adbc-driver-flightsql, adbc-driver-manager and pyarrow.
"""

import argparse
import sys
import uuid

import adbc_driver_manager
import pyarrow
from adbc_driver_flightsql import DatabaseOptions
from adbc_driver_flightsql import dbapi

parser = argparse.ArgumentParser()
parser.add_argument("uri")
parser.add_argument("token")
parser.add_argument("--schema", default="")
parser.add_argument("--user")
parser.add_argument("--password")
arguments = parser.parse_args()
prefix = arguments.schema + "." if arguments.schema else ""
failures = 0


def check(what, is_so):
    global failures
    print("ok  " if is_so else "FAIL", what, flush=True)
    failures += not is_so


def refused(what, kind, call):
    try:
        call()
    except kind as error:
        print("ok  ", what, "--", str(error).splitlines()[0][:110])
    except Exception as error:  # noqa: BLE001 - reported as a failure
        check(f"{what}: {type(error).__name__}: {error}", False)
    else:
        check(what, False)


def connect(token=arguments.token):
    options = {DatabaseOptions.AUTHORIZATION_HEADER.value: "Bearer " + token}
    return dbapi.connect(arguments.uri, db_kwargs=options, autocommit=True)


with connect() as connection, connection.cursor() as cursor:
    cursor.execute("SELECT 1 AS one, 'text' AS t, CAST(NULL AS BIGINT) AS nothing, CAST(1.50 AS DECIMAL(10, 2)) AS d")
    table = cursor.fetch_arrow_table()
    check("a row", table.to_pylist()[0] == {"one": 1, "t": "text", "nothing": None, "d": __import__("decimal").Decimal("1.50")})
    check("text is a plain string", table.schema.field("t").type == pyarrow.string())

    cursor.execute("SELECT $1 + 1 AS n, $2 AS t", (41, "it's"))
    check("parameters", cursor.fetchall() == [(42, "it's")])

    name = prefix + "adbc_" + uuid.uuid4().hex[:12]
    cursor.execute(f"CREATE TABLE {name} (id BIGINT, word VARCHAR)")
    refused("a table is created once", dbapi.Error, lambda: cursor.execute(f"CREATE TABLE {name} (id BIGINT)"))
    cursor.executemany(f"INSERT INTO {name} VALUES ($1, $2)", [(1, "one"), (2, None), (3, "three")])
    check("executemany counts", cursor.rowcount == 3)
    cursor.execute(f"INSERT INTO {name} SELECT id + 10, word FROM {name}")
    cursor.execute(f"SELECT count(*), count(word), sum(id) FROM {name}")
    check("every change was made once", cursor.fetchone() == (6, 4, 42))
    cursor.execute(f"SELECT word FROM {name} WHERE id = $1", (3,))
    check("a parameter in a filter", cursor.fetchone() == ("three",))

    cursor.adbc_prepare(f"SELECT id FROM {name} WHERE word = $1")
    check("a prepared statement", True)

    cursor.execute("SELECT a.value AS v FROM generate_series(1, 200000) AS a")
    table = cursor.fetch_arrow_table()
    check("many rows", table.num_rows == 200000 and pyarrow.compute.sum(table["v"]).as_py() == 20000100000)

    objects = connection.adbc_get_objects(depth="all").read_all().to_pylist()
    tables = [
        (catalog["catalog_name"], schema["db_schema_name"], table["table_name"], len(table["table_columns"]))
        for catalog in objects
        for schema in catalog["catalog_db_schemas"]
        for table in schema["db_schema_tables"]
    ]
    check("the new table is listed with its columns", any(t[2] == name.split(".")[-1] and t[3] == 2 for t in tables))
    info = connection.adbc_get_info()
    check("the server has a name: " + str(info.get("vendor_name")), bool(info.get("vendor_name")))
    check("table types", sorted(connection.adbc_get_table_types()) == ["TABLE", "VIEW"])

    catalog, schema = connection.adbc_current_catalog, connection.adbc_current_db_schema
    check(f"current catalog and schema: {catalog}.{schema}", bool(catalog) and bool(schema))
    connection.adbc_current_db_schema = "no_such_schema"
    check("the schema can be set", connection.adbc_current_db_schema == "no_such_schema")
    connection.adbc_current_db_schema = schema

    refused("a syntax error", dbapi.ProgrammingError, lambda: cursor.execute("SELEKT 1"))
    refused("an unknown table", dbapi.Error, lambda: cursor.execute("SELECT * FROM no_such_table"))
    refused("ten megabytes of SQL", dbapi.Error, lambda: cursor.execute("SELECT '" + "x" * (10 << 20) + "'"))
    where = dict(zip(("db_schema_name", "catalog_name"), reversed(arguments.schema.split(".")))) if arguments.schema else {}
    loaded = "adbc_" + uuid.uuid4().hex[:12]
    rows = pyarrow.table({"id": [1, 2], "word": ["a", None]})
    check("a load counts its rows", cursor.adbc_ingest(loaded, rows, mode="create", **where) == 2)
    refused("a table is loaded as a new one once", dbapi.Error, lambda: cursor.adbc_ingest(loaded, rows, mode="create", **where))
    cursor.adbc_ingest(loaded, rows, mode="append", **where)
    cursor.execute(f"SELECT count(*), count(word) FROM {prefix}{loaded}")
    check("loaded rows are there", cursor.fetchone() == (4, 2))
    refused("a temporary table", dbapi.NotSupportedError, lambda: cursor.adbc_ingest("t", rows, temporary=True))
    cursor.execute(f"DROP TABLE {prefix}{loaded}")
    long = "y" * (6 << 20)
    cursor.execute("SELECT $1 AS t", (long,))
    check("a value of six megabytes, there and back", cursor.fetchone() == (long,))
    cursor.execute(f"DROP TABLE {name}")

for bad in ["garbage", "sqe_session_" + "A" * 43]:
    def attempt(token=bad):
        with connect(token) as other, other.cursor() as its:
            its.execute("SELECT 1")
            its.fetchall()

    refused(f"the token {bad[:12]}", dbapi.Error, attempt)

if arguments.user:
    options = {adbc_driver_manager.DatabaseOptions.USERNAME.value: arguments.user,
               adbc_driver_manager.DatabaseOptions.PASSWORD.value: arguments.password}
    with dbapi.connect(arguments.uri, db_kwargs=options, autocommit=True) as login, login.cursor() as cursor:
        cursor.execute("SELECT 7")
        check("a handshake with a password", cursor.fetchone() == (7,))

sys.exit(1 if failures else 0)
