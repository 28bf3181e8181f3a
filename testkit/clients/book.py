"""The Python of the book's chapter on clients, as it stands there. Argument: the demo's folder."""

import json
import sys

connection = json.load(open(f"{sys.argv[1]}/connection.json"))
uri, token = connection["uri"], connection["people"]["alice"]["token"]

# ANCHOR: connect
import adbc_driver_flightsql.dbapi as flight_sql

options = {"adbc.flight.sql.authorization_header": f"Bearer {token}"}
alice = flight_sql.connect(uri, db_kwargs=options, autocommit=True)
# ANCHOR_END: connect

# ANCHOR: query
with alice.cursor() as cursor:
    cursor.execute("SELECT c_name FROM customer WHERE c_custkey < $1 ORDER BY c_custkey", (100,))
    table = cursor.fetch_arrow_table()
# ANCHOR_END: query
assert table.num_rows > 0 and table.column_names == ["c_name"]

# ANCHOR: many
with alice.cursor() as cursor:
    cursor.execute("CREATE TABLE lake.scratch.notes (id BIGINT, note VARCHAR)")
    cursor.executemany("INSERT INTO lake.scratch.notes VALUES ($1, $2)", [(1, "one"), (2, None)])
# ANCHOR_END: many
    cursor.execute("SELECT count(*), count(note) FROM lake.scratch.notes")
    assert cursor.fetchone() == (2, 1)
    cursor.execute("DROP TABLE lake.scratch.notes")

# ANCHOR: load
import pyarrow

rows = pyarrow.table({"id": [1, 2, 3], "word": ["a", None, "c"]})
with alice.cursor() as cursor:
    cursor.adbc_ingest("words", rows, mode="create", catalog_name="lake", db_schema_name="scratch")
# ANCHOR_END: load

# ANCHOR: pandas
import pandas

frame = pandas.read_sql("SELECT * FROM lake.scratch.words", alice)
# ANCHOR_END: pandas
assert sorted(frame["id"]) == [1, 2, 3]

# ANCHOR: polars
import polars

frame = polars.read_database("SELECT * FROM lake.scratch.words", alice)
frame.write_database("lake.scratch.more_words", alice, engine="adbc", if_table_exists="replace")
# ANCHOR_END: polars
with alice.cursor() as cursor:
    cursor.execute("SELECT count(*) FROM lake.scratch.more_words")
    assert cursor.fetchone() == (3,)
    for table in ["words", "more_words"]:
        cursor.execute(f"DROP TABLE lake.scratch.{table}")
alice.close()
print("6 checks")
