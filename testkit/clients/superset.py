"""What Superset uses: flightsql-dbapi, and its dialect for SQLAlchemy. In an environment of its own, without ADBC."""

import json
import pathlib
import sys

import flightsql.sqlalchemy  # the dialect
import sqlalchemy
from flightsql import FlightSQLClient, connect
from sqlalchemy import text

folder = pathlib.Path(sys.argv[1])
connection = json.loads((folder / "connection.json").read_text())
host, port = connection["uri"].split("//")[1].split(":")
tokens = {name: person["token"] for name, person in connection["people"].items()}
checks, wrong = 0, []


def check(what, holds):
    global checks
    checks += 1
    if not holds:
        wrong.append(what)


def equal(what, actual, expected):
    check(f"{what}: {actual!r} instead of {expected!r}", actual == expected)


def client(person, **options):
    return FlightSQLClient(host=host, port=int(port), insecure=True, **(options or {"token": tokens[person]}))


# DB-API, with a token with every call, and with a handshake.
for options in [{"token": tokens["bob"]}, {"user": "bob", "password": tokens["bob"]}]:
    with connect(client("bob", **options)) as opened:
        cursor = opened.cursor()
        cursor.execute("SELECT r_regionkey, r_name FROM region ORDER BY 1")
        equal("rows", tuple(cursor.fetchone()), (0, "AFRICA"))
        equal("more rows", len(cursor.fetchall()), 4)
        equal("columns", [column[0] for column in cursor.description], ["r_regionkey", "r_name"])
        cursor.execute("SELECT r_name FROM region WHERE r_regionkey = ?", (3,))
        equal("a parameter", [tuple(row) for row in cursor.fetchall()], [("EUROPE",)])
        equal("schemas", {"tpch", "scratch"} <= set(opened.flightsql_get_schema_names()), True)
        check("tables", {"customer", "region"} <= set(opened.flightsql_get_table_names("tpch")))
        columns = [column["name"] for column in opened.flightsql_get_columns("region", "tpch")]
        equal("columns of a table", columns, ["r_regionkey", "r_name", "r_comment"])
        equal("what the server is", opened.flightsql_get_sql_info([0, 504]), {0: "SQE", 504: '"'})
        equal("keys", opened.flightsql_get_primary_keys("region", "tpch"), [])

# Policy holds here as everywhere.
with connect(client("alice")) as opened:
    check("alice has no supplier", "supplier" not in opened.flightsql_get_table_names("tpch"))
    cursor = opened.cursor()
    cursor.execute("SELECT DISTINCT c_mktsegment FROM customer")
    equal("alice's segments", [tuple(row) for row in cursor.fetchall()], [("BUILDING",)])
    try:
        cursor.execute("SELECT * FROM supplier")
        check("alice reads suppliers", False)
    except Exception as error:  # noqa: BLE001 - the driver lets Arrow's own through
        check(f"what alice is told: {error}", "does not exist" in str(error))

# The dialect.
# Without prepared statements it writes NULL for a parameter whose type it does not know.
for feature, key in [("", "1"), ("&feature-sqlalchemy-prepared-statements=on", ":key")]:
    engine = sqlalchemy.create_engine(f"datafusion+flightsql://{host}:{port}?insecure=True&token={tokens['bob']}{feature}")
    with engine.connect() as opened:
        query = text(f"SELECT r_name FROM tpch.region WHERE r_regionkey = {key}")
        rows = opened.execute(query, {"key": 1} if key == ":key" else {}).fetchall()
        equal("a row by SQLAlchemy", [tuple(row) for row in rows], [("AMERICA",)])
        inspector = sqlalchemy.inspect(opened)
        check("schemas by inspection", "tpch" in inspector.get_schema_names())
        check("tables by inspection", "customer" in inspector.get_table_names("tpch"))
        names = [column["name"] for column in inspector.get_columns("nation", "tpch")]
        equal("columns by inspection", names, ["n_nationkey", "n_name", "n_regionkey", "n_comment"])
        nation = sqlalchemy.Table("nation", sqlalchemy.MetaData(schema="tpch"), autoload_with=opened)
        query = sqlalchemy.select(sqlalchemy.func.count()).select_from(nation).where(nation.c.n_regionkey == 3)
        equal("a query that SQLAlchemy writes", opened.execute(query).scalar(), 5)

if wrong or not checks:
    for what in wrong:
        print(f"WRONG: {what}")
    raise SystemExit(f"{len(wrong)} of {checks} checks failed")
print(f"{checks} checks")
