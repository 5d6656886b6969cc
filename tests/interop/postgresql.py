"""A PostgreSQL server of the tests' own, on a UNIX socket in a temporary folder."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from psycopg import Connection, OperationalError

from tests.conftest import eventually, program

# How long the server may take to start or to end, on a machine that is busy.
PATIENCE = 30.0
# Nothing here has to survive a crash of the machine, and none of it needs the network.
SETTINGS = {
    "autovacuum": "off",
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "",
    "max_connections": "30",
    "shared_buffers": "16MB",
    "synchronous_commit": "off",
}


def account() -> dict[str, Any]:
    """Return whom `subprocess` is to run the server as: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = known.get("postgres") or known["nobody"]
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


class PostgreSQL:
    """One database cluster and the server that runs on it.

    ``arguments`` is what psycopg's ``connect`` needs, ``process`` the server while it runs.
    """

    def __init__(self, postgres: str) -> None:
        self.programs = Path(postgres).resolve().parent
        self.account = account()
        # Not pytest's folder: the server's account cannot enter it, and a socket's path must be short.
        self.folder = Path(tempfile.mkdtemp(prefix="wirebook-pg-"))
        self.data = self.folder / "data"
        self.log = self.folder / "log"
        self.arguments: dict[str, Any] = {"host": str(self.folder), "user": "wirebook", "dbname": "postgres"}
        self.process: subprocess.Popen[bytes] | None = None
        if self.account:
            os.chown(self.folder, self.account["user"], self.account["group"])

    def create(self) -> None:
        """Make the cluster."""
        options = ["--username=wirebook", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]
        command = [str(self.programs / "initdb"), f"--pgdata={self.data}", *options]
        done = subprocess.run(
            command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **self.account
        )
        assert done.returncode == 0, f"initdb failed:\n{done.stdout}"

    def start(self) -> None:
        """Start the server and return when it accepts connections."""
        options = [f"--{name}={value}" for name, value in SETTINGS.items()]
        command = [str(self.programs / "postgres"), "-D", str(self.data), "-k", str(self.folder), *options]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, **self.account)
        assert eventually(self._accepts, PATIENCE), f"PostgreSQL does not start:\n{self.log.read_text()[-3000:]}"

    def _accepts(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"PostgreSQL ended at once:\n{self.log.read_text()[-3000:]}"
        try:
            Connection.connect(**self.arguments).close()
        except OperationalError:
            return False
        return True

    def stop(self, mode: signal.Signals = signal.SIGINT) -> None:
        """End the server: SIGINT is ``pg_ctl stop -m fast``, SIGQUIT ``-m immediate``, as a crash would."""
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(mode)
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait()

    def remove(self) -> None:
        """End the server and delete its files."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder)

    def ask(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query, made on a connection of its own."""
        with Connection.connect(**self.arguments, autocommit=True) as connection:
            return connection.execute(sql.encode(), parameters).fetchall()

    def tell(self, sql: str) -> None:
        """Run a statement on a connection of its own."""
        with Connection.connect(**self.arguments, autocommit=True) as connection:
            connection.execute(sql.encode())

    def backends(self, name: str) -> set[int]:
        """Return the process ids of the connections whose ``application_name`` is `name`."""
        return {row[0] for row in self.ask("select pid from pg_stat_activity where application_name = %s", name)}


def started_server() -> PostgreSQL:
    """Return a fresh server that runs; the test is left out where PostgreSQL is not installed."""
    server = PostgreSQL(program("postgres"))
    try:
        server.create()
        server.start()
    except BaseException:
        server.remove()
        raise
    return server
