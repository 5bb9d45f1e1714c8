"""Runs samples through tritonclient, as JSON and as binary data, and compares with the expected outputs.

    pip install 'tritonclient[http]'
    ort-dora serve models/fixtures/samples --port 8080       # or startServer({ models: 'models/fixtures/samples', allowFailedModels: true })
    python packages/server/test/clients/triton_http.py localhost:8080 models/fixtures/samples

Prints one line a check; the exit code is 1 when one failed.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tritonclient.http as http
from tritonclient.utils import InferenceServerException

SAMPLES = ["c05_linear_bias_dynamo_640", "m10b_smolvlm_dynamo_mixed", "m13_llama_kvcache_dynamo"]
HALF = ("FP16", "BF16")

failures = 0


def check(what, passed, detail=""):
    global failures
    failures += not passed
    print("ok    " if passed else "FAILED", what, detail)


def infer(client, sample, metadata, arrays, binary, compression=None):
    """Half precision has no JSON form: those tensors are always binary."""
    inputs = []
    for spec in metadata["inputs"]:
        array = arrays[spec["name"]]
        tensor = http.InferInput(spec["name"], list(array.shape), spec["datatype"])
        tensor.set_data_from_numpy(array, binary_data=binary or spec["datatype"] in HALF)
        inputs.append(tensor)
    outputs = [
        http.InferRequestedOutput(spec["name"], binary_data=binary or spec["datatype"] in HALF) for spec in metadata["outputs"]
    ]
    return client.infer(
        sample, inputs, outputs=outputs, request_id="a-1", request_compression_algorithm=compression
    )


def check_sample(client, folder, sample):
    metadata = client.get_model_metadata(sample)
    tolerance = json.loads((folder / sample / "meta.json").read_text())["tolerance"]["max_abs_over_absmax"]
    for suffix in ("", "_2"):
        arrays = np.load(folder / sample / f"inputs{suffix}.npz")
        expected = np.load(folder / sample / f"expected{suffix}.npz")
        results = {}
        for form, binary, compression in (("json", False, None), ("binary", True, None), ("gzip", True, "gzip")):
            result = infer(client, sample, metadata, arrays, binary, compression)
            check(f"{sample}{suffix} {form}: id", result.get_response()["id"] == "a-1")
            for spec in metadata["outputs"]:
                name = spec["name"]
                actual = result.as_numpy(name)
                reference = expected[name].astype(np.float64)
                error = np.abs(actual - reference).max() / np.abs(reference).max()
                check(f"{sample}{suffix} {form}: {name}", actual.shape == reference.shape and error <= tolerance, f"{error:.1e}")
                results.setdefault(name, []).append(actual)
        for name, forms in results.items():
            same = all(np.array_equal(forms[0], other) for other in forms[1:])
            check(f"{sample}{suffix}: {name} is the same in every form", same)


def main():
    url, folder = sys.argv[1], Path(sys.argv[2])
    client = http.InferenceServerClient(url, concurrency=4)
    check("live", client.is_server_live())
    check("ready", client.is_server_ready())
    check("extensions", "binary_tensor_data" in client.get_server_metadata()["extensions"])
    index = {model["name"]: model["state"] for model in client.get_model_repository_index()}
    check("repository index", all(index[sample] == "READY" for sample in SAMPLES))
    check("model ready", client.is_model_ready(SAMPLES[0]) and client.is_model_ready(SAMPLES[0], "1"))
    check("unknown model is not ready", not client.is_model_ready("no-such-model"))

    for sample in SAMPLES:
        check_sample(client, folder, sample)

    x = np.zeros((1, 2, 640), dtype=np.float32)
    tensor = http.InferInput("x", list(x.shape), "FP32").set_data_from_numpy(x)
    check("default outputs are binary", client.infer(SAMPLES[0], [tensor]).as_numpy("y").shape == (1, 2, 64))
    pending = [client.async_infer(SAMPLES[0], [tensor]) for _ in range(8)]
    check("8 at once", all(one.get_result().as_numpy("y").shape == (1, 2, 64) for one in pending))

    nan = np.full((1, 1, 640), np.nan, dtype=np.float32)
    for binary in (False, True):
        tensor = http.InferInput("x", [1, 1, 640], "FP32").set_data_from_numpy(nan, binary_data=binary)
        output = http.InferRequestedOutput("y", binary_data=binary)
        actual = client.infer(SAMPLES[0], [tensor], outputs=[output]).as_numpy("y")
        check(f"NaN stays NaN, binary {binary}", bool(np.isnan(actual.astype(np.float32)).all()))

    wrong = http.InferInput("x", [1, 2], "FP32").set_data_from_numpy(np.zeros((1, 2), dtype=np.float32))
    try:
        client.infer(SAMPLES[0], [wrong])
        check("a wrong rank is refused", False)
    except InferenceServerException as error:
        check("a wrong rank is refused", error.status() == "400" and 'input "x"' in error.message(), error.message())
    sys.exit(failures > 0)


main()
