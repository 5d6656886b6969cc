"""TLS over any transport: put it around a factory with `TLSMemoryBIOFactory`."""

from wirebook.transports.wrapping import TLSMemoryBIOFactory, TLSMemoryBIOProtocol

__all__ = ["TLSMemoryBIOFactory", "TLSMemoryBIOProtocol"]
