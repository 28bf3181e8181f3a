"""Answers SQL with DuckDB, one JSON object a line on standard input and output, until the input ends.

Every request carries an "id", which its answer repeats, and an "op":

open     {"threads": n, "extensions": [name], "tables": {name: {"iceberg": location} or {"parquet": [path]}}}
         -> {"version": "1.5.5"}
query    {"sql": text}  -> {"seconds": s, "columns": [[name, type]], "rows": [[text or null]]}
execute  {"sql": text}  -> the same without "seconds", for statements that are not queries
memory   {}             -> {"peak_bytes": n}

What goes wrong is answered with {"error": text}. Decimals and dates travel as text, so that they stay exact.
"""

import importlib.util
import json
import os
import pathlib
import sys
import time

# The answers' own descriptor: whatever else in this process prints must not end up between them.
ANSWERS = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
os.dup2(2, 1)


def open_database(request):
    try:
        import duckdb
    except ImportError:
        raise RuntimeError("this Python has no duckdb; install duckdb==1.5.5 with pip") from None
    connection = duckdb.connect(
        ":memory:",
        # Nothing is fetched from anywhere: extensions are those that are installed beside duckdb.
        config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"},
    )
    connection.execute(f"SET threads = {int(request['threads'])}")
    for name in request["extensions"]:
        connection.execute(f"LOAD {literal(extension(name, duckdb.__version__))}")
    for name, source in request["tables"].items():
        if "iceberg" in source:
            scan = f"iceberg_scan({literal(source['iceberg'])})"
        else:
            scan = f"read_parquet([{', '.join(map(literal, source['parquet']))}])"
        connection.execute(f"CREATE VIEW {identifier(name)} AS SELECT * FROM {scan}")
    return connection, {"version": duckdb.__version__}


def extension(name, version):
    package = f"duckdb_extension_{name}"
    found = importlib.util.find_spec(package)
    if found is None:
        raise RuntimeError(f"this Python has no {package}; install duckdb-extension-{name}=={version} with pip")
    folder = pathlib.Path(list(found.submodule_search_locations)[0])
    file = folder / "extensions" / f"v{version}" / f"{name}.duckdb_extension"
    if not file.exists():
        raise RuntimeError(f"{package} is not for duckdb {version}; install duckdb-extension-{name}=={version} with pip")
    return str(file)


def query(connection, request):
    # Executing alone only starts a query; rows come when they are fetched, as Python objects, which would be Python's
    # time and not DuckDB's. A table in memory is the whole answer in DuckDB's own form.
    connection.execute("DROP TABLE IF EXISTS temp.main.sqe_answer")
    begin = time.perf_counter()
    connection.execute(f"CREATE TEMP TABLE sqe_answer AS\n{request['sql']}").fetchall()
    seconds = time.perf_counter() - begin
    answer = cells(connection.execute("FROM temp.main.sqe_answer"))
    connection.execute("DROP TABLE temp.main.sqe_answer")
    return {"seconds": seconds, **answer}


def cells(result):
    columns = [[column[0], str(column[1])] for column in result.description or []]
    return {"columns": columns, "rows": [[cell(value) for value in row] for row in result.fetchall()]}


def cell(value):
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    if hasattr(value, "as_tuple"):
        return format(value, "f")
    return str(value)


def peak_bytes():
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this system does not tell the peak of a process's memory")


def literal(text):
    return "'" + text.replace("'", "''") + "'"


def identifier(text):
    return '"' + text.replace('"', '""') + '"'


def main():
    connection = None
    for line in sys.stdin:
        request = json.loads(line)
        answer = {}
        try:
            if request["op"] == "open":
                connection, answer = open_database(request)
            elif request["op"] == "memory":
                answer = {"peak_bytes": peak_bytes()}
            elif request["op"] == "query":
                answer = query(connection, request)
            else:
                answer = cells(connection.execute(request["sql"]))
        except Exception as error:
            answer = {"error": str(error) or type(error).__name__}
        ANSWERS.write(json.dumps({"id": request["id"], **answer}) + "\n")
        ANSWERS.flush()


main()
