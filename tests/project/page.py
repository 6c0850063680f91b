"""A page of the documentation, tried as a reader tries it: block by block, in the environment that it describes.

- A block whose first line is a comment with a file's name is that file: it is saved, or added to what is there.
- Commands of `sh` blocks are pasted in a copy of the checkout. A service, an upstream and a Prometheus run on other
  ports than those that are written; they are started when a command first needs them.
- Whatever has no rule here fails the page.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

from recoup.settings import SETTINGS
from tools import require_tool

from .installing import link_extra
from .serving import PATIENCE, Service, free_port, plain_environment, running, serving
from .tree import ROOT

#: What is copied for each page; the rest of a checkout no page needs.
_CHECKOUT = ("Makefile", "pyproject.toml", "README.md", "LICENSE", ".env.example")
_FOLDERS = ("service", "metrics", "grafana", "loadtest", "examples", "requirements")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"# ([\w./-]+\.\w+)(?=[,\n])")
_ASSIGNMENTS = re.compile(r"(?:[A-Z_]+=\S+ )*")
#: Begins a line of a block that is not for pasting but should be, then.
_COMMAND = re.compile(r"^\$? ?(?:make|curl|docker|python3?|pip|recoup|apt-get|promtool) ", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, and what stands in it."""

    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The name of the file that it is, if it is one."""
        named = _NAMED.match(self.text)
        return named[1] if named and self.language != "sh" else None


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in their order."""
    return [Block(language, content) for language, content in _FENCE.findall(text)]


def shell_commands(block: str) -> Iterator[str]:
    """The commands of a `sh` block: continued lines and loops are one each, comments are none."""
    loop: list[str] = []
    for line in block.replace("\\\n", " ").splitlines():
        bare = re.sub(r"\s+# .*$", "", line).strip()
        if not bare or bare.startswith("#"):
            continue
        if loop or bare.startswith("for "):
            loop.append(bare)
            if bare == "done":
                yield "\n".join(loop)
                loop = []
        else:
            yield bare


class Reader:
    """Somebody who tries a page, in a folder of their own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self.environment: dict[str, str] = {}
        self.service: Service | None = None
        self._upstream: int | None = None
        self._prometheus: Service | None = None
        self.skipped: list[str] = []
        for name in _CHECKOUT:
            shutil.copy2(ROOT / name, folder)
        for name in _FOLDERS:
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        self._set_up()
        # Where the pages write that a Prometheus on the machine has its files.
        (folder / "etc" / "recoup").mkdir(parents=True)
        for rules in (folder / "metrics" / "rules").glob("*.yml"):
            shutil.copy(rules, folder / "etc" / "recoup")

    def _set_up(self) -> None:
        """An environment that looks set up to `make`. It runs this one's Python, but installs nothing into it."""
        programs = self.folder / ".venv" / "bin"
        programs.mkdir(parents=True)
        (programs / "python").write_text(_PYTHON.format(python=sys.executable))
        (programs / "python").chmod(0o755)
        for name in ("runtime.stamp", "dev.stamp"):
            (programs.parent / name).touch()

    def tries(self, block: Block) -> None:
        """Do what one does with a block."""
        text = self._here(block.text)
        if block.file is not None:
            self._save(block.file, text)
        _RUNNERS[block.language](self, block, text)

    def _save(self, name: str, text: str) -> None:
        place = self.folder / "etc" / name if name == "prometheus.yml" else self.folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("a", encoding="utf-8") as file:
            file.write(text)

    # What runs

    def _here(self, text: str) -> str:
        """A text of the page with this test's ports and folder."""
        if "127.0.0.1:9000" in text:
            text = text.replace("127.0.0.1:9000", f"127.0.0.1:{self.upstream()}")
        return re.sub(r"(?<![\w/])/(?:etc/prometheus|tmp)(?=/)", lambda _: str(self.folder / "etc"), text)

    def _with_services(self, command: str) -> str:
        """A command that asks a service or Prometheus, which are there by then."""
        if "http://127.0.0.1:9090" in command:
            command = command.replace("http://127.0.0.1:9090", self.prometheus().url)
        if "http://127.0.0.1:8080" in command:
            command = command.replace("http://127.0.0.1:8080", self.asked_service().url)
        return command

    def asked_service(self) -> Service:
        """The service that the page has started, or else one as `make run` starts it."""
        if self.service is None:
            self.serve([sys.executable, "-m", "recoup", "serve"])
        assert self.service is not None
        return self.service

    def serve(self, command: list[str], **environment: str) -> None:
        """Start a service with a command of the page, in place of an earlier one."""
        given = self.environment | environment
        self.service = self._stack.enter_context(serving(*command, folder=self.folder, **given))

    def upstream(self) -> int:
        """The port of a generator that answers every POST with JSON."""
        if self._upstream is None:
            server = ThreadingHTTPServer(("127.0.0.1", 0), _Generator)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self._stack.callback(server.server_close)
            self._stack.callback(server.shutdown)
            self._upstream = server.server_port
        return self._upstream

    def prometheus(self) -> Service:
        """A Prometheus with the page's configuration, or one that scrapes the service and has the rules."""
        if self._prometheus is None:
            port, configured = free_port(), self.folder / "etc" / "prometheus.yml"
            if not configured.exists():
                target = self.asked_service().url.removeprefix("http://")
                configured.write_text(_MINIMAL.format(target=target))
            command = [require_tool("prometheus"), f"--config.file={configured}", "--web.enable-lifecycle"]
            command += [f"--web.listen-address=127.0.0.1:{port}", f"--storage.tsdb.path={self.folder / 'tsdb'}"]
            self._prometheus = self._stack.enter_context(running(command, port, "/-/ready", self.folder))
        return self._prometheus

    # What is pasted

    def paste(self, command: str) -> str:
        """Run a command, which has to succeed, and give what it prints."""
        # An answer that is an error is a failure, too.
        command = re.sub(r"^curl ", "curl --fail-with-body -sS ", self._with_services(command))
        path = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}"
        # Installing asks no index: what is needed is there by then.
        given = {"PATH": path, "PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1"}
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self.folder,
            env=plain_environment() | given | self.environment,
            capture_output=True,
            text=True,
            timeout=4 * PATIENCE,
        )
        log = self.service.output() if self.service else ""
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}\n{log}"
        return done.stdout

    def follow(self, command: str) -> None:
        """Do what the first rule says that fits a command."""
        bare = command[_ASSIGNMENTS.match(command).end() :]  # type: ignore[union-attr]
        for pattern, rule in COMMANDS:
            if re.match(pattern, bare):
                rule(self, command)
                return
        raise AssertionError(f"there is no rule for how to try `{command}`: add one to COMMANDS in {__name__}")


class _Generator(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        answer = b'{"text": "an old silent pond"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


_PYTHON = """#!/bin/sh
case "$*" in *"pip "*install*) echo "nothing is installed here: $*" >&2; exit 1;; esac
exec {python} "$@"
"""

_MINIMAL = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [recoup/*.yml]
scrape_configs:
  - job_name: recoup
    static_configs: [{{targets: ["{target}"]}}]
"""


# Rules for commands


def _pasted(reader: Reader, command: str) -> None:
    reader.paste(command)


def _served(reader: Reader, command: str) -> None:
    words = shlex.split(command)
    given = dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))
    command_words = words[len(given) :]
    if command_words[0] in ("recoup", ".venv/bin/recoup"):
        # The checkout's own environment, as `make run` sets it up, has this one's programs.
        command_words[0] = str(Path(sys.prefix) / "bin" / "recoup")
    reader.serve(command_words, **given)


def _exported(reader: Reader, command: str) -> None:
    name, _, value = shlex.split(command)[1].partition("=")
    reader.environment[name] = value


def _environment_made(reader: Reader, command: str) -> None:
    """A new virtual environment, which `pip` of this one fills with the extra `service`, and no other."""
    reader.paste(command)
    link_extra("service", reader.folder / shlex.split(command)[-1])


def _load_test_read(reader: Reader, command: str) -> None:
    """The command line of a load test is read, by `make` first where it is a target; tests/load runs a short one."""
    from loadtest.__main__ import parser

    if "make" in command:
        command = reader.paste(command.replace("make ", "make --dry-run ")).replace("\\\n", " ")
    (words,) = re.findall(r"-m loadtest\b(.*)", command)
    parser().parse_args(shlex.split(words))


def _attack_read(reader: Reader, command: str) -> None:
    """The command line of an attack is read, by `make` first where it is a target; tests/hostile sends short ones."""
    from benchmarks.hostile.__main__ import read_arguments

    if "make" in command:
        command = reader.paste(command.replace("make ", "make --dry-run "))
    (words,) = re.findall(r"-m benchmarks\.hostile\b(.*)", command)
    read_arguments(shlex.split(words))


def _elsewhere(reason: str) -> Callable[[Reader, str], None]:
    """What cannot be tried here, with the reason."""
    assert reason

    def skip(reader: Reader, command: str) -> None:
        reader.skipped.append(command)

    return skip


#: What is done with a command, by how it begins (variables in front of it left out); the first that fits.
COMMANDS: list[tuple[str, Callable[[Reader, str], None]]] = [
    (r"make run$|\S*recoup serve( --upstream \S+)?$", _served),
    (r"make test$", _elsewhere("it is what runs this")),
    (r"make wheel$", _pasted),
    (r"make loadtest\b|\S*python -m loadtest\b", _load_test_read),
    (r"make hostile\b|\S*python -m benchmarks\.hostile\b", _attack_read),
    (r"docker |for image in ", _elsewhere("needs a container engine: `make compose-test` has one")),
    (r"apt-get install ", _elsewhere("changes the machine")),
    (r"git pull$", _elsewhere("asks the forge")),
    (r"export ", _exported),
    (r"python3 -m venv ", _environment_made),
    (r"recoup-env/bin/pip install ", _pasted),
    (r"curl |grep |cp |echo |printf |recoup what-if |promtool |python -m (grafana|metrics)\.", _pasted),
]


# Runners for languages


def _shell(reader: Reader, _block: Block, text: str) -> None:
    for command in shell_commands(text):
        reader.follow(command)


def _python(_reader: Reader, _block: Block, _text: str) -> None:
    """Nothing more: test_docs runs the Python of a page as one program."""


def _toml(reader: Reader, block: Block, text: str) -> None:
    """A file of pipelines is loaded, as a service does it; what it names in the environment is there."""
    place = reader.folder / (block.file or "unnamed.toml")
    if block.file is None:
        place.write_text(text)
    secrets = " ".join(f"{name}=secret" for name in re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", text))
    program = "import pathlib, sys; from recoup.pipelines.registry import load_pipelines"
    reader.paste(f"{secrets} python -c '{program}; load_pipelines(pathlib.Path(sys.argv[1]))' {place.name}")


def _yaml(reader: Reader, block: Block, text: str) -> None:
    content = yaml.safe_load(text)
    if block.file == "prometheus.yml":
        reader.paste(f"{require_tool('promtool')} check config {reader.folder / 'etc' / 'prometheus.yml'}")
    elif block.file == "docker-compose.override.yml":
        _overrides(content)
    else:
        raise AssertionError(f"there is no rule for a block of YAML that begins {text.splitlines()[0]!r}")


def _overrides(content: dict[str, dict[str, dict[str, object]]]) -> None:
    """What is laid over the compose file is of services that it has, with settings that exist."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    assert set(content["services"]) <= set(services)
    for name, service in content["services"].items():
        assert set(service) <= {*services[name], "volumes", "extra_hosts"}
        known = {setting.name for setting in SETTINGS} if name == "recoup" else services[name]["environment"]
        assert set(service["environment"]) <= set(known)  # type: ignore[call-overload]


def _promql(reader: Reader, _block: Block, text: str) -> None:
    """Prometheus takes it."""
    query = urllib.parse.urlencode({"query": text.strip()})
    with urllib.request.urlopen(f"{reader.prometheus().url}/api/v1/query?{query}", timeout=PATIENCE) as answer:
        assert "success" == json.load(answer)["status"]


def _json(_reader: Reader, _block: Block, text: str) -> None:
    """It is JSON; test_tutorial compares its members with what the command above gives."""
    assert json.loads(text)


def _text(_reader: Reader, _block: Block, text: str) -> None:
    """Nothing that one pastes stands in a block of this kind."""
    assert not _COMMAND.search(text)


def _transcript(_reader: Reader, _block: Block, _text: str) -> None:
    """Nothing more: test_tutorial pastes it, and compares what is printed."""


_RUNNERS: dict[str, Callable[[Reader, Block, str], None]] = {
    "sh": _shell,
    "python": _python,
    "toml": _toml,
    "yaml": _yaml,
    "promql": _promql,
    "json": _json,
    "text": _text,
    "console": _transcript,
}
