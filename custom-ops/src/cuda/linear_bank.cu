// DoraLinearBank: the choice among its kernels.
#include "ort_dora/cuda/linear_bank.cuh"

#include <algorithm>

#include "ort_dora/cuda/kernels.h"
#include "ort_dora/cuda/linear_bank_hopper.cuh"

namespace ort_dora::cuda {
namespace {

enum class Way { kStream, kAny, kInTwo };

// Runs of at most so many rows get the same bits alone and among others. Longer ones take the base from DoraLinear's kernels, whose order of
// sums depends on the number of all rows, and an adapter's product over it.
constexpr int64_t kShortRun = 64;

Way Choose(const CudaLinearBankProblem& p) {
  if (p.rows / p.adapters.runs > kShortRun && p.W.cols > 0) return Way::kInTwo;
  return StreamBankSupports(p) ? Way::kStream : Way::kAny;
}

// The layer without an adapter, g = 1, into y.
CudaLinearProblem BaseOf(const CudaLinearBankProblem& p, const float* ones) {
  CudaLinearProblem base;
  base.x = p.x, base.W = p.W, base.bias = p.bias, base.y = p.y, base.dtype = p.dtype, base.rows = p.rows;
  base.A = {nullptr, p.dtype, 0, p.W.cols, false}, base.B = {nullptr, p.dtype, p.W.rows, 0, false};
  base.g = ones;
  return base;
}

// And what is made of it, in place.
CudaComposeBankProblem CompositionOf(const CudaLinearBankProblem& p) {
  CudaComposeBankProblem composition;
  composition.x = p.x, composition.base = p.y, composition.out = p.y, composition.adapters = p.adapters, composition.bias = p.bias;
  composition.dtype = p.dtype, composition.rows = p.rows, composition.in = p.W.cols, composition.channels = p.W.rows;
  composition.base_has_bias = true;
  return composition;
}

__global__ void FillOnes(float* to, int64_t count) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < count) to[i] = 1;
}

size_t OnesBytes(const CudaLinearBankProblem& p) { return Padded(static_cast<size_t>(p.W.rows) * sizeof(float)); }

cudaError_t InTwo(const CudaLinearBankProblem& p, void* workspace, size_t workspace_bytes, cudaStream_t stream) {
  auto* ones = static_cast<float*>(workspace);
  char* const rest = static_cast<char*>(workspace) + OnesBytes(p);
  const size_t rest_bytes = workspace_bytes - OnesBytes(p);
  FillOnes<<<static_cast<unsigned>(CeilDiv<int64_t>(p.W.rows, 256)), 256, 0, stream>>>(ones, p.W.rows);
  if (const cudaError_t error = cudaGetLastError(); error != cudaSuccess) return error;
  if (const cudaError_t error = Linear(BaseOf(p, ones), rest, rest_bytes, stream); error != cudaSuccess) return error;
  return ComposeBank(CompositionOf(p), rest, rest_bytes, stream);
}

}  // namespace

size_t LinearBankWorkspace(const CudaLinearBankProblem& p) {
  if (Choose(p) != Way::kInTwo) return BankDownBytes(p.adapters, p.rows);
  return OnesBytes(p) + std::max(LinearWorkspace(BaseOf(p, nullptr)), ComposeBankWorkspace(CompositionOf(p)));
}

cudaError_t LinearBank(const CudaLinearBankProblem& p, void* workspace, size_t workspace_bytes, cudaStream_t stream) {
  if (p.rows == 0 || p.W.rows == 0) return cudaSuccess;
  if (workspace_bytes < LinearBankWorkspace(p)) return cudaErrorInvalidValue;
  switch (Choose(p)) {
    case Way::kStream:
      return LaunchStreamBank(p, workspace, workspace_bytes, stream);
    case Way::kAny:
      return LaunchAnyLinearBank(p, workspace, workspace_bytes, stream);
    default:
      return InTwo(p, workspace, workspace_bytes, stream);
  }
}

}  // namespace ort_dora::cuda
