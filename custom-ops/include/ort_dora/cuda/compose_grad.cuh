// DoraComposeGrad: one pass over dy, base and lora, then a sum over strips of rows for d_g.
#pragma once

#include "ort_dora/cuda/elements.cuh"
#include "ort_dora/cuda/problems.h"
#include "ort_dora/cuda/strips.cuh"

namespace ort_dora::cuda {

// Rows that d_g of half precision is summed over in float32 before the sum goes on in float64; float32 is computed in float64.
constexpr int kGradRun = 8;

// Blocks of a multiprocessor: all that there are run at once, one row in flight a thread. Measured on an H200 against more rows in flight and more blocks.
constexpr int kGradBlocks = 3;

// partial: [strips, channels], null without d_g.
template <class T, class U, int kWidth>
__global__ void __launch_bounds__(kStripThreads, kGradBlocks) ComposeGradKernel(DoraComposeGradProblem p, Strips strips, double* partial) {
  const StripPlace at = strips.Place<kWidth>();
  const bool inside = at.channel < p.channels;
  double sum[kWidth] = {};
  if (inside) {
    using E = SumOf<T>;
    const E scaling = p.scaling;
    E g[kWidth], run[kWidth] = {};
#pragma unroll
    for (int i = 0; i < kWidth; ++i) g[i] = p.g[at.channel + i];
    int run_length = 0;
    for (int64_t row = at.row; row < at.end; row += strips.height) {
      const int64_t offset = row * p.channels + at.channel;
      StripValues<T, kWidth> dy, base, d_base;
      StripValues<U, kWidth> lora, d_lora;
      dy.Load(static_cast<const T*>(p.dy) + offset);
      if (partial != nullptr) {
        base.Load(static_cast<const T*>(p.base) + offset);
        lora.Load(static_cast<const U*>(p.lora) + offset);
      }
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        const E gradient = dy[j];
        d_base.Set(j, static_cast<float>(g[j] * gradient));
        d_lora.Set(j, static_cast<float>(scaling * g[j] * gradient));
        if (partial != nullptr) run[j] = fma(gradient, fma(scaling, E{lora[j]}, E{base[j]}), run[j]);
      }
      if (p.d_base != nullptr) d_base.Store(static_cast<T*>(p.d_base) + offset);
      if (p.d_lora != nullptr) d_lora.Store(static_cast<U*>(p.d_lora) + offset);
      if (++run_length == kGradRun) {
        run_length = 0;
#pragma unroll
        for (int j = 0; j < kWidth; ++j) sum[j] += run[j], run[j] = 0;
      }
    }
#pragma unroll
    for (int j = 0; j < kWidth; ++j) sum[j] += run[j];
  }
  if (partial == nullptr) return;

  // Lines of threads of the same channels, always in the same order.
  __shared__ double sums[kStripThreads];
#pragma unroll
  for (int j = 0; j < kWidth; ++j) {
    __syncthreads();
    sums[threadIdx.x] = sum[j];
    __syncthreads();
    if (at.line != 0 || !inside) continue;
    double total = 0;
    for (int line = 0; line < strips.height; ++line) total += sums[line * strips.width + threadIdx.x];
    partial[at.strip * p.channels + at.channel + j] = total;
  }
}

constexpr int kGradSumLines = 32;

template <class Sum>
__global__ void __launch_bounds__(32 * kGradSumLines) SumStripsKernel(const double* partial, int64_t strips, int64_t channels, Sum* d_g) {
  __shared__ double sums[kGradSumLines][33];
  const int64_t channel = int64_t{blockIdx.x} * 32 + threadIdx.x;
  double sum = 0;
  if (channel < channels) {
    for (int64_t strip = threadIdx.y; strip < strips; strip += kGradSumLines) sum += partial[strip * channels + channel];
  }
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  // The warp of channel y adds its lines pair by pair.
  const double total = WarpSum(sums[threadIdx.x][threadIdx.y]);
  const int64_t summed = int64_t{blockIdx.x} * 32 + threadIdx.y;
  if (threadIdx.x == 0 && summed < channels) d_g[summed] = static_cast<float>(total);
}

inline int GradWidth(const CudaComposeGradProblem& p) {
  const int width = p.dtype == DType::kFloat32 ? 4 : 8;
  const bool aligned = IsAligned(p.dy) && IsAligned(p.base) && IsAligned(p.lora) && IsAligned(p.d_base) && IsAligned(p.d_lora);
  return p.channels % width == 0 && aligned ? width : 1;
}

inline size_t ComposeGradBytes(const CudaComposeGradProblem& p) {
  int multiprocessors = 0;
  if (p.d_g == nullptr || MultiprocessorCount(&multiprocessors) != cudaSuccess) return 0;
  return static_cast<size_t>(Strips::For(p.rows, p.channels, GradWidth(p), kGradBlocks * multiprocessors).strips * p.channels) * sizeof(double);
}

inline cudaError_t LaunchComposeGrad(const CudaComposeGradProblem& p, void* workspace, size_t workspace_bytes, cudaStream_t stream) {
  if (p.channels == 0) return cudaSuccess;
  if (p.rows == 0) return p.d_g == nullptr ? cudaSuccess : cudaMemsetAsync(p.d_g, 0, static_cast<size_t>(p.channels) * sizeof(float), stream);
  if (workspace_bytes < ComposeGradBytes(p)) return cudaErrorInvalidValue;
  int multiprocessors = 0;
  if (const cudaError_t error = MultiprocessorCount(&multiprocessors); error != cudaSuccess) return error;
  const int width = GradWidth(p);
  const Strips strips = Strips::For(p.rows, p.channels, width, kGradBlocks * multiprocessors);
  double* partial = p.d_g == nullptr ? nullptr : static_cast<double*>(workspace);
  WithTypes(p.dtype, p.lora_dtype, [&](auto t, auto u) {
    using T = typename decltype(t)::type;
    using U = typename decltype(u)::type;
    if (width == 1) {
      ComposeGradKernel<T, U, 1><<<strips.blocks(), kStripThreads, 0, stream>>>(p, strips, partial);
    } else {
      ComposeGradKernel<T, U, 16 / sizeof(T)><<<strips.blocks(), kStripThreads, 0, stream>>>(p, strips, partial);
    }
  });
  if (const cudaError_t error = cudaGetLastError(); error != cudaSuccess || partial == nullptr) return error;
  SumStripsKernel<<<static_cast<unsigned>(CeilDiv<int64_t>(p.channels, 32)), dim3(32, kGradSumLines), 0, stream>>>(partial, strips.strips, p.channels, p.d_g);
  return cudaGetLastError();
}

}  // namespace ort_dora::cuda
