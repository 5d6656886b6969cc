"""Tests of `wirebook.service`."""
