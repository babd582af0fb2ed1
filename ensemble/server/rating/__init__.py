"""The rating page: a listening test in the browser, its ratings kept in one file."""
