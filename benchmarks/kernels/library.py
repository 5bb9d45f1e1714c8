"""The CUDA operators of libort_dora_kernels_bench.so on PyTorch tensors."""

import ctypes

import torch

DTYPES = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}


class Matrix(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("dtype", ctypes.c_int),
        ("rows", ctypes.c_int64),
        ("cols", ctypes.c_int64),
        ("transposed", ctypes.c_bool),
    ]

    @staticmethod
    def of(tensor, transposed=False):
        """A view of `tensor`: as it is, or of its transpose, which is how an ONNX MatMul stores its weight."""
        rows, cols = tensor.shape[::-1] if transposed else tensor.shape
        return Matrix(tensor.data_ptr(), DTYPES[tensor.dtype], rows, cols, transposed)


class Vector(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("dtype", ctypes.c_int)]


class ScaleProblem(ctypes.Structure):
    _fields_ = [
        ("W", Matrix),
        ("A", Matrix),
        ("B", Matrix),
        ("m", Vector),
        ("scaling", ctypes.c_float),
        ("g", ctypes.c_void_p),
    ]


class LinearProblem(ctypes.Structure):
    _fields_ = [
        ("x", ctypes.c_void_p),
        ("W", Matrix),
        ("A", Matrix),
        ("B", Matrix),
        ("g", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("y", ctypes.c_void_p),
        ("dtype", ctypes.c_int),
        ("rows", ctypes.c_int64),
        ("scaling", ctypes.c_float),
    ]


class ComposeProblem(ctypes.Structure):
    _fields_ = [
        ("base", ctypes.c_void_p),
        ("lora", ctypes.c_void_p),
        ("g", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
        ("dtype", ctypes.c_int),
        ("lora_dtype", ctypes.c_int),
        ("outer", ctypes.c_int64),
        ("channels", ctypes.c_int64),
        ("inner", ctypes.c_int64),
        ("scaling", ctypes.c_float),
        ("base_has_bias", ctypes.c_bool),
    ]


class ComposeGradProblem(ctypes.Structure):
    _fields_ = [
        ("dy", ctypes.c_void_p),
        ("base", ctypes.c_void_p),
        ("lora", ctypes.c_void_p),
        ("g", ctypes.c_void_p),
        ("d_base", ctypes.c_void_p),
        ("d_lora", ctypes.c_void_p),
        ("d_g", ctypes.c_void_p),
        ("dtype", ctypes.c_int),
        ("lora_dtype", ctypes.c_int),
        ("rows", ctypes.c_int64),
        ("channels", ctypes.c_int64),
        ("scaling", ctypes.c_float),
    ]


class AdapterBank(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("bank", "gains", "scaling", "rank", "slot")]
    _fields_ += [("dtype", ctypes.c_int)]
    _fields_ += [
        (name, ctypes.c_int64)
        for name in ("slots", "row_elements", "row_gains", "runs", "offset_a", "offset_b", "offset_g", "max_rank")
    ]


class LinearBankProblem(ctypes.Structure):
    _fields_ = [
        ("x", ctypes.c_void_p),
        ("W", Matrix),
        ("adapters", AdapterBank),
        ("bias", ctypes.c_void_p),
        ("y", ctypes.c_void_p),
        ("dtype", ctypes.c_int),
        ("rows", ctypes.c_int64),
    ]


class Library:
    def __init__(self, path):
        self._library = ctypes.CDLL(path)
        for name in (
            "dora_linear",
            "dora_linear_gemm",
            "dora_scale",
            "dora_compose",
            "dora_compose_grad",
            "dora_linear_bank",
        ):
            getattr(self._library, name).argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
            getattr(self._library, f"{name}_workspace").restype = ctypes.c_size_t
            getattr(self._library, f"{name}_workspace").argtypes = [ctypes.c_void_p]

    def prepare(self, name, problem):
        """A function that enqueues the operator on the current stream; its `workspace` is the tensor of scratch."""
        address = ctypes.byref(problem)
        size = getattr(self._library, f"{name}_workspace")(address)
        workspace = torch.empty(max(size, 1), dtype=torch.uint8, device="cuda")
        function = getattr(self._library, name)

        def call():
            status = function(address, workspace.data_ptr(), size, torch.cuda.current_stream().cuda_stream)
            if status != 0:
                raise RuntimeError(f"{name}: cudaError {status}")

        call.workspace = workspace
        call.problem = problem
        return call

    def linear(self, x, W, A, B, g, y, scaling, trans=(False, False, False), name="dora_linear"):
        p = LinearProblem(
            x.data_ptr(),
            Matrix.of(W, trans[0]),
            Matrix.of(A, trans[1]),
            Matrix.of(B, trans[2]),
            g.data_ptr(),
            None,  # bias
            y.data_ptr(),
            DTYPES[x.dtype],
            x.shape[0],
            scaling,
        )
        return self.prepare(name, p)

    def scale(self, W, A, B, m, g, scaling, trans=(False, False, False)):
        p = ScaleProblem(
            Matrix.of(W, trans[0]),
            Matrix.of(A, trans[1]),
            Matrix.of(B, trans[2]),
            Vector(m.data_ptr(), DTYPES[m.dtype]),
            scaling,
            g.data_ptr(),
        )
        return self.prepare("dora_scale", p)

    def compose(self, base, lora, g, out, scaling):
        p = ComposeProblem(
            base.data_ptr(),
            lora.data_ptr(),
            g.data_ptr(),
            None,  # bias
            out.data_ptr(),
            DTYPES[base.dtype],
            DTYPES[lora.dtype],
            base.shape[0],
            base.shape[1],
            1,
            scaling,
            False,  # the base has no bias
        )
        return self.prepare("dora_compose", p)

    def compose_grad(self, dy, base, lora, g, d_base, d_lora, d_g, scaling):
        p = ComposeGradProblem(
            dy.data_ptr(),
            base.data_ptr(),
            lora.data_ptr(),
            g.data_ptr(),
            d_base.data_ptr(),
            d_lora.data_ptr(),
            d_g.data_ptr(),
            DTYPES[dy.dtype],
            DTYPES[lora.dtype],
            dy.shape[0],
            dy.shape[1],
            scaling,
        )
        return self.prepare("dora_compose_grad", p)

    def linear_bank(self, x, W, bank, gains, scaling, rank, slot, y, max_rank, trans=False):
        """One module that takes all of every bank row: A [max_rank,in], then B [out,max_rank]."""
        inner = x.shape[1]
        adapters = AdapterBank(
            *(t.data_ptr() for t in (bank, gains, scaling, rank, slot)),
            DTYPES[bank.dtype],
            *bank.shape,
            gains.shape[1],
            slot.shape[0],
            0,
            max_rank * inner,
            0,
            max_rank,
        )
        p = LinearBankProblem(
            x.data_ptr(), Matrix.of(W, trans), adapters, None, y.data_ptr(), DTYPES[x.dtype], x.shape[0]
        )
        return self.prepare("dora_linear_bank", p)
