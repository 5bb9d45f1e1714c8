"""Runs the cases of a list (see cases.mjs) in the onnxruntime that is importable; a JSON object a line for each.

usage: run_python.py CASES.tsv [OPERATOR_LIBRARY]
"""

import json
import sys

import numpy as np
import onnxruntime as ort

TYPES = {"float32": np.float32, "float16": np.float16, "int64": np.int64, "int32": np.int32, "bool": np.bool_}


def cases(path):
    found = []
    for line in open(path, encoding="utf-8"):
        kind, *fields = line.rstrip("\n").split("\t")
        if kind == "case":
            name, model, tolerance = fields
            found.append({"name": name, "model": model, "tolerance": float(tolerance), "feeds": {}, "expected": {}})
        elif kind == "input":
            name, dtype, dims, file = fields
            shape = [int(dim) for dim in dims.split(",")] if dims else []
            found[-1]["feeds"][name] = np.fromfile(file, TYPES[dtype]).reshape(shape)
        else:
            name, file = fields
            found[-1]["expected"][name] = np.fromfile(file, np.float64)
    return found


def run(case, library):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    if library is not None:
        options.register_custom_ops_library(library)
    session = ort.InferenceSession(case["model"], options, providers=["CPUExecutionProvider"])
    names = list(case["expected"])
    worst = 0.0
    for name, value in zip(names, session.run(names, case["feeds"]), strict=True):
        expected = case["expected"][name]
        difference = np.abs(value.astype(np.float64).ravel() - expected).max(initial=0.0)
        worst = max(worst, float(difference / np.abs(expected).max(initial=0.0)))
    return worst


def main(path, library=None):
    for case in cases(path):
        try:
            error = run(case, library)
            outcome = {"error": error, "passed": error <= case["tolerance"]}
        except Exception as failure:
            outcome = {"failure": str(failure), "passed": False}
        print(json.dumps({"case": case["name"], **outcome}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
