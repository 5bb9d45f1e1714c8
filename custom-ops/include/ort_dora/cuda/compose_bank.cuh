// DoraComposeBank: h = s·x·Aᵀ, then h·Bᵀ of each row's adapter in registers, composed with the base as in DoraCompose.
#pragma once

#include "ort_dora/cuda/bank.cuh"
#include "ort_dora/cuda/compose.cuh"

namespace ort_dora::cuda {

constexpr int kComposeBankThreads = 256;

// A thread has one channel of the rows of a tile. `out` may be `base`.
template <class T, class U, bool base_has_bias, int kWidth, int kRows>
__global__ void __launch_bounds__(kComposeBankThreads) ComposeBankKernel(DoraComposeBankProblem p, BankTiles tiles, const float* h) {
  using Sum = SumOf<T>;
  const int64_t across = CeilDiv<int64_t>(p.channels, kComposeBankThreads), tile = blockIdx.x / across;
  const int64_t channel = blockIdx.x % across * kComposeBankThreads + threadIdx.x, first = tiles.first_row(tile);
  if (channel >= p.channels) return;
  const Adapter<U> adapter(p.adapters, tiles.run_of(tile));
  const int height = tiles.height_of(tile);
  const Sum bias = p.bias == nullptr ? 0.0f : ToFloat(static_cast<const T*>(p.bias)[channel]);
  Sum lora[kRows] = {}, g = 1;
  if (adapter.kind == Adapter<U>::Kind::kSlot) {
    g = adapter.g[channel];
    AddLowRank<T, U, kWidth, kRows>(adapter.b + channel * p.adapters.max_rank, adapter.rank, h + first * p.adapters.max_rank, p.adapters.max_rank, height, lora);
  }
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    if (i >= height) break;
    const int64_t at = (first + i) * p.channels + channel;
    const Sum base = ToFloat(static_cast<const T*>(p.base)[at]);
    Sum y = NAN;
    if (adapter.kind == Adapter<U>::Kind::kSlot) y = Compose<base_has_bias, Sum>(base, lora[i], g, bias, 1);
    if (adapter.kind == Adapter<U>::Kind::kNone) y = base_has_bias || p.bias == nullptr ? base : base + bias;
    static_cast<T*>(p.out)[at] = FromFloat<T>(static_cast<float>(y));
  }
}

inline size_t ComposeBankBytes(const CudaComposeBankProblem& p) { return BankDownBytes(p.adapters, p.rows); }

inline cudaError_t LaunchComposeBank(const CudaComposeBankProblem& p, void* workspace, size_t workspace_bytes, cudaStream_t stream) {
  if (p.rows == 0 || p.channels == 0) return cudaSuccess;
  if (workspace_bytes < ComposeBankBytes(p)) return cudaErrorInvalidValue;
  auto* h = static_cast<float*>(workspace);
  const BankTiles tiles(p.rows, p.adapters, kBankRows);
  const int64_t blocks = tiles.count() * CeilDiv<int64_t>(p.channels, kComposeBankThreads);
  if (blocks >= int64_t{1} << 31) return cudaErrorInvalidValue;
  return WithTypes(p.dtype, p.adapters.dtype, [&](auto t, auto u) {
    using T = typename decltype(t)::type;
    using U = typename decltype(u)::type;
    if (const cudaError_t error = LaunchBankDown<T, U>(p.adapters, p.x, p.rows, p.in, h, stream); error != cudaSuccess) return error;
    const auto launch = [&](auto base_has_bias, auto width, auto rows) {
      ComposeBankKernel<T, U, base_has_bias.value, width.value, rows.value><<<static_cast<unsigned>(blocks), kComposeBankThreads, 0, stream>>>(p, tiles, h);
      return cudaGetLastError();
    };
    const auto with_rows = [&](auto base_has_bias, auto width) {
      return tiles.height == 1 ? launch(base_has_bias, width, std::integral_constant<int, 1>()) : launch(base_has_bias, width, std::integral_constant<int, kBankRows>());
    };
    const auto with_width = [&](auto base_has_bias) {
      return HasWideRows(p.adapters, 0) ? with_rows(base_has_bias, std::integral_constant<int, 8>()) : with_rows(base_has_bias, std::integral_constant<int, 1>());
    };
    return p.base_has_bias ? with_width(std::true_type()) : with_width(std::false_type());
  });
}

}  // namespace ort_dora::cuda
