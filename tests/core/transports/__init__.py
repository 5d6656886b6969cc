"""Tests of the transports and of the reactor that has them."""
