"""What scenes found: figures, and the goals that they are held to."""

import dataclasses
import statistics


@dataclasses.dataclass
class Finding:
    """One figure. With a goal (`at_least` or `at_most`) it counts as met or short."""
    scene: str
    what: str
    value: float
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""

    @property
    def verdict(self):
        if self.at_least is None and self.at_most is None:
            return ""
        high = self.at_least is None or self.value >= self.at_least
        low = self.at_most is None or self.value <= self.at_most
        return "met" if high and low else "SHORT"

    @property
    def goal(self):
        words = []
        if self.at_least is not None:
            words.append(f">= {number(self.at_least)}")
        if self.at_most is not None:
            words.append(f"<= {number(self.at_most)}")
        return ", ".join(words)

    def __str__(self):
        goal = f"  {self.verdict} ({self.goal})" if self.verdict else ""
        note = f"  {self.note}" if self.note else ""
        return f"{self.scene:10} {self.what:58} {number(self.value):>10} {self.unit:6}{goal}{note}"

    def as_json(self):
        return {**dataclasses.asdict(self), "verdict": self.verdict}


def number(value):
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


class Findings:
    """Collects what a scene finds, and shows it at once."""

    def __init__(self, scene, quick, show):
        self.scene, self.quick, self.show, self.all = scene, quick, show, []

    def add(self, what, value, unit="", **goal):
        finding = Finding(self.scene, what, value, unit, **goal)
        self.all.append(finding)
        self.show(str(finding))
        return finding

    def rounds(self, full):
        return max(1, full // 5) if self.quick else full


def median(values):
    return statistics.median(values)


def spread(values):
    """The least and the largest, for a note."""
    return f"[{number(min(values))} .. {number(max(values))}]"
