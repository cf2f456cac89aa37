"""A volunteer's host's image store."""
