// DoraCompose: g·(base + s·lora) + bias, float32 in float64 and half precision in float32, rounded once. Bound by memory: every element is moved once.
#pragma once

#include <algorithm>

#include "ort_dora/cuda/elements.cuh"
#include "ort_dora/cuda/problems.h"
#include "ort_dora/cuda/strips.cuh"

namespace ort_dora::cuda {

// Near g = 1 what g changes is kept apart from the base until the last addition (g − 1 is exact there); far from 1 that sum
// would cancel, and 0·inf would be NaN.
template <bool base_has_bias, class E>
__device__ inline E Compose(E base, E lora, E g, E bias, E scaling) {
  const E gs = g * scaling, excess = g - 1;
  const E bare = base_has_bias ? base - bias : base, offset = base_has_bias ? E{0} : bias;
  const E near = base + (fma(excess, bare, gs * lora) + offset), far = fma(g, bare, fma(gs, lora, bias));
  return fabs(excess) < E{0.5} && fabs(base) <= E{3.40282347e38f} ? near : far;
}

// Channels innermost. A thread keeps g and bias of its channels and goes down the rows of its strip.
template <class T, class U, bool base_has_bias, int kWidth>
__global__ void __launch_bounds__(kStripThreads) ComposeRowsKernel(DoraComposeProblem p, Strips strips) {
  constexpr int kRowsInFlight = kWidth == 1 ? 1 : 4;
  const StripPlace at = strips.Place<kWidth>();
  if (at.channel >= p.channels) return;
  float g[kWidth], bias[kWidth];
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    g[i] = p.g[at.channel + i];
    bias[i] = p.bias == nullptr ? 0.0f : ToFloat(static_cast<const T*>(p.bias)[at.channel + i]);
  }
  const T* base = static_cast<const T*>(p.base) + at.channel;
  const U* lora = static_cast<const U*>(p.lora) + at.channel;
  T* out = static_cast<T*>(p.out) + at.channel;
  for (int64_t row = at.row; row < at.end; row += kRowsInFlight * strips.height) {
    StripValues<T, kWidth> b[kRowsInFlight];
    StripValues<U, kWidth> l[kRowsInFlight];
#pragma unroll
    for (int i = 0; i < kRowsInFlight; ++i) {
      const int64_t offset = (row + i * strips.height) * p.channels;
      if (row + i * strips.height < at.end) b[i].Load(base + offset), l[i].Load(lora + offset);
    }
#pragma unroll
    for (int i = 0; i < kRowsInFlight; ++i) {
      if (row + i * strips.height >= at.end) break;
      StripValues<T, kWidth> y;
#pragma unroll
      for (int j = 0; j < kWidth; ++j) y.Set(j, static_cast<float>(Compose<base_has_bias, SumOf<T>>(b[i][j], l[i][j], g[j], bias[j], p.scaling)));
      y.Store(out + (row + i * strips.height) * p.channels);
    }
  }
}

// Channels before a contiguous inner extent (convolutions), `vectors` of kWidth elements a plane.
template <class T, class U, bool base_has_bias, int kWidth>
__global__ void __launch_bounds__(kStripThreads) ComposePlanesKernel(DoraComposeProblem p, int64_t vectors) {
  const int64_t count = p.outer * p.channels * vectors, step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) {
    const int64_t plane = count <= UINT32_MAX ? static_cast<uint32_t>(i) / static_cast<uint32_t>(vectors) : i / vectors;
    const int64_t channel = count <= UINT32_MAX ? static_cast<uint32_t>(plane) % static_cast<uint32_t>(p.channels) : plane % p.channels;
    const float g = p.g[channel], bias = p.bias == nullptr ? 0.0f : ToFloat(static_cast<const T*>(p.bias)[channel]);
    StripValues<T, kWidth> b, y;
    StripValues<U, kWidth> l;
    b.Load(static_cast<const T*>(p.base) + i * kWidth);
    l.Load(static_cast<const U*>(p.lora) + i * kWidth);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) y.Set(j, static_cast<float>(Compose<base_has_bias, SumOf<T>>(b[j], l[j], g, bias, p.scaling)));
    y.Store(static_cast<T*>(p.out) + i * kWidth);
  }
}

template <class T, class U, bool base_has_bias, int kWidth>
cudaError_t LaunchCompose(const CudaComposeProblem& p, int multiprocessors, cudaStream_t stream) {
  if (p.inner == 1) {
    const Strips strips = Strips::For(p.outer, p.channels, kWidth, 8 * multiprocessors);
    ComposeRowsKernel<T, U, base_has_bias, kWidth><<<strips.blocks(), kStripThreads, 0, stream>>>(p, strips);
  } else {
    const int64_t vectors = p.inner / kWidth, count = p.outer * p.channels * vectors;
    const auto blocks = static_cast<unsigned>(std::min<int64_t>(CeilDiv<int64_t>(count, kStripThreads), int64_t{multiprocessors} * 32));
    ComposePlanesKernel<T, U, base_has_bias, kWidth><<<blocks, kStripThreads, 0, stream>>>(p, vectors);
  }
  return cudaGetLastError();
}

inline cudaError_t LaunchCompose(const CudaComposeProblem& p, cudaStream_t stream) {
  if (p.outer == 0 || p.channels == 0 || p.inner == 0) return cudaSuccess;
  int multiprocessors = 0;
  if (const cudaError_t error = MultiprocessorCount(&multiprocessors); error != cudaSuccess) return error;
  return WithTypes(p.dtype, p.lora_dtype, [&](auto t, auto u) {
    using T = typename decltype(t)::type;
    using U = typename decltype(u)::type;
    constexpr int kWidth = 16 / sizeof(T);
    const bool wide = (p.inner == 1 ? p.channels : p.inner) % kWidth == 0 && IsAligned(p.base) && IsAligned(p.lora) && IsAligned(p.out);
    if (p.base_has_bias) {
      return wide ? LaunchCompose<T, U, true, kWidth>(p, multiprocessors, stream) : LaunchCompose<T, U, true, 1>(p, multiprocessors, stream);
    }
    return wide ? LaunchCompose<T, U, false, kWidth>(p, multiprocessors, stream) : LaunchCompose<T, U, false, 1>(p, multiprocessors, stream);
  });
}

}  // namespace ort_dora::cuda
