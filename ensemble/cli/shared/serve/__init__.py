"""Options of ``serve_mos``, page by page."""
