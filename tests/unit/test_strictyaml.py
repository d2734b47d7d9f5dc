"""YAML is read strictly (contract A-1): nothing means something else than it says."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.strictyaml import YAMLError, read_document, read_documents, write_document


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"),
        ("on", "on"),
        ("yes", "yes"),
        ("True", "True"),
        ("true", True),
        ("false", False),
        ("22:22", "22:22"),
        ("0755", "0755"),
        ("0o755", "0o755"),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"),
        ("-17", -17),
        ("0", 0),
        ("9223372036854775807", 2**63 - 1),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1.2.3", "1.2.3"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("2026-01-13", "2026-01-13"),
        ("2026-01-13T18:17:00Z", "2026-01-13T18:17:00Z"),
        ("null", None),
        ("~", None),
        ("", None),
        ('"true"', "true"),
        ("'3001'", "3001"),
        ("=", "="),
        ('"<<"', "<<"),
    ],
)
def test_a_scalar_is_what_it_looks_like(text: str, value: Any) -> None:
    """A-1: booleans are true and false, numbers are plain decimal, everything else is text."""
    data = read_document(f"key: {text}\n").data
    assert data == {"key": value}
    assert type(data["key"]) is type(value)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "the key 'a' is here twice, first on line 1"),
        ("x:\n  a: &here 1\n", 2, "anchors and aliases"),
        ("x:\n  a: *here\n", 2, "anchors and aliases"),
        ("&k a: 1", 1, "anchors and aliases"),
        ("a: 1\n<<: {b: 2}\n", 2, "merge keys"),
        ("a: !!python/object:os.system x", 1, "tags"),
        ("a: !local x", 1, "tags"),
        ("? [a]\n: b\n", 1, "a key cannot be"),
        ("8080: x\n", 1, "is not text"),
        ("true: x\n", 1, "is not text"),
        ("a: 9223372036854775808", 1, "64 bits"),
        ("a: 1e999", 1, "too large"),
        ("a:\n\x00", 2, "NUL"),
        ('a: "\\0"', 1, "NUL"),
        ('a: "\\ud800"', 1, ""),
        ("\na: b: c", 2, ""),
        ("a: [1, 2", 1, ""),
        ("\ta: 1", 1, ""),
        ("a: \x07", 1, "a character that YAML does not allow"),
    ],
)
def test_what_is_refused_names_file_and_line(text: str, line: int, message: str) -> None:
    """A-1: the error names the file, the line, and what is wrong."""
    with pytest.raises(YAMLError) as caught:
        read_documents(text, file="coordination.yaml")
    assert caught.value.file == "coordination.yaml"
    assert caught.value.line in {line, line + 1}, "unfinished text may be noticed at its end"
    assert message in caught.value.message
    assert str(caught.value).startswith(f"coordination.yaml:{caught.value.line}: ")


def test_bytes_must_be_utf8() -> None:
    """A-1: other encodings are refused, with the line; a byte order mark is fine."""
    with pytest.raises(YAMLError, match=r"f:2: not UTF-8"):
        read_document(b"a: 1\nb: \xff", file="f")
    assert read_document(b"\xef\xbb\xbfa: 1").data == {"a": 1}


def test_size_and_depth_are_bounded() -> None:
    """A-1: neither a large text nor a deep one costs much."""
    with pytest.raises(YAMLError, match="larger than 1048576 bytes"):
        read_document("a" * (1024 * 1024 + 1))
    assert read_document("[" * 64 + "]" * 64).data
    before = time.monotonic()
    for deep in ("[" * 65 + "]" * 65, "[" * 1_000_000, "{a: " * 200_000, "- " * 500_000, "a:\n" * 2):
        with pytest.raises(YAMLError):
            read_document(deep)
    assert time.monotonic() - before < 10


def test_every_value_knows_its_line() -> None:
    """A-1: lines by path, for keys, items and nested values."""
    text = "# a comment\nserver:\n  port: 1\n  list:\n    - a\n    - {b: 2,\n       c: 3}\n"
    document = read_document(text)
    assert document.lines == {
        (): 2,
        ("server",): 2,
        ("server", "port"): 3,
        ("server", "list"): 4,
        ("server", "list", 0): 5,
        ("server", "list", 1): 6,
        ("server", "list", 1, "b"): 6,
        ("server", "list", 1, "c"): 7,
    }
    assert document.line_of(("server", "port", "deeper")) == 3
    assert document.line_of(("nowhere",)) == 2


def test_several_documents() -> None:
    """F-2: a manifest file may hold several documents; a configuration only one."""
    first, second, third = read_documents("a: 1\n---\nb: 2\n---\n")
    assert (first.data, second.data, third.data) == ({"a": 1}, {"b": 2}, None)
    assert second.lines == {(): 3, ("b",): 3}
    assert read_documents("") == ()
    assert read_document("# nothing").data is None
    with pytest.raises(YAMLError, match=":3: a second document"):
        read_document("a: 1\n---\nb: 2")


TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    # YAML allows a key in flow style 1,024 characters, and an escaped one takes up to twelve for each.
    lambda inner: st.lists(inner) | st.dictionaries(TEXT.filter(lambda key: len(key) <= 80), inner),
    max_leaves=20,
)


@given(JSON, st.booleans())
def test_json_is_read_as_json(data: Any, indented: bool) -> None:
    """F-2: JSON manifests, whoever wrote them: escaped surrogate pairs and tabs included."""
    text = json.dumps(data, indent="\t" if indented else None)
    assert read_documents(text, json=True)[0].data == data


AMBIGUOUS = st.text("abcNOyes0123456789.:-_ \n\té😀'\"#&*!|>%@`<~[]{},?=+")


@given(st.dictionaries(TEXT | AMBIGUOUS, JSON | AMBIGUOUS | st.lists(AMBIGUOUS)))
def test_what_is_written_reads_back(data: dict[str, Any]) -> None:
    """F-2: what `get -o yaml` prints can be applied again: text stays text, whatever it looks like."""
    assert read_document(write_document(data)).data == data


def test_text_of_several_lines_is_written_as_a_block() -> None:
    """F-2: people read it."""
    assert write_document({"action": "set -e\nmake\n"}) == "action: |\n  set -e\n  make\n"
