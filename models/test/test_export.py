"""The exporter on a tiny random model with an adapter: every form against PyTorch, names, sharing, restoring."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: models/setup.sh")
pytest.importorskip("peft", reason="PEFT is not installed: models/setup.sh")

import onnx  # noqa: E402
from peft import get_peft_model  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402

from models.demo.model import ADAPTERS, build_model, build_processor  # noqa: E402
from models.export.check import decoder_error, embedding_error, session, vision_error  # noqa: E402
from models.export.families import family_of  # noqa: E402
from models.export.graph import GraphOptions  # noqa: E402
from models.export.restore import restore  # noqa: E402
from models.export.run import ExportRequest, export, load  # noqa: E402

DEMO = Path(__file__).parents[1] / "fixtures" / "demo"
DECODER = "decoder_model_merged"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A random model's folder and that of an adapter with random A, B and m."""
    base, adapter = tmp_path_factory.mktemp("base"), tmp_path_factory.mktemp("adapter")
    tokenizer = AutoTokenizer.from_pretrained(DEMO)
    model = build_model(tokenizer, seed=1)
    model.save_pretrained(base)
    build_processor(tokenizer).save_pretrained(base)
    wrapped = get_peft_model(model, ADAPTERS["reading"])
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.05)
            if "magnitude" in name:
                parameter.mul_(1 + 0.2 * torch.randn_like(parameter))
    wrapped.save_pretrained(adapter)
    return base, adapter


@pytest.fixture(scope="module")
def exported(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    base, adapter = folders
    out = tmp_path_factory.mktemp("export")
    export(ExportRequest(base, out))
    export(ExportRequest(base, out, adapter, only=frozenset({DECODER}), suffix="_adapted"))
    return out


def test_graphs_equal_pytorch(folders: tuple[Path, Path], exported: Path) -> None:
    base, adapter = folders
    model, adapted = load(base), load(base, adapter)
    assert vision_error(model, session(exported / "onnx/vision_encoder.onnx")) < 1e-4
    assert embedding_error(model, session(exported / "onnx/embed_tokens.onnx")) == 0
    for reference, suffix in ((model, ""), (adapted, "_adapted")):
        error, differing = decoder_error(reference, session(exported / f"onnx/{DECODER}{suffix}.onnx"))
        assert (error < 1e-4, differing) == (True, 0)


def test_adapter_weights_keep_their_names_and_are_inside(exported: Path) -> None:
    graph = onnx.load(exported / f"onnx/{DECODER}_adapted.onnx", load_external_data=False).graph
    path = "model.text_model.layers.1.mlp.down_proj"
    tensors = {t.name: t for t in graph.initializer}
    for part in ("lora_A.default", "lora_B.default", "lora_magnitude_vector.default"):
        assert tensors[f"{path}.{part}.weight"].data_location == onnx.TensorProto.DEFAULT
    assert tensors[f"{path}.base_layer.weight"].data_location == onnx.TensorProto.EXTERNAL


def test_weights_are_stored_once(exported: Path) -> None:
    names = sorted(path.name for path in (exported / "onnx").glob("*_data"))
    assert names == [f"{DECODER}.onnx_data", "vision_encoder.onnx_data"]


def test_restored_model_has_the_same_weights(folders: tuple[Path, Path], exported: Path) -> None:
    expected, found = load(folders[0]).state_dict(), restore(exported).state_dict()
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_exports_are_reproducible(folders: tuple[Path, Path], exported: Path, tmp_path: Path) -> None:
    base, adapter = folders
    export(ExportRequest(base, tmp_path))
    export(ExportRequest(base, tmp_path, adapter, only=frozenset({DECODER}), suffix="_adapted"))
    for path in sorted((tmp_path / "onnx").iterdir()):
        assert path.read_bytes() == (exported / "onnx" / path.name).read_bytes(), path.name


@pytest.mark.parametrize(
    "graph",
    [GraphOptions("dynamo", optimize=True), GraphOptions("legacy"), GraphOptions("legacy", optimize=True)],
    ids=["dynamo optimized", "legacy", "legacy folded"],
)
def test_other_forms_of_the_decoder(folders: tuple[Path, Path], tmp_path: Path, graph: GraphOptions) -> None:
    base, adapter = folders
    export(ExportRequest(base, tmp_path, adapter, graph, only=frozenset({DECODER})))
    error, differing = decoder_error(load(base, adapter), session(tmp_path / f"onnx/{DECODER}.onnx"))
    assert (error < 1e-4, differing) == (True, 0)


def test_half_precision(folders: tuple[Path, Path], tmp_path: Path) -> None:
    base, adapter = folders
    export(ExportRequest(base, tmp_path, adapter, dtype="fp16", only=frozenset({DECODER})))
    error, _ = decoder_error(load(base, adapter), session(tmp_path / f"onnx/{DECODER}.onnx"))
    assert error < 2e-2


def test_unknown_part_and_family_are_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no part named encoder"):
        export(ExportRequest(folders[0], tmp_path, only=frozenset({"encoder"})))
    with pytest.raises(ValueError, match="no export family for model_type 'bert'"):
        family_of("bert")
