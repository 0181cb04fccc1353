"""Tests of what a person meets; a package, so that its stage ends with the last of them."""
