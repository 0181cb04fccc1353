"""ERMrest and Hatrac, one catalog concept a file."""
