"""A stacked bar of shipments by state, with a legend. The SVG has no text: both PDF engines draw it alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# In the order of the lifecycle: from grey over blue to green, exceptions in warm colours.
COLOURS: Final[Mapping[str, str]] = {
    "draft": "#c7ced9",
    "booked": "#9aa8bd",
    "dispatched": "#8fb4ee",
    "at_pickup": "#6d9ae6",
    "in_transit": "#1d5fd1",
    "at_facility": "#174a9f",
    "out_for_delivery": "#12294f",
    "at_delivery": "#0f7f8c",
    "delivery_attempted": "#e8b23a",
    "available_for_pickup": "#59c3c3",
    "partially_delivered": "#8bd3a8",
    "delivered": "#35a57f",
    "returning": "#e08a3c",
    "returned": "#b9652a",
    "cancelled": "#8d8f98",
    "lost": "#a8241c",
}
_OTHER: Final = "#55627a"
WIDTH: Final = 1000


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars `(x, width, colour)` in thousandths, and the legend `(name, count, colour)` in the same order."""

    bars: list[tuple[str, str, str]]
    legend: list[tuple[str, str, str]]
    text: str

    @property
    def svg(self) -> str:
        """The bars as an SVG, 1000 by 10."""
        shapes = "".join(f'<rect x="{x}" width="{w}" height="10" fill="{fill}"/>' for x, w, fill in self.bars)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="10" viewBox="0 0 {WIDTH} 10"'
            f' preserveAspectRatio="none">{shapes}</svg>'
        )


def state_chart(counts: Mapping[str, int]) -> Chart:
    """Return the chart of the counts by state, in the order of the lifecycle; other states come last."""
    order = {state: place for place, state in enumerate(COLOURS)}
    states = sorted((state for state in counts if counts[state]), key=lambda state: order.get(state, len(order)))
    total, offset = sum(counts.values()), 0
    bars, legend = [], []
    for state in states:
        colour = COLOURS.get(state, _OTHER)
        x, end = (WIDTH * part / total for part in (offset, offset + counts[state]))
        bars.append((f"{x:.2f}", f"{end - x:.2f}", colour))
        legend.append((state_label(state), f"{counts[state]:,}", colour))
        offset += counts[state]
    if not bars:
        bars.append(("0", str(WIDTH), "#e9edf3"))
    text = ", ".join(f"{number} {name}" for name, number, _ in legend) or "Nothing to count"
    return Chart(bars, legend, text)


def state_label(state: str) -> str:
    """Return a state as words: `in_transit` is `in transit`."""
    return state.replace("_", " ")
