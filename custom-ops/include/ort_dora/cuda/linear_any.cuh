// DoraLinear for every shape, dtype, layout and alignment, on tiles in shared memory: float32 in float64, half precision in float32. What the faster
// kernels do not take comes here.
#pragma once

#include "ort_dora/cuda/elements.cuh"
#include "ort_dora/cuda/problems.h"

namespace ort_dora::cuda {

constexpr int kAnyTile = 64, kAnyDepth = 16, kAnyThreads = 256;

// total[i][j] += P[row + 4·y + i] · Q[column + 4·x + j] over k in [0, depth).
template <class Sum, class P, class Q>
__device__ void MultiplyTile(const Strided<P>& p, int64_t row, int64_t rows, const Strided<Q>& q, int64_t column, int64_t columns,
                             int64_t depth, Sum (&total)[4][4]) {
  __shared__ float left[kAnyDepth][kAnyTile + 4], right[kAnyDepth][kAnyTile + 4];
  const int x = threadIdx.x % 16, y = threadIdx.x / 16;
  // Neighbouring threads read along whichever extent is contiguous.
  const auto fill = [&](auto& to, const auto& from, int64_t first, int64_t end, int64_t k0) {
    for (int i = threadIdx.x; i < kAnyTile * kAnyDepth; i += kAnyThreads) {
      const int k = from.col_stride == 1 ? i % kAnyDepth : i / kAnyTile, n = from.col_stride == 1 ? i / kAnyDepth : i % kAnyTile;
      to[k][n] = first + n < end && k0 + k < depth ? from(first + n, k0 + k) : 0.0f;
    }
  };
  for (int64_t k0 = 0; k0 < depth; k0 += kAnyDepth) {
    __syncthreads();
    fill(left, p, row, rows, k0);
    fill(right, q, column, columns, k0);
    __syncthreads();
    // The sum of one step joins the total as a whole: shorter sums round less.
    Sum sum[4][4] = {};
#pragma unroll
    for (int k = 0; k < kAnyDepth; ++k) {
      const float4 a = *reinterpret_cast<const float4*>(&left[k][4 * y]), b = *reinterpret_cast<const float4*>(&right[k][4 * x]);
      const float l[4] = {a.x, a.y, a.z, a.w}, r[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) sum[i][j] = fma(Sum{l[i]}, Sum{r[j]}, sum[i][j]);
      }
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) total[i][j] += sum[i][j];
    }
  }
}

// to [rows, columns] = s · P·Qᵀ.
template <class P, class Q>
__global__ void __launch_bounds__(kAnyThreads) ProductKernel(Strided<P> p, int64_t rows, Strided<Q> q, int64_t columns, int64_t depth, float scaling, float* to) {
  const int64_t across = CeilDiv<int64_t>(columns, kAnyTile);
  const int64_t row = blockIdx.x / across * kAnyTile, column = blockIdx.x % across * kAnyTile;
  SumOf<P> total[4][4] = {};
  MultiplyTile(p, row, rows, q, column, columns, depth, total);
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 4; ++j) {
      const int64_t r = row + threadIdx.x / 16 * 4 + i, c = column + threadIdx.x % 16 * 4 + j;
      if (r < rows && c < columns) to[r * columns + c] = static_cast<float>(scaling * total[i][j]);
    }
  }
}

inline unsigned AnyBlocks(int64_t rows, int64_t columns) {
  return static_cast<unsigned>(CeilDiv<int64_t>(rows, kAnyTile) * CeilDiv<int64_t>(columns, kAnyTile));
}

// y = g·(x·Wᵀ + h·Bᵀ) + bias, h [rows, r].
template <class T, class U>
__global__ void __launch_bounds__(kAnyThreads) AnyLinearKernel(DoraLinearProblem problem, Strided<T> x, Strided<T> w, Strided<float> h, Strided<U> b) {
  const int64_t rows = problem.rows, out = problem.W.rows;
  const int64_t across = CeilDiv<int64_t>(out, kAnyTile);
  const int64_t row = blockIdx.x / across * kAnyTile, column = blockIdx.x % across * kAnyTile;
  SumOf<T> total[4][4] = {};
  MultiplyTile(x, row, rows, w, column, out, problem.W.cols, total);
  MultiplyTile(h, row, rows, b, column, out, problem.B.cols, total);
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 4; ++j) {
      const int64_t r = row + threadIdx.x / 16 * 4 + i, c = column + threadIdx.x % 16 * 4 + j;
      if (r >= rows || c >= out) continue;
      const float bias = problem.bias == nullptr ? 0.0f : ToFloat(static_cast<const T*>(problem.bias)[c]);
      static_cast<T*>(problem.y)[r * out + c] = FromFloat<T>(static_cast<float>(fma(SumOf<T>{problem.g[c]}, total[i][j], SumOf<T>{bias})));
    }
  }
}

inline size_t AnyLinearBytes(const CudaLinearProblem& p) { return static_cast<size_t>(p.rows * p.A.rows) * sizeof(float); }

inline cudaError_t LaunchAnyLinear(const CudaLinearProblem& p, void* workspace, size_t workspace_bytes, cudaStream_t stream) {
  if (p.rows == 0 || p.W.rows == 0) return cudaSuccess;
  if (workspace_bytes < AnyLinearBytes(p)) return cudaErrorInvalidValue;
  auto* h = static_cast<float*>(workspace);
  return WithTypes(p.dtype, p.A.dtype, [&](auto t, auto u) {
    using T = typename decltype(t)::type;
    using U = typename decltype(u)::type;
    const int64_t rank = p.A.rows;
    const Strided<T> x{static_cast<const T*>(p.x), p.W.cols, 1};
    if (rank > 0) {
      ProductKernel<T, U><<<AnyBlocks(p.rows, rank), kAnyThreads, 0, stream>>>(x, p.rows, ToStrided<U>(p.A), rank, p.W.cols, p.scaling, h);
      if (const cudaError_t error = cudaGetLastError(); error != cudaSuccess) return error;
    }
    AnyLinearKernel<T, U><<<AnyBlocks(p.rows, p.W.rows), kAnyThreads, 0, stream>>>(p, x, ToStrided<T>(p.W), Strided<float>{h, rank, 1}, ToStrided<U>(p.B));
    return cudaGetLastError();
  });
}

}  // namespace ort_dora::cuda
