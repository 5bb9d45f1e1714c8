"""One run of another tool over a model, for compare.mjs: `python other_tools.py TOOL MODEL OUT`, or `… versions`."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version


def onnxscript_rewriter(model: str, out: str) -> None:
    """onnxscript's default rules; weights stay where they are."""
    import onnx_ir
    from onnxscript import rewriter

    onnx_ir.save(rewriter.rewrite(onnx_ir.load(model)), out)


def onnxruntime_basic(model: str, out: str) -> None:
    """ONNX Runtime's optimizer at its basic level, saved to a file."""
    optimize_offline(model, out, "ORT_ENABLE_BASIC")


def onnxruntime_all(model: str, out: str) -> None:
    """ONNX Runtime's optimizer with everything, layouts for this machine included, saved to a file."""
    optimize_offline(model, out, "ORT_ENABLE_ALL")


def optimize_offline(model: str, out: str, level: str) -> None:
    """The documented way: a session that writes its graph and, beside it, the initializers."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.optimized_model_filepath = out
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "optimized.onnx_data")
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def onnxslim(model: str, out: str) -> None:
    """Onnxslim as its command line runs it; large models are saved with external data."""
    import onnxslim as tool

    tool.slim(model, out, save_as_external_data=True)


TOOLS = {tool.__name__: tool for tool in (onnxscript_rewriter, onnxruntime_basic, onnxruntime_all, onnxslim)}

if __name__ == "__main__":
    name, *files = sys.argv[1:]
    if name == "versions":
        print(json.dumps({package: version(package) for package in ("onnxscript", "onnxruntime", "onnxslim")}))
    else:
        TOOLS[name](*files)
