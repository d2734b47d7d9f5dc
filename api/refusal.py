"""Answering with an error from outside the application: the layers and the door have no router to do it for them."""

from starlette.types import Receive, Scope, Send

from api.errors import APIError, render


async def refuse(scope: Scope, receive: Receive, send: Send, error: APIError) -> None:
    """Send the error in the shape of the face that was called; a WebSocket handshake is answered over HTTP, too."""
    prefix = "http.response"
    if scope["type"] == "websocket":
        await receive()  # the connect, which an answer has to wait for
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008})
            return
        prefix = "websocket.http.response"
    response = render(error, scope)
    await send({"type": f"{prefix}.start", "status": response.status_code, "headers": response.raw_headers})
    body = b"" if scope.get("method") == "HEAD" else bytes(response.body)
    await send({"type": f"{prefix}.body", "body": body})
