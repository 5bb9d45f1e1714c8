// DoraLinear: the choice among its kernels.
#include <algorithm>

#include "ort_dora/cuda/kernels.h"
#include "ort_dora/cuda/linear_any.cuh"
#include "ort_dora/cuda/linear_gemm.h"
#include "ort_dora/cuda/linear_stream.cuh"

namespace ort_dora::cuda {

extern template cudaError_t LaunchStreamLinear<float>(const CudaLinearProblem&, void*, size_t, cudaStream_t);
extern template cudaError_t LaunchStreamLinear<__half>(const CudaLinearProblem&, void*, size_t, cudaStream_t);
extern template cudaError_t LaunchStreamLinear<__nv_bfloat16>(const CudaLinearProblem&, void*, size_t, cudaStream_t);

namespace {

enum class Way { kStream, kGemm, kAny };

// Measured on an H200 (docs/decisions/0010-cuda-kernels.md): with 16-bit adapters, streaming is the faster way for up to eight
// tokens and W [out, in]; float32 adapters stream up to kStreamMaxTokens.
constexpr int64_t kStreamTokens = 8;

Way Choose(const CudaLinearProblem& p) {
  const bool gemm = LinearGemmSupports(p), prefers_gemm = p.A.dtype == p.dtype && (p.rows > kStreamTokens || p.W.transposed);
  if (!(gemm && prefers_gemm) && p.rows <= kStreamMaxTokens && StreamLinearSupports(p)) return Way::kStream;
  return gemm ? Way::kGemm : Way::kAny;
}

}  // namespace

size_t LinearWorkspace(const CudaLinearProblem& p) {
  const Way way = Choose(p);
  return way == Way::kStream ? StreamLinearBytes(p) : way == Way::kGemm ? LinearGemmWorkspace(p) : AnyLinearBytes(p);
}

cudaError_t Linear(const CudaLinearProblem& p, void* workspace, size_t workspace_bytes, cudaStream_t stream) {
  switch (Choose(p)) {
    case Way::kStream:
      return WithType(p.dtype, [&](auto t) { return LaunchStreamLinear<typename decltype(t)::type>(p, workspace, workspace_bytes, stream); });
    case Way::kGemm:
      return LinearGemm(p, workspace, workspace_bytes, stream);
    default:
      return LaunchAnyLinear(p, workspace, workspace_bytes, stream);
  }
}

}  // namespace ort_dora::cuda
