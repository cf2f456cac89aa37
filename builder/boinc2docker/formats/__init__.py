"""Byte formats and their compressions."""
