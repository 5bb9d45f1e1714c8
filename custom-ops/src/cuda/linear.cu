// DoraLinear: the choice among its kernels.
#include <algorithm>

#include "ort_dora/cuda/kernels.h"
#include "ort_dora/cuda/linear_any.cuh"
#include "ort_dora/cuda/linear_gemm.h"
#include "ort_dora/cuda/linear_stream.cuh"
#include "ort_dora/cuda/linear_stream_transposed.cuh"

namespace ort_dora::cuda {

extern template cudaError_t LaunchStreamLinear<float>(const CudaLinearProblem&, void*, size_t, cudaStream_t);
extern template cudaError_t transposed::Launch<float>(const CudaLinearProblem&, void*, size_t, cudaStream_t);
extern template cudaError_t LaunchStreamLinear<__half>(const CudaLinearProblem&, void*, size_t, cudaStream_t);
extern template cudaError_t transposed::Launch<__half>(const CudaLinearProblem&, void*, size_t, cudaStream_t);
extern template cudaError_t LaunchStreamLinear<__nv_bfloat16>(const CudaLinearProblem&, void*, size_t, cudaStream_t);
extern template cudaError_t transposed::Launch<__nv_bfloat16>(const CudaLinearProblem&, void*, size_t, cudaStream_t);

namespace {

enum class Way { kStream, kStreamTransposed, kGemm, kAny };

// Measured on an H200 (docs/decisions/0010-cuda-kernels.md): what streams does so up to kStreamTokens; beyond, and where W is [in,out],
// the kernel for many rows is the faster one with 16-bit adapters.
constexpr int64_t kStreamTokens = 16;

Way Choose(const CudaLinearProblem& p) {
  const bool gemm = LinearGemmSupports(p), prefers_gemm = p.A.dtype == p.dtype && (p.rows > kStreamTokens || p.W.transposed);
  if (!(gemm && prefers_gemm)) {
    if (StreamLinearSupports(p)) return Way::kStream;
    if (transposed::Supports(p)) return Way::kStreamTransposed;
  }
  return gemm ? Way::kGemm : Way::kAny;
}

}  // namespace

size_t LinearWorkspace(const CudaLinearProblem& p) {
  switch (Choose(p)) {
    case Way::kStream:
      return StreamLinearBytes(p);
    case Way::kStreamTransposed:
      return transposed::WorkspaceBytes(p);
    case Way::kGemm:
      return LinearGemmWorkspace(p);
    default:
      return AnyLinearBytes(p);
  }
}

cudaError_t Linear(const CudaLinearProblem& p, void* workspace, size_t workspace_bytes, cudaStream_t stream) {
  switch (Choose(p)) {
    case Way::kStream:
      return WithType(p.dtype, [&](auto t) { return LaunchStreamLinear<typename decltype(t)::type>(p, workspace, workspace_bytes, stream); });
    case Way::kStreamTransposed:
      return WithType(p.dtype, [&](auto t) { return transposed::Launch<typename decltype(t)::type>(p, workspace, workspace_bytes, stream); });
    case Way::kGemm:
      return LinearGemm(p, workspace, workspace_bytes, stream);
    default:
      return LaunchAnyLinear(p, workspace, workspace_bytes, stream);
  }
}

}  // namespace ort_dora::cuda
