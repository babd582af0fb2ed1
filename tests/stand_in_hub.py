"""A stand-in of a hub's API on this machine: repositories of files, commits, branches.

It answers the requests of huggingface_hub that a push and a pull consist of, and keeps
every commit. Large files come as the real hub takes them, apart from the commit.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

MAIN = "main"


@dataclass
class Repository:
    """Commits, each a mapping of file names to contents; branches name them."""

    private: bool = False
    commits: dict = field(default_factory=dict)
    branches: dict = field(default_factory=dict)

    def __post_init__(self):
        self.branches[MAIN] = self.add({".gitattributes": b""})

    def add(self, files):
        """Keep a commit; returns its name."""
        text = json.dumps(
            [len(self.commits), sorted((n, len(d)) for n, d in files.items())]
        )
        oid = hashlib.sha1(text.encode()).hexdigest()
        self.commits[oid] = files
        return oid

    def commit_of(self, revision):
        """Name of the commit of a branch, or of a commit; None where there is none."""
        if revision in self.branches:
            return self.branches[revision]
        return revision if revision in self.commits else None


class StandInHub:
    """Repositories, and what was asked of them.

    Parameters
    ----------
    large : smallest size in bytes of a file that is uploaded apart from its commit
    token : who does not show it may not write, nor read what is private
    """

    def __init__(self, large=1000, token="good"):
        self.large = large
        self.token = token
        self.repositories = {}
        self.uploads = {}
        self.requests = []
        self.cards = []
        self.is_broken = False
        self.endpoint = ""

    def files(self, name, revision=MAIN):
        """Contents by file name of a repository."""
        repository = self.repositories[name]
        return repository.commits[repository.commit_of(revision)]


@contextlib.contextmanager
def running_hub(**settings):
    """A `StandInHub` that answers at its ``endpoint`` inside the block."""
    hub = StandInHub(**settings)
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), type("_Bound", (_Handler,), {"hub": hub})
    )
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: StandInHub

    def log_message(self, *args):
        """Say nothing on the terminal."""

    def do_HEAD(self):
        self._answer_get(with_body=False)

    def do_GET(self):
        self._answer_get(with_body=True)

    def do_PUT(self):
        data = self._body()
        self.hub.uploads[self.path.rpartition("/")[2]] = data
        self._send(200, b"")

    def do_POST(self):
        body = self._body()
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(("POST", path))
        if self.hub.is_broken:
            return self._error(503, "Broken")
        if not self._may_write():
            return self._error(401, "Unauthorized")
        if path == "/api/validate-yaml":
            self.hub.cards.append(json.loads(body)["content"])
            return self._json({"errors": [], "warnings": []})
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if found := re.fullmatch(r"/api/models/(.+?)/branch/(.+)", path):
            return self._branch(*found.groups())
        if found := re.fullmatch(r"/api/models/(.+?)/preupload/(.+)", path):
            return self._preupload(json.loads(body))
        if found := re.fullmatch(r"/(.+?)\.git/info/lfs/objects/batch", path):
            return self._batch(json.loads(body))
        if found := re.fullmatch(r"/api/models/(.+?)/commit/(.+)", path):
            return self._commit(*found.groups(), body)
        return self._error(404, "EntryNotFound")

    def _create(self, facts):
        name = "/".join(
            part for part in (facts.get("organization"), facts["name"]) if part
        )
        if name in self.hub.repositories:
            return self._error(409, "RepoExists", url=f"{self.hub.endpoint}/{name}")
        private = facts.get("private") or facts.get("visibility") == "private"
        self.hub.repositories[name] = Repository(private=bool(private))
        return self._json({"url": f"{self.hub.endpoint}/{name}"})

    def _branch(self, name, branch):
        repository = self.hub.repositories[name]
        repository.branches.setdefault(branch, repository.branches[MAIN])
        return self._json({})

    def _preupload(self, facts):
        files = [
            {
                "path": one["path"],
                "uploadMode": "lfs" if one["size"] >= self.hub.large else "regular",
                "shouldIgnore": False,
                "oid": None,
            }
            for one in facts["files"]
        ]
        return self._json({"files": files})

    def _batch(self, facts):
        objects = [
            {
                **one,
                "actions": {
                    "upload": {"href": f"{self.hub.endpoint}/lfs/{one['oid']}"}
                },
            }
            for one in facts["objects"]
        ]
        return self._json({"transfer": "basic", "objects": objects})

    def _commit(self, name, branch, body):
        repository = self.hub.repositories[name]
        files = dict(repository.commits[repository.branches[branch]])
        for line in body.decode().splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.hub.uploads[value["oid"]]
            elif entry["key"] == "deletedFile":
                del files[value["path"]]
        oid = repository.add(files)
        repository.branches[branch] = oid
        self._json(
            {"commitUrl": f"{self.hub.endpoint}/{name}/commit/{oid}", "commitOid": oid}
        )

    def _answer_get(self, with_body):
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path))
        if self.hub.is_broken:
            return self._error(503, "Broken", with_body=with_body)
        patterns = {
            r"/api/models/([^/]+/[^/]+)/tree/([^/]+).*": self._tree,
            r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?": self._info,
            r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)": self._file,
        }
        for pattern, answer in patterns.items():
            if found := re.fullmatch(pattern, path):
                name, revision, *file = found.groups()
                repository = self.hub.repositories.get(name)
                if repository is None or (repository.private and not self._may_write()):
                    return self._error(404, "RepoNotFound", with_body=with_body)
                oid = repository.commit_of(revision or MAIN)
                if oid is None:
                    return self._error(404, "RevisionNotFound", with_body=with_body)
                return answer(name, oid, *file, with_body=with_body)
        return self._error(404, "EntryNotFound", with_body=with_body)

    def _info(self, name, oid, with_body):
        siblings = [{"rfilename": file} for file in self.hub.files(name, oid)]
        self._json(
            {"id": name, "modelId": name, "sha": oid, "siblings": siblings},
            with_body=with_body,
        )

    def _tree(self, name, oid, with_body):
        entries = [
            {
                "type": "file",
                "path": file,
                "size": len(data),
                "oid": hashlib.sha1(data).hexdigest(),
            }
            for file, data in self.hub.files(name, oid).items()
        ]
        self._json(entries, with_body=with_body)

    def _file(self, name, oid, file, with_body):
        files = self.hub.files(name, oid)
        if file not in files:
            return self._error(404, "EntryNotFound", with_body=with_body)
        data = files[file]
        headers = {"X-Repo-Commit": oid, "ETag": f'"{hashlib.sha1(data).hexdigest()}"'}
        return self._send(200, data, headers, with_body=with_body)

    def _may_write(self):
        return self.headers.get("Authorization") == f"Bearer {self.hub.token}"

    def _body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _json(self, value, status=200, headers=None, with_body=True):
        self._send(
            status,
            json.dumps(value).encode(),
            {"Content-Type": "application/json", **(headers or {})},
            with_body=with_body,
        )

    def _error(self, status, code, with_body=True, **facts):
        headers = {"X-Error-Code": code, "X-Error-Message": code}
        self._json({"error": code, **facts}, status, headers, with_body=with_body)

    def _send(self, status, data, headers=None, with_body=True):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if with_body:
            self.wfile.write(data)
