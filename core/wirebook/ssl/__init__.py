"""TLS for programs: options, certificates, whom to trust, and an authority for labs.

Servers take ``PrivateCertificate.loadPEM(pem).options()``, clients ``optionsForClientTLS("example.org")``.
"""

from service_identity import VerificationError

from wirebook.error import CertificateError, VerifyError
from wirebook.ssl.certificates import CertBase, Certificate, CertificateRequest, PrivateCertificate
from wirebook.ssl.client import ClientTLSOptions, optionsForClientTLS
from wirebook.ssl.contexts import ClientContextFactory, ContextFactory, DefaultOpenSSLContextFactory
from wirebook.ssl.errors import PeerNameError, TLSError
from wirebook.ssl.keys import KeyPair, PublicKey
from wirebook.ssl.lab import LabAuthority
from wirebook.ssl.names import DN, DistinguishedName
from wirebook.ssl.options import CertificateOptions, optionsByServerName
from wirebook.ssl.parameters import (
    AcceptableCiphers,
    DiffieHellmanParameters,
    OpenSSLCipher,
    ProtocolNegotiationSupport,
    TLSVersion,
    defaultCiphers,
    protocolNegotiationMechanisms,
)
from wirebook.ssl.trust import (
    OpenSSLCertificateAuthorities,
    OpenSSLDefaultPaths,
    platformTrust,
    trustRootFromCertificates,
)

supported = True

__all__ = [
    "DN",
    "AcceptableCiphers",
    "CertBase",
    "Certificate",
    "CertificateError",
    "CertificateOptions",
    "CertificateRequest",
    "ClientContextFactory",
    "ClientTLSOptions",
    "ContextFactory",
    "DefaultOpenSSLContextFactory",
    "DiffieHellmanParameters",
    "DistinguishedName",
    "KeyPair",
    "LabAuthority",
    "OpenSSLCertificateAuthorities",
    "OpenSSLCipher",
    "OpenSSLDefaultPaths",
    "PeerNameError",
    "PrivateCertificate",
    "ProtocolNegotiationSupport",
    "PublicKey",
    "TLSError",
    "TLSVersion",
    "VerificationError",
    "VerifyError",
    "defaultCiphers",
    "optionsByServerName",
    "optionsForClientTLS",
    "platformTrust",
    "protocolNegotiationMechanisms",
    "supported",
    "trustRootFromCertificates",
]
