"""What other tools wait for, and what their real clients do with the server."""
