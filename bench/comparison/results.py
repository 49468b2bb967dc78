"""A run's results as a file: the machine, the options, and every sample."""

import dataclasses
import json

from .rounds import Sample


@dataclasses.dataclass
class Results:
    """`options` are rounds, seconds of a sample, and the disk's size; `syncs` is what was counted for FUA writes."""
    machine: dict
    versions: dict
    options: dict
    samples: list
    syncs: dict | None = None

    def save(self, path):
        fields = {**dataclasses.asdict(self), "samples": None}
        text = json.dumps(fields, indent=1)
        # a sample on a line, so that a run's file can be read and compared
        lines = ",\n  ".join(json.dumps(dataclasses.asdict(sample)) for sample in self.samples)
        path.write_text(text.replace('"samples": null', f'"samples": [\n  {lines}\n ]') + "\n")


def load(path):
    fields = json.loads(path.read_text())
    fields["samples"] = [Sample(**sample) for sample in fields["samples"]]
    return Results(**fields)
