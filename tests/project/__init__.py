"""Tests of the project as a whole: arrows between packages, documents."""
