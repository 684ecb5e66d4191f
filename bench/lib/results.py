"""Results, medians, tables."""
import statistics


class Result:
    """
    One line of a benchmark's verdict.  `ratio` is what the target speaks of: at least `target`, or at most, when less is
    better; no target: told beside the others.  The benchmark's own ratio is that of the line that is `chief`.
    """

    def __init__(self, what, ratio, target=None, less_is_better=False, chief=False, peer=None, ours=None, unit=""):
        self.what, self.ratio, self.target, self.less_is_better, self.chief = what, ratio, target, less_is_better, chief
        self.peer, self.ours, self.unit = peer, ours, unit

    def reached(self):
        if self.target is None:
            return None
        return self.ratio <= self.target if self.less_is_better else self.ratio >= self.target

    def target_words(self):
        return "" if self.target is None else f"{'<=' if self.less_is_better else '>='} {self.target:g}"

    def reached_words(self):
        return {None: "", True: "yes", False: "no"}[self.reached()]

    def as_json(self):
        return {"what": self.what, "peer": self.peer, "ours": self.ours, "unit": self.unit, "ratio": self.ratio,
                "target": self.target, "less_is_better": self.less_is_better, "reached": self.reached(), "chief": self.chief}


def chief(results):
    """The ratio of the last line: of those that are chief, the one that is worst off."""
    chosen = [result for result in results if result.chief] or results
    worst = min if not chosen[0].less_is_better else max
    return worst(chosen, key=lambda result: result.ratio).ratio


def median(values):
    return statistics.median(values)


def number(value):
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def spread(values):
    """The median, and how far the rounds lie apart."""
    return f"{number(median(values))} ({number(min(values))}..{number(max(values))})"


def table(head, rows):
    """Text, first column to the left, the rest to the right."""
    cells = [list(map(str, row)) for row in [head, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(zip(row, widths))).rstrip()
        for row in cells
    )


def verdicts(results):
    return table(
        ["", "peer", "ours", "unit", "ratio", "to reach", "reached"],
        [[r.what, number(r.peer), number(r.ours), r.unit, f"{r.ratio:.2f}", r.target_words(), r.reached_words()] for r in results],
    )


def markdown(all_results):
    """The one table of all names, as bench/RESULTS.md has it."""
    lines = ["| name | what | peer | ours | unit | ratio | to reach | reached | cause |", "|---|---|--:|--:|---|--:|---|---|---|"]
    for name, results in all_results.items():
        lines += [
            f"| `{name}` | {r.what} | {number(r.peer)} | {number(r.ours)} | {r.unit} | {r.ratio:.2f} | {r.target_words()}"
            f" | {r.reached_words()} | |"
            for r in results
        ]
    return "\n".join(lines)
