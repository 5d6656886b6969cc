"""The notation of endpoints, and errors that point at the place."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirebook.endpoints import EndpointArgumentError, EndpointStringError, quoteStringArgument
from wirebook.endpoints.description import (
    build,
    flag,
    number,
    port_number,
    read_description,
    seconds,
    unread_description,
)


@pytest.mark.parametrize(
    ("text", "values", "named"),
    [
        ("kind", [], {}),
        ("kind:", [""], {}),
        ("kind:a:b", ["a", "b"], {}),
        ("kind:a:d=1:b", ["a", "b"], {"d": "1"}),
        ("kind:a\\:b\\\\c", ["a:b\\c"], {}),
        ("kind:a\\=b", ["a=b"], {}),
        ("kind:name=a=b", [], {"name": "a=b"}),
        ("kind:na\\:me=a\\:b", [], {"na:me": "a:b"}),
        ("kind:name=", [], {"name": ""}),
    ],
)
def test_a_description_is_taken_apart(text: str, values: list[str], named: dict[str, str]) -> None:
    for form in (text, text.encode()):
        description = read_description(form)
        assert (description.kind, description.values, description.named) == ("kind", values, named)


def test_every_part_knows_where_it_stood() -> None:
    text = "tcp:80\\:81:interface=a\\:b"
    description = read_description(text)
    (value,) = description.values
    assert text[value.start : value.end] == "80\\:81"
    interface, name = description.named["interface"], description.names["interface"]
    assert text[interface.start : interface.end] == "a\\:b"
    assert text[name.start : name.end] == "interface"


@pytest.mark.parametrize(
    ("text", "problem", "mark"),
    [
        ("", "begins with a kind", "^"),
        (":80", "begins with a kind", "^"),
        ("a=b:80", "begins with a kind", "^^^"),
        ("tcp:80\\", "nothing follows the backslash", "      ^"),
        ("tcp:a=1:a=2", "'a' is given twice", "        ^^^"),
    ],
)
def test_an_error_points_at_its_place(text: str, problem: str, mark: str) -> None:
    with pytest.raises(EndpointStringError) as caught:
        read_description(text)
    sentence, shown, pointer = str(caught.value).splitlines()
    assert problem in sentence
    assert (shown, pointer) == (f"  {text}", f"  {mark}")


def test_a_description_is_text() -> None:
    wrong: Any = 8007
    with pytest.raises(TypeError, match=r'such as "tcp:8007", not 8007'):
        read_description(wrong)


def test_control_characters_do_not_move_the_mark() -> None:
    with pytest.raises(EndpointStringError, match=r"a\?b"):
        port_number(read_description("tcp:a\nb").values[0])


def test_an_error_can_be_pickled() -> None:
    error = EndpointStringError("wrong", "tcp:x", 4, 5)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@given(st.text())
def test_a_quoted_value_is_read_as_it_was(value: str) -> None:
    assert read_description(f"kind:name={quoteStringArgument(value)}").named == {"name": value}


@given(st.lists(st.text(), min_size=1), st.dictionaries(st.text(), st.text()))
def test_a_description_can_be_put_together_again(values: list[str], named: dict[str, str]) -> None:
    description = read_description("kind:" + unread_description(tuple(values), named))
    assert (description.values, description.named) == (values, named)


# --- what goes where --------------------------------------------------------------------------------------


def maker(reactor: Any, host: str, port: str, timeout: str = "30") -> tuple[str, str, str]:
    return host, port, timeout


@pytest.mark.parametrize(
    "text", ["k:a:1:5", "k:host=a:port=1:timeout=5", "k:host=a:1:timeout=5", "k:a:port=1:timeout=5", "k:1:5:host=a"]
)
def test_values_go_to_their_parameters(text: str) -> None:
    if text == "k:1:5:host=a":
        with pytest.raises(EndpointArgumentError, match="host is given twice"):
            build(read_description(text), maker, None)
    else:
        assert build(read_description(text), maker, None) == ("a", "1", "5")


@pytest.mark.parametrize(
    ("text", "problem", "mark"),
    [
        ("k:a:1:5:6", "k takes no more values; it has host, port, timeout", "        ^"),
        (
            "k:2001:db8::1:80",
            r"k takes no more values; it has host, port, timeout; a colon that belongs to a value is written \:",
            "            ^",
        ),
        ("k:a:1:timeuot=5", "k has no 'timeuot'; did you mean 'timeout'?", "      ^^^^^^^"),
        ("k:a:1:zzz=5", "k has no 'zzz'; it has host, port, timeout", "      ^^^"),
        ("k:a", "k needs a value for port; it has host, port, timeout", "   ^"),
        ("k::1", "k needs a value for host", "    ^"),
        ("k:a:1:6:timeout=5", "timeout is given twice, here and by its name", "      ^"),
    ],
)
def test_values_that_do_not_fit_are_pointed_at(text: str, problem: str, mark: str) -> None:
    with pytest.raises(EndpointArgumentError) as caught:
        build(read_description(text), maker, None)
    assert str(caught.value).startswith(problem)
    assert str(caught.value).splitlines()[2] == f"  {mark}"
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("convert", "text", "value"),
    [
        (port_number, "0", 0),
        (port_number, "65535", 65535),
        (seconds, "1.5", 1.5),
        (seconds, "30", 30),
        (lambda text: flag(text, "flag"), "1", True),
        (lambda text: number(text, "mode", 0, 0o777, 8), "640", 0o640),
    ],
)
def test_values_are_converted(convert: Any, text: str, value: Any) -> None:
    assert convert(read_description(f"k:{text}").values[0]) == value


@pytest.mark.parametrize(
    ("convert", "text", "problem"),
    [
        (port_number, "http", "the port is 'http', and should be a number from 0 to 65535"),
        (port_number, "65536", "the port is 65536, and should be from 0 to 65535"),
        (port_number, "-1", "the port is -1"),
        (seconds, "soon", "the timeout is 'soon', and should be a number of seconds"),
        (seconds, "nan", "the timeout is 'nan'"),
        (lambda text: flag(text, "lockfile"), "yes", "the lockfile is 'yes', and should be a number from 0 to 1"),
        (lambda text: number(text, "mode", 0, 0o777, 8), "9", "should be an octal number from 0 to 777"),
        (lambda text: number(text, "backlog", 1), "0", "the backlog is 0, and should be from 1 up"),
    ],
)
def test_values_that_mean_nothing_are_refused(convert: Any, text: str, problem: str) -> None:
    with pytest.raises(EndpointStringError, match=problem):
        convert(read_description(f"k:{text}").values[0])
    with pytest.raises(ValueError, match=problem):
        convert(text)
