"""An operator in twenty lines, with kopf: a new node gets the labels that its name stands for.

    vendetta kubeconfig > kubeconfig
    pip install kopf kubernetes
    KUBECONFIG=kubeconfig kopf run --standalone --all-namespaces examples/labelling_operator.py

`build-eu-07` becomes `role=build, region=eu`. What somebody has labelled already stays as it is.
"""

from typing import Any

import kopf


@kopf.on.create("vendetta.dev", "v1", "nodes")
def label_by_name(body: kopf.Body, name: str | None, labels: kopf.Labels, patch: kopf.Patch, **_: Any) -> None:
    """Called once for each node that is new to the operator, however often either of them restarts."""
    wanted = dict(zip(("role", "region"), (name or "").split("-")[:-1], strict=False))
    new = {key: value for key, value in wanted.items() if key not in labels}
    patch.metadata.labels.update(new)
    kopf.info(body, reason="Labelled", message=f"labels by name: {new}")
