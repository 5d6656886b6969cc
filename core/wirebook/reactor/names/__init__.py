"""Looking up host names: in threads by default, with a resolver of your own, or in a hosts file."""

from wirebook.reactor.names.adapters import ComplexResolverSimplifier, SimpleResolverComplexifier
from wirebook.reactor.names.hosts import HostsResolver, parse_hosts
from wirebook.reactor.names.methods import NameMethods
from wirebook.reactor.names.spelling import idna_bytes, idna_text, ip_address
from wirebook.reactor.names.threaded import GAIResolver, ThreadedResolver

__all__ = [
    "ComplexResolverSimplifier",
    "GAIResolver",
    "HostsResolver",
    "NameMethods",
    "SimpleResolverComplexifier",
    "ThreadedResolver",
    "idna_bytes",
    "idna_text",
    "ip_address",
    "parse_hosts",
]
