"""Why something was not admitted."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One field that is wrong: its path in the resource (`spec.params.timeout`), and why."""

    field: str
    message: str


class AdmissionError(Exception):
    """The tree. Every message says what was refused and what to do; none holds a value that may be secret.

    AdmissionError
    ├── Unknown         there is no such object
    ├── Invalid         the request makes no sense; `problems` names the fields
    ├── Denied          known, and not permitted
    ├── BadJoinToken    the join token shown is none that counts
    ├── Refused         the object's state does not allow it now
    ├── IdTaken         the id belongs to something else
    ├── Stale           the object is not at the version that the caller named
    └── NotReportable   results of this command are not reported, they are observed
    """


class Unknown(AdmissionError):
    """There is no such object."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f'{kind} "{name}" not found')
        self.kind, self.name = kind, name


class Invalid(AdmissionError):
    """The request makes no sense."""

    def __init__(self, message: str, *problems: Problem) -> None:
        super().__init__(message)
        self.problems = problems


class Denied(AdmissionError):
    """Known, and not permitted."""


class BadJoinToken(AdmissionError):
    """The join token shown is none that counts."""


class Refused(AdmissionError):
    """The object's state does not allow it now."""


class IdTaken(AdmissionError):
    """The id belongs to something else."""


class Stale(AdmissionError):
    """The object is not at the version that the caller named."""


class NotReportable(AdmissionError):
    """Results of this command are not reported, they are observed."""
