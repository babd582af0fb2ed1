"""Means of systems from predictions of all clips and ratings of a few."""
