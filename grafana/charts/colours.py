"""Grafana's names of colours, and a shade of each for light pages and for dark ones."""

from __future__ import annotations

#: By name: about what Grafana's dark theme shows.
DARK = {
    "green": "#73bf69", "dark-green": "#37872d", "yellow": "#f2cc0c", "red": "#f2495c", "blue": "#5794f2",
    "orange": "#ff9830", "purple": "#b877d9", "light-blue": "#8ab8ff", "light-green": "#96d98d",
    "light-orange": "#ffb357",
}  # fmt: skip
#: The same on white: each has a contrast of at least 3 to 1.
LIGHT = {
    "green": "#2f8a3c", "dark-green": "#1f6b2c", "yellow": "#a67c00", "red": "#c4162a", "blue": "#1f60c4",
    "orange": "#d2560a", "purple": "#8f3bb8", "light-blue": "#4a86d8", "light-green": "#4f9a4a",
    "light-orange": "#c77a1e",
}  # fmt: skip
#: Every name.
COLOURS = tuple(DARK)
#: Colours of lines that have none of their own, in this order.
PALETTE = (
    "blue", "orange", "green", "purple", "yellow", "red", "light-blue", "light-green", "light-orange", "dark-green",
)  # fmt: skip
