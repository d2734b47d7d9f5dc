"""What a command of the CLI can end with other than success (contract F-3).

CLIError
├── Failed        1: the server said no, or what was asked for is not so
├── Misused       2: the command line, the configuration or a manifest makes no sense
└── Unreachable   3: the server does not answer, or does not let us in
"""


class CLIError(Exception):
    """Ends the process with one sentence on stderr and `exit_code`."""

    exit_code = 1


class Failed(CLIError):
    """The server refused it, or it did not work."""


class NotFound(Failed):
    """There is no such object."""


class Conflict(Failed):
    """The object exists already, or has changed."""


class Expired(Failed):
    """The version to go on from is too old: list again."""


class Misused(CLIError):
    """A usage error."""

    exit_code = 2


class Unreachable(CLIError):
    """No answer, or no admission."""

    exit_code = 3


class Refused(Unreachable):
    """The server answers, but not to us."""
