"""Write `metrics/rules/*.yml` from the rulebook: `python metrics/build.py`. Needs PyYAML."""

from __future__ import annotations

from rulebook.program import main

if __name__ == "__main__":
    main()
