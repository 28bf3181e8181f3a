"""All 22 queries of TPC-H from ADBC, with DuckDB's answers over the same Iceberg tables.

Arguments: the demo's folder, the folder of the queries, the scale factor, and how many queries may be without an answer.
"""

import decimal
import math
import pathlib
import sqlite3
import sys
import time

import duckdb
from duckdb_extensions import import_extension

from demo import Demo

demo = Demo(sys.argv[1])
queries = sorted(pathlib.Path(sys.argv[2]).glob("q*.sql"))
demo.equal("queries", len(queries), 22)

oracle = duckdb.connect()
for extension in ["avro", "iceberg"]:
    import_extension(extension)
    oracle.execute(f"LOAD {extension}")
with sqlite3.connect(f"file:{demo.folder}/catalog.db?mode=ro", uri=True) as catalog:
    tables = catalog.execute(
        "SELECT table_name, metadata_location FROM iceberg_tables WHERE table_namespace = 'tpch'"
    ).fetchall()
for name, location in tables:
    oracle.execute(f"CREATE VIEW {name} AS FROM iceberg_scan('{location.removeprefix('file://')}')")


def close(left, right):
    if left is None or right is None:
        return left is right
    if isinstance(left, (float, decimal.Decimal)) or isinstance(right, (float, decimal.Decimal)):
        # An average of decimals is a float for DuckDB and a decimal of a few digits for SQE.
        digit = 0.0
        for value in (left, right):
            if isinstance(value, decimal.Decimal):
                digit = max(digit, 10.0 ** value.as_tuple().exponent)
        return math.isclose(float(left), float(right), rel_tol=1e-9, abs_tol=digit)
    return str(left).rstrip() == str(right).rstrip()


def key(row):
    return [("" if value is None else f"{float(value):.2f}" if isinstance(value, (float, decimal.Decimal)) else str(value)) for value in row]


vacuous = []
for file in queries:
    # The fraction of query 11 shrinks as the scale grows (clause 2.4.11.3).
    sql = file.read_text().strip().rstrip(";").replace("{fraction}", f"{0.0001 / float(sys.argv[3]):.10f}")
    begin = time.perf_counter()
    actual = demo.rows("bob", sql)
    seconds = time.perf_counter() - begin
    expected = oracle.execute(sql).fetchall()
    demo.equal(f"{file.stem}: rows", len(actual), len(expected))
    ordered = "order by" in sql.lower().rsplit(")", 1)[-1]
    pairs = zip(actual, expected) if ordered else zip(sorted(actual, key=key), sorted(expected, key=key))
    for left, right in pairs:
        if not all(map(close, left, right)):
            raise AssertionError(f"{file.stem}: {left} instead of {right}")
    if not expected or all(value is None for row in expected for value in row):
        vacuous.append(file.stem)
    else:
        demo.checks += 1
    print(f"{file.stem}: {len(actual)} rows in {seconds:.2f} s")
# Small scales leave some queries without an answer; such a query proves nothing, and must stay the exception.
demo.check(f"vacuous: {vacuous}", len(vacuous) <= int(sys.argv[4]))
demo.done()
