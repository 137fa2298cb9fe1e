"""HTTP routes, the websocket and what is shared by all requests."""
