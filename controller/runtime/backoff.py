"""How long to pause after the n-th failure in a row, by one of tenacity's wait strategies."""

from tenacity import RetryCallState
from tenacity.wait import wait_base


def pause(strategy: wait_base, failures: int) -> float:
    """Seconds to wait after that many failures (1 or more)."""
    state = RetryCallState(retry_object=None, fn=None, args=(), kwargs={})  # type: ignore[arg-type]
    state.attempt_number = failures
    return float(strategy(state))
