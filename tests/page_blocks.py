"""The code blocks of README.md and docs/: read from the pages, and run as shown.

What a block is, its language says:

`sh`
    Commands, run one after the other. Those of this package run in this process, the
    rest by bash. ``STACK`` stands for the folder of the stack made last. A server is
    started, asked for one page, and ended.
`python`
    Run with the names that the blocks before it on the page have made.
`text`
    What the block before it printed. Words must agree; whole numbers, too; other
    numbers may differ by a tenth; ``…`` stands for anything.

A block below a line that holds nothing but a name in backquotes is a file of that name.
A block below ``<!-- not run: REASON -->`` is not run. A line whose comment says
``exit code N`` must end with that code, any other with 0.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import threading
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from builders import ROOT
from commands import LAUNCH, call, start

from ensemble.cli import COMMANDS

DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", *sorted(DOCS.glob("**/*.md")))
LANGUAGES = ("sh", "python", "text", "toml", "json", "csv", "yaml")
"""Languages of blocks; those after the first three are shown, or are files."""

_OPERATORS = re.compile(r"[|<>;&$`(){}~]")
# A dash inside of a name is no sign.
_NUMBER = re.compile(r"(?:(?<!\w)-)?\d+(?:[.,]\d+)*(?:e-?\d+)?")
_SERVER_SECONDS = 120


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Parameters
    ----------
    page : its file
    line : of the opening fence, counted from 1
    language : behind the fence
    text : without the fences
    file : name of the file that it is, or ""
    not_run : why it is not run, or ""
    """

    page: Path
    line: int
    language: str
    text: str
    file: str = ""
    not_run: str = ""

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page, in order, also those inside of tabs and notes."""
    blocks = []
    before = ""
    lines = iter(enumerate(page.read_text().splitlines(), start=1))
    for number, line in lines:
        fence = re.match(r"( *)```(\w*)", line)
        if not fence:
            before = line.strip() or before
            continue

        indent = len(fence[1])
        content = []
        for _, inner in lines:
            if inner.strip() == "```":
                break
            content.append(inner[indent:])
        named = re.fullmatch(r"`([\w./-]+)`", before)
        skipped = re.fullmatch(r"<!-- not run: (.+) -->", before)
        blocks.append(
            Block(
                page,
                line=number,
                language=fence[2],
                text="\n".join(content) + "\n",
                file=named[1] if named else "",
                not_run=skipped[1] if skipped else "",
            )
        )
        before = ""
    return blocks


def command_lines(text: str) -> list[str]:
    """The commands of an `sh` block, with continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", text)
    lines = (line.strip() for line in joined.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def write_launchers(folder: Path) -> Path:
    """Executables of all commands, for bash; they start this checkout."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in COMMANDS:
        script = folder / name
        words = shlex.join([sys.executable, "-c", LAUNCH.format(name)])
        script.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        script.chmod(0o755)
    return folder


@dataclass
class Reader:
    """Somebody who types the blocks of a page, one after the other, in a folder.

    Parameters
    ----------
    folder : current folder, which must be that of the process
    launchers : see `write_launchers`
    names : those of the Python blocks
    printed : what the last block wrote, standard error included
    """

    folder: Path
    launchers: Path
    names: dict[str, object] = field(default_factory=dict)
    printed: str = ""

    def follow(self, block: Block) -> None:
        """Run a block, compare it with what was printed, or write it as a file."""
        if block.not_run:
            return
        if block.file:
            target = self.folder / block.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text)
        elif block.language == "sh":
            self.printed = "".join(
                self._run(line) for line in command_lines(block.text)
            )
        elif block.language == "python":
            self._run_python(block)
        elif block.language == "text":
            missing = unlike(block.text, self.printed)
            assert not missing, f"{block.place} shows {missing!r}; got {self.printed}"

    def _run_python(self, block: Block) -> None:
        out = io.StringIO()
        text = block.text.replace("STACK", self._stack_name())
        code = compile(text, block.place, "exec")
        with contextlib.redirect_stdout(out):
            exec(code, self.names)
        self.printed = out.getvalue()

    def _run(self, line: str) -> str:
        shown, _, comment = line.partition(" #")
        shown = shown.strip().replace("STACK", self._stack_name())
        stated = re.search(r"exit code (\d+)", comment)
        expected = int(stated[1]) if stated else 0

        words = [] if _OPERATORS.search(shown) else shlex.split(shown)
        if words and words[0] == "serve_mos":
            return self._ask_server(words[1:])
        if words and words[0] in COMMANDS:
            code, out, err = call(*words)
        else:
            code, out, err = self._run_bash(shown)
        assert code == expected, f"{line}\nended with {code}:\n{err}"
        return out + err

    def _run_bash(self, line: str) -> tuple[int, str, str]:
        path = f"{self.launchers}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            env={**os.environ, "PATH": path, "PYTHONPATH": _python_path()},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def _ask_server(self, words: list[str]) -> str:
        """Start a server on a free port, fetch its page, and end it."""
        port = [] if "--port" in words else ["--port", "0"]
        both = subprocess.STDOUT
        process = start("serve_mos", *words, *port, cwd=self.folder, stderr=both)
        # Where it says no address, reading ends with it.
        guard = threading.Timer(_SERVER_SECONDS, process.kill)
        guard.start()
        said = ""
        address = None
        try:
            while address is None and (line := process.stdout.readline()):
                said += line
                address = re.search(r"http://[\d.:a-z\[\]]+\S*", line)
            assert address, said
            with urllib.request.urlopen(address[0], timeout=_SERVER_SECONDS) as page:
                assert page.status == 200
        finally:
            guard.cancel()
            process.kill()
            process.communicate()
        return said

    def _stack_name(self) -> str:
        pointer = self.folder / "artifacts" / "stack.json"
        if not pointer.is_file():
            return "STACK"
        return Path(json.loads(pointer.read_text())["folder"]).name


def unlike(shown: str, printed: str) -> list[str]:
    """Lines that a page shows and that nothing printed is like.

    >>> unlike("of 60 clips, mean 3.1 …", "note: of 60 clips, mean 3.15 (all)")
    []
    >>> unlike("of 60 clips", "of 61 clips")
    ['of 60 clips']
    """
    text = " ".join(printed.split())
    words = _NUMBER.sub("0", text)
    numbers = _NUMBER.findall(text)
    missing = []
    for line in shown.splitlines():
        for part in filter(None, (piece.strip() for piece in line.split("…"))):
            part = " ".join(part.split())
            if not _is_in(part, words, numbers):
                missing.append(part)
    return missing


def _is_in(part: str, words: str, numbers: list[str]) -> bool:
    pattern = _NUMBER.sub("0", part)
    wanted = _NUMBER.findall(part)
    at = words.find(pattern)
    while at >= 0:
        first = words[:at].count("0")
        got = numbers[first : first + len(wanted)]
        if all(map(_near, wanted, got)):
            return True
        at = words.find(pattern, at + 1)
    return False


def _near(wanted: str, got: str) -> bool:
    if not re.fullmatch(r"-?\d+\.\d+", wanted):
        return wanted == got
    a, b = float(wanted), float(got.replace(",", "."))
    return abs(a - b) <= 0.1 * max(abs(a), abs(b)) + 0.05


def _python_path() -> str:
    given = os.environ.get("PYTHONPATH", "")
    return os.pathsep.join(filter(None, [str(ROOT), given]))
