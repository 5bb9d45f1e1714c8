"""What the commands of this folder share: their arguments, and the JSON that they write."""

import argparse
import datetime
import json
import math
import subprocess
from pathlib import Path

import torch


def arguments():
    """A parser that knows LIBRARY, --json and --commit (of the library's sources)."""
    parser = argparse.ArgumentParser()
    parser.add_argument("library")
    parser.add_argument("--json")
    parser.add_argument("--commit", default="unknown")
    return parser


def write(options, **content):
    """Where --json says: what was measured, on which machine, when and of which commit."""
    if not options.json:
        return
    date = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    made = {"commit": options.commit, "date": date, "machine": machine(), "torch": torch.__version__}
    Path(options.json).write_text(json.dumps({**made, **content}, indent=1) + "\n")


def machine():
    """The first GPU, as nvidia-smi describes it."""
    query = "name,driver_version,clocks.sm,clocks.mem,clocks.max.sm"
    fields = subprocess.run(
        ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"], capture_output=True, text=True, check=True
    )
    return dict(zip(query.split(","), (v.strip() for v in fields.stdout.split("\n")[0].split(","))))


def geometric_mean(values):
    """Of positive numbers."""
    return math.exp(sum(math.log(v) for v in values) / len(values))
