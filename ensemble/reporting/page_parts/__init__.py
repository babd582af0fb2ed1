"""What a page is made of, for `ensemble.reporting.page` alone.

In: elements of sections. Out: parts of html. Read `page.html.j2` first.
"""
