"""A dashboard: its panels laid out in rows, and what all dashboards have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from grafana.annotations import marks
from grafana.panels import Panel
from grafana.sdk import dashboard, model
from grafana.variables import variables

TAG = "recoup"
#: The grid's columns.
WIDTH = 24


@dataclass(frozen=True)
class Strip:
    """Panels of one height side by side; their widths add up to the grid's."""

    height: int
    panels: Sequence[tuple[int, Panel]]
    heading: str = ""


@dataclass(frozen=True)
class Board:
    """A dashboard in the making.

    Attributes:
        name: Its file's name, and the end of its uid.
        title: The name by which it is found.
        question: What it answers, in one sentence.
        strips: Its panels, from above.
        since: Where its time range begins.
        marks: Annotations beside those that all dashboards have.
    """

    name: str
    title: str
    question: str
    strips: Sequence[Strip]
    since: str = "now-3h"
    marks: Sequence[dashboard.AnnotationQuery] = field(default=())

    @property
    def uid(self) -> str:
        """Its address: `/d/<uid>`. Alerts and links name it."""
        return f"recoup-{self.name}"

    def build(self) -> model.Dashboard:
        """The dashboard in the SDK's terms."""
        built = dashboard.Dashboard(f"Recoup: {self.title}").uid(self.uid).description(self.question).tags([TAG])
        built = built.readonly().timezone("browser").time(self.since, "now").refresh("30s").link(_others())
        built = built.tooltip(model.DashboardCursorSync.CROSSHAIR).variables(list(variables()))
        return self._laid_out(built.annotations([*marks(), *self.marks])).build()

    def _laid_out(self, built: dashboard.Dashboard) -> dashboard.Dashboard:
        top = number = 0
        for strip in self.strips:
            if strip.heading:
                number, place = number + 1, model.GridPos(h=1, w=WIDTH, x=0, y=top)
                built = built.with_row(dashboard.Row(strip.heading).id(number).grid_pos(place))
                top += 1
            left = 0
            for width, panel in strip.panels:
                number, place = number + 1, model.GridPos(h=strip.height, w=width, x=left, y=top)
                built = built.with_panel(panel.id(number).grid_pos(place))
                left += width
            top += strip.height
        return built


def _others() -> dashboard.DashboardLink:
    """All dashboards of Recoup, side by side at the top; range and variables are kept."""
    link = dashboard.DashboardLink("Recoup").type(model.DashboardLinkType.DASHBOARDS).tags([TAG])
    return link.as_dropdown(False).include_vars(True).keep_time(True).icon("dashboard").tooltip("")


def link_to(name: str, title: str) -> dashboard.DashboardLink:
    """A link from a panel to the dashboard that explains its figure."""
    link = dashboard.DashboardLink(title).type(model.DashboardLinkType.LINK)
    return link.url(f"/d/recoup-{name}?${{__url_time_range}}&${{__all_variables}}")
