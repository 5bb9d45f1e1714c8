// DoraLinearBank for short runs on Hopper: W, x and the adapters are streamed once, which is all the time that it takes.
//
// A cluster of two blocks has 64 outputs of 64 rows and divides K. In a block one thread copies, a warpgroup multiplies W by xᵀ (wgmma, sums in
// registers) and another one adds up h·Bᵀ row by row, since every row may have its own B. Then the two blocks exchange half of their sums.
// Which sums there are, and in which order they are added, depends on `in` and the rank alone: a row gets the same bits whatever is beside it.
#pragma once

#include <cuda.h>

#include "ort_dora/cuda/bank.cuh"
#include "ort_dora/cuda/hopper.cuh"
#include "ort_dora/cuda/tensor_map.h"
#include "ort_dora/cuda/wgmma.cuh"

namespace ort_dora::cuda {

constexpr int kStreamBankColumns = 64, kStreamBankRows = 64, kStreamBankDepth = 64, kStreamBankThreads = 384;

struct StreamBankLayout {
  static constexpr int kTile = 64 * 64 * 2, kStages = 5, kOwned = kStreamBankRows / 2;
  static constexpr int kBarriersAt = 2 * kTile * kStages, kAdaptersAt = kBarriersAt + 128, kSumsAt = kAdaptersAt + 8 * kOwned;
  // For the rows that a block stores, [rows, columns] of float32: its own sums of x·Wᵀ, those of the other block, h·Bᵀ, and g.
  static constexpr int kPitch = kStreamBankColumns;
  static constexpr int kSums = kOwned * kPitch * 4, kBytes = kSumsAt + 4 * kSums;  // two blocks fit a multiprocessor
};

struct StreamBankArguments {
  CUtensorMap w, x;
  bool w_mn_major;
  DoraLinearBankProblem p;
  int64_t run;
  int steps, row_groups;
  const float* h;  // [rows, max_rank]
};

namespace stream_bank {

using namespace hopper;
using Layout = StreamBankLayout;

struct Ring {
  uint32_t shared;
  int stage = 0;
  uint32_t parity = 0;
  __device__ uint32_t w() const { return shared + stage * 2 * Layout::kTile; }
  __device__ uint32_t x() const { return w() + Layout::kTile; }
  __device__ uint32_t full() const { return shared + Layout::kBarriersAt + stage * 8; }
  __device__ uint32_t empty() const { return full() + Layout::kStages * 8; }
  __device__ void Next() {
    if (++stage == Layout::kStages) stage = 0, parity ^= 1;
  }
};

struct Place {
  int64_t column, row;  // the first of the cluster's outputs and rows
  int first_step, last_step;
  __device__ explicit Place(const StreamBankArguments& a) {
    const int64_t cluster = blockIdx.x / 2;
    column = cluster / a.row_groups * kStreamBankColumns, row = cluster % a.row_groups * kStreamBankRows;
    const int half = a.steps / 2, rank = static_cast<int>(ClusterRank());
    first_step = rank == 0 ? 0 : half, last_step = rank == 0 ? half : a.steps;
  }
};

__device__ inline void Copy(const StreamBankArguments& a, const Place& at, uint32_t shared) {
  Ring ring{shared};
  for (int step = at.first_step; step < at.last_step; ++step, ring.Next()) {
    Wait(ring.empty(), ring.parity ^ 1);
    ArriveExpecting(ring.full(), 2 * Layout::kTile);
    const int k = step * kStreamBankDepth, column = static_cast<int>(at.column);
    LoadBox(ring.w(), a.w, ring.full(), a.w_mn_major ? column : k, a.w_mn_major ? k : column);
    LoadBox(ring.x(), a.x, ring.full(), k, static_cast<int>(at.row));
  }
}

__device__ inline void StoreSum(uint32_t address, float v) { asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(address), "f"(v) : "memory"); }

// W·xᵀ: rows of the product are outputs. Half of the sums go to this block's memory, the others to that of the block that stores them.
template <class T, bool kMnMajor>
__device__ void Multiply(const Place& at, uint32_t shared) {
  Ring ring{shared};
  const int lane = threadIdx.x % 32;
  float sums[kStreamBankRows / 2] = {};
  uint32_t unreleased = 0;
  for (int step = at.first_step; step < at.last_step; ++step, ring.Next()) {
    Wait(ring.full(), ring.parity);
    const uint64_t w = Operand<kMnMajor>(ring.w()), x = Operand<false>(ring.x());
    MmaFence();
#pragma unroll
    for (int i = 0; i < kStreamBankDepth / 16; ++i) {
      Mma<kStreamBankRows>::template Run<T, false, kMnMajor>(sums, w + i * (kBytesPerStep<kMnMajor> >> 4), x + i * (kBytesPerStep<false> >> 4), 1);
    }
    MmaCommit();
    MmaWait<1>();
    if (unreleased != 0 && lane == 0) ArriveInBlock(unreleased, ClusterRank());
    unreleased = ring.empty();
  }
  MmaWait<0>();
  HoldAccumulators(sums);
  const int column = threadIdx.x % 128 / 32 * 16 + lane / 4;
  const uint32_t rank = ClusterRank();
#pragma unroll
  for (int i = 0; i < kStreamBankRows / 2; ++i) {
    const int row = i / 4 * 8 + lane % 4 * 2 + i % 2;
    const uint32_t owner = static_cast<uint32_t>(row) / Layout::kOwned;
    const uint32_t to = shared + Layout::kSumsAt + (owner == rank ? 0 : Layout::kSums) + (row % Layout::kOwned * Layout::kPitch + column + i % 4 / 2 * 8) * 4;
    StoreSum(InBlock(to, owner), sums[i]);
  }
}

// h·Bᵀ of the rows that this block stores: a thread has one output of half of the rows, a few at once.
template <class T, class U>
__device__ void AddAdapters(const StreamBankArguments& a, const Place& at, unsigned char* memory) {
  constexpr int kHalf = Layout::kOwned / 2, kAtOnce = 4, kWidth = 8;
  const AdapterBank& bank = a.p.adapters;
  constexpr int kNoSlot = -1, kWrongSlot = -2;
  auto* adapters = reinterpret_cast<int2*>(memory + Layout::kAdaptersAt);  // slot and rank of the rows, rank 0 where there is nothing to add
  const int thread = threadIdx.x % 128, column = thread % 64, top = thread / 64 * kHalf;
  const int64_t first = at.row + ClusterRank() * Layout::kOwned, n = at.column + column;
  if (thread < Layout::kOwned) {
    int2 adapter{kNoSlot, 0};
    if (first + thread < a.p.rows) {
      const int64_t run = (first + thread) / a.run;
      const Adapter<U> of_run(bank, run);
      using Kind = typename Adapter<U>::Kind;
      adapter = {of_run.kind == Kind::kSlot ? bank.slot[run] : of_run.kind == Kind::kNone ? kNoSlot : kWrongSlot, of_run.rank};
    }
    adapters[thread] = adapter;
  }
  NamedBarrier(1, 128);
  const U* const b = static_cast<const U*>(bank.bank) + bank.offset_b + min(n, a.p.W.rows - 1) * bank.max_rank;
  // h comes from the kernel before this one; B and g may come earlier.
  auto* gains = reinterpret_cast<float*>(memory + Layout::kSumsAt + 3 * Layout::kSums);
#pragma unroll 4
  for (int i = top; i < top + kHalf; ++i) {
    const int slot = adapters[i].x;
    gains[i * Layout::kPitch + column] = slot == kNoSlot ? 1.0f : slot == kWrongSlot ? NAN : bank.gains[slot * bank.row_gains + bank.offset_g + min(n, a.p.W.rows - 1)];
    if (adapters[i].y > 0) asm volatile("prefetch.global.L2 [%0];" ::"l"(b + adapters[i].x * bank.row_elements));
  }
  WaitForPredecessor();
  auto* to = reinterpret_cast<float*>(memory + Layout::kSumsAt + 2 * Layout::kSums);
  for (int block = top; block < top + kHalf; block += kAtOnce) {
    float sums[kAtOnce] = {};
    int most = 0;
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) most = max(most, adapters[block + i].y);
    for (int j = 0; j < most; j += kWidth) {
      Vector<U, kWidth> weights[kAtOnce];
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        if (j < adapters[block + i].y) weights[i] = LoadStreaming<U, kWidth>(b + adapters[block + i].x * bank.row_elements + j);
      }
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const int count = adapters[block + i].y - j;
        if (count <= 0) continue;
        const auto h = *reinterpret_cast<const Vector<float, kWidth>*>(a.h + (first + block + i) * bank.max_rank + j);
#pragma unroll
        for (int k = 0; k < kWidth; ++k) {
          if (k < count) sums[i] = fmaf(h.v[k], ToFloat(weights[i].v[k]), sums[i]);
        }
      }
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) to[(block + i) * Layout::kPitch + column] = sums[i];
  }
}

// y of the rows that this block stores, by the threads of two warpgroups.
template <class T>
__device__ void Finish(const StreamBankArguments& a, const Place& at, const unsigned char* memory) {
  const auto* sums = reinterpret_cast<const float*>(memory + Layout::kSumsAt);
  const int thread = threadIdx.x - 128, column = thread % 64;
  const int64_t first = at.row + ClusterRank() * Layout::kOwned, n = at.column + column;
  if (n >= a.p.W.rows) return;
  const float bias = a.p.bias == nullptr ? 0.0f : ToFloat(static_cast<const T*>(a.p.bias)[n]);
#pragma unroll
  for (int i = 0; i < Layout::kOwned / 4; ++i) {
    const int row = thread / 64 * (Layout::kOwned / 4) + i;
    if (first + row >= a.p.rows) continue;
    const auto at_row = [&](int which) { return sums[which * Layout::kSums / 4 + row * Layout::kPitch + column]; };
    const float base = at_row(0) + at_row(1), y = fmaf(at_row(3), base + at_row(2), bias);
    static_cast<T*>(a.p.y)[(first + row) * a.p.W.rows + n] = FromFloat<T>(y);
  }
}

}  // namespace stream_bank

template <class T, class U>
__global__ void __launch_bounds__(kStreamBankThreads) StreamBankKernel(const __grid_constant__ StreamBankArguments a) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  using namespace stream_bank;
  extern __shared__ __align__(1024) unsigned char memory[];
  const uint32_t shared = SharedAddress(memory);
  if (threadIdx.x == 0) {
    Ring ring{shared};
    for (int i = 0; i < Layout::kStages; ++i, ring.Next()) {
      BarrierInit(ring.full(), 1);
      BarrierInit(ring.empty(), 4);
    }
    BarrierInitFence();
    PrefetchMap(a.w);
    PrefetchMap(a.x);
  }
  ClusterBarrier();
  const Place at(a);
  const int group = threadIdx.x / 128;
  if (group == 0) {
    if (threadIdx.x == 0) Copy(a, at, shared);
  } else if (group == 1) {
    if (a.w_mn_major) {
      Multiply<T, true>(at, shared);
    } else {
      Multiply<T, false>(at, shared);
    }
  } else {
    AddAdapters<T, U>(a, at, memory);
  }
  __syncwarp();
  ClusterBarrier();
  if (group > 0) Finish<T>(a, at, memory);
#endif
}

inline bool StreamBankSupports(const CudaLinearBankProblem& p) {
  return IsHopper() && p.dtype != DType::kFloat32 && HasWideRows(p.adapters, p.W.cols) && CanCopyBoxes(p.x, p.rows, p.W.cols) && CanCopyBoxes(p.W);
}

inline cudaError_t LaunchStreamBank(const CudaLinearBankProblem& p, void* workspace, size_t workspace_bytes, cudaStream_t stream) {
  if (workspace_bytes < BankDownBytes(p.adapters, p.rows)) return cudaErrorInvalidValue;
  const int64_t out = p.W.rows, in = p.W.cols;
  StreamBankArguments a{};
  a.p = p, a.run = p.rows / p.adapters.runs, a.h = static_cast<const float*>(workspace);
  a.w_mn_major = p.W.transposed;
  a.steps = static_cast<int>(CeilDiv<int64_t>(in, kStreamBankDepth));
  a.row_groups = static_cast<int>(CeilDiv<int64_t>(p.rows, kStreamBankRows));
  if (const cudaError_t error = EncodeMap({p.W.data, StoredRows(p.W), StoredColumns(p.W), 64, 64}, &a.w); error != cudaSuccess) return error;
  if (const cudaError_t error = EncodeMap({p.x, p.rows, in, kStreamBankRows, 64}, &a.x); error != cudaSuccess) return error;
  const int64_t clusters = CeilDiv<int64_t>(out, kStreamBankColumns) * a.row_groups;
  if (clusters >= int64_t{1} << 30) return cudaErrorInvalidValue;
  const auto launch = [&](auto t, auto u) {
    using T = typename decltype(t)::type;
    using U = typename decltype(u)::type;
    if (const cudaError_t error = LaunchBankDown<T, U>(p.adapters, p.x, p.rows, in, static_cast<float*>(workspace), stream); error != cudaSuccess) return error;
    const auto kernel = StreamBankKernel<T, U>;
    if (const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, StreamBankLayout::kBytes); error != cudaSuccess) return error;
    if (const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared); error != cudaSuccess) return error;
    cudaLaunchAttribute attributes[2] = {};
    attributes[0].id = cudaLaunchAttributeClusterDimension;
    attributes[0].val.clusterDim = {2, 1, 1};
    attributes[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[1].val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = static_cast<unsigned>(clusters * 2);
    config.blockDim = kStreamBankThreads;
    config.dynamicSmemBytes = StreamBankLayout::kBytes;
    config.stream = stream;
    config.attrs = attributes;
    config.numAttrs = 2;
    return cudaLaunchKernelEx(&config, kernel, a);
  };
  const auto with_adapter = [&](auto t) { return p.adapters.dtype == DType::kFloat32 ? launch(t, TypeOf<float>{}) : launch(t, t); };
  return p.dtype == DType::kFloat16 ? with_adapter(TypeOf<__half>{}) : with_adapter(TypeOf<__nv_bfloat16>{});
}

}  // namespace ort_dora::cuda
