"""What the scripts beside this one share: connections to a demo as its people, and checks that count themselves."""

import contextlib
import json
import pathlib

import adbc_driver_flightsql
import adbc_driver_flightsql.dbapi as flight_sql
import adbc_driver_manager
from adbc_driver_manager import AdbcStatusCode as Status


class Demo:
    """A running `sqe demo --data-dir FOLDER`."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder).resolve()
        connection = json.loads((self.folder / "connection.json").read_text())
        self.uri = connection["uri"]
        self.tokens = {name: person["token"] for name, person in connection["people"].items()}
        self.checks = 0
        self.wrong = []

    def connect(self, person, **options):
        return self.connect_with(self.tokens[person], **options)

    def connect_with(self, token, **options):
        header = adbc_driver_flightsql.DatabaseOptions.AUTHORIZATION_HEADER.value
        return flight_sql.connect(self.uri, db_kwargs={header: f"Bearer {token}", **options}, autocommit=True)

    def login(self, person):
        """A session of its own: options of that of a token hold for all who show the token."""
        names = adbc_driver_manager.DatabaseOptions
        options = {names.USERNAME.value: person, names.PASSWORD.value: self.tokens[person]}
        return flight_sql.connect(self.uri, db_kwargs=options, autocommit=True)

    @contextlib.contextmanager
    def cursor(self, person):
        with self.connect(person) as connection, connection.cursor() as cursor:
            yield cursor

    def rows(self, person, sql, parameters=None):
        with self.cursor(person) as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall()

    def value(self, person, sql, parameters=None):
        [(value,)] = self.rows(person, sql, parameters)
        return value

    def table(self, person, sql):
        with self.cursor(person) as cursor:
            cursor.execute(sql)
            return cursor.fetch_arrow_table()

    def check(self, what, holds):
        """Goes on after a failure, so that one run shows all that is wrong; `done` fails then."""
        self.checks += 1
        if not holds:
            self.wrong.append(what)

    def equal(self, what, actual, expected):
        self.check(f"{what}: {actual!r} instead of {expected!r}", actual == expected)

    def answers(self, person, sql, expected):
        """`sql` gives one value, and it is this one."""
        try:
            self.equal(f"{person}: {sql}", self.value(person, sql), expected)
        except adbc_driver_manager.Error as error:
            self.check(f"{person}: {sql}: {error}", False)

    def fails(self, person, sql, status, words=(), without=()):
        """`sql` fails with this status and a message that holds `words` and nothing of `without`."""
        try:
            self.rows(person, sql)
        except adbc_driver_manager.Error as error:
            self.check(f"{person}: {sql}: {error.status_code} instead of {status}: {error}", error.status_code == status)
            for word in words:
                self.check(f"{person}: {sql}: {word!r} is not in {error}", word in str(error))
            for word in without:
                self.check(f"{person}: {sql}: {word!r} is in {error}", word not in str(error))
            return str(error)
        self.check(f"{person}: {sql}: succeeded instead of {status}", False)
        return ""

    def done(self):
        if self.wrong or not self.checks:
            for what in self.wrong:
                print(f"WRONG: {what}")
            raise SystemExit(f"{len(self.wrong)} of {self.checks} checks failed")
        print(f"{self.checks} checks")


__all__ = ["Demo", "Status", "adbc_driver_manager", "flight_sql"]
