"""Handler of `/api/v1/commands/{id}/timeline`: what happened to a command, when and why (contract C-11)."""

from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response

from api.messages import admission_of, answer, context_of, etag
from api.v1.views import PhaseView, TimelineView
from controller.duration import MICROSECOND, format_duration
from controller.resources.command import Command
from controller.resources.types import rfc3339
from controller.timeline import SENTENCES, Moment, timeline


async def get_timeline(request: Request) -> Response:
    """The command's phases in order. Each lasts until the next one; all times are the server's clock."""
    command = admission_of(request).commands.get(request.path_params["id"])
    first = None
    if not command.ended:
        chunks = await context_of(request).store.read_output(command.uid, limit=1)
        first = chunks[0].at if chunks else None
    return answer(timeline_view(command, first), headers={"ETag": etag(command.metadata.resource_version)})


def timeline_view(command: Command, first_output: datetime | None = None) -> TimelineView:
    """The timeline as the API shows it."""
    moments = timeline(command, first_output)
    after = [*moments[1:], None]
    view: TimelineView = {
        "id": command.name,
        "node_id": command.spec.node,
        "status": command.status.phase,
        "reason": command.status.reason,
        "phases": [_phase(moment, end) for moment, end in zip(moments, after, strict=True)],
    }
    if command.ended:
        view["duration"] = _between(moments[0], moments[-1])
    return view


def _phase(moment: Moment, end: Moment | None) -> PhaseView:
    view: PhaseView = {
        "phase": moment.phase,
        "time": rfc3339(moment.at),
        "reason": moment.reason,
        "message": moment.message or SENTENCES.get(moment.phase, ""),
    }
    if end is not None:
        view["duration"] = _between(moment, end)
    return view


def _between(begin: Moment, end: Moment) -> str:
    return format_duration((end.at - begin.at) // timedelta(microseconds=1) * MICROSECOND)
