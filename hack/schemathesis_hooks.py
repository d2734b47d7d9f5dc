"""What schemathesis has to be told about this API: Go durations, and that streams do not end by themselves."""

from typing import Any

import schemathesis
from hypothesis import strategies as st

_UNITS = st.sampled_from(["ms", "s", "m"])
_DURATIONS = st.builds(lambda number, unit: f"{number}{unit}", st.integers(1, 9), _UNITS)

_NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
_SELECTORS = st.one_of(
    st.builds("{}={}".format, _NAMES, _NAMES),
    st.builds("!{}".format, _NAMES),
    st.builds("{} in ({})".format, _NAMES, _NAMES),
)

schemathesis.openapi.format("go-duration", _DURATIONS)
schemathesis.openapi.format("label-selector", _SELECTORS)


@schemathesis.hook
def filter_body(context: Any, body: Any) -> bool:
    """Leave out bodies that break a rule which JSON Schema cannot state."""
    del context
    return not _repeats_a_service(body) and not _renames_a_service(body)


def _services(body: Any) -> list[Any]:
    """The value of `services`, flat or in a spec."""
    if not isinstance(body, dict):
        return []
    spec = body.get("spec")
    return [body.get("services"), spec.get("services") if isinstance(spec, dict) else None]


def _repeats_a_service(body: Any) -> bool:
    for services in _services(body):
        if isinstance(services, list):
            ids = [str(s.get("id")) for s in services if isinstance(s, dict)]
            if len(set(ids)) != len(ids):
                return True
    return False


def _renames_a_service(body: Any) -> bool:
    for services in _services(body):
        if isinstance(services, dict):
            for key, service in services.items():
                if isinstance(service, dict) and service.get("id") not in {None, key}:
                    return True
    return False


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Bound what would wait or stream: a command's result, a watch, a follower."""
    del context, kwargs
    query = case.query if isinstance(case.query, dict) else {}
    if case.path.endswith("/commands") and case.method.upper() == "POST" and case.path.startswith("/api/v1"):
        query.setdefault("wait", "0")
    if query.get("watch") in {"true", "1"}:
        query["timeoutSeconds"] = 1
    if query.get("follow") in {"true", "1"}:
        query["follow"] = "0"
    case.query = query
