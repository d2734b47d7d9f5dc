"""The agent: the node's side of the http and websocket transports. See docs/designs/agent.md."""
