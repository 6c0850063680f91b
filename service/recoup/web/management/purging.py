"""What a purge leaves behind is collected in a thread of its own, so that it is over soon, and nobody waits for it."""

from __future__ import annotations

import logging
import threading
import time

from recoup.cache import ResultCache

#: Between two steps, so that others have their turn with the lock.
_PAUSE_SECONDS = 0.001

_log = logging.getLogger(__name__)


class PurgeCollector:
    """Collects what was purged.

    Args:
        cache: The cache.
    """

    def __init__(self, cache: ResultCache) -> None:
        self._cache = cache
        self._lock = threading.Lock()
        self._runs = False

    def collect(self) -> None:
        """Begin, if there is anything to collect and nobody does."""
        if not self._cache.collect_purged(steps=0):
            return
        with self._lock:
            if self._runs:
                return
            self._runs = True
        threading.Thread(target=self._run, name="recoup-purge", daemon=True).start()

    def _run(self) -> None:
        try:
            while not self._is_done():
                time.sleep(_PAUSE_SECONDS)
        except Exception:  # noqa: BLE001  # what is left goes with whatever else is done
            _log.exception("purge not collected")
            self._runs = False

    def _is_done(self) -> bool:
        """Take a step; whether it was the last. Whoever purges after that finds that nobody collects."""
        if self._cache.collect_purged():
            return False
        with self._lock:
            self._runs = self._cache.collect_purged(steps=0)
            return not self._runs
