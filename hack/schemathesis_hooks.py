"""What schemathesis has to be told: which rules JSON Schema cannot state, and that streams do not end."""

from typing import Any

import schemathesis


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """Leave out bodies that break a rule which JSON Schema cannot state.

    A patch by operations that fits its schema hardly ever fits the object; what is applied has to fit it as well.
    """
    del context
    if case.media_type in ("application/json-patch+json", "application/apply-patch+yaml"):
        return False
    body = case.body
    return not (
        _repeats_a_service(body)
        or _repeats_a_condition(body)
        or _renames_a_service(body)
        or _names_another(body, case.path_parameters)
    )


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Bound what would wait or stream, and leave out cursors, which nobody can make up."""
    del context, kwargs
    if case.method.upper() == "PUT" and case.path.endswith("/commands/{name}"):
        # Of a stored spec only `cancel` may change, so that no made-up one is right.
        case.path_parameters = {"name": "nobody"}
    if case.path.endswith("/commands/{id}/result"):
        # A report that fits a command has to be made for it.
        case.path_parameters = {"id": "nobody"}
    _let_go(case.body)
    query = case.query if isinstance(case.query, dict) else {}
    if case.path.startswith("/api/v1/nodes") and case.path.endswith("/commands"):
        query["wait"] = query.get("wait", "0") if _is_malformed(query.get("wait", "0")) else "0"
    query.pop("continue", None)
    # Warn and Ignore are there to let fields pass that the schema does not know.
    if query.get("fieldValidation") in ("Warn", "Ignore"):
        query["fieldValidation"] = "Strict"
    # Warn is what goes without saying where a status is written.
    if case.path.startswith("/apis/") and case.path.endswith("/status") and "fieldValidation" not in query:
        query["fieldValidation"] = "Strict"
    # Which of these go together depends on the others.
    if query.get("resourceVersionMatch") in ("NotOlderThan", "Exact"):
        del query["resourceVersionMatch"]
    if query.get("sendInitialEvents") in ("true", "1", "false", "0"):
        del query["sendInitialEvents"]
    for name in ("watch", "follow"):
        if query.get(name) in ("true", "1"):
            query[name] = "0"
    case.query = query


def _let_go(body: Any) -> None:
    """Take finalizers away: an object that they hold back is there after its deletion, and has tests of its own."""
    metadata = body.get("metadata") if isinstance(body, dict) else None
    finalizers = metadata.get("finalizers") if isinstance(metadata, dict) else None
    if isinstance(finalizers, list) and all(isinstance(one, str) for one in finalizers):
        del metadata["finalizers"]


def _is_malformed(wait: Any) -> bool:
    return not isinstance(wait, str) or not wait[:1].isdigit()


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


def _repeats_a_condition(body: Any) -> bool:
    status = body.get("status") if isinstance(body, dict) else None
    conditions = status.get("conditions") if isinstance(status, dict) else None
    if not isinstance(conditions, list):
        return False
    types = [str(c.get("type")) for c in conditions if isinstance(c, dict)]
    return len(set(types)) != len(types)


def _renames_a_service(body: Any) -> bool:
    for services in _services(body):
        if isinstance(services, dict):
            for key, service in services.items():
                if isinstance(service, dict) and service.get("id") not in (None, key):
                    return True
    return False


def _names_another(body: Any, path: Any) -> bool:
    """Whether the body is for another object than the path."""
    if not isinstance(body, dict) or not isinstance(path, dict) or "namespace" in path:
        return False
    metadata = body.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return "name" in path and isinstance(name, str) and name not in ("", path["name"])
