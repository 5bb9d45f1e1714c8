// What the ways of computing DoraScale share: the terms of a row's norm, and what becomes of them.
#pragma once

#include "ort_dora/cuda/elements.cuh"
#include "ort_dora/cuda/problems.h"

namespace ort_dora::cuda {

struct RowTerms {
  double squares;   // ‖w‖²
  double low_rank;  // 2s·⟨w·Aᵀ, b⟩ + s²·⟨b·(A·Aᵀ), b⟩
};

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
__global__ void __launch_bounds__(kNormThreads) NormsKernel(DoraScaleProblem p, Strided<T> w, Strided<U> a, Strided<U> b, const RowTerms* terms, int slots, const float* lengths, bool diagonal_apart) {
  __shared__ int undetermined[kNormRows];
  __shared__ int count;
  __shared__ double sums[kNormThreads / 32], adapters[kNormRows];
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");  // where it starts early
#endif
  const int64_t first = int64_t{blockIdx.x} * kNormRows;
  const auto finish = [&](int64_t row, double norm) { p.g[row] = static_cast<float>(ToFloat(static_cast<const M*>(p.m.data)[row]) / norm); };
  if (b.col_stride == 1) {
    for (int i = threadIdx.x / 32; i < kNormRows && first + i < p.W.rows; i += kNormThreads / 32) {
      double sum = 0;
      for (int64_t j = threadIdx.x % 32; j < p.A.rows; j += 32) sum = fma(double{b(first + i, j)} * b(first + i, j), double{lengths[j]}, sum);
      const double adapter = WarpSum(sum);
      if (threadIdx.x % 32 == 0) adapters[i] = adapter;
    }
  } else {
    // Neighbouring rows are contiguous: a lane has a row, a warp some of the columns.
    __shared__ double parts[kNormThreads / 32][kNormRows];
    const int64_t row = first + threadIdx.x % 32;
    double sum = 0;
    for (int64_t j = threadIdx.x / 32; row < p.W.rows && j < p.A.rows; j += kNormThreads / 32) sum = fma(double{b(row, j)} * b(row, j), double{lengths[j]}, sum);
    parts[threadIdx.x / 32][threadIdx.x % 32] = sum;
    __syncthreads();
    if (threadIdx.x < kNormRows) {
      double adapter = 0;
      for (int i = 0; i < kNormThreads / 32; ++i) adapter += parts[i][threadIdx.x];
      adapters[threadIdx.x] = adapter;
    }
  }
  __syncthreads();
  // A warp has some of the slots.
  __shared__ RowTerms parts_of[kNormThreads / 32][kNormRows];
  RowTerms some{};
  for (int slot = threadIdx.x / 32; slot < slots && first + threadIdx.x % 32 < p.W.rows; slot += kNormThreads / 32) {
    const RowTerms& part = terms[slot * p.W.rows + first + threadIdx.x % 32];
    some.squares += part.squares, some.low_rank += part.low_rank;
  }
  parts_of[threadIdx.x / 32][threadIdx.x % 32] = some;
  __syncthreads();
  if (threadIdx.x < 32) {
    const int64_t row = first + threadIdx.x;
    RowTerms sum{};
    for (const auto& part : parts_of) sum.squares += part[threadIdx.x].squares, sum.low_rank += part[threadIdx.x].low_rank;
    if (diagonal_apart) sum.low_rank += double{p.scaling} * p.scaling * adapters[threadIdx.x];
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

// `diagonal_apart`: the terms lack s²·β². `early`: the kernel before lets this one start before it ends (programmatic dependent launch).
inline cudaError_t LaunchNorms(const CudaScaleProblem& p, const RowTerms* terms, int slots, const float* lengths, bool diagonal_apart, bool early, cudaStream_t stream) {
  return WithTypes(p.W.dtype, p.A.dtype, [&](auto t, auto u) {
    using T = typename decltype(t)::type;
    using U = typename decltype(u)::type;
    const auto launch = [&](auto m) {
      cudaLaunchAttribute attribute = {};
      attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
      attribute.val.programmaticStreamSerializationAllowed = 1;
      cudaLaunchConfig_t config = {};
      config.gridDim = static_cast<unsigned>(CeilDiv<int64_t>(p.W.rows, kNormRows));
      config.blockDim = kNormThreads;
      config.stream = stream;
      config.attrs = &attribute;
      config.numAttrs = early ? 1 : 0;
      return cudaLaunchKernelEx(&config, NormsKernel<T, U, typename decltype(m)::type>, p, ToStrided<T>(p.W), ToStrided<U>(p.A), ToStrided<U>(p.B), terms, slots, lengths, diagonal_apart);
    };
    return p.m.dtype == p.W.dtype ? launch(t) : launch(TypeOf<float>{});
  });
}

}  // namespace ort_dora::cuda
