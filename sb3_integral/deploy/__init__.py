"""Leaving the library: the size that fits, and what runs it."""
