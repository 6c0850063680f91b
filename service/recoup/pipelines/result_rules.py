"""What a pipeline's options say of its results: which are stored, and what their generation costs in money."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from recoup.pipelines.aside import AT_HOME, Aside
from recoup.pipelines.examination import Examination, Examiner, Finding
from recoup.pipelines.json_pointer import Path, pointer_text
from recoup.pipelines.pointer_options import JSON_RULE, by_pointer, json_values, pointers
from recoup.pipelines.price import Price, read_price
from recoup.pipelines.protocol import Result

if TYPE_CHECKING:
    from recoup.pipelines.definition import OptionTable


class ResultRules:
    """The rules of one pipeline. They never change.

    Args:
        unless: Paths: a result that has something at one of them is not stored.
        only_if: Values by path: a result is stored only if it has one of them at each.
        price: What a generation costs; None: nothing that is known.
    """

    def __init__(
        self,
        unless: Iterable[Path] = (),
        only_if: Mapping[Path, list[Any]] | None = None,
        price: Price | None = None,
    ) -> None:
        self._unless, self._only_if = tuple(unless), dict(only_if or {})
        self.price = price
        self._examiner = Examiner(self._unless, self._only_if, () if price is None else price.counted)

    def begin(self, content_type: str) -> Examination:
        """Begin to look at a result of a content type."""
        return self._examiner.begin(content_type)

    async def apply(self, result: Result, aside: Aside = AT_HOME) -> Result:
        """A result that is whole, with what the rules say of it.

        Args:
            result: The result.
            aside: Where long JSON is read.
        """
        if not self._examiner:
            return self.priced(result, _NOTHING_FOUND)
        examination = self.begin(result.content_type)
        await examination.feed_as_it_comes(result.body, aside)
        finding = await examination.finish_as_it_came(result.body, aside)
        result = self.priced(result, finding)
        if result.kept_out or not finding.kept_out:
            return result
        return replace(result, storable=False, kept_out=finding.kept_out)

    def priced(self, result: Result, finding: Finding) -> Result:
        """A result with what its generation costs."""
        price = self.price
        if price is None:
            return result
        return replace(result, price=price.of_units(finding.units), price_per_second=price.per_second)

    def describe(self) -> dict[str, Any]:
        """What was configured, as the options have it; but for the price, which is nobody else's business."""
        return {
            "store_unless": [pointer_text(path) for path in self._unless],
            "store_only_if": {pointer_text(path): values for path, values in self._only_if.items()},
        }


#: Everything is stored, and nothing has a price.
NO_RULES = ResultRules()
_NOTHING_FOUND = Finding("", ())


def result_rules(options: OptionTable) -> ResultRules:
    """The rules of a pipeline: its options `store_unless`, `store_only_if` and `price`."""
    return ResultRules(
        pointers(options, "store_unless"),
        by_pointer(
            options, "store_only_if", json_values, f"a list of values, not empty; of each {JSON_RULE}", about="lists"
        ),
        read_price(options),
    )
