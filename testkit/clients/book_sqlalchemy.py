"""The SQLAlchemy of the book's chapter on clients, as it stands there. Argument: the demo's folder."""

import json
import sys

connection = json.load(open(f"{sys.argv[1]}/connection.json"))
host, port = connection["uri"].split("//")[1].split(":")
token = connection["people"]["bob"]["token"]

# ANCHOR: engine
import flightsql.sqlalchemy  # the dialect
import sqlalchemy

engine = sqlalchemy.create_engine(f"datafusion+flightsql://{host}:{port}?insecure=True&token={token}")
with engine.connect() as bob:
    names = bob.execute(sqlalchemy.text("SELECT r_name FROM tpch.region")).scalars().all()
# ANCHOR_END: engine
assert len(names) == 5
print("1 checks")
