"""Wirebook's tests: a folder for each package, and interop/, browser/, bench/."""
