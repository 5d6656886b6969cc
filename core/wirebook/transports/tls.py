"""TLS between a stream and its protocol (RFC 8446; RFC 5246 for TLS 1.2): OpenSSL on two memory buffers.

The layer takes the place of the stream's channel. To the stream it looks like a socket on which plaintext is
sent and received, so writing, queues, producers, half-close, counters and the wiretap are those of every stream:

    protocol  <->  StreamTransport  <->  TLSLayer  <->  socket, or whatever carries the records

Two things are not as with a socket, and the stream asks about them. It can be that something must be sent
although nothing is queued, or that what is queued cannot be sent yet (`wants_write`); and the end has a form
(`part`, `end`): a close_notify, without which the peer could not tell an end from a cut wire.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from OpenSSL import SSL

from wirebook.error import ConnectionLost, NotConnectedError, describe
from wirebook.failure import Failure
from wirebook.ssl.errors import TLSError, in_words, reasons
from wirebook.ssl.options import HANDSHAKE_TIMEOUT
from wirebook.transports._pieces import Piece
from wirebook.transports._tlsreceiving import TLSReceiving
from wirebook.transports._tlssending import CHUNK

if TYPE_CHECKING:
    from wirebook.transports._securing import Securing

# Seconds that the answer to a close_notify is waited for.
GOODBYE_TIMEOUT = 5.0

ConnectionMaker = Callable[[Any], SSL.Connection]


def connection_maker(options: Any, is_client: bool) -> ConnectionMaker:
    """What makes the ``SSL.Connection`` for a layer, from all that Twisted's API calls a context factory.

    Raises `TypeError` for what is none, or is one for the other side only.
    """
    make = getattr(options, "clientConnectionForTLS" if is_client else "serverConnectionForTLS", None)
    if make is not None:
        return make  # type: ignore[no-any-return]
    get_context = getattr(options, "getContext", None)
    if get_context is None:
        wanted = "optionsForClientTLS(name)" if is_client else "CertificateOptions or PrivateCertificate.options()"
        side = "client" if is_client else "server"
        raise TypeError(f"TLS as a {side} needs options such as wirebook.ssl.{wanted}, not {options!r}")
    return lambda layer: SSL.Connection(get_context(), None)


def check_options(options: Any, is_client: bool) -> None:
    """Raise now what the options would raise at the first connection: `TypeError`, or OpenSSL's error."""
    connection_maker(options, is_client)
    get_context = getattr(options, "getContext", None)
    if get_context is not None and not isinstance(context := get_context(), SSL.Context):
        raise TypeError(f"getContext() of {options!r} gave {context!r}, not an OpenSSL.SSL.Context")


class TLSLayer(TLSReceiving):
    """TLS on one stream. ``connection`` is OpenSSL's, ``established`` whether the handshake is done, ``below`` what
    carries the records.

    It is also what connection creators and OpenSSL's callbacks get as the connection's application data
    (where Twisted has its TLSMemoryBIOProtocol), so it has the attributes that they use.
    """

    __slots__ = ()

    def put_in_place(self, make: ConnectionMaker, facing: Any = None) -> None:
        """Take the stream's channel's place. What the stream has queued still goes out in the clear.

        `facing` is what the connection's callbacks see instead of this layer.
        """
        stream, facing = self._stream, facing or self
        self.connection = connection = make(facing)
        connection.set_app_data(facing)
        if self._is_client:
            connection.set_connect_state()
        else:
            connection.set_accept_state()
        if stream._out:
            if any(isinstance(piece, Piece) for piece in stream._out):
                raise RuntimeError(f"cannot start TLS on {stream.describe()} while a file is being sent")
            self._raw = b"".join(stream._out)
            stream.bytesSent += len(self._raw)
            stream._out, stream._out_size = None, 0
            stream._direct = not stream._write_closed
        stream._channel = stream._layer = self

    def start(self) -> None:
        """Begin the handshake, which must be done in ``timeout`` seconds (None: whenever it is). Harmless if begun."""
        stream = self._stream
        if self._started or stream.disconnected:
            return
        self._started = True
        if self.timeout is not None:
            self._timer = stream.reactor.callLater(self.timeout, self._timed_out)
        if self._is_client:
            try:
                self._handshake()
            except BlockingIOError:
                pass
            except Exception as error:
                self.failVerification(Failure(error))
        stream._update_interest()

    # --- the handshake -------------------------------------------------------------------------------

    @property
    def wants_read(self) -> bool:
        """Whether bytes are wanted although the stream is paused."""
        return not (self.established or self._ended)

    def proceed(self) -> None:
        """Go on with the handshake while the stream is paused."""
        try:
            self.recv(CHUNK)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self._stream._end(Failure(ConnectionLost(f"the connection was lost: {describe(error)}")))
        except Exception as error:
            self._stream._end(Failure(error))

    def _handshake(self) -> None:
        """One step. Raises BlockingIOError until it is done, and what it fails with."""
        try:
            self.connection.do_handshake()
        except SSL.WantReadError:
            self._refuse_if_asked()
            self._send_or_break()
            raise BlockingIOError from None
        except Exception as error:
            # OpenSSL has put the alert for the peer among what is to be sent.
            self._send_or_break()
            self._refuse_if_asked()
            raise self._explained(error) from None
        # What OpenSSL has to say now goes with the first data, or when what has arrived is read.
        self._refuse_if_asked()
        self._stop_timer()
        self.established = True
        self._aligned = not self._head and not self._skip
        parting, self._parting = self._parting, False
        stream = self._stream
        stream._secured()
        if stream.disconnected:
            return
        if self._shut_down_later:
            self.shut_down()
        if parting and not stream._out and stream._producer is None:
            stream._end_in_order()

    def _refuse_if_asked(self) -> None:
        if self._refusal is not None:
            raise self._refusal.value

    def _explained(self, error: Exception) -> Exception:
        if isinstance(error, TLSError) or not isinstance(error, SSL.Error):
            return error
        queue = reasons(error)
        why = getattr(self.connection.get_app_data(), "note", "") or in_words(queue)
        return TLSError(f"the TLS handshake with {self._stream.peerAddress} failed: {why}", queue)

    def failVerification(self, reason: Failure) -> None:
        """Refuse the peer: the connection ends with `reason`. For OpenSSL's callbacks."""
        self._refusal = reason
        if self._stream is not None:
            self._stream.reactor.call_soon(TLSLayer._refuse, self)

    def _refuse(self) -> None:
        if self._stream is not None:
            self._stream._end(self._refusal)

    def abortConnection(self) -> None:
        """End the stream at once."""
        if self._stream is not None:
            self._stream.abortConnection()

    def _timed_out(self) -> None:
        peer, seconds = self._stream.peerAddress, self.timeout
        self._stream._end(Failure(TLSError(f"the TLS handshake with {peer} was not done within {seconds:g} s")))

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    # --- the end -------------------------------------------------------------------------------------

    def part(self) -> bool:
        """Say goodbye before an orderly end; whether the peer's answer is to be waited for."""
        stream = self._stream
        if self._parting:
            return True
        if self._ended or self._peer_said_goodbye or not stream._reading:
            return False
        self._parting = True
        if self.established:
            if not self._goodbye_said:
                self._say_goodbye()
            stream._direct = False
            stream._write_closed = True
        # Without a handshake there is no goodbye, so that is waited for, and as long.
        self._stop_timer()
        self._timer = stream.reactor.callLater(GOODBYE_TIMEOUT, stream._end, None)
        return True

    def _say_goodbye(self) -> None:
        self._goodbye_said = True
        try:
            self.connection.shutdown()
        except SSL.Error:
            # Nobody to say it to: TLS broke before.
            return
        self._send_or_break()

    def shut_down(self) -> None:
        """Close the sending direction: a close_notify closes this direction alone (RFC 8446, section 6.1)."""
        if not self.established:
            self._shut_down_later = True
        elif not self._goodbye_said:
            self._say_goodbye()

    def end(self, in_order: bool) -> Any:
        """Say goodbye, if the end is in order and that was not done, and let go of the stream; returns the carrier."""
        self._stop_timer()
        self._unread = False
        if not self._ended:
            self._ended = True
            if self.established:
                if self.farewell is not None:
                    self.farewell(self.connection)
                if in_order and not self._goodbye_said:
                    self._say_goodbye()
            self._raw = b""
            self.connection.set_app_data(None)
        if self._stream is not None and self._stream.disconnected:
            # No ring: what has ended needs no garbage collector.
            self._stream = None
        return self.below

    # --- what was agreed on --------------------------------------------------------------------------

    @property
    def negotiated_protocol(self) -> bytes | None:
        """The application protocol that was agreed on (ALPN, RFC 7301), None without one."""
        return self.connection.get_alpn_proto_negotiated() or None


def handshake_timeout(options: Any) -> float | None:
    """The seconds that the options give a handshake."""
    seconds: float | None = getattr(options, "handshakeTimeout", HANDSHAKE_TIMEOUT)
    return seconds


def secure(stream: Securing, options: Any, is_client: bool, wrapped_factory: Any = None) -> None:
    """Put a layer in place on `stream`; its `TLSLayer.start` begins the handshake.

    Raises `TypeError` for what are no options, RuntimeError when there is a layer, `NotConnectedError`.
    """
    if stream._layer is not None:
        raise RuntimeError(f"{stream.describe()} has TLS already; TLS inside TLS is made with TLSMemoryBIOFactory")
    if stream.disconnected:
        raise NotConnectedError(f"cannot start TLS on {stream.describe()}: the connection has ended")
    layer = TLSLayer(stream, is_client, wrapped_factory)
    layer.timeout = handshake_timeout(options)
    layer.put_in_place(connection_maker(options, is_client))
