// What the ways of computing DoraScale share: the terms of a row's norm, and what becomes of them.
#pragma once

#include "ort_dora/cuda/elements.cuh"
#include "ort_dora/cuda/problems.h"

namespace ort_dora::cuda {

struct RowTerms {
  double squares;   // ‖w‖²
  double low_rank;  // 2s·⟨w·Aᵀ, b⟩ + s²·⟨b·(A·Aᵀ), b⟩
};

// The sum over a warp, the same in every lane.
__device__ inline double WarpSum(double v) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) v += __shfl_xor_sync(0xFFFFFFFF, v, step);
  return v;
}

// n, or a negative number if the terms do not determine it (operators.h: kCancellation). adapter: β² = Σ_j b_j²·‖a_j‖².
__device__ inline double NormOf(const RowTerms& terms, double adapter, double scaling) {
  if (isnan(terms.squares)) return terms.squares;
  const double square = terms.squares + terms.low_rank;
  const double reach = sqrt(terms.squares) + fabs(scaling) * sqrt(adapter);
  const double limit = reach * reach / kCancellation;
  return square >= limit && isfinite(limit) ? sqrt(square) : -1;
}

constexpr int kNormRows = 32, kNormThreads = 256;

// g of kNormRows rows a block from the sums of their terms over `slots` and the ‖a_j‖² in `lengths`; rows that their terms do not determine are computed from w + s·b·A itself, in float64.
template <class T, class U, class M>
__global__ void __launch_bounds__(kNormThreads) NormsKernel(DoraScaleProblem p, Strided<T> w, Strided<U> a, Strided<U> b, const RowTerms* terms, int slots, const float* lengths) {
  __shared__ int undetermined[kNormRows];
  __shared__ int count;
  __shared__ double sums[kNormThreads / 32], adapters[kNormRows];
  const int64_t first = int64_t{blockIdx.x} * kNormRows;
  const auto finish = [&](int64_t row, double norm) { p.g[row] = static_cast<float>(ToFloat(static_cast<const M*>(p.m.data)[row]) / norm); };
  if (b.col_stride == 1) {
    for (int i = threadIdx.x / 32; i < kNormRows && first + i < p.W.rows; i += kNormThreads / 32) {
      float sum = 0;
      for (int64_t j = threadIdx.x % 32; j < p.A.rows; j += 32) sum = fmaf(b(first + i, j) * b(first + i, j), lengths[j], sum);
      const double adapter = WarpSum(sum);
      if (threadIdx.x % 32 == 0) adapters[i] = adapter;
    }
  } else {
    // Neighbouring rows are contiguous: a lane has a row, a warp some of the columns.
    __shared__ float parts[kNormThreads / 32][kNormRows];
    const int64_t row = first + threadIdx.x % 32;
    float sum = 0;
    for (int64_t j = threadIdx.x / 32; row < p.W.rows && j < p.A.rows; j += kNormThreads / 32) sum = fmaf(b(row, j) * b(row, j), lengths[j], sum);
    parts[threadIdx.x / 32][threadIdx.x % 32] = sum;
    __syncthreads();
    if (threadIdx.x < kNormRows) {
      double adapter = 0;
      for (int i = 0; i < kNormThreads / 32; ++i) adapter += parts[i][threadIdx.x];
      adapters[threadIdx.x] = adapter;
    }
  }
  __syncthreads();
  if (threadIdx.x < 32) {
    const int64_t row = first + threadIdx.x;
    RowTerms sum{};
    for (int slot = 0; slot < slots && row < p.W.rows; ++slot) {
      const RowTerms& part = terms[slot * p.W.rows + row];
      sum.squares += part.squares, sum.low_rank += part.low_rank;
    }
    const double norm = row < p.W.rows ? NormOf(sum, adapters[threadIdx.x], p.scaling) : 0;
    if (row < p.W.rows && !(norm < 0)) finish(row, norm);
    const unsigned flagged = __ballot_sync(0xFFFFFFFF, norm < 0);
    if (norm < 0) undetermined[__popc(flagged & ((1u << threadIdx.x) - 1))] = threadIdx.x;
    if (threadIdx.x == 0) count = __popc(flagged);
  }
  __syncthreads();
  for (int i = 0; i < count; ++i) {
    const int64_t row = first + undetermined[i];
    double sum = 0;
    for (int64_t k = threadIdx.x; k < p.W.cols; k += kNormThreads) {
      double change = 0;
      for (int64_t j = 0; j < p.A.rows; ++j) change = fma(double{b(row, j)}, double{a(j, k)}, change);
      const double value = fma(double{p.scaling}, change, double{w(row, k)});
      sum = fma(value, value, sum);
    }
    sum = WarpSum(sum);
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
      double square = 0;
      for (const double part : sums) square += part;
      finish(row, sqrt(square));
    }
    __syncthreads();
  }
}

inline cudaError_t LaunchNorms(const CudaScaleProblem& p, const RowTerms* terms, int slots, const float* lengths, cudaStream_t stream) {
  return WithTypes(p.W.dtype, p.A.dtype, [&](auto t, auto u) {
    using T = typename decltype(t)::type;
    using U = typename decltype(u)::type;
    const auto launch = [&](auto m) {
      NormsKernel<T, U, typename decltype(m)::type><<<static_cast<unsigned>(CeilDiv<int64_t>(p.W.rows, kNormRows)), kNormThreads, 0, stream>>>(
          p, ToStrided<T>(p.W), ToStrided<U>(p.A), ToStrided<U>(p.B), terms, slots, lengths);
      return cudaGetLastError();
    };
    return p.m.dtype == p.W.dtype ? launch(t) : launch(TypeOf<float>{});
  });
}

}  // namespace ort_dora::cuda
