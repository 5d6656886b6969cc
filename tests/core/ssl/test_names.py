"""Distinguished names."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from wirebook.ssl import DN, DistinguishedName


def test_fields_have_a_long_and_a_short_form() -> None:
    dn = DN(commonName="www.example.com", C=b"US", OU="labs")
    assert (dn.CN, dn.commonName) == (b"www.example.com", b"www.example.com")
    assert (dn.C, dn.countryName) == (b"US", b"US")
    assert dn == {"commonName": b"www.example.com", "countryName": b"US", "organizationalUnitName": b"labs"}


def test_a_field_that_is_not_there_is_an_attribute_error() -> None:
    dn = DN(CN="a")
    assert not hasattr(dn, "organizationName")
    with pytest.raises(AttributeError, match="this name has no O: <DN 'commonName': b'a'>"):
        _ = dn.O


def test_a_field_that_no_name_has_cannot_be_set() -> None:
    with pytest.raises(AttributeError, match="a name has no field 'shoeSize'; it can have commonName, "):
        DN(shoeSize="42")


def test_both_names_of_the_class_are_one() -> None:
    assert DN is DistinguishedName


def test_inspecting_gives_a_line_for_each_field() -> None:
    dn = DN(CN="example.com", C="US", emailAddress="nobody@example.com")
    assert dn.inspect().splitlines() == [
        "               Common Name: example.com",
        "              Country Name: US",
        "             Email Address: nobody@example.com",
    ]


def test_what_has_no_place_in_a_name_is_left_out_or_refused() -> None:
    name = x509.Name([x509.NameAttribute(NameOID.TITLE, "Dr"), x509.NameAttribute(NameOID.COMMON_NAME, "alice")])
    assert DN.fromX509Name(name) == DN(CN="alice")
    with pytest.raises(ValueError, match=r"the name has the attribute '2\.5\.4\.12=Dr', which a DN cannot hold"):
        DN.fromX509Name(name, strict=True)


def test_text_beyond_ascii_survives() -> None:
    dn = DN(CN="Zoë")
    assert DN.fromX509Name(dn.toX509Name()) == dn
    assert "Zoë" in dn.inspect()
