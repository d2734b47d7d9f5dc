"""`cordon`, `uncordon`, `node …`: what one does to a node."""

from typing import Annotated
from urllib.parse import quote

import typer

from api.cli.answers import json_of
from api.cli.completion import node_names
from api.cli.errors import Misused
from api.cli.invocation import Invocation
from api.cli.kinds import NODES, name_in
from api.cli.output import Output, Shape, say, say_json
from api.escape import escape

Names = Annotated[list[str], typer.Argument(metavar="NODE…", help="Names of nodes.", autocompletion=node_names)]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(cordon)
    app.command()(uncordon)
    node = typer.Typer(help="Things that only nodes have.", no_args_is_help=True)
    node.command()(trust)
    node.command("join-token")(join_token)
    node.command()(revoke)
    app.add_typer(node, name="node")


def cordon(context: typer.Context, names: Names, output: Output = Shape.TEXT) -> None:
    """Deliver nothing new to these nodes; what runs there goes on.

    Example: `vendetta cordon build-01`
    """
    _set_unschedulable(context, names, output, unschedulable=True)


def uncordon(context: typer.Context, names: Names, output: Output = Shape.TEXT) -> None:
    """Deliver to these nodes again.

    Example: `vendetta uncordon build-01`
    """
    _set_unschedulable(context, names, output, unschedulable=False)


def _set_unschedulable(context: typer.Context, names: list[str], output: Shape, *, unschedulable: bool) -> None:
    patch = {"spec": {"unschedulable": unschedulable}}
    with context.ensure_object(Invocation).client() as client:
        nodes = []
        for name in [name_in(NODES, word) for word in names]:
            nodes.append(client.patch(NODES, name, patch))
            if output is Shape.TEXT:
                say(escape(f"node/{name} {'cordoned' if unschedulable else 'uncordoned'}"))
    if output is Shape.JSON:
        say_json(nodes)


def trust(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NODE", help="Name of the node.", autocompletion=node_names)],
    fingerprint: Annotated[
        str | None,
        typer.Option(metavar="SHA256:…", help="The key's fingerprint: SHA256:…, as the node's owner tells it."),
    ] = None,
    credential: Annotated[
        bool, typer.Option("--credential", help="Use its credential at the address or host key that it has now.")
    ] = False,
    output: Output = Shape.TEXT,
) -> None:
    """Trust the host key that a node presents now, after it has changed; or use its credential at its new place.

    Compare the fingerprint with the machine itself (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`) first. A
    credential is used only where it was used for this node before: what has changed is told by the condition
    CredentialRebindRequired (`vendetta describe node NODE`).

    Examples: `vendetta node trust build-01 --fingerprint SHA256:…` · `vendetta node trust build-01 --credential`
    """
    if fingerprint is None and not credential:
        raise Misused("say what to trust: --fingerprint SHA256:…, or --credential")
    name = name_in(NODES, name)
    body = {"credential": credential} | ({"fingerprint": fingerprint} if fingerprint is not None else {})
    with context.ensure_object(Invocation).client() as client:
        path = f"/api/v1/nodes/{quote(name, safe='')}/trust"
        node = json_of(client.request("POST", path, body=body), client.url)
    if output is Shape.JSON:
        say_json(node)
        return
    if fingerprint is not None:
        say(escape(f"node/{name} trusts {fingerprint}"))
    if credential:
        say(escape(f"node/{name}: its credential is used where it is now"))


def join_token(
    context: typer.Context,
    expires: Annotated[str, typer.Option(metavar="DURATION", help="For how long it can be used.")] = "1h",
    node: Annotated[
        str | None, typer.Option(metavar="NODE", help="The only node that may use it, new or there already.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", "-l", metavar="KEY=VALUE", help="A label that the node gets.")
    ] = None,
    output: Output = Shape.TEXT,
) -> None:
    """Make a token by which one machine joins as a node, once.

    It is shown only now. Whoever has it may choose the node's name, unless --node does; a node that is there already
    is taken over only by a token made for it.

    Examples: `vendetta node join-token` · `vendetta node join-token --node build-01 --expires 15m --label env=dev`
    """
    body: dict[str, object] = {"expires_in": expires, "labels": dict(_label(text) for text in label or [])}
    if node is not None:
        body["node"] = name_in(NODES, node)
    with context.ensure_object(Invocation).client() as client:
        made = json_of(client.request("POST", "/api/v1/join-tokens", body=body), client.url)
    if output is Shape.JSON:
        say_json(made)
    else:
        say(escape(str(made["token"])))


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise Misused(f"--label {text!r}: write KEY=VALUE")
    return key, value


def revoke(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NODE", help="Name of the node.", autocompletion=node_names)],
    output: Output = Shape.TEXT,
) -> None:
    """Have none of a node's tokens count any more: those that it was given, and the join tokens made for it.

    Its open streams end at once. It gets in again with a new join token: `vendetta node join-token --node NODE`.

    Example: `vendetta node revoke build-01`
    """
    name = name_in(NODES, name)
    with context.ensure_object(Invocation).client() as client:
        node = json_of(client.request("POST", f"/api/v1/nodes/{quote(name, safe='')}/revoke"), client.url)
    if output is Shape.JSON:
        say_json(node)
    else:
        say(escape(f"node/{name}: its tokens are revoked"))
