"""SQLite for several writers at once: each waits for its turn instead of failing.

A transaction that reads first and then writes fails at once ("database is locked") if somebody else
has written in between: no timeout helps. So one that may write says so at its start. Airflow takes
this from `AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS`; with PostgreSQL nobody needs it.
"""

from __future__ import annotations

import sqlite3


class Cursor(sqlite3.Cursor):
    """A savepoint outside a transaction would begin one that has only read."""

    def execute(self, statement, *parameters):
        """Runs a statement, in a transaction that may write if it is a savepoint."""
        if statement.startswith("SAVEPOINT") and not self.connection.in_transaction:
            super().execute("BEGIN IMMEDIATE")
        return super().execute(statement, *parameters)


class Connection(sqlite3.Connection):
    """A connection whose cursors are those above."""

    def cursor(self, factory=Cursor):
        """A new cursor."""
        return super().cursor(factory)


ASYNC = {"timeout": 120, "isolation_level": "IMMEDIATE"}
SYNC = {**ASYNC, "factory": Connection}
