"""Connection pools on a PostgreSQL server of our own: transactions, many at a time, and the server's loss."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from psycopg import OperationalError, errors

from tests.conftest import Reports, eventually
from tests.interop.postgresql import PATIENCE, PostgreSQL, started_server
from wirebook.adbapi import ConnectionPool, Transaction
from wirebook.deferred import Deferred
from wirebook.failure import Failure
from wirebook.transports.reactor import Reactor

# Longer than any test lasts.
HANG = "select pg_sleep(600)"
MY_PID = "select pg_backend_pid()"
MakePool = Callable[..., ConnectionPool]


@pytest.fixture(scope="session")
def server() -> Iterator[PostgreSQL]:
    """A server for all the tests here; a test that stops it starts it again."""
    server = started_server()
    yield server
    server.remove()


@pytest.fixture
def make(reactor: Reactor, server: PostgreSQL) -> Iterator[MakePool]:
    """Make pools on the server; afterwards it must have no connection of theirs left."""
    pools = []

    def make_pool(**options: Any) -> ConnectionPool:
        pool = ConnectionPool(
            "psycopg", **server.arguments, application_name="pool", connect_timeout=10, cp_reactor=reactor, **options
        )
        pools.append(pool)
        return pool

    yield make_pool
    for pool in pools:
        pool.close()
    assert eventually(lambda: not server.backends("pool")), "connections left open"


@pytest.fixture
def table(server: PostgreSQL) -> Iterator[str]:
    """The name of an empty table with the column ``x``."""
    server.tell("create table t (x integer primary key)")
    yield "t"
    server.tell("drop table t")


def error_in(deferred: Deferred[Any]) -> BaseException:
    """Wait until it fails; the error."""
    failures: list[Failure] = []
    deferred.addErrback(failures.append).wait(PATIENCE)
    assert failures, "it did not fail"
    return failures[0].value


def hanging(pool: ConnectionPool, server: PostgreSQL, count: int = 1) -> list[Deferred[Any]]:
    """So many queries that hang, as the server sees it."""
    queries = [pool.runQuery(HANG) for _ in range(count)]
    running = "select count(*) from pg_stat_activity where query = %s and state = 'active'"
    assert eventually(lambda: server.ask(running, HANG) == [(count,)], PATIENCE)
    return queries


def terminate(server: PostgreSQL) -> None:
    """Have the server end all connections of the pools."""
    pids = server.backends("pool")
    server.tell("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pool'")
    assert eventually(lambda: not pids & server.backends("pool"), PATIENCE)


# --------------------------------------------------------------------------------------- at work


def test_rows_come_back_with_their_types(make: MakePool) -> None:
    rows = make().runQuery("select %s::int + 1, %s::text, null", (41, "Ünïcode")).wait(PATIENCE)
    assert rows == [(42, "Ünïcode", None)]


def test_an_interaction_is_one_transaction(make: MakePool, table: str, server: PostgreSQL) -> None:
    def interact(transaction: Transaction, *values: int) -> None:
        for value in values:
            transaction.execute("insert into t values (%s)", (value,))

    pool = make()
    pool.runInteraction(interact, 1, 2).wait(PATIENCE)
    assert isinstance(error_in(pool.runInteraction(interact, 3, 1)), errors.UniqueViolation)
    assert server.ask("select x from t order by x") == [(1,), (2,)]


def test_an_operation_is_committed_when_its_deferred_fires(make: MakePool, table: str, server: PostgreSQL) -> None:
    assert make().runOperation("insert into t values (1)").wait(PATIENCE) is None
    assert server.ask("select x from t") == [(1,)]


def test_an_error_that_comes_with_the_commit_is_the_callers(make: MakePool, table: str, server: PostgreSQL) -> None:
    pool = make(cp_reconnect=True)
    pool.runOperation("alter table t add unique (x) deferrable initially deferred").wait(PATIENCE)
    pool.runOperation("alter table t drop constraint t_pkey").wait(PATIENCE)
    error = error_in(pool.runOperation("insert into t values (1), (1)"))
    assert isinstance(error, errors.UniqueViolation)
    assert server.ask("select x from t") == []


def test_a_connection_that_was_proved_is_in_no_transaction(make: MakePool, server: PostgreSQL) -> None:
    pool = make(cp_reconnect=True, cp_max=1)
    assert isinstance(error_in(pool.runQuery("select * from nowhere")), errors.UndefinedTable)
    states = "select state, xact_start, query from pg_stat_activity where application_name = 'pool'"
    assert server.ask(states) == [("idle", None, "COMMIT")]


def test_fifty_queries_on_five_connections_each_get_their_own_result(make: MakePool, server: PostgreSQL) -> None:
    pool = make(cp_max=5)
    queries = [pool.runQuery("select %s::int, pg_backend_pid(), pg_sleep(0.01)", (number,)) for number in range(50)]
    # The server is asked while they run: it alone knows how many connections there are.
    most = 0
    while not all(query.called for query in queries):
        most = max(most, len(server.backends("pool")))
    answers = [query.wait(PATIENCE)[0] for query in queries]
    assert [answer[0] for answer in answers] == list(range(50))
    assert 1 < len({answer[1] for answer in answers}) <= 5
    assert most <= 5


# ------------------------------------------------------------------------- the loss of the server


def test_a_connection_lost_in_mid_query_fails_it_with_the_servers_reason_and_is_replaced(
    make: MakePool, server: PostgreSQL, reported: Reports
) -> None:
    pool = make(cp_reconnect=True, cp_max=1)
    [before] = pool.runQuery(MY_PID).wait(PATIENCE)
    [query] = hanging(pool, server)
    terminate(server)
    error = error_in(query)
    assert isinstance(error, OperationalError)
    assert "terminating connection due to administrator command" in str(error)
    [after] = pool.runQuery(MY_PID).wait(PATIENCE)
    assert after != before
    [report] = reported()
    assert "the rollback failed: the connection to the database is lost" in report.getMessage()


def test_a_transaction_cut_in_the_middle_took_no_effect_and_can_be_repeated(
    make: MakePool, table: str, server: PostgreSQL, reported: Reports
) -> None:
    pool = make(cp_reconnect=True)
    tries = []

    def interact(transaction: Transaction) -> None:
        transaction.execute("insert into t values (1)")
        tries.append(1)
        if len(tries) == 1:
            terminate(server)
        transaction.execute("insert into t values (2)")

    assert isinstance(error_in(pool.runInteraction(interact)), OperationalError)
    assert server.ask("select x from t") == []
    pool.runInteraction(interact).wait(PATIENCE)
    assert server.ask("select x from t") == [(1,), (2,)]
    assert len(reported()) == 1


def test_after_a_loss_connections_that_stood_idle_are_replaced_unnoticed(
    make: MakePool, server: PostgreSQL, reported: Reports
) -> None:
    pool = make(cp_reconnect=True, cp_max=3)
    for query in [pool.runQuery("select pg_sleep(0.1)") for _ in range(3)]:
        query.wait(PATIENCE)
    assert len(server.backends("pool")) == 3
    terminate(server)
    assert isinstance(error_in(pool.runQuery(MY_PID)), OperationalError)
    queries = [pool.runQuery("select %s::int, pg_sleep(0.05)", (number,)) for number in range(12)]
    assert [query.wait(PATIENCE)[0][0] for query in queries] == list(range(12))
    assert len(reported()) == 1


def test_without_reconnect_the_loss_is_an_error_each_time(
    make: MakePool, server: PostgreSQL, reported: Reports
) -> None:
    pool = make(cp_max=1)
    pool.runQuery(MY_PID).wait(PATIENCE)
    terminate(server)
    for _ in range(2):
        assert isinstance(error_in(pool.runQuery(MY_PID)), OperationalError)
    assert all("the rollback failed" in report.getMessage() for report in reported())


def test_a_server_that_crashes_in_mid_query_fails_every_query_and_the_pool_recovers(
    make: MakePool, server: PostgreSQL, reported: Reports
) -> None:
    pool = make(cp_reconnect=True, cp_max=5)
    threads = pool.threadpool.threads
    queries = hanging(pool, server, 4)
    server.stop(signal.SIGQUIT)
    try:
        lost = [error_in(query) for query in queries]
        down = error_in(pool.runQuery(MY_PID))
    finally:
        server.start()
    assert all(isinstance(error, OperationalError) for error in [*lost, down]), lost
    assert "No such file or directory" in str(down) or "refused" in str(down)
    after = [pool.runQuery("select %s::int, pg_sleep(0.02)", (number,)) for number in range(20)]
    assert [query.wait(PATIENCE)[0][0] for query in after] == list(range(20))
    assert len(pool.connections) <= len(threads) <= 5
    assert len(server.backends("pool")) == len(pool.connections)
    assert len(reported()) == 4


def test_a_pool_can_be_closed_while_its_server_is_gone(make: MakePool, server: PostgreSQL, reported: Reports) -> None:
    pool = make(cp_reconnect=True)
    [query] = hanging(pool, server)
    server.stop(signal.SIGQUIT)
    try:
        pool.close()
        assert isinstance(error_in(query), OperationalError)
    finally:
        server.start()
    assert not pool.connections
    assert len(reported()) == 1


def test_a_server_that_was_never_there_is_the_callers_error(reactor: Reactor, server: PostgreSQL) -> None:
    arguments = {**server.arguments, "port": 1}
    pool = ConnectionPool("psycopg", **arguments, cp_reconnect=True, cp_reactor=reactor)
    tries = [error_in(pool.runQuery(MY_PID)) for _ in range(2)]
    assert ["No such file or directory" in str(error) for error in tries] == [True, True], tries
    assert not pool.connections
    pool.close()
