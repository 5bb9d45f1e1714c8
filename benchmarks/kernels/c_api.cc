// The CUDA operators as C functions, for operators.py.
#include "ort_dora/cuda/kernels.h"
#include "ort_dora/cuda/linear_gemm.h"

namespace cuda = ort_dora::cuda;

#define ORT_DORA_BENCH_OP(NAME, OP)                                                                                     \
  size_t NAME##_workspace(const cuda::Cuda##OP##Problem* p) { return cuda::OP##Workspace(*p); }                          \
  int NAME(const cuda::Cuda##OP##Problem* p, void* workspace, size_t bytes, void* stream) {                             \
    return static_cast<int>(cuda::OP(*p, workspace, bytes, static_cast<cudaStream_t>(stream)));                         \
  }

extern "C" {
ORT_DORA_BENCH_OP(dora_linear, Linear)
// The kernel for many rows alone, whatever the number of rows: what the choice among kernels rests on.
size_t dora_linear_gemm_workspace(const cuda::CudaLinearProblem* p) { return cuda::LinearGemmSupports(*p) ? cuda::LinearGemmWorkspace(*p) : 0; }
int dora_linear_gemm(const cuda::CudaLinearProblem* p, void* workspace, size_t bytes, void* stream) {
  if (!cuda::LinearGemmSupports(*p)) return cudaErrorNotSupported;
  return static_cast<int>(cuda::LinearGemm(*p, workspace, bytes, static_cast<cudaStream_t>(stream)));
}
ORT_DORA_BENCH_OP(dora_scale, Scale)
ORT_DORA_BENCH_OP(dora_compose, Compose)
ORT_DORA_BENCH_OP(dora_compose_grad, ComposeGrad)
ORT_DORA_BENCH_OP(dora_linear_bank, LinearBank)
}
