"""Databases: any DB-API module (PEP 249), its blocking calls in threads, its results on the reactor.

A DB-API call blocks its thread until the database has answered, and a connection can do one thing at a time. So a
`ConnectionPool` has worker threads, and each worker has a connection of its own, which it opens when it gets its
first work. What a caller hands to the pool runs on a worker as one transaction: committed when it returns, rolled
back when it raises. The Deferred fires on the reactor.

A lost server
    Nobody is told when a connection dies; the next statement on it fails, with an error of the driver's own that
    looks like any other. What tells the two apart is the rollback that follows every error: on a dead connection it
    fails too. With ``cp_reconnect=True`` such a connection is dropped, and its worker opens another one for its next
    work. Nothing is ever sent twice: whether a statement took effect before the connection broke only the caller
    can find out, so the caller gets the error. When one connection was lost, others that stood idle probably
    were too; they are tried with ``cp_good_sql`` before they get work, and replaced quietly.

SQLite
    ``ConnectionPool("sqlite3", "lab.db")`` needs nothing but Python. A connection moves from its worker to the
    thread that closes the pool, so ``check_same_thread=False`` is passed unless the caller decides otherwise. A
    database in memory (``":memory:"``) lives and dies with its one connection, so its pool has one worker, whatever
    ``cp_min`` and ``cp_max`` say. SQLite lets one connection write at a time, the others wait (``timeout``, 5
    seconds if not given) and then fail with "database is locked": for many writers say ``cp_max=1``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextvars import copy_context
from functools import partial
from importlib import import_module
from threading import Thread, get_ident
from types import ModuleType
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

from wirebook.deferred import Deferred
from wirebook.failure import Failure
from wirebook.installed import the_reactor
from wirebook.logger import report_event, report_failure
from wirebook.reactor.handles import Handles, next_handle_id
from wirebook.reactor.pool import ThreadPool
from wirebook.threads import deferToThreadPool
from wirebook.turn import turn

__all__ = ["Connection", "ConnectionLost", "ConnectionPool", "Transaction"]

P = ParamSpec("P")
T = TypeVar("T")


class ConnectionLost(Exception):
    """The connection to the database is gone; the pool opens another one for the next query.

    What ran on it may be tried again, once it is clear that it did not take effect.
    """


class Connection:
    """A worker's connection, as ``runWithConnection`` passes it: everything that the driver's connection has.

    For use in the function it was passed to, on that thread.
    """

    _connection: Any = None

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self.reconnect()

    def close(self) -> None:
        """Do nothing: the connection is the pool's, and its next user would find it closed."""

    def rollback(self) -> None:
        """Undo what was done since the last commit.

        With ``cp_reconnect`` a rollback also proves that the connection still works. One that does not is
        reported and dropped, and `ConnectionLost` is raised; `reconnect` then gives another one.
        """
        connection = self._live()
        if not self._pool.reconnect:
            connection.rollback()
            return
        try:
            connection.rollback()
            _prove(connection, self._pool.good_sql)
        except Exception as error:
            report_failure(Failure(error), "the rollback failed: the connection to the database is lost")
            self._drop()
            raise ConnectionLost(
                f"the connection to the database is lost ({error}); the next query gets another one"
            ) from error

    def reconnect(self) -> None:
        """Close the connection, if there is one, and open another. Raises what the driver's connect raises."""
        if self._connection is not None:
            self._drop()
        self._connection = self._pool.connect()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        self._pool.disconnect(connection)

    def _live(self) -> Any:
        if self._connection is None:
            raise ConnectionLost("the connection to the database was lost; reconnect() opens another one")
        return self._connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._live(), name)


class Transaction:
    """A cursor on a worker's connection, as ``runInteraction`` passes it: everything that the driver's cursor has.

    For use in the function it was passed to, on that thread.
    """

    _cursor: Any = None

    def __init__(self, pool: ConnectionPool, connection: Connection) -> None:
        self._pool = pool
        self._connection = connection
        self.reopen()

    def close(self) -> None:
        """Close the cursor; harmless when it is closed."""
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            cursor.close()

    def reopen(self) -> None:
        """Close the cursor, if there is one, and open another; with ``cp_reconnect`` also on a new connection."""
        self.close()
        try:
            self._cursor = self._connection.cursor()
            return
        except Exception as error:
            if not self._pool.reconnect:
                raise
            report_failure(Failure(error), "no cursor to be had: the connection to the database is lost")
        if self._pool.noisy:
            report_event("adbapi: connection lost, reconnecting", level=logging.INFO)
        self.reconnect()
        self._cursor = self._connection.cursor()

    def reconnect(self) -> None:
        """Replace the connection; the cursor goes with the old one, and `reopen` makes another."""
        self._connection.reconnect()
        self._cursor = None

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


class ConnectionPool:
    """Connections to one database, and the threads that use them.

    `dbapiName` is the name of a DB-API module ("sqlite3", "psycopg"). All other arguments go to its ``connect``,
    except the pool's own:

    - ``cp_min``, ``cp_max``: how many connections to keep at least and at most (3, 5);
    - ``cp_openfun``: called with every new connection of the driver, on its worker, to set it up;
    - ``cp_reconnect``: replace connections that are found dead (False);
    - ``cp_good_sql``: a statement that always succeeds and changes nothing ("select 1");
    - ``cp_noisy``: log connecting and closing (False); ``cp_name``: the name of the worker threads;
    - ``cp_reactor``: where results fire and with whom the pool starts and ends (the process's reactor).

    The pool starts when the reactor runs and closes when it shuts down. A subclass may set the defaults as
    class attributes of the same names without ``cp_``, and ``connectionFactory``, ``transactionFactory``.

    Attributes: ``running``; ``connections`` the driver's open connections by thread; ``dbapi`` the module;
    ``threadpool`` the workers. While it runs it is one of the reactor's handles.

    Errors: `ModuleNotFoundError` without the module, `TypeError` for an unknown ``cp_`` option, `ValueError` for
    impossible sizes. Methods may be called from any thread.
    """

    CP_ARGS: ClassVar[list[str]] = ["min", "max", "name", "noisy", "openfun", "reconnect", "good_sql"]

    noisy: bool = False
    min: int = 3
    max: int = 5
    name: str | None = None
    openfun: Callable[[Any], object] | None = None
    reconnect: bool = False
    good_sql: str = "select 1"

    kind = "pool"
    transportName = ""
    localAddress = None
    peerAddress = None
    bytesReceived = 0
    bytesSent = 0

    running: bool = False
    connectionFactory: Callable[[Any], Any] = Connection
    transactionFactory: Callable[[Any, Any], Any] = Transaction
    startID: Any = None
    shutdownID: Any = None

    def __init__(self, dbapiName: str, *connargs: Any, **connkw: Any) -> None:
        if not isinstance(dbapiName, str):
            raise TypeError(f"dbapiName is {dbapiName!r}; give the name of a DB-API module, for example 'sqlite3'")
        self.dbapiName = dbapiName
        self.dbapi = _load(dbapiName)
        reactor = connkw.pop("cp_reactor", None)
        self._reactor = the_reactor() if reactor is None else reactor
        self._take_options(connkw)
        self.connargs = connargs
        self.connkw = connkw
        self.connections: dict[int, Any] = {}
        self.threadID: Callable[[], int] = get_ident
        # The workers whose connections are to be tried before they are used. Only single, atomic steps touch it.
        self._doubted: set[int] = set()
        sizes = (1, 1) if self._is_sqlite() and _in_memory(connargs, connkw) else (self.min, self.max)
        self.threadpool = ThreadPool(*sizes, name=self.name or f"adbapi-{dbapiName}")
        self.context = copy_context()
        self.handleId = next_handle_id()
        # Not everything that serves as a reactor has a list of what is open.
        self._handles: Handles = getattr(self._reactor, "handles", Handles())
        self.born = getattr(self._reactor, "seconds", the_reactor().seconds)()
        with turn:
            self.startID = self._reactor.callWhenRunning(self._start)

    def _take_options(self, keywords: dict[str, Any]) -> None:
        """Take the pool's own options out of `keywords`."""
        for option in self.CP_ARGS:
            if f"cp_{option}" in keywords:
                setattr(self, option, keywords.pop(f"cp_{option}"))
        if unknown := [keyword for keyword in keywords if keyword.startswith("cp_")]:
            known = ", ".join(f"cp_{option}" for option in [*self.CP_ARGS, "reactor"])
            raise TypeError(f"a ConnectionPool has no option {unknown[0]}; it has {known}")
        if self.min < 0 or self.max < 1:
            raise ValueError(f"cp_min is {self.min} and cp_max {self.max}; they are at least 0 and 1")
        self.min = min(self.min, self.max)

    # --- start and end -------------------------------------------------------------------------------

    def _start(self) -> None:
        self.startID = None
        self.start()

    def start(self) -> None:
        """Start the workers: needed only where the reactor is not running yet, or after `close`."""
        with turn:
            if not self.running:
                self.threadpool.start()
                self.shutdownID = self._reactor.addSystemEventTrigger("during", "shutdown", self.finalClose)
                self.running = True
                self._handles.opened(self)

    def close(self) -> None:
        """Finish the queries that the pool has, close its connections and end its threads; then return.

        Queries that come later fail with `PoolStoppedError`. The reactor goes on meanwhile. Repeating is harmless.
        """
        with turn:
            for name in ("startID", "shutdownID"):
                if trigger := getattr(self, name):
                    self._reactor.removeSystemEventTrigger(trigger)
                    setattr(self, name, None)
        self.finalClose()

    def finalClose(self) -> None:
        """As `close`, for the shutdown trigger."""
        self.shutdownID = None
        self.threadpool.stop()
        with turn:
            if self.running:
                self.running = False
                self._handles.closed(self)
            connections, self.connections = self.connections, {}
        for connection in connections.values():
            self._close(connection)

    # --- as a handle ---------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """ "running" or "closed"."""
        return "running" if self.running else "closed"

    @property
    def label(self) -> str:
        """The name of the DB-API module."""
        return self.dbapiName

    def closeHandle(self, abort: bool = False) -> Deferred[None]:
        """`close`, on a thread of its own, for it waits. Fires when it is done; a query under way cannot be aborted."""
        closed: Deferred[None] = Deferred()

        def close() -> None:
            self.close()
            self._reactor.callFromThread(closed.callback, None)

        Thread(target=close, name="wirebook-adbapi-end", daemon=True).start()
        return closed

    # --- work ----------------------------------------------------------------------------------------

    def runWithConnection(
        self, func: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs
    ) -> Deferred[T]:
        """Call ``func(connection, *args, **kw)`` on a worker, as one transaction.

        Fires with what it returns, after the commit, or fails with what it raises, after the rollback. A query
        whose Deferred is cancelled before a worker took it does not run; one that runs goes on to its end.
        """
        return self._defer(self._run_with_connection, lambda connection: func(connection, *args, **kw))

    def runInteraction(
        self, interaction: Callable[Concatenate[Transaction, P], T], *args: P.args, **kw: P.kwargs
    ) -> Deferred[T]:
        """Call ``interaction(transaction, *args, **kw)`` on a worker, as one transaction.

        `transaction` is a cursor. Otherwise as `runWithConnection`.
        """
        return self._defer(self._run_interaction, lambda transaction: interaction(transaction, *args, **kw))

    def runQuery(self, *args: Any, **kw: Any) -> Deferred[Any]:
        """Run ``cursor.execute(*args, **kw)``, as one transaction; fires with ``cursor.fetchall()``."""
        return self.runInteraction(_query, *args, **kw)

    def runOperation(self, *args: Any, **kw: Any) -> Deferred[None]:
        """Run ``cursor.execute(*args, **kw)``, as one transaction; fires with None."""
        return self.runInteraction(_operation, *args, **kw)

    def _defer(self, run: Callable[[Callable[..., T]], T], work: Callable[..., T]) -> Deferred[T]:
        return deferToThreadPool(self._reactor, self.threadpool, run, work)

    def _run_with_connection(self, work: Callable[[Any], T]) -> T:
        connection = self._begin()
        return self._transact(connection, partial(work, connection))

    def _run_interaction(self, work: Callable[[Any], T]) -> T:
        connection = self._begin()
        transaction = self.transactionFactory(self, connection)

        def interact() -> T:
            result = work(transaction)
            transaction.close()
            return result

        return self._transact(connection, interact)

    def _transact(self, connection: Any, work: Callable[[], T]) -> T:
        try:
            result = work()
            connection.commit()
        except BaseException as error:
            self._roll_back(connection, error)
            raise
        return result

    def _roll_back(self, connection: Any, cause: BaseException) -> None:
        """Undo what was done. The caller is to see the `cause`; what goes wrong here is reported."""
        try:
            connection.rollback()
        except ConnectionLost as lost:
            cause.add_note(str(lost))
        except Exception as error:
            report_failure(Failure(error), "the rollback failed")

    # --- connections ---------------------------------------------------------------------------------

    def connect(self) -> Any:
        """The driver's connection of this thread, opened if it has none. Blocks; for worker threads."""
        thread = self.threadID()
        connection = self.connections.get(thread)
        if connection is None:
            connection = self.connections[thread] = self._open()
        return connection

    def disconnect(self, conn: Any) -> None:
        """Close `conn`, which must be the one that `connect` gave this thread; `ValueError` if it is not."""
        thread = self.threadID()
        if conn is not self.connections.get(thread):
            raise ValueError(f"{conn!r} is not this thread's connection: disconnect() takes what connect() gave it")
        if conn is None:
            return
        del self.connections[thread]
        self._close(conn)
        self._doubted.update(tuple(self.connections))

    def _begin(self) -> Any:
        """This worker's connection, wrapped; one that is in doubt is tried first."""
        if self.reconnect and self.threadID() in self._doubted:
            self._doubted.discard(self.threadID())
            connection = self.connect()
            try:
                _prove(connection, self.good_sql)
            except Exception as error:
                if self.noisy:
                    report_event(f"adbapi: idle connection lost ({error}), reconnecting", level=logging.INFO)
                self.disconnect(connection)
        return self.connectionFactory(self)

    def _open(self) -> Any:
        if self.noisy:
            report_event(f"adbapi: connecting with {self.dbapiName}", level=logging.INFO)
        keywords = self.connkw
        # Its fifth positional argument.
        if self._is_sqlite() and len(self.connargs) < 5:
            keywords = {"check_same_thread": False, **keywords}
        connection = self.dbapi.connect(*self.connargs, **keywords)
        try:
            if self.openfun is not None:
                self.openfun(connection)
        except BaseException:
            self._close(connection)
            raise
        return connection

    def _close(self, connection: Any) -> None:
        if self.noisy:
            report_event(f"adbapi: closing a connection of {self.dbapiName}", level=logging.INFO)
        try:
            connection.close()
        except Exception as error:
            report_failure(Failure(error), "a connection to the database did not close")

    def _is_sqlite(self) -> bool:
        return hasattr(self.dbapi, "sqlite_version")

    # --- how it is kept and shown --------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: how to make the same pool, without its ``cp_openfun`` and its reactor."""
        kept = ("dbapiName", "min", "max", "name", "noisy", "reconnect", "good_sql", "connargs", "connkw")
        return {name: getattr(self, name) for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the pool anew, on the process's reactor."""
        self.__dict__.update(state)
        ConnectionPool.__init__(self, self.dbapiName, *self.connargs, **self.connkw)

    def __repr__(self) -> str:
        state = "running" if self.running else "not running"
        return f"<ConnectionPool of {self.dbapiName}, {state}, {len(self.connections)} connections>"


def _load(name: str) -> ModuleType:
    """Import a DB-API module; what PEP 249 asks of it and it does not promise is logged."""
    module = import_module(name)
    if getattr(module, "apilevel", None) != "2.0":
        report_event(f"the module {name} does not say that it follows DB-API 2.0 (PEP 249)")
    if getattr(module, "threadsafety", 0) < 1:
        report_event(f"the module {name} does not say that threads may share it (threadsafety, PEP 249)")
    return module


def _prove(connection: Any, good_sql: str) -> None:
    """Raise if `connection` does not work. Between transactions only, for it commits."""
    cursor = connection.cursor()
    cursor.execute(good_sql)
    cursor.close()
    connection.commit()


def _query(transaction: Transaction, /, *args: Any, **kw: Any) -> Any:
    transaction.execute(*args, **kw)
    return transaction.fetchall()


def _operation(transaction: Transaction, /, *args: Any, **kw: Any) -> None:
    transaction.execute(*args, **kw)


def _in_memory(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> bool:
    """Whether ``sqlite3.connect`` with these arguments makes a database that no other connection can see."""
    database = os.fsdecode(keywords.get("database", arguments[0] if arguments else ""))
    in_memory = database == "" or ":memory:" in database or "mode=memory" in database
    return in_memory and "cache=shared" not in database
