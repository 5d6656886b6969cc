"""The checks that every stream transport passes, as a test class to be subclassed."""

from __future__ import annotations

from wirebook.testing._bytes import _ByteChecks, _ProducerChecks
from wirebook.testing._ends import _EndChecks, _HalfCloseChecks
from wirebook.testing._seams import _SeamChecks


class StreamConformance(_ByteChecks, _ProducerChecks, _EndChecks, _HalfCloseChecks, _SeamChecks):
    """What a stream transport promises its protocols, each promise a test.

    Subclass it under a name that your test runner collects (``class TestMyTransport(StreamConformance)``) and define
    `connect`; pytest or anything else that calls ``test_*`` methods runs it. `connect` is given two protocols and
    returns a context manager, for instance by ``contextlib.contextmanager``, that connects them over the transport in
    the context in which it is entered, and afterwards closes whatever the connection needed beside its two ends. A
    server's protocol is the first one. It may be used twice at a time.

    The transport's reactor runs in another thread; where it does not, or where time is virtual, override
    `pass_time` to let it go on. What a transport cannot do is said by attributes:

    - ``half_closes``: one direction can be closed alone;
    - ``tells_resets``: the peer of an aborted connection is told `ConnectionLost`;
    - ``counts_plainly``: the handle counts what the protocols write, not what encryption makes of it;
    - ``sends_late_writes``: what is written after `loseConnection`, while the connection stands, is sent too.

    ``large`` is how many bytes a large write has, ``flood`` how many are written at most until a producer is paused,
    ``patience`` how many seconds anything may take.
    """
