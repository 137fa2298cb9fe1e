"""Tests of labels made durable."""
