"""Processes that work for another one: they end when it does, however it ended."""
