"""Tests of routes and the websocket."""
