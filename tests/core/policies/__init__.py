"""Tests of `wirebook.policies`."""
