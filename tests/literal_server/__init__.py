"""Tests of the Literal server."""
