"""ADBC over TLS, to a server that asks for a certificate: `tls.py FILE`, a JSON file with all that it takes."""

import json
import pathlib
import sys

import adbc_driver_flightsql.dbapi as flight_sql
import adbc_driver_manager
from adbc_driver_flightsql import DatabaseOptions

given = json.loads(pathlib.Path(sys.argv[1]).read_text())
uri = given["uri"]
checks = 0


def options(**changes):
    wanted = {
        DatabaseOptions.AUTHORIZATION_HEADER.value: "Bearer " + given["token"],
        DatabaseOptions.TLS_ROOT_CERTS.value: given["authority"],
        DatabaseOptions.MTLS_CERT_CHAIN.value: given["certificate"],
        DatabaseOptions.MTLS_PRIVATE_KEY.value: given["key"],
    }
    wanted.update(changes)
    return {name: value for name, value in wanted.items() if value is not None}


def one(wanted):
    with flight_sql.connect(uri, db_kwargs=wanted, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        return cursor.fetchone()


def fails(what, wanted):
    global checks
    checks += 1
    try:
        one(wanted)
    except adbc_driver_manager.Error as error:
        assert given["token"] not in str(error), what
        return
    raise SystemExit(f"{what} succeeded")


# ANCHOR: tls
db_kwargs = {
    "adbc.flight.sql.authorization_header": "Bearer " + given["token"],
    "adbc.flight.sql.client_option.tls_root_certs": given["authority"],
    # Where the server asks for a certificate.
    "adbc.flight.sql.client_option.mtls_cert_chain": given["certificate"],
    "adbc.flight.sql.client_option.mtls_private_key": given["key"],
}
# ANCHOR_END: tls
assert options() == db_kwargs
assert one(db_kwargs) == (1,)
checks += 1
none = {DatabaseOptions.MTLS_CERT_CHAIN.value: None, DatabaseOptions.MTLS_PRIVATE_KEY.value: None}
fails("without a certificate", options(**none))
fails("another server's authority", options(**{DatabaseOptions.TLS_ROOT_CERTS.value: given["other_authority"]}))
fails("without a token: nobody knows the certificate's name", options(**{DatabaseOptions.AUTHORIZATION_HEADER.value: None}))
assert one(options()) == (1,)
checks += 1
print(f"{checks} checks")
