"""Tokens that must not open anything, through ADBC, and one that does: `tokens.py FILE`, a file with uri, good and bad."""

import json
import pathlib
import sys

from demo import Demo, Status, adbc_driver_manager

given = json.loads(pathlib.Path(sys.argv[1]).read_text())


class Door(Demo):
    """The checks of a demo, for a server whose people are tokens."""

    def __init__(self):
        self.uri = given["uri"]
        self.tokens = {"good": given["good"], **given["bad"]}
        self.checks = 0
        self.wrong = []


door = Door()
door.equal("a good token", door.value("good", "SELECT 1 + 1"), 2)
for name, token in given["bad"].items():
    message = door.fails(name, "SELECT 1 + 1", Status.UNAUTHENTICATED)
    door.check(f"{name}: the token is repeated", token not in message)
    # Nor by logging in with it.
    try:
        with door.connect_with(token) as connection:
            connection.adbc_get_objects().read_all()
        door.check(f"{name}: lists are there", False)
    except adbc_driver_manager.Error as error:
        door.equal(f"{name}: lists", error.status_code, Status.UNAUTHENTICATED)
door.equal("the good token again", door.value("good", "SELECT 2 + 2"), 4)
door.done()
