"""The schemas of the API's description: every JSON document that is answered or taken, member by member."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from recoup.cache.stats import (
    BYPASS_REASONS,
    EVICTION_CAUSES,
    INVALIDATION_CAUSES,
    MISS_REASONS,
    REFRESH_CAUSES,
    REFRESH_RESULTS,
    STREAM_ENDS,
)
from recoup.cache.tier import LOOKUP_RESULTS, TIERS, WRITE_RESULTS
from recoup.errors import GENERATION_ERROR_KINDS
from recoup.web.management.fields import CLEAR_FIELDS, CONFIG_FIELDS, PURGE_FIELDS
from recoup.web.validation import Field

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """A reference to one of the schemas."""
    return {"$ref": f"#/components/schemas/{name}"}


def count(description: str) -> Schema:
    """A whole number from 0 on."""
    return {"type": "integer", "minimum": 0, "description": description}


def seconds(description: str) -> Schema:
    """A number of seconds from 0 on."""
    return {"type": "number", "minimum": 0, "description": description}


def text(description: str) -> Schema:
    """Text."""
    return {"type": "string", "description": description}


def strict(properties: Mapping[str, Schema], *, optional: Iterable[str] = (), description: str = "") -> Schema:
    """An object that has these members, none but these, and all of them but the optional ones."""
    schema: Schema = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    required = [name for name in properties if name not in set(optional)]
    if required:
        schema["required"] = required
    return {**schema, "description": description} if description else schema


def of_fields(fields: Iterable[Field], *, description: str, at_least: int = 0) -> Schema:
    """A body that takes any of some fields, at least so many of them."""
    properties = {field.name: field.schema() for field in fields}
    schema = strict(properties, optional=properties, description=description)
    return {**schema, "minProperties": at_least} if at_least else schema


def _counts(names: Iterable[str], description: str) -> Schema:
    return {**strict({name: {"type": "integer", "minimum": 0} for name in names}), "description": description}


def _list_of(schema: Schema, description: str) -> Schema:
    return {"type": "array", "items": schema, "description": description}


def _money(description: str) -> Schema:
    amounts = {"type": "number", "minimum": 0}
    return {"type": "object", "additionalProperties": amounts, "description": f"{description}, by currency."}


_FIGURES: dict[str, Schema] = {
    "entries": count("Entries held now."),
    "memory_bytes": count("Bytes held now: values, keys and bookkeeping."),
    "memory_mb": {"type": "number", "minimum": 0, "description": "The same in megabytes (2^20 bytes)."},
    "hits": count("Lookups that a stored, live entry answered."),
    "misses": count("Lookups that found nothing stored, and nothing being generated."),
    "stale": count("Lookups that an expired entry answered while it was generated anew."),
    "coalesced": count("Lookups that waited for the generation that another one led."),
    "bypassed": count("Lookups that went past the cache."),
    "bypass_reasons": _counts(BYPASS_REASONS, "Bypasses by reason: they add up to `bypassed`."),
    "hit_ratio": {
        "type": ["number", "null"],
        "minimum": 0,
        "maximum": 1,
        "description": "(`hits` + `stale`) / (all lookups less `bypassed`); null before the first such lookup.",
    },
    "evictions": _counts(EVICTION_CAUSES, "Entries that a limit or their age put out, by cause."),
    "invalidations": _counts(INVALIDATION_CAUSES, "Entries that somebody put out, by cause."),
    "unused_evictions": count("Entries that were put out without one hit."),
    "miss_reasons": _counts(MISS_REASONS, "Misses by reason: they add up to `misses`."),
    "recouped_seconds": seconds("What the answers of hits and coalesced lookups had cost to generate."),
    "regretted_seconds": seconds("Spent on generating again what had been evicted."),
    "generated_cost": _money("What generations cost, in money"),
    "recouped_cost": _money("What hits and coalesced lookups did not cost"),
    "regretted_cost": _money("Spent on generating again what had been evicted"),
    "streams": _counts(STREAM_ENDS, "Generations whose answer was passed on as it came, by how it ended."),
    "refreshes": strict(
        {
            cause: _counts(REFRESH_RESULTS, "By whether another one was stored in their place.")
            for cause in REFRESH_CAUSES
        },
        description="Results that were generated anew behind an answer: they had expired, or were about to.",
    ),
    "generations": count("Generations that ended with a result."),
    "generation_seconds": seconds("Spent on them."),
    "generation_failures": _counts(GENERATION_ERROR_KINDS, "Generations without a result, by kind of error."),
    "generations_in_progress": count("Generations that run now."),
    "generations_waiting": count("Callers that wait now for room to generate."),
}

_ENTRY: dict[str, Schema] = {
    "key": text("Its key: 32 hex digits."),
    "pipeline": text("The pipeline that generated it."),
    "size_bytes": count("All bytes that are accounted for it. Over all entries they add up to `memory_bytes`."),
    "age_seconds": seconds("Since it was stored."),
    "idle_seconds": seconds("Since it was used last."),
    "expires_in_seconds": {
        "type": ["number", "null"],
        "description": "Until it expires. Null: never. Negative: it has expired and is not collected yet.",
    },
    "hits": count("How often it answered."),
    "cost_seconds": seconds("What its generation took."),
    "groups": _list_of({"type": "string"}, "The groups that it can be purged by."),
    "price": {"type": "number", "minimum": 0, "description": "What it cost, in the currency of its pipeline."},
    "tier": {
        "type": "string",
        "enum": ["memory", *TIERS],
        "description": "Where it is. Of one that is not in memory, hits and when it was used are not known.",
    },
    "content_type": {"type": ["string", "null"], "description": "The media type of the result."},
}

_TIER: dict[str, Schema] = {
    "up": {"type": "boolean", "description": "Whether it answers."},
    "entries": {"type": ["integer", "null"], "minimum": 0, "description": "Results that it holds. Null: not known."},
    "bytes": {"type": ["integer", "null"], "minimum": 0, "description": "What they take. Null: not known."},
    "limit_bytes": {"type": ["integer", "null"], "minimum": 0, "description": "What they may take. Null: not known."},
    "queue_bytes": count("What waits to be written."),
    "lookups": _counts(LOOKUP_RESULTS, "Lookups, by how they ended."),
    "writes": _counts(WRITE_RESULTS, "Results for it, by what became of them."),
    "evictions": count("Results that its limit removed."),
    "corrupt": count("Records that could not be read, and were removed."),
}

_PARAMETER: dict[str, Schema] = {
    "name": text("The query member."),
    "type": {"type": "string", "enum": ["string", "number", "integer", "boolean"], "description": "Its type."},
    "description": text("What it does."),
    "default": {
        "type": ["string", "number", "boolean", "null"],
        "description": "What it is when it is left out. Given or left out, the key is the same.",
    },
    "unit": text("Its unit."),
    "minimum": {"type": "number", "description": "The least that is allowed."},
    "maximum": {"type": "number", "description": "The most that is allowed."},
    "choices": _list_of({"type": "string"}, "What it may be."),
}

_PIPELINE: dict[str, Schema] = {
    "name": text("Its name, as in `POST /api/generate/<name>`."),
    "kind": {"type": "string", "enum": ["relief", "http", "python"], "description": "What kind of generator it is."},
    "version": text("Part of every key: with a new version, nothing stored before answers."),
    "description": text("What it makes, of what."),
    "accepts": _list_of({"type": "string"}, "Media types of the body."),
    "produces": _list_of({"type": "string"}, "Media types of the result."),
    "parameters": _list_of(ref("Parameter"), "Query members that it takes."),
    "path": {
        "type": ["string", "null"],
        "description": "Where it is served beside `/api/generate/`; one that ends in `/*` stands for all paths below. "
        "Null: nowhere.",
    },
    "ttl_seconds": {
        "type": ["number", "null"],
        "minimum": 0,
        "description": "How long its results live. Null: as the cache is configured. 0: they never expire.",
    },
    "timeout_seconds": seconds("The most that one generation may take."),
    "max_concurrent": count("Generations at one time, at most."),
    "max_waiting": count("Callers that may wait for their turn, at most."),
    "max_entries": count("Its own limit of entries, where it has one."),
    "max_memory_mb": {"type": "number", "description": "Its own limit of memory in megabytes, where it has one."},
    "reserve_memory_mb": {"type": "number", "description": "What others cannot take from it, where it has a reserve."},
    "key_headers": _list_of({"type": "string"}, "Request headers that belong to the key."),
    "ignore_headers": _list_of({"type": "string"}, "Request headers that do not, although they may name a caller."),
    "ignore_json": _list_of({"type": "string"}, "JSON pointers to what of a body does not belong to the key."),
    "ignore_query": _list_of({"type": "string"}, "Query members that do not belong to the key."),
    "json_defaults": {
        "type": "object",
        "description": "Values by JSON pointer: a member given at this value makes the key of one that is left out.",
    },
    "store_unless": _list_of({"type": "string"}, "JSON pointers: a result that has one of these is not stored."),
    "store_only_if": {
        "type": "object",
        "description": "Lists of values by JSON pointer: a result is stored only if it has one of them at each.",
    },
    "stale_while_revalidate_seconds": seconds(
        "For so long past its end a result answers at once, and is generated anew behind the answer."
    ),
    "stale_if_error_seconds": seconds("For so long past its end a result answers where its generation fails."),
    "refresh_ahead": {
        "type": "number",
        "exclusiveMinimum": 0,
        "exclusiveMaximum": 1,
        "description": "From this share of its time to live on, a hit has the result generated anew behind it.",
    },
    "negative_ttl_seconds": {
        "type": "object",
        "description": "Seconds by status: refusals of the upstream that are stored, too, for so long.",
        "additionalProperties": {"type": "number", "exclusiveMinimum": 0},
    },
}
_OF_CONFIGURED_PIPELINES = (
    *("ignore_json", "ignore_query", "json_defaults", "store_unless", "store_only_if"),
    *("max_entries", "max_memory_mb", "reserve_memory_mb"),
    *("stale_while_revalidate_seconds", "stale_if_error_seconds", "refresh_ahead", "negative_ttl_seconds"),
)

_PROBLEM: dict[str, Schema] = {
    "type": {
        "type": "string",
        "format": "uri-reference",
        "description": "What kind of problem it is: the address of its description, or `about:blank` where the "
        "status says it all.",
    },
    "title": text("The kind of problem in a few words; always the same for one type."),
    "status": {"type": "integer", "minimum": 400, "maximum": 599, "description": "The HTTP status, once more."},
    "detail": text("What went wrong this time, and what would be right."),
    "instance": {"type": "string", "format": "uri-reference", "description": "The path that was asked for."},
    "errors": _list_of(
        strict(
            {
                "detail": text("What is wrong."),
                "pointer": text("Where in the body, as a JSON pointer."),
                "parameter": text("In which query member."),
            },
            optional=("pointer", "parameter"),
        ),
        "Every single fault, where there may be several.",
    ),
    "allowed": _list_of({"type": "string"}, "What is allowed instead, where that is a list of words."),
    "upstream_status": {"type": "integer", "description": "What the upstream of an `http` pipeline answered."},
    "upstream_body": text("The beginning of the upstream's answer."),
    "retry_after_seconds": count("When to try again: the same as `Retry-After`."),
    "checks": {"type": "object", "description": "What was checked for readiness, and how each came out."},
}
_PROBLEM_ALWAYS = ("type", "title", "status", "detail", "instance")

SCHEMAS: dict[str, Schema] = {
    "Stats": strict(
        {
            "enabled": {"type": "boolean", "description": "Whether lookups are answered from the cache."},
            **_FIGURES,
            "peak_entries": count("The most entries since the start or the last reset."),
            "peak_memory_bytes": count("The most bytes, likewise."),
            "max_size": count("The limit of entries."),
            "max_memory_bytes": count("The limit of bytes."),
            "uptime_seconds": seconds("Since the cache was made."),
            "internal_errors": {
                "type": "object",
                "additionalProperties": {"type": "integer", "minimum": 0},
                "description": "What failed inside the cache without failing a request, by part.",
            },
            "tiers": {
                "type": "object",
                "additionalProperties": ref("Tier"),
                "description": "The tiers beyond memory, by name: `disk`, `shared`. Empty where there is none.",
            },
            "pipelines": {
                "type": "object",
                "additionalProperties": ref("Figures"),
                "description": "The figures of each pipeline, by its name.",
            },
        },
        description="What the cache has done and holds: overall, and by pipeline.",
    ),
    "Tier": strict(_TIER, description="What a tier beyond memory has done and holds."),
    "Figures": strict(_FIGURES, description="The figures of one pipeline."),
    "Config": strict(
        {field.name: field.schema() for field in CONFIG_FIELDS}, description="The configuration in force."
    ),
    "ConfigChange": of_fields(CONFIG_FIELDS, description="Any of the settings, at least one.", at_least=1),
    "ClearRequest": of_fields(CLEAR_FIELDS, description="What to clear."),
    "Cleared": strict({"cleared": count("Entries that were removed.")}),
    "PurgeRequest": strict(
        {field.name: field.schema() for field in PURGE_FIELDS},
        optional=("pipeline", "soft"),
        description="What to purge.",
    ),
    "Purged": strict(
        {
            "groups": _list_of({"type": "string"}, "The groups, each once."),
            "soft": {"type": "boolean", "description": "Whether their results expired instead."},
            "at": {"type": "string", "format": "date-time", "description": "When it was."},
        }
    ),
    "Entry": strict(_ENTRY, optional=("content_type",), description="What is known of one entry."),
    "EntryPage": strict(
        {
            "entries": _list_of(ref("Entry"), "The page, in the order asked for."),
            "total": count("Entries held in all (of the pipeline and the group, where they were named)."),
            "limit": count("As asked for."),
            "offset": count("As asked for."),
        }
    ),
    "Pipelines": strict({"pipelines": _list_of(ref("Pipeline"), "Every pipeline.")}),
    "Pipeline": strict(_PIPELINE, optional=_OF_CONFIGURED_PIPELINES, description="A named generator."),
    "Parameter": strict(
        _PARAMETER, optional=("default", "unit", "minimum", "maximum", "choices"), description="One query member."
    ),
    "Alive": strict({"status": {"const": "alive", "description": "The process answers."}}),
    "Ready": strict(
        {
            "status": {"const": "ready", "description": "It can serve."},
            "checks": {"type": "object", "description": "What was checked, and how each came out."},
        }
    ),
    "Problem": strict(
        _PROBLEM,
        optional=[name for name in _PROBLEM if name not in _PROBLEM_ALWAYS],
        description="An error (RFC 9457).",
    ),
}
