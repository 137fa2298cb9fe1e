"""Tests of what tells how a server does."""
