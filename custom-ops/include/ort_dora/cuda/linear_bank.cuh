// DoraLinearBank for every shape, dtype, layout and alignment, on tiles in shared memory: what linear_bank_hopper.cuh does not take.
#pragma once

#include "ort_dora/cuda/bank.cuh"
#include "ort_dora/cuda/linear_any.cuh"

namespace ort_dora::cuda {

// y = g·(x·Wᵀ + h·Bᵀ) + bias with the adapter of each row's run, h [rows, max_rank].
template <class T, class U>
__global__ void __launch_bounds__(kAnyThreads) AnyLinearBankKernel(DoraLinearBankProblem p, int64_t run, Strided<T> x, Strided<T> w, const float* h) {
  const int64_t out = p.W.rows, across = CeilDiv<int64_t>(out, kAnyTile);
  const int64_t row = blockIdx.x / across * kAnyTile, column = blockIdx.x % across * kAnyTile;
  SumOf<T> total[4][4] = {};
  MultiplyTile(x, row, p.rows, w, column, out, p.W.cols, total);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int64_t r = row + threadIdx.x / 16 * 4 + i;
    if (r >= p.rows) continue;
    const Adapter<U> adapter(p.adapters, r / run);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int64_t c = column + threadIdx.x % 16 * 4 + j;
      if (c >= out) continue;
      SumOf<T> sum[1] = {total[i][j]}, g = adapter.kind == Adapter<U>::Kind::kInvalid ? NAN : 1.0f;
      if (adapter.kind == Adapter<U>::Kind::kSlot) {
        AddLowRank<T, U, 1, 1>(adapter.b + c * p.adapters.max_rank, adapter.rank, h + r * p.adapters.max_rank, 0, 1, sum);
        g = adapter.g[c];
      }
      const float bias = p.bias == nullptr ? 0.0f : ToFloat(static_cast<const T*>(p.bias)[c]);
      static_cast<T*>(p.y)[r * out + c] = FromFloat<T>(static_cast<float>(fma(g, sum[0], SumOf<T>{bias})));
    }
  }
}

inline cudaError_t LaunchAnyLinearBank(const CudaLinearBankProblem& p, void* workspace, size_t workspace_bytes, cudaStream_t stream) {
  if (workspace_bytes < BankDownBytes(p.adapters, p.rows)) return cudaErrorInvalidValue;
  auto* h = static_cast<float*>(workspace);
  return WithTypes(p.dtype, p.adapters.dtype, [&](auto t, auto u) {
    using T = typename decltype(t)::type;
    using U = typename decltype(u)::type;
    if (const cudaError_t error = LaunchBankDown<T, U>(p.adapters, p.x, p.rows, p.W.cols, h, stream); error != cudaSuccess) return error;
    const Strided<T> x{static_cast<const T*>(p.x), p.W.cols, 1};
    AnyLinearBankKernel<T, U><<<AnyBlocks(p.rows, p.W.rows), kAnyThreads, 0, stream>>>(p, p.rows / p.adapters.runs, x, ToStrided<T>(p.W), h);
    return cudaGetLastError();
  });
}

}  // namespace ort_dora::cuda
