"""Merge patches, warnings, and the one table of errors."""

import pytest
from starlette.exceptions import HTTPException

from api.errors import APIError, render, translate
from api.messages import merge_patch, object_of, warning
from controller import admission
from controller.store import base as store
from controller.store.selector import SelectorError

RFC_7396 = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]
"""The examples of RFC 7396, appendix A."""


@pytest.mark.parametrize(("target", "patch", "result"), RFC_7396)
def test_a_merge_patch_does_what_the_rfc_shows(target: object, patch: object, result: object) -> None:
    """B-6, RFC 7396 appendix A."""
    assert merge_patch(target, patch) == result


def test_a_warning_is_a_header_that_http_can_carry() -> None:
    """B-1: whatever the ignored field was called."""
    assert warning('a"b\r\nSet-Cookie: x\\é') == {"Warning": '299 - "a\\"b??Set-Cookie: x\\\\?"'}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "empty"),
        (b"[]", "not an object"),
        (b'{"a": NaN}', "no number"),
        (b'{"a": "\\ud800"}', "a lone surrogate"),
        (b"[" * 100_000, "bottomless"),
        (b'{"a":' * 100_000, "bottomless"),
        (b"\xff{}", "no text"),
        (b"{'a': 1}", "no JSON"),
    ],
)
def test_what_is_not_a_json_object_is_a_bad_request(body: bytes, why: str) -> None:
    """B-10."""
    with pytest.raises(APIError) as caught:
        object_of(body)
    assert caught.value.status == 400, why


ERRORS = [
    (admission.Unknown("node", "n"), 404),
    (admission.Invalid("no", admission.Problem(field="spec.type", message="unknown")), 400),
    (admission.BadJoinToken("no"), 401),
    (admission.Denied("no"), 403),
    (admission.Refused("no"), 409),
    (admission.IdTaken("no"), 409),
    (admission.Stale("no"), 409),
    (admission.NotReportable("no"), 409),
    (store.NotFound("no"), 404),
    (store.AlreadyExists("no"), 409),
    (store.Conflict("no"), 409),
    (store.Expired("no"), 410),
    (store.InvalidCursor("no"), 400),
    (store.Unavailable("/var/lib/secret.db: disk full"), 503),
    (store.NoPlace("nothing was written"), 503),
    (SelectorError("no"), 400),
    (HTTPException(413), 413),
    (HTTPException(404), 404),
]


@pytest.mark.parametrize(("error", "status"), ERRORS)
def test_every_known_error_has_its_status(error: Exception, status: int) -> None:
    """B-10."""
    assert translate(error).status == status


def test_the_table_of_errors_is_complete() -> None:
    """B-10: a new kind of error cannot be forgotten here."""
    told = {type(error) for error, _ in ERRORS}
    for root in (admission.AdmissionError, store.StoreError):
        assert _leaves(root) <= told


def test_an_unknown_error_tells_nothing() -> None:
    """B-10: no traceback, no path, no secret."""
    error = translate(RuntimeError("/etc/vendetta/credentials/key"))
    assert error.status == 500
    assert b"credentials" not in render(error, {"path": "/api/v1/nodes"}).body


def test_unavailable_says_no_path() -> None:
    """B-10: no file path ever reaches a client."""
    assert "secret.db" not in translate(store.Unavailable("/var/lib/secret.db")).message


def test_each_face_has_its_own_shape() -> None:
    """B-10."""
    error = translate(admission.Unknown("node", "n"))
    flat = bytes(render(error, {"path": "/api/v1/nodes/n", "vendetta.request_id": "r"}).body)
    status = bytes(render(error, {"path": "/apis/vendetta.dev/v1/nodes/n"}).body)
    assert flat.startswith(b'{"error":{"code":"NotFound","message":"node \\"n\\" not found"')
    assert flat.endswith(b'"request_id":"r"}')
    assert b'"kind":"Status"' in status
    assert b'"code":404' in status


def _leaves(root: type[Exception]) -> set[type[Exception]]:
    kinds = set(root.__subclasses__())
    return kinds | {leaf for kind in kinds for leaf in _leaves(kind)}
