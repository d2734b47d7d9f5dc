"""What cannot be run is refused when it is asked for (contract C-1, C-2)."""

from typing import Any

import pytest

from controller.admission.errors import Invalid
from tests.support.virtualtime import run
from tests.support.world import world


@pytest.mark.parametrize("params", [{"shell": "/usr/bin/fish"}, {"argv": ("-x",)}])
def test_what_cannot_be_a_script_is_refused_at_once(params: dict[str, Any]) -> None:
    """C-1: no command is stored that could never be delivered."""

    async def scenario() -> None:
        async with world() as it:
            await it.add_node()
            with pytest.raises(Invalid) as caught:
                await it.send(**params)
            assert "params" in caught.value.problems[0].field
            assert not it.store.list("Command").items

    run(scenario())
