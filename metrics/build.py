"""Write `metrics/rules/*.yml` from the rulebook: `python -m metrics.build`."""

from __future__ import annotations

from metrics.rulebook.program import main

if __name__ == "__main__":
    main()
