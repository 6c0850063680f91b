"""The cache of a service, with the tiers that its settings name."""

from __future__ import annotations

from recoup.cache import ResultCache
from recoup.cache.tier import Tier
from recoup.pipelines.protocol import Result
from recoup.pipelines.result_codec import ResultCodec
from recoup.settings import Settings
from recoup.tiers import DiskTier, SharedTier


def service_cache(settings: Settings) -> ResultCache[Result]:
    """A new cache, as the settings say."""
    tiers: list[Tier] = []
    if settings.disk_path is not None:
        tiers.append(DiskTier(settings.disk_path, max_mb=settings.disk_mb, queue_mb=settings.tier_queue_mb))
    if settings.shared_url is not None:
        tiers.append(
            SharedTier(
                settings.shared_url,
                prefix=settings.shared_prefix,
                timeout_seconds=settings.shared_timeout_seconds,
                queue_mb=settings.tier_queue_mb,
            )
        )
    return ResultCache(**settings.cache_options(), tiers=tiers, codec=ResultCodec() if tiers else None)
