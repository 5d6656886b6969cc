"""Tests of looping calls, cooperative tasks, virtual time and scripts."""
