"""Configurations of the test's project."""
