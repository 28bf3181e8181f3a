"""What alice, bob and mallory see of the demo through ADBC. Every denial stands beside a permitted control."""

import sys

from demo import Demo, Status

demo = Demo(sys.argv[1])

# The row filter: alice's rows are bob's rows of one segment, whatever the query looks like.
building = demo.value("bob", "SELECT count(*) FROM customer WHERE c_mktsegment = 'BUILDING'")
everybody = demo.value("bob", "SELECT count(*) FROM customer")
demo.check("the filter hides something and not everything", 0 < building < everybody)
for sql in [
    "SELECT count(*) FROM customer",
    "SELECT count(*) FROM lake.tpch.customer",
    "WITH c AS (SELECT * FROM customer) SELECT count(*) FROM c",
    "SELECT count(*) FROM (SELECT c_custkey FROM customer UNION SELECT c_custkey FROM customer)",
    "SELECT sum(n) FROM (SELECT c_mktsegment, count(*) AS n FROM customer GROUP BY 1)",
    "SELECT count(DISTINCT a.c_custkey) FROM customer a JOIN customer b ON a.c_custkey = b.c_custkey",
    "SELECT count(*) FROM nation, LATERAL (SELECT 1 FROM customer WHERE c_nationkey = n_nationkey)",
    "SELECT (SELECT count(*) FROM customer)",
    "SELECT max(n) FROM (SELECT row_number() OVER (ORDER BY c_custkey) AS n FROM customer)",
]:
    demo.answers("alice", sql, building)
    demo.answers("bob", sql, everybody)
demo.equal(
    "alice's segments", demo.rows("alice", "SELECT DISTINCT c_mktsegment FROM customer"), [("BUILDING",)]
)
demo.equal("bob's segments", demo.value("bob", "SELECT count(DISTINCT c_mktsegment) FROM customer"), 5)
demo.equal(
    "alice asks for other rows", demo.value("alice", "SELECT count(*) FROM customer WHERE c_mktsegment <> 'BUILDING'"), 0
)

# A predicate that fails on a hidden row must not see it.
victim = demo.value("bob", "SELECT min(c_custkey) FROM customer WHERE c_mktsegment <> 'BUILDING'")
trap = f"SELECT count(*) FROM customer WHERE 1 / (c_custkey - {victim}) > 5"
demo.fails("bob", trap, Status.INVALID_ARGUMENT, ["division by zero"])
demo.equal("alice does not reach the hidden row", demo.value("alice", trap), 0)

# The mask.
phones = "SELECT c_custkey, c_phone FROM customer WHERE c_mktsegment = 'BUILDING' ORDER BY c_custkey"
raw, masked = demo.rows("bob", phones), demo.rows("alice", phones)
demo.equal("masked phones", masked, [(key, phone[-4:]) for key, phone in raw])
demo.check("raw phones are longer", all(len(phone) > 4 for _, phone in raw))
key, phone = raw[0]
demo.equal(
    "alice cannot find a raw phone",
    demo.value("alice", "SELECT count(*) FROM customer WHERE c_phone = $1", (phone,)),
    0,
)
demo.equal(
    "bob can", demo.value("bob", "SELECT count(*) FROM customer WHERE c_phone = $1", (phone,)), 1
)
demo.equal("alice's longest phone", demo.value("alice", "SELECT max(length(c_phone)) FROM customer"), 4)

# The hidden column: not there, for nobody to stumble upon.
columns = demo.table("bob", "SELECT * FROM customer LIMIT 1").column_names
demo.check("bob sees the balance", "c_acctbal" in columns)
demo.equal(
    "alice's columns",
    demo.table("alice", "SELECT * FROM customer LIMIT 1").column_names,
    [name for name in columns if name != "c_acctbal"],
)
demo.check("bob's balance", demo.value("bob", "SELECT max(c_acctbal) FROM customer") is not None)
for sql in [
    "SELECT c_acctbal FROM customer",
    "SELECT count(*) FROM customer WHERE c_acctbal > 0",
    "SELECT c_custkey FROM customer ORDER BY c_acctbal",
]:
    demo.fails("alice", sql, Status.INVALID_ARGUMENT)
# A misspelled name must not make the engine suggest the hidden one.
message = demo.fails("alice", "SELECT c_acctba FROM customer", Status.INVALID_ARGUMENT)
demo.check("no hidden column is suggested", "c_acctbal" not in message)

# The table that does not exist for alice: the same answer as for one that exists for nobody.
demo.check("bob sees suppliers", demo.value("bob", "SELECT count(*) FROM supplier") > 0)
hidden = demo.fails("alice", "SELECT count(*) FROM supplier", Status.NOT_FOUND)
missing = demo.fails("alice", "SELECT count(*) FROM suppliers", Status.NOT_FOUND)
demo.check(
    f"hidden and missing differ: {hidden} / {missing}",
    hidden.replace("supplier", "T") == missing.replace("suppliers", "T"),
)

# Lists.
tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'tpch' ORDER BY 1"
names = {person: [name for (name,) in demo.rows(person, tables)] for person in demo.tokens}
demo.equal(
    "bob's tables",
    names["bob"],
    ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"],
)
demo.equal("alice's tables", names["alice"], [name for name in names["bob"] if name != "supplier"])
demo.equal("mallory's tables", names["mallory"], [])
listed = "SELECT column_name FROM information_schema.columns WHERE table_name = 'customer' ORDER BY ordinal_position"
demo.equal("bob's columns", [name for (name,) in demo.rows("bob", listed)], columns)
demo.check("alice's list of columns", "c_acctbal" not in [name for (name,) in demo.rows("alice", listed)])
demo.equal("mallory's list of columns", demo.rows("mallory", listed), [])

# SHOW and DESCRIBE say what the lists say.
shown = {
    person: [table for _, _, table, _ in demo.rows(person, "SHOW TABLES FROM lake.tpch")] for person in demo.tokens
}
demo.equal("what SHOW TABLES shows", shown, names)
schemas = {person: {schema for _, schema in demo.rows(person, "SHOW SCHEMAS")} for person in demo.tokens}
demo.check(f"bob's schemas: {schemas['bob']}", {"tpch", "scratch"} <= schemas["bob"])
demo.check(f"alice's schemas: {schemas['alice']}", {"tpch", "scratch"} <= schemas["alice"])
demo.check(f"mallory's schemas: {schemas['mallory']}", not schemas["mallory"] & {"tpch", "scratch", "audit"})
for describe in ["DESCRIBE customer", "SHOW COLUMNS FROM lake.tpch.customer"]:
    described = {person: [row[0] for row in demo.rows(person, describe)] for person in ["bob", "alice"]}
    demo.equal(f"bob: {describe}", described["bob"], columns)
    demo.equal(f"alice: {describe}", described["alice"], [name for name in columns if name != "c_acctbal"])
    hidden = demo.fails("mallory", describe, Status.NOT_FOUND, without=["c_acctbal", "c_custkey"])
    missing = demo.fails("mallory", describe.replace("customer", "nowhere"), Status.NOT_FOUND)
    demo.equal("what mallory is told", hidden.replace("customer", "T"), missing.replace("nowhere", "T"))
demo.check("bob: DESCRIBE supplier", len(demo.rows("bob", "DESCRIBE supplier")) == 7)
demo.fails("alice", "DESCRIBE supplier", Status.NOT_FOUND)

# EXPLAIN shows neither filter nor hidden column. A number above a thousand is shown in thousands.
all_counted = f"output_rows={everybody / 1000:.2f} K"
for prefix in ["EXPLAIN", "EXPLAIN VERBOSE", "EXPLAIN ANALYZE"]:
    plan = str(demo.rows("alice", f"{prefix} SELECT * FROM customer"))
    for word in ["BUILDING", "c_acctbal"]:
        demo.check(f"{prefix}: {word} in {plan}", word not in plan)
    demo.check(f"bob's {prefix}", "c_acctbal" in str(demo.rows("bob", f"{prefix} SELECT * FROM customer")))
    # Nor how many rows there are behind the filter.
    demo.check(f"{prefix}: all customers are counted in {plan}", all_counted not in plan)
    demo.fails("mallory", f"{prefix} SELECT * FROM customer", Status.NOT_FOUND, without=["c_custkey"])
    demo.fails("alice", f"{prefix} SELECT * FROM supplier", Status.NOT_FOUND)
measured = str(demo.rows("bob", "EXPLAIN ANALYZE SELECT * FROM customer"))
demo.check(f"bob's EXPLAIN ANALYZE counts all customers: {measured}", all_counted in measured)
measured = str(demo.rows("alice", "EXPLAIN ANALYZE SELECT * FROM customer"))
demo.check(f"alice's counts hers: {measured}", f"output_rows={building}]" in measured)

# Writing.
demo.rows("alice", "DROP TABLE IF EXISTS lake.scratch.mine")
demo.rows("alice", "CREATE TABLE lake.scratch.mine AS SELECT c_custkey, c_phone FROM customer")
demo.equal("alice reads her table", demo.value("alice", "SELECT count(*) FROM lake.scratch.mine"), building)
demo.equal("masked values travel masked", demo.value("bob", "SELECT max(length(c_phone)) FROM lake.scratch.mine"), 4)
demo.rows("alice", "INSERT INTO lake.scratch.mine VALUES (0, 'x')")
demo.equal("alice fills her table", demo.value("alice", "SELECT count(*) FROM lake.scratch.mine"), building + 1)
demo.fails("alice", "INSERT INTO region VALUES (9, 'ATLANTIS', '')", Status.UNAUTHORIZED)
demo.fails("alice", "DROP TABLE region", Status.UNAUTHORIZED)
demo.fails("alice", "CREATE TABLE lake.tpch.mine (a INT)", Status.UNAUTHORIZED)
demo.fails("mallory", "SELECT * FROM lake.scratch.mine", Status.NOT_FOUND)
demo.rows("alice", "DROP TABLE lake.scratch.mine")

# Mallory.
for table in [*names["bob"], "lake.tpch.customer", "system.audit.access", "nowhere"]:
    demo.fails("mallory", f"SELECT * FROM {table}", Status.NOT_FOUND)
demo.equal("mallory can calculate", demo.value("mallory", "SELECT 1 + 1"), 2)

# The trail.
who = (
    "SELECT subject, decision, outcome, columns FROM system.audit.access"
    " WHERE \"table\" = 'customer' AND schema = 'tpch' ORDER BY time"
)
reads = demo.rows("bob", who)
demo.check("alice is on record", any(read[0] == "alice" and read[1] == "restricted" for read in reads))
demo.check("bob is on record", any(read[0] == "bob" and read[1] == "permitted" for read in reads))
demo.check(
    "mallory is on record as denied, although she was told that there is no such table",
    any(read[0] == "mallory" and read[1] == "denied" for read in reads),
)
demo.fails("alice", who, Status.NOT_FOUND)
demo.done()
