// What the operators with adapters in a bank share on the device: where a run's adapter lies, and h = s·x·Aᵀ.
//
// Slots, ranks and scalings are read on the device, so that a captured graph serves whatever they hold when it is replayed. The
// price is that nobody can refuse a wrong slot: the rows of its run become NaN.
#pragma once

#include "ort_dora/cuda/elements.cuh"
#include "ort_dora/cuda/hopper.cuh"
#include "ort_dora/cuda/problems.h"

namespace ort_dora::cuda {

// The adapter of one run.
template <class U>
struct Adapter {
  enum class Kind { kNone, kSlot, kInvalid };
  Kind kind;
  int rank = 0;
  float scaling = 0;
  const U *a = nullptr, *b = nullptr;  // [max_rank, in] and [out, max_rank]
  const float* g = nullptr;

  __device__ Adapter(const AdapterBank& bank, int64_t run) {
    const int32_t slot = bank.slot[run];
    kind = slot == -1 ? Kind::kNone : slot >= 0 && slot < bank.slots ? Kind::kSlot : Kind::kInvalid;
    if (kind != Kind::kSlot) return;
    rank = bank.rank[slot];
    if (rank < 0 || rank > bank.max_rank) {
      kind = Kind::kInvalid, rank = 0;
      return;
    }
    scaling = bank.scaling[slot];
    const U* row = static_cast<const U*>(bank.bank) + slot * bank.row_elements;
    a = row + bank.offset_a, b = row + bank.offset_b;
    g = bank.gains + slot * bank.row_gains + bank.offset_g;
  }
};

// How rows are grouped: up to `height` rows of one run.
struct BankTiles {
  int64_t rows, run;  // rows of a run
  int64_t a_run;      // tiles of a run
  int height;

  BankTiles(int64_t all_rows, const AdapterBank& bank, int most) : rows(all_rows), run(all_rows / bank.runs), height(run == 1 ? 1 : most) {
    a_run = CeilDiv<int64_t>(run, height);
  }
  int64_t count() const { return run == 0 ? 0 : rows / run * a_run; }
  __device__ int64_t run_of(int64_t tile) const { return tile / a_run; }
  __device__ int64_t first_row(int64_t tile) const { return tile / a_run * run + tile % a_run * height; }
  __device__ int height_of(int64_t tile) const { return static_cast<int>(min(int64_t{height}, run - tile % a_run * height)); }
};

constexpr int kBankRows = 8;  // of a tile where runs are longer than a row
constexpr int kDownThreads = 256, kDownRanks = kDownThreads / 32;

// Whether the parts of a bank allow 16-byte loads.
inline bool HasWideRows(const AdapterBank& bank, int64_t in) {
  const int64_t width = 16 / static_cast<int64_t>(SizeOf(bank.dtype));
  return IsAligned(bank.bank) && bank.row_elements % width == 0 && bank.offset_a % width == 0 && bank.offset_b % width == 0 && in % 8 == 0 &&
         bank.max_rank % 8 == 0;
}

template <class Sum, class T, class U, int kWidth>
__device__ inline Sum Dot(const Vector<T, kWidth>& a, const Vector<U, kWidth>& b) {
  Sum sum = 0;
#pragma unroll
  for (int i = 0; i < kWidth; ++i) sum = fma(Sum{ToFloat(a.v[i])}, Sum{ToFloat(b.v[i])}, sum);
  return sum;
}

// h [rows, max_rank] = s·x·Aᵀ, zero from the rank on. A warp has one row of A and the rows of a tile; a lane's terms and then the lanes are added
// up in an order that `in` alone decides.
template <class T, class U, int kWidth, int kRows>
__global__ void __launch_bounds__(kDownThreads, 2) BankDownKernel(AdapterBank bank, BankTiles tiles, const T* x, int64_t in, float* h) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  hopper::LaunchDependents();
#endif
  constexpr int kAtOnce = kRows == 1 ? 8 : 1;  // loads in flight, of A and of each row
  using Sum = SumOf<T>;
  const int64_t groups = CeilDiv<int64_t>(bank.max_rank, kDownRanks), tile = blockIdx.x / groups;
  const int64_t j = blockIdx.x % groups * kDownRanks + threadIdx.x / 32, first = tiles.first_row(tile);
  if (j >= bank.max_rank) return;
  const Adapter<U> adapter(bank, tiles.run_of(tile));
  const int lane = threadIdx.x % 32, height = tiles.height_of(tile);
  Sum sums[kRows] = {};
  if (j < adapter.rank) {
    const U* a = adapter.a + j * in;
    constexpr int64_t kStep = 32 * kWidth;
    for (int64_t first_k = lane * kWidth; first_k < in; first_k += kStep * kAtOnce) {
      Vector<U, kWidth> weights[kAtOnce];
      Vector<T, kWidth> values[kAtOnce][kRows];
#pragma unroll
      for (int n = 0; n < kAtOnce; ++n) {
        const int64_t k = first_k + n * kStep;
        if (k >= in) break;
        weights[n] = LoadStreaming<U, kWidth>(a + k);
#pragma unroll
        for (int i = 0; i < kRows; ++i) {
          if (i < height) values[n][i] = *reinterpret_cast<const Vector<T, kWidth>*>(x + (first + i) * in + k);
        }
      }
#pragma unroll
      for (int n = 0; n < kAtOnce; ++n) {
        if (first_k + n * kStep >= in) break;
#pragma unroll
        for (int i = 0; i < kRows; ++i) {
          if (i < height) sums[i] += Dot<Sum>(values[n][i], weights[n]);
        }
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    if (i >= height) break;
    const Sum sum = WarpSum(sums[i]);
    // 0·inf is NaN, but what is beyond the rank is nothing.
    if (lane == 0) h[(first + i) * bank.max_rank + j] = j < adapter.rank ? static_cast<float>(Sum{adapter.scaling} * sum) : 0.0f;
  }
}

inline size_t BankDownBytes(const AdapterBank& bank, int64_t rows) { return static_cast<size_t>(rows * bank.max_rank) * sizeof(float); }

template <class T, class U>
cudaError_t LaunchBankDown(const AdapterBank& bank, const void* x, int64_t rows, int64_t in, float* h, cudaStream_t stream) {
  const BankTiles tiles(rows, bank, kBankRows);
  const int64_t blocks = tiles.count() * CeilDiv<int64_t>(bank.max_rank, kDownRanks);
  if (blocks >= int64_t{1} << 31) return cudaErrorInvalidValue;
  const auto launch = [&](auto kernel) {
    // As much shared memory as the kernel after it wants: the two share a multiprocessor only if both divide its memory alike.
    const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared);
    if (error != cudaSuccess) return error;
    kernel<<<static_cast<unsigned>(blocks), kDownThreads, 0, stream>>>(bank, tiles, static_cast<const T*>(x), in, h);
    return cudaGetLastError();
  };
  if (HasWideRows(bank, in) && IsAligned(x)) return tiles.height == 1 ? launch(BankDownKernel<T, U, 8, 1>) : launch(BankDownKernel<T, U, 8, kBankRows>);
  return tiles.height == 1 ? launch(BankDownKernel<T, U, 1, 1>) : launch(BankDownKernel<T, U, 1, kBankRows>);
}

// sums[i] += Σ_j h[i][j]·b[j] over the rank, for the column of the layer that row `b` of B belongs to.
template <class T, class U, int kWidth, int kRows>
__device__ inline void AddLowRank(const U* b, int rank, const float* h, int64_t h_stride, int height, SumOf<T> (&sums)[kRows]) {
  for (int j = 0; j < rank; j += kWidth) {
    const Vector<U, kWidth> weight = LoadStreaming<U, kWidth>(b + j);
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      if (i >= height) break;
      const auto low = *reinterpret_cast<const Vector<float, kWidth>*>(h + i * h_stride + j);
#pragma unroll
      for (int n = 0; n < kWidth; ++n) {
        if (kWidth == 1 || j + n < rank) sums[i] = fma(SumOf<T>{low.v[n]}, SumOf<T>{ToFloat(weight.v[n])}, sums[i]);
      }
    }
  }
}

}  // namespace ort_dora::cuda
