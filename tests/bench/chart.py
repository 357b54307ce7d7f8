"""Charts of the benches, as small SVGs that are the same for the same figures. They need matplotlib (Debian's
python3-matplotlib); without it none is drawn, and a line says so."""

import contextlib
import os
import sys

try:
    import matplotlib.figure
except ImportError:
    matplotlib = None

OURS, OTHERS = "#b3541e", "#5b7c99"  # twi-data's bars, and the rest
STYLE = {
    "svg.fonttype": "none",  # text stays text: small, and in the reader's own font
    "svg.hashsalt": "twi-data",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@contextlib.contextmanager
def drawn(path, title, height):
    """The axes of a chart, which is written on leaving; None where there is no matplotlib."""
    if matplotlib is None:
        print(f"no {path.name}: matplotlib is not installed (python3-matplotlib)", file=sys.stderr)
        yield None
        return
    with matplotlib.rc_context(STYLE):
        # Opaque, for pages are dark as well as light.
        figure = matplotlib.figure.Figure(figsize=(8, height), facecolor="white", layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(title, loc="left", fontweight="bold")
        yield axes
        figure.savefig(path, format="svg", metadata={"Creator": None, "Date": None})
    print(f"written: {os.path.relpath(path)}")


def bars(path, title, unit, groups):
    """A horizontal bar for each of {label: value}, the first on top."""
    with drawn(path, title, 0.9 + 0.32 * len(groups)) as axes:
        if axes is None:
            return
        labels = list(groups)
        colours = [OURS if label.startswith("twi-data") else OTHERS for label in labels]
        drawn_bars = axes.barh(labels, list(groups.values()), color=colours, height=0.7)
        axes.bar_label(drawn_bars, [f"{value:,.0f}" for value in groups.values()], padding=4)
        axes.set_xlabel(unit)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.margins(x=0.12, y=0.02)
        axes.invert_yaxis()


def lines(path, title, x_label, y_label, series):
    """A line through the points of each of {name: [(x, y), ...]}, both axes logarithmic."""
    with drawn(path, title, 4) as axes:
        if axes is None:
            return
        for (name, points), marker in zip(series.items(), "osD^vPX*<>" * len(series)):
            axes.plot(*zip(*points), marker=marker, markersize=5, label=name)
        axes.set(xscale="log", yscale="log", xlabel=x_label, ylabel=y_label)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
