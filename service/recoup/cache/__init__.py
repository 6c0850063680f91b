"""The core: an exact LRU result cache with its accounting. Standard library only."""
