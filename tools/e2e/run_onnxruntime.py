"""Runs a model with Python's onnxruntime and prints how far its outputs are from recorded ones, as JSON.

usage: run_onnxruntime.py MODEL INPUTS.npz EXPECTED.npz
For every output: max |y - expected| / max |expected|, both computed in float64.
"""

import json
import sys

import numpy as np
import onnxruntime as ort


def main(model: str, inputs: str, expected: str) -> None:
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    feeds = dict(np.load(inputs))
    recorded = np.load(expected)
    names = [output.name for output in session.get_outputs()]
    errors = {}
    for name, value in zip(names, session.run(names, feeds), strict=True):
        reference = recorded[name].astype(np.float64)
        difference = np.abs(value.astype(np.float64) - reference).max(initial=0.0)
        errors[name] = float(difference / np.abs(reference).max(initial=0.0))
    print(json.dumps({"version": ort.__version__, "errors": errors}))


if __name__ == "__main__":
    main(*sys.argv[1:])
