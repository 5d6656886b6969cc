"""Connection pools, on SQLite. With a server that can be lost: tests/interop/test_adbapi_postgresql.py."""

from __future__ import annotations

import logging
import pickle
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Reports
from tests.core.deferred_kit import boom, cell, in_cell, outcome
from tests.core.net_kit import PATIENCE, drive, on_reactor
from wirebook import reactor as process_reactor
from wirebook.adbapi import Connection, ConnectionLost, ConnectionPool, Transaction
from wirebook.deferred import CancelledError
from wirebook.reactor.pool import PoolStoppedError
from wirebook.transports.reactor import Reactor

MakePool = Callable[..., ConnectionPool]


@pytest.fixture
def make(reactor: Reactor, tmp_path: Path) -> Iterator[MakePool]:
    """Make pools on the file ``lab.db``, or whatever database is named; they are closed afterwards."""
    pools = []

    def make_pool(*arguments: Any, kind: type[ConnectionPool] = ConnectionPool, **options: Any) -> ConnectionPool:
        pool = kind("sqlite3", *(arguments or (tmp_path / "lab.db",)), cp_reactor=reactor, **options)
        pools.append(pool)
        return pool

    yield make_pool
    for pool in pools:
        pool.close()
        assert not pool.connections


@pytest.fixture
def pool(make: MakePool) -> ConnectionPool:
    """A pool whose database has the empty table ``t`` with the column ``x``."""
    return with_table(make())


@pytest.fixture
def single(make: MakePool) -> ConnectionPool:
    """The same with one connection."""
    return with_table(make(cp_max=1))


def with_table(pool: ConnectionPool) -> ConnectionPool:
    """Make the table ``t``."""
    pool.runOperation("create table t (x integer)").wait(PATIENCE)
    return pool


def rows(pool: ConnectionPool) -> list[int]:
    """What is in the table ``t``."""
    return [row[0] for row in pool.runQuery("select x from t order by x").wait(PATIENCE)]


def insert(transaction: Transaction, value: int) -> int:
    """Add a row to ``t``; the number of rows added."""
    transaction.execute("insert into t values (?)", (value,))
    count: int = transaction.rowcount
    return count


class Held:
    """A piece of work that a worker does until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.let_go = threading.Event()

    def __call__(self, _: object) -> str:
        self.begun.set()
        assert self.let_go.wait(PATIENCE)
        return "done"


# ------------------------------------------------------------------------------------------- work


def test_a_query_fires_with_all_rows(pool: ConnectionPool) -> None:
    assert pool.runQuery("values (1, 'a'), (2, 'b')").wait(PATIENCE) == [(1, "a"), (2, "b")]


def test_a_query_takes_the_drivers_parameters(pool: ConnectionPool) -> None:
    assert pool.runQuery("select ? + ?", (1, 2)).wait(PATIENCE) == [(3,)]


def test_an_operation_fires_with_none_and_is_committed(pool: ConnectionPool, tmp_path: Path) -> None:
    assert pool.runOperation("insert into t values (7)").wait(PATIENCE) is None
    other = sqlite3.connect(tmp_path / "lab.db")
    assert other.execute("select x from t").fetchall() == [(7,)]
    other.close()


def test_an_interaction_gets_a_cursor_and_its_arguments_and_is_committed(pool: ConnectionPool) -> None:
    def interact(transaction: Transaction, first: int, *, second: int) -> int:
        return insert(transaction, first) + insert(transaction, second)

    assert pool.runInteraction(interact, 1, second=2).wait(PATIENCE) == 2
    assert rows(pool) == [1, 2]


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_an_interaction_that_raises_is_rolled_back_and_its_error_is_the_callers(
    single: ConnectionPool, error: type[BaseException]
) -> None:
    def interact(transaction: Transaction) -> None:
        insert(transaction, 1)
        raise error("stop here")

    with pytest.raises(error, match="stop here"):
        single.runInteraction(interact).wait(PATIENCE)
    # On the same connection: what was not undone would be committed with this.
    single.runInteraction(insert, 2).wait(PATIENCE)
    assert rows(single) == [2]


def test_the_cursor_of_an_interaction_is_closed_with_it(pool: ConnectionPool) -> None:
    cursor = pool.runInteraction(lambda transaction: transaction._cursor).wait(PATIENCE)
    with pytest.raises(sqlite3.ProgrammingError, match="closed cursor"):
        cursor.execute("select 1")


def test_a_wrong_statement_is_the_callers_error_and_no_report(pool: ConnectionPool, reported: Reports) -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such table: nowhere"):
        pool.runQuery("select * from nowhere").wait(PATIENCE)
    assert not reported()


def test_work_with_a_connection_is_committed(pool: ConnectionPool) -> None:
    def work(connection: Connection, value: int) -> str:
        connection.execute("insert into t values (?)", (value,))
        return "done"

    assert pool.runWithConnection(work, 5).wait(PATIENCE) == "done"
    assert rows(pool) == [5]


def test_work_with_a_connection_that_raises_is_rolled_back(single: ConnectionPool) -> None:
    def work(connection: Connection) -> None:
        connection.execute("insert into t values (1)")
        boom()

    with pytest.raises(ValueError, match="boom"):
        single.runWithConnection(work).wait(PATIENCE)
    single.runInteraction(insert, 2).wait(PATIENCE)
    assert rows(single) == [2]


def test_a_connection_that_is_closed_by_its_user_stays_open(pool: ConnectionPool) -> None:
    assert pool.runWithConnection(lambda connection: connection.close()).wait(PATIENCE) is None
    assert rows(pool) == []


def test_a_cursor_may_be_closed_and_opened_again_by_its_user(pool: ConnectionPool) -> None:
    def interact(transaction: Transaction) -> list[int]:
        transaction.close()
        transaction.close()
        transaction.reopen()
        transaction.execute("values (1), (2)")
        numbers = [row[0] for row in transaction]
        transaction.close()
        return numbers

    assert pool.runInteraction(interact).wait(PATIENCE) == [1, 2]


def test_results_come_on_the_reactor_in_the_callers_context(pool: ConnectionPool, reactor: Reactor) -> None:
    seen: list[tuple[bool, str]] = []

    def query() -> Any:
        with reactor.turn():
            result = pool.runQuery("select 1")
            return result.addCallback(lambda _: seen.append((reactor.onReactorThread(), cell.get())))

    in_cell("seven", query).wait(PATIENCE)
    assert seen == [(True, "seven")]


def test_work_runs_in_the_callers_context_on_a_worker(pool: ConnectionPool) -> None:
    def work(_: Connection) -> tuple[str, threading.Thread]:
        return cell.get(), threading.current_thread()

    where, thread = in_cell("eight", pool.runWithConnection, work).wait(PATIENCE)
    assert where == "eight"
    assert thread in pool.threadpool.threads


def test_a_cancelled_query_that_has_not_begun_does_not_run(single: ConnectionPool) -> None:
    held = Held()
    busy = single.runWithConnection(held)
    assert held.begun.wait(PATIENCE)
    unwanted = single.runOperation("insert into t values (1)")
    unwanted.cancel()
    held.let_go.set()
    with pytest.raises(CancelledError):
        unwanted.wait(PATIENCE)
    busy.wait(PATIENCE)
    assert rows(single) == []


def test_there_are_as_many_connections_as_busy_workers_and_max_is_the_most(make: MakePool) -> None:
    pool = make(cp_max=3)
    barrier = threading.Barrier(3)
    waits = [pool.runWithConnection(lambda _: barrier.wait(PATIENCE)) for _ in range(6)]
    assert sorted(wait.wait(PATIENCE) for wait in waits) == [0, 0, 1, 1, 2, 2]
    assert len(pool.connections) == 3


# ---------------------------------------------------------------------------------------- options


def test_the_options_are_attributes_with_defaults(pool: ConnectionPool) -> None:
    assert (pool.min, pool.max, pool.name, pool.noisy, pool.reconnect) == (3, 5, None, False, False)
    assert (pool.openfun, pool.good_sql, pool.dbapiName, pool.dbapi) == (None, "select 1", "sqlite3", sqlite3)


def test_a_max_below_the_min_lowers_it(make: MakePool) -> None:
    pool = make(cp_max=1)
    assert (pool.min, pool.max) == (1, 1)
    assert (pool.threadpool.min, pool.threadpool.max) == (1, 1)


def test_a_subclass_sets_other_defaults(make: MakePool) -> None:
    class Single(ConnectionPool):
        max = 1
        reconnect = True

    pool = make(kind=Single)
    assert (pool.min, pool.max, pool.reconnect) == (1, 1, True)


def test_an_unknown_option_is_named(make: MakePool) -> None:
    with pytest.raises(TypeError, match="no option cp_mim; it has cp_min, cp_max"):
        make(cp_mim=1)


@pytest.mark.parametrize("sizes", [{"cp_min": -1}, {"cp_max": 0}])
def test_impossible_sizes_are_refused(make: MakePool, sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="they are at least 0 and 1"):
        make(**sizes)


def test_a_module_in_place_of_its_name_is_refused() -> None:
    wrong: Any = sqlite3
    with pytest.raises(TypeError, match="give the name of a DB-API module"):
        ConnectionPool(wrong)


def test_a_module_that_is_not_there_is_named() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_driver"):
        ConnectionPool("no_such_driver")


def test_a_module_that_promises_nothing_is_logged(caplog: pytest.LogCaptureFixture, reactor: Reactor) -> None:
    ConnectionPool("math", cp_reactor=reactor).close()
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "math" in caplog.text


def test_every_new_connection_is_set_up_on_its_worker(make: MakePool) -> None:
    opened: list[tuple[int, Any]] = []
    pool = make(cp_openfun=lambda connection: opened.append((threading.get_ident(), connection)))
    barrier = threading.Barrier(2)
    for wait in [pool.runWithConnection(lambda _: barrier.wait(PATIENCE)) for _ in range(2)]:
        wait.wait(PATIENCE)
    assert dict(opened) == pool.connections


def test_a_connection_that_cannot_be_set_up_is_closed_and_the_caller_gets_the_error(make: MakePool) -> None:
    opened: list[sqlite3.Connection] = []

    def open_badly(connection: sqlite3.Connection) -> None:
        opened.append(connection)
        boom()

    pool = make(cp_openfun=open_badly)
    with pytest.raises(ValueError, match="boom"):
        pool.runQuery("select 1").wait(PATIENCE)
    assert not pool.connections
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        opened[0].execute("select 1")


def test_a_noisy_pool_logs_connecting_and_closing(make: MakePool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "wirebook")
    pool = make(cp_noisy=True)
    pool.runQuery("select 1").wait(PATIENCE)
    pool.close()
    assert ["connecting" in caplog.messages[0], "closing" in caplog.messages[1]] == [True, True]


def test_the_workers_bear_the_pools_name(make: MakePool) -> None:
    pool = make(cp_name="library")
    name = pool.runWithConnection(lambda _: threading.current_thread().name).wait(PATIENCE)
    assert "library" in name


# ------------------------------------------------------------------------------------------ SQLite


@pytest.mark.parametrize("database", [":memory:", "", "file:lab?mode=memory"])
def test_a_database_in_memory_is_one_database(make: MakePool, database: str) -> None:
    pool = with_table(make(database, uri=database.startswith("file:")))
    for insertion in [pool.runInteraction(insert, value) for value in range(20)]:
        insertion.wait(PATIENCE)
    assert rows(pool) == list(range(20))
    assert len(pool.connections) == 1


def test_a_shared_database_in_memory_may_have_many_connections(make: MakePool) -> None:
    pool = make(database="file:lab?mode=memory&cache=shared", uri=True)
    assert pool.threadpool.max == 5


@pytest.mark.parametrize(("chosen", "passed"), [({}, False), ({"check_same_thread": True}, True)])
def test_connections_may_change_threads_unless_the_caller_decides(
    make: MakePool, chosen: dict[str, bool], passed: bool
) -> None:
    seen: list[Any] = []

    class Noted(sqlite3.Connection):
        def __init__(self, database: Path, **options: Any) -> None:
            seen.append(options["check_same_thread"])
            super().__init__(database, check_same_thread=False)

    make(factory=Noted, **chosen).runQuery("select 1").wait(PATIENCE)
    assert seen == [passed]


# ----------------------------------------------------------------------------- a lost connection


class Fragile(sqlite3.Connection):
    """A connection whose ways of ending can be made to fail, as those of a driver whose server is gone."""

    broken = False

    def rollback(self) -> None:
        if self.broken:
            raise sqlite3.OperationalError("the rollback broke")
        super().rollback()


def break_down(connection: Connection) -> None:
    """Have the connection break in the middle of work."""
    connection._live().broken = True
    boom()


def test_an_error_in_the_rollback_is_reported_and_the_first_error_is_the_callers(
    make: MakePool, reported: Reports
) -> None:
    pool = make(factory=Fragile)
    with pytest.raises(ValueError, match="boom"):
        pool.runWithConnection(break_down).wait(PATIENCE)
    [report] = reported()
    assert "the rollback failed" in report.getMessage()
    assert "the rollback broke" in str(report.exc_info)


def test_without_reconnect_a_dead_connection_stays_with_its_worker(make: MakePool) -> None:
    pool = make(cp_max=1)
    pool.runQuery("select 1").wait(PATIENCE)
    next(iter(pool.connections.values())).close()
    for _ in range(2):
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            pool.runQuery("select 1").wait(PATIENCE)


def test_a_connection_found_dead_in_the_rollback_is_replaced_for_the_next_query(
    make: MakePool, reported: Reports
) -> None:
    pool = make(factory=Fragile, cp_reconnect=True, cp_max=1)
    with pytest.raises(ValueError, match="boom") as caught:
        pool.runWithConnection(break_down).wait(PATIENCE)
    assert "the next query gets another one" in caught.value.__notes__[0]
    assert not pool.connections
    assert pool.runQuery("select 1").wait(PATIENCE) == [(1,)]
    [report] = reported()
    assert "the connection to the database is lost" in report.getMessage()


def test_a_connection_that_gives_no_cursor_is_replaced_at_once(make: MakePool, reported: Reports) -> None:
    pool = make(cp_reconnect=True, cp_max=1, cp_noisy=True)
    pool.runQuery("select 1").wait(PATIENCE)
    next(iter(pool.connections.values())).close()
    assert pool.runQuery("select 1").wait(PATIENCE) == [(1,)]
    [report] = reported()
    assert "no cursor" in report.getMessage()


def test_when_one_connection_was_lost_the_others_are_tried_before_use(make: MakePool, reported: Reports) -> None:
    pool = make(cp_reconnect=True, cp_max=2)
    barrier, held = threading.Barrier(2), Held()
    for wait in [pool.runWithConnection(lambda _: barrier.wait(PATIENCE)) for _ in range(2)]:
        wait.wait(PATIENCE)
    for connection in pool.connections.values():
        connection.close()
    first = pool.runInteraction(held)
    assert held.begun.wait(PATIENCE)
    assert pool.runQuery("select 1").wait(PATIENCE) == [(1,)]
    held.let_go.set()
    first.wait(PATIENCE)
    assert len(reported()) == 1, "the second replacement needs no report"
    assert len(pool.connections) == 2


def test_a_rollback_on_a_lost_connection_says_so_and_reconnect_helps(make: MakePool, reported: Reports) -> None:
    pool = make(factory=Fragile, cp_reconnect=True)

    def work(connection: Connection) -> Any:
        connection._live().broken = True
        for name in ("rollback", "rollback", "cursor"):
            with pytest.raises(ConnectionLost):
                getattr(connection, name)()
        connection.reconnect()
        return connection.execute("select 1").fetchone()

    assert pool.runWithConnection(work).wait(PATIENCE) == (1,)
    assert len(reported()) == 1


def test_work_that_goes_on_after_its_connection_was_lost_fails(make: MakePool, reported: Reports) -> None:
    pool = make(factory=Fragile, cp_reconnect=True)

    def work(connection: Connection) -> None:
        connection._live().broken = True
        with pytest.raises(ConnectionLost):
            connection.rollback()

    with pytest.raises(ConnectionLost, match=r"reconnect\(\) opens another"):
        pool.runWithConnection(work).wait(PATIENCE)
    assert len(reported()) == 1


def test_a_good_sql_that_fails_makes_a_connection_count_as_lost(make: MakePool, reported: Reports) -> None:
    pool = make(cp_reconnect=True, cp_good_sql="select * from nowhere")
    with pytest.raises(ValueError, match="boom"):
        pool.runWithConnection(boom).wait(PATIENCE)
    [report] = reported()
    assert "no such table: nowhere" in str(report.exc_info)
    assert not pool.connections


def test_a_connection_of_ones_own_thread_is_made_once_and_given_back(pool: ConnectionPool) -> None:
    mine = pool.connect()
    assert pool.connect() is mine
    pool.disconnect(mine)
    with pytest.raises(ValueError, match="not this thread's connection"):
        pool.disconnect(mine)


# ---------------------------------------------------------------------------------- start and end


def test_a_pool_starts_with_its_reactor_and_then_does_what_it_was_given() -> None:
    reactor = Reactor()
    pool = ConnectionPool("sqlite3", ":memory:", cp_reactor=reactor)
    waiting = pool.runQuery("select 1")
    assert not pool.running
    reactor.runInThread()
    assert waiting.wait(PATIENCE) == [(1,)]
    assert pool.running
    reactor.shutDown()
    assert not pool.running
    assert not pool.connections
    reactor.close()


def test_a_pool_that_never_started_leaves_nothing_behind_when_it_is_closed() -> None:
    reactor = Reactor()
    pool = ConnectionPool("sqlite3", ":memory:", cp_reactor=reactor)
    pool.close()
    reactor.startRunning()
    assert not pool.running
    reactor.crash()
    reactor.close()


def test_close_finishes_what_runs_and_what_waits_and_ends_the_threads(single: ConnectionPool) -> None:
    held = Held()
    threads = single.threadpool.threads[:]
    busy, waiting = single.runWithConnection(held), single.runInteraction(insert, 1)
    assert held.begun.wait(PATIENCE)
    closing = threading.Thread(target=single.close)
    closing.start()
    held.let_go.set()
    closing.join(PATIENCE)
    assert (busy.wait(PATIENCE), waiting.wait(PATIENCE)) == ("done", 1)
    assert threads
    assert not any(thread.is_alive() for thread in threads)
    assert not single.connections


def test_close_may_be_called_on_the_reactor_while_a_query_needs_the_turn(make: MakePool, reactor: Reactor) -> None:
    pool, held = make(), Held()

    def work(_: Connection) -> float:
        held(None)
        with reactor.turn():
            return reactor.seconds()

    busy = pool.runWithConnection(work)
    assert held.begun.wait(PATIENCE)

    def close() -> None:
        held.let_go.set()
        pool.close()

    on_reactor(reactor, close)
    assert busy.wait(PATIENCE) > 0


def test_a_query_after_close_fails(pool: ConnectionPool) -> None:
    pool.close()
    with pytest.raises(PoolStoppedError):
        pool.runQuery("select 1").wait(PATIENCE)


def test_a_closed_pool_may_be_closed_again_and_started_again(pool: ConnectionPool) -> None:
    pool.close()
    pool.close()
    pool.start()
    pool.start()
    assert rows(pool) == []


def test_a_connection_that_does_not_close_is_reported(make: MakePool, reported: Reports) -> None:
    class Sticky(sqlite3.Connection):
        def close(self) -> None:
            super().close()
            raise sqlite3.OperationalError("it sticks")

    pool = make(factory=Sticky)
    pool.runQuery("select 1").wait(PATIENCE)
    pool.close()
    [report] = reported()
    assert "did not close" in report.getMessage()


def test_a_pool_without_a_named_reactor_is_on_that_of_the_process(tmp_path: Path) -> None:
    pool = ConnectionPool("sqlite3", tmp_path / "lab.db", cp_max=2)
    pool.start()
    done = pool.runQuery("select 1")
    drive(process_reactor, lambda: done.called)
    assert outcome(done) == [(1,)]
    pool.close()


def test_a_pickled_pool_is_made_anew_with_the_same_options(tmp_path: Path) -> None:
    pool = ConnectionPool("sqlite3", tmp_path / "lab.db", cp_max=2, cp_reconnect=True, cp_name="mine", timeout=1.0)
    pool.close()
    copy = pickle.loads(pickle.dumps(pool))
    copy.close()
    assert (copy.dbapiName, copy.dbapi, copy.min, copy.max) == ("sqlite3", sqlite3, 2, 2)
    assert (copy.reconnect, copy.name, copy.good_sql) == (True, "mine", "select 1")
    assert (copy.connargs, copy.connkw) == (pool.connargs, pool.connkw)


def test_a_pool_says_what_it_is(pool: ConnectionPool) -> None:
    assert repr(pool) == "<ConnectionPool of sqlite3, running, 1 connections>"


def test_a_pool_is_a_handle_of_its_reactor_until_it_is_closed(make: MakePool, reactor: Reactor) -> None:
    pool = make()
    assert pool.runQuery("select 1").wait(PATIENCE) == [(1,)]
    assert list(reactor.handles) == [pool]
    assert (pool.kind, pool.label, pool.state) == ("pool", "sqlite3", "running")
    pool.closeHandle().wait(PATIENCE)
    assert (list(reactor.handles), pool.state, pool.running) == ([], "closed", False)
    pool.closeHandle().wait(PATIENCE)


def test_what_serves_as_a_reactor_needs_no_list_of_what_is_open() -> None:
    class Bare:
        def callWhenRunning(self, callable: Callable[[], object]) -> None:
            callable()

        def addSystemEventTrigger(self, *trigger: object) -> str:
            return "trigger"

        def removeSystemEventTrigger(self, trigger: str) -> None:
            assert trigger == "trigger"

    pool = ConnectionPool("sqlite3", ":memory:", cp_reactor=Bare())
    assert pool.running
    pool.close()
    assert not pool.running
