// The CUDA operators as C functions, for kernels.py.
#include "ort_dora/cuda/kernels.h"

namespace cuda = ort_dora::cuda;

#define ORT_DORA_BENCH_OP(NAME, OP)                                                                                     \
  size_t NAME##_workspace(const cuda::Cuda##OP##Problem* p) { return cuda::OP##Workspace(*p); }                          \
  int NAME(const cuda::Cuda##OP##Problem* p, void* workspace, size_t bytes, void* stream) {                             \
    return static_cast<int>(cuda::OP(*p, workspace, bytes, static_cast<cudaStream_t>(stream)));                         \
  }

extern "C" {
ORT_DORA_BENCH_OP(dora_linear, Linear)
ORT_DORA_BENCH_OP(dora_scale, Scale)
ORT_DORA_BENCH_OP(dora_compose, Compose)
ORT_DORA_BENCH_OP(dora_compose_grad, ComposeGrad)
}
