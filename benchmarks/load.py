"""Load by `wrk`: loopback only, bounded in time."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "%s"
wrk.body = "%s"
done = function(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format("RESULT %%d %%d %%d %%f %%f\\n", summary.requests, summary.duration,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout,
        latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it: requests, requests a second, and percentiles of the response time in seconds."""

    requests: int
    rate: float
    p50: float
    p99: float


def load(
    url: str, body: str | bytes, *, connections: int, seconds: int, content_type: str = "application/octet-stream"
) -> Load:
    """Send one request again and again over so many connections, each as soon as the one before is answered.

    Raises:
        FileNotFoundError: `wrk` is not installed.
        RuntimeError: Some request failed.
    """
    if shutil.which("wrk") is None:
        raise FileNotFoundError("wrk is not installed: apt-get install wrk")
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "post.lua")
        script.write_text(_SCRIPT % (content_type, _escaped(body)))
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 30)
    result = re.search(r"RESULT (\d+) (\d+) (\d+) ([\d.]+) ([\d.]+)", done.stdout)
    if result is None:
        raise RuntimeError(f"wrk says: {done.stdout}{done.stderr}")
    requests, micros, errors = (int(result[group]) for group in (1, 2, 3))
    if errors or not requests:
        raise RuntimeError(f"{errors} of {requests} requests to {url} failed")
    return Load(requests, requests / (micros / 1e6), float(result[4]) / 1e6, float(result[5]) / 1e6)


def _escaped(body: str | bytes) -> str:
    """A body as Lua writes it between quotes: by the numbers of its bytes."""
    return "".join(f"\\{byte:03d}" for byte in (body.encode() if isinstance(body, str) else body))
