"""Tests of the reactor and its parts."""
