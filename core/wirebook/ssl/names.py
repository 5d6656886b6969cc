"""Distinguished names: who a certificate is about and who signed it (RFC 5280, section 4.1.2.4)."""

from __future__ import annotations

import re
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

_FIELDS = {
    "commonName": NameOID.COMMON_NAME,
    "organizationName": NameOID.ORGANIZATION_NAME,
    "organizationalUnitName": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "localityName": NameOID.LOCALITY_NAME,
    "stateOrProvinceName": NameOID.STATE_OR_PROVINCE_NAME,
    "countryName": NameOID.COUNTRY_NAME,
    "emailAddress": NameOID.EMAIL_ADDRESS,
}
_SHORT = {
    "CN": "commonName",
    "O": "organizationName",
    "OU": "organizationalUnitName",
    "L": "localityName",
    "ST": "stateOrProvinceName",
    "C": "countryName",
}
_BY_OID = {oid: field for field, oid in _FIELDS.items()}


class DistinguishedName(dict[str, bytes]):
    """A name made of fields, each with a long and mostly a short form: ``DN(commonName="alice", C="DE")``.

    Fields are commonName (CN), organizationName (O), organizationalUnitName (OU), localityName (L),
    stateOrProvinceName (ST), countryName (C) and emailAddress; others raise AttributeError. As a dict it has the long
    forms as keys. Values are bytes; text that is assigned is encoded.
    """

    __slots__ = ()

    def __init__(self, **fields: str | bytes) -> None:
        super().__init__()
        for field, value in fields.items():
            setattr(self, field, value)

    def __getattr__(self, field: str) -> bytes:
        try:
            return self[_SHORT.get(field, field)]
        except KeyError:
            raise AttributeError(f"this name has no {field}: {self!r}") from None

    def __setattr__(self, field: str, value: str | bytes) -> None:
        name = _SHORT.get(field, field)
        if name not in _FIELDS:
            raise AttributeError(f"a name has no field {field!r}; it can have {', '.join([*_FIELDS, *_SHORT])}")
        self[name] = value.encode() if isinstance(value, str) else bytes(value)

    def __repr__(self) -> str:
        return f"<DN {dict.__repr__(self)[1:-1]}>"

    def inspect(self) -> str:
        """A line for each field, with its name in words."""
        words = {field: re.sub(r"(?<=[a-z])(?=[A-Z])", " ", field).title() for field in sorted(_FIELDS)}
        width = max(map(len, words.values())) + 2
        return "\n".join(f"{words[field]:>{width}}: {self[field].decode()}" for field in words if field in self)

    @classmethod
    def fromX509Name(cls, name: x509.Name, strict: bool = False) -> DistinguishedName:
        """The fields of a name of the ``cryptography`` package.

        Those that have no place here are left out; when `strict`, they raise `ValueError`.
        """
        dn = cls()
        for attribute in name:
            if attribute.oid in _BY_OID:
                setattr(dn, _BY_OID[attribute.oid], attribute.value)
            elif strict:
                raise ValueError(f"the name has the attribute {attribute.rfc4514_string()!r}, which a DN cannot hold")
        return dn

    def toX509Name(self) -> x509.Name:
        """The same as a name of the ``cryptography`` package."""
        fields: list[x509.NameAttribute[Any]] = [
            x509.NameAttribute(_FIELDS[field], value.decode()) for field, value in self.items()
        ]
        return x509.Name(fields)


DN = DistinguishedName
