"""What stands before every page: who may ask, how much, and what browsers are told.

Requests come in, those that are let through go on. Each file is one middleware; their
order stands in `ensemble.server.application`.
"""
