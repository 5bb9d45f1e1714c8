// DoraScale for every shape, dtype, layout and alignment, in float32 and float64. What the tensor-core kernel does not take
// comes here.
#pragma once

#include "ort_dora/cuda/linear_any.cuh"
#include "ort_dora/cuda/scale_norms.cuh"

namespace ort_dora::cuda {

constexpr int kSquareThreads = 256;

// ‖w‖² of one row (contiguous) or of 32 rows (columns contiguous) a block.
template <class T>
__global__ void __launch_bounds__(kSquareThreads) SquaresKernel(Strided<T> w, int64_t rows, int64_t cols, RowTerms* terms) {
  __shared__ double sums[kSquareThreads / 32][33];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  if (w.col_stride == 1) {
    const int64_t row = blockIdx.x;
    double sum = 0;
    for (int64_t k = threadIdx.x; k < cols; k += kSquareThreads) {
      const double v = w(row, k);
      sum = fma(v, v, sum);
    }
    sum = WarpSum(sum);
    if (lane == 0) sums[warp][0] = sum;
    __syncthreads();
    if (threadIdx.x != 0) return;
    double total = 0;
    for (int i = 0; i < kSquareThreads / 32; ++i) total += sums[i][0];
    terms[row] = {total, 0};
  } else {
    const int64_t row = int64_t{blockIdx.x} * 32 + lane;
    double sum = 0;
    for (int64_t k = warp; row < rows && k < cols; k += kSquareThreads / 32) {
      const double v = w(row, k);
      sum = fma(v, v, sum);
    }
    sums[warp][lane] = sum;
    __syncthreads();
    if (warp != 0 || row >= rows) return;
    double total = 0;
    for (int i = 0; i < kSquareThreads / 32; ++i) total += sums[i][lane];
    terms[row] = {total, 0};
  }
}

// The terms of 64 rows a block that depend on the adapter; gram [r, r] is A·Aᵀ.
template <class T, class U>
__global__ void __launch_bounds__(kAnyThreads) AdapterTermsKernel(DoraScaleProblem p, Strided<T> w, Strided<U> a, Strided<U> b, const float* gram, RowTerms* terms) {
  const int64_t rank = p.A.rows, out = p.W.rows, row = int64_t{blockIdx.x} * kAnyTile;
  const int x = threadIdx.x % 16, y = threadIdx.x / 16;
  const Strided<float> g{gram, rank, 1};
  double low_rank[4] = {};
  for (int64_t column = 0; column < rank; column += kAnyTile) {
    float cross[4][4] = {}, square[4][4] = {};
    MultiplyTile(w, row, out, a, column, rank, p.W.cols, cross);
    MultiplyTile(b, row, out, g, column, rank, rank, square);
    for (int i = 0; i < 4; ++i) {
      for (int j = 0; j < 4; ++j) {
        const int64_t n = row + 4 * y + i, k = column + 4 * x + j;
        if (n >= out || k >= rank) continue;
        const double weight = b(n, k), s = p.scaling;
        low_rank[i] += weight * (2 * s * cross[i][j] + s * s * square[i][j]);
      }
    }
  }
  // The sixteen threads of a row are half a warp.
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int step = 8; step > 0; step /= 2) low_rank[i] += __shfl_xor_sync(0xFFFFFFFF, low_rank[i], step);
    const int64_t n = row + 4 * y + i;
    if (x == 0 && n < out) terms[n].low_rank = low_rank[i];
  }
}

template <class Sum>
__global__ void __launch_bounds__(256) DiagonalKernel(const Sum* gram, int64_t rank, Sum* lengths) {
  const int64_t j = int64_t{blockIdx.x} * 256 + threadIdx.x;
  if (j < rank) lengths[j] = gram[j * rank + j];
}

inline size_t AnyScaleBytes(const CudaScaleProblem& p) {
  return Padded(static_cast<size_t>(p.W.rows) * sizeof(RowTerms)) + static_cast<size_t>(p.A.rows * (p.A.rows + 1)) * sizeof(float);
}

inline cudaError_t LaunchAnyScale(const CudaScaleProblem& p, void* workspace, size_t workspace_bytes, cudaStream_t stream) {
  const int64_t out = p.W.rows, in = p.W.cols, rank = p.A.rows;
  if (out == 0) return cudaSuccess;
  if (workspace_bytes < AnyScaleBytes(p)) return cudaErrorInvalidValue;
  auto* terms = static_cast<RowTerms*>(workspace);
  auto* gram = reinterpret_cast<float*>(static_cast<char*>(workspace) + Padded(static_cast<size_t>(out) * sizeof(RowTerms)));
  const cudaError_t error = WithTypes(p.W.dtype, p.A.dtype, [&](auto t, auto u) {
    using T = typename decltype(t)::type;
    using U = typename decltype(u)::type;
    const Strided<T> w = ToStrided<T>(p.W);
    SquaresKernel<T><<<static_cast<unsigned>(w.col_stride == 1 ? out : CeilDiv<int64_t>(out, 32)), kSquareThreads, 0, stream>>>(w, out, in, terms);
    if (const cudaError_t failed = cudaGetLastError(); failed != cudaSuccess || rank == 0) return failed;
    const Strided<U> a = ToStrided<U>(p.A), b = ToStrided<U>(p.B);
    ProductKernel<U, U><<<AnyBlocks(rank, rank), kAnyThreads, 0, stream>>>(a, rank, a, rank, in, 1.0f, gram);
    DiagonalKernel<<<static_cast<unsigned>(CeilDiv<int64_t>(rank, 256)), 256, 0, stream>>>(gram, rank, gram + rank * rank);
    AdapterTermsKernel<T, U><<<static_cast<unsigned>(CeilDiv<int64_t>(out, kAnyTile)), kAnyThreads, 0, stream>>>(p, w, a, b, gram, terms);
    return cudaGetLastError();
  });
  return error != cudaSuccess ? error : LaunchNorms(p, terms, 1, gram + rank * rank, false, false, stream);
}

}  // namespace ort_dora::cuda
