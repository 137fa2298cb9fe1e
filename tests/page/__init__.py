"""Tests of the page, in real headless Chromium."""
