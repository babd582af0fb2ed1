"""The local pages of ``serve_mos``: uploads come in, scores and ratings go out.

Read `application.create_app` first: it lists every page and what guards them. Nothing
here reads a path that a request names, and no page asks another machine for anything.
"""

from base_models.optional_libraries import require

require("starlette")
require("python_multipart")
require("uvicorn")
