"""Tests of the final model's training."""
