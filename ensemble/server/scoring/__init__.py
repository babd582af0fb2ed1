"""Scoring of uploaded clips: a form comes in, a page or JSON rows go out.

Read `score_form.read_form` (what is taken from a request), then `scorer.Scorer` (what
the worker does with it), then `score_page` and `score_api` (what is answered).
"""
