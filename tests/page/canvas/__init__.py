"""Tests of what is drawn and said on the canvas, in real headless Chromium."""
