// One matrix product for Hopper: D [rows,columns] = gain·(P₀·Q₀ᵀ + P₁·Q₁ᵀ + …) + bias, 16-bit operands, float32 sums, one rounding.
//
// A block computes tiles of 128 x N: one warp copies (bulk tensor copies into a ring of stages, each 64 deep along K), two
// warpgroups multiply 64 rows each (wgmma). The K loop runs first over the pair 0, then over the others: for DoraLinear these are
// x·Wᵀ and h·Bᵀ, so that h is needed only at the end. Clusters of blocks are used in one of two ways (docs/decisions/0009-hopper-gemm.md):
// - kPairs: two blocks take tiles above one another and load half of their common Q each, for both. Blocks stay and take tile
//   after tile; the copies of the next run ahead while one is stored.
// - kSplit: the blocks of a cluster share a tile and each takes a part of K; the sums meet through distributed shared memory, in
//   the order of the blocks. For products with too few tiles to fill the device.
// With a low-rank phase, the blocks first compute h: each sums a part of P₀·Aᵀ, leaves it in device memory and goes on to its tiles;
// three warps that have nothing else to do add the parts up, in a fixed order, while the others are busy with the pair 0.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "ort_dora/cuda/gemm_arguments.h"
#include "ort_dora/cuda/hopper.cuh"
#include "ort_dora/cuda/wgmma.cuh"

namespace ort_dora::cuda {

// Where things are in shared memory, in bytes.
template <int N>
struct GemmLayout {
  static constexpr int kP = kTileRows * kTileDepth * 2, kQ = N * kTileDepth * 2, kStage = kP + kQ;
  static constexpr int kStaging = kStoreRows * kStoreColumns * 2, kStagings = 3;  // boxes of D, a warp
  static constexpr int kColumns = N * 8;                                        // gain and bias of a tile, a warpgroup
  static constexpr int kLimit = 227 * 1024, kRest = 8 * kStagings * kStaging + 2 * kColumns + 256;
  static constexpr int kStages = (kLimit - kRest) / kStage < 8 ? (kLimit - kRest) / kStage : 8;
  static constexpr int kStagingAt = kStages * kStage, kColumnsAt = kStagingAt + 8 * kStagings * kStaging, kBarriersAt = kColumnsAt + 2 * kColumns;
  static constexpr int kBytes = kBarriersAt + 256;
  static constexpr int kPitch = N + 8;  // floats; of a tile of sums that a cluster adds up, in the stages' place
  static_assert(kTileRows * kPitch * 4 <= kStagingAt);
};

namespace gemm {

using namespace hopper;

__device__ inline uint32_t Pack(float low, float high, const __nv_bfloat16*) {
  const __nv_bfloat162 v = __floats2bfloat162_rn(low, high);
  return reinterpret_cast<const uint32_t&>(v);
}
__device__ inline uint32_t Pack(float low, float high, const __half*) {
  const __half2 v = __floats2half2_rn(low, high);
  return reinterpret_cast<const uint32_t&>(v);
}
template <class T>
__device__ uint4 PackEight(const float (&v)[8]) {
  const T* type = nullptr;
  return {Pack(v[0], v[1], type), Pack(v[2], v[3], type), Pack(v[4], v[5], type), Pack(v[6], v[7], type)};
}

// A place in the ring of stages.
template <int N>
struct Place {
  uint32_t shared;
  int stage = 0;
  uint32_t parity = 0;
  using Layout = GemmLayout<N>;
  __device__ uint32_t p() const { return shared + stage * Layout::kStage; }
  __device__ uint32_t q() const { return p() + Layout::kP; }
  __device__ uint32_t full() const { return shared + Layout::kBarriersAt + stage * 8; }
  __device__ uint32_t empty() const { return full() + Layout::kStages * 8; }
  __device__ void Next() {
    if (++stage == Layout::kStages) stage = 0, parity ^= 1;
  }
};

// The place of a block in the launch.
struct Block {
  bool pairs;
  int cluster_blocks, rank;  // blocks of its cluster, and its own place among them
  __device__ explicit Block(const GemmArguments& a) : pairs(a.cluster == Cluster::kPairs) {
    cluster_blocks = static_cast<int>(ClusterBlocks());
    rank = static_cast<int>(ClusterRank());
  }
  __device__ int rows_per_unit() const { return pairs ? 2 * kTileRows : kTileRows; }
  __device__ int first_row() const { return pairs ? rank * kTileRows : 0; }
};

// The tiles of D that a block computes, one after the other, and its part of K.
template <int N>
class Tiles {
 public:
  int row, column;
  int first, last;  // steps

  __device__ Tiles(const GemmArguments& a, const Block& block)
      : rows_per_unit_(block.rows_per_unit()), first_row_(block.first_row()), group_(a.group) {
    height_ = (a.rows + rows_per_unit_ - 1) / rows_per_unit_;
    columns_ = (a.columns + N - 1) / N;
    unit_ = static_cast<int>(blockIdx.x) / block.cluster_blocks;
    stride_ = static_cast<int>(gridDim.x) / block.cluster_blocks;
    int steps = 0;
    for (int pair = 0; pair < a.pairs; ++pair) steps += a.steps[pair];
    const int parts = block.pairs ? 1 : block.cluster_blocks, part = block.pairs ? 0 : block.rank;
    first = static_cast<int>(static_cast<int64_t>(steps) * part / parts);
    last = static_cast<int>(static_cast<int64_t>(steps) * (part + 1) / parts);
    Locate();
  }
  __device__ bool valid() const { return unit_ < height_ * columns_; }
  __device__ void Next() { unit_ += stride_, Locate(); }

 private:
  __device__ void Locate() {
    const int before = unit_ / (group_ * columns_) * group_, inside = unit_ % (group_ * columns_);
    const int tall = min(group_, height_ - before);
    row = (before + inside % tall) * rows_per_unit_ + first_row_;
    column = inside / tall * N;
  }

  int rows_per_unit_, first_row_, group_, height_, columns_, unit_, stride_;
};

// The tiles of h that a block computes a part of.
class LowTiles {
 public:
  int row, column;
  int first, last;  // steps
  int split;

  __device__ LowTiles(const GemmArguments& a, const Block& block)
      : rows_per_unit_(block.rows_per_unit()), first_row_(block.first_row()), tile_columns_(a.low.tile_columns), splits_(a.low.splits), steps_(a.low.a_parts * a.steps[0]) {
    height_ = (a.rows + rows_per_unit_ - 1) / rows_per_unit_;
    units_ = a.low.tile_columns == 0 ? 0 : height_ * ((a.low.rank + tile_columns_ - 1) / tile_columns_) * splits_;
    const int workers = block.pairs ? 2 : 1;
    unit_ = static_cast<int>(blockIdx.x) / workers;
    stride_ = static_cast<int>(gridDim.x) / workers;
    Locate();
  }
  __device__ bool valid() const { return unit_ < units_; }
  __device__ void Next() { unit_ += stride_, Locate(); }

 private:
  __device__ void Locate() {
    if (!valid()) return;
    const int tile = unit_ / splits_;
    split = unit_ % splits_;
    row = tile % height_ * rows_per_unit_ + first_row_;
    column = tile / height_ * tile_columns_;
    first = static_cast<int>(static_cast<int64_t>(steps_) * split / splits_);
    last = static_cast<int>(static_cast<int64_t>(steps_) * (split + 1) / splits_);
  }

  int rows_per_unit_, first_row_, tile_columns_, splits_, steps_, height_, units_, unit_, stride_;
};

// Blocks that have stored their parts of h, and blocks that have added up their share of them.
__device__ inline uint32_t* PartsStored(const LowRankArguments& low) { return low.counters; }
__device__ inline uint32_t* SharesAdded(const LowRankArguments& low) { return low.counters + kLowRankCounters / 2; }

// The copying thread of a block.
template <int N>
class Copier {
 public:
  __device__ Copier(const GemmArguments& a, uint32_t shared) : a_(a), block_(a), place_{shared} {}

  __device__ void Run() {
    for (LowTiles tile(a_, block_); tile.valid(); tile.Next()) {
      if (a_.low.a_parts == 2) WaitForPredecessor();  // that splits A
#pragma unroll 1
      for (int part = 0, before = 0; part < a_.low.a_parts; ++part, before += a_.steps[0]) {
        const Source source(a_.p[0], a_.low.a[part], a_.low.a_mn_major, a_.low.tile_columns);
        const int end = min(tile.last - before, a_.steps[0]);
        for (int step = max(tile.first - before, 0); step < end; ++step) Copy(source, step, tile.row, tile.column);
      }
    }
    bool p1_ready = false;
    for (Tiles<N> tile(a_, block_); tile.valid(); tile.Next()) {
#pragma unroll 1
      for (int which = 0, before = 0; which < a_.pairs; before += a_.steps[which++]) {
        const Source source(a_.p[which], a_.q[which], a_.q_mn_major[which], N);
        const int end = min(tile.last - before, a_.steps[which]);
        for (int step = max(tile.first - before, 0); step < end; ++step) {
          if (which > 0 && !p1_ready) WaitForP1(), p1_ready = true;
          Copy(source, step, tile.row, tile.column);
        }
      }
    }
  }

 private:
  using Layout = GemmLayout<N>;

  struct Source {
    const CUtensorMap &p, &q;
    bool mn_major;
    int boxes, box_columns, box_bytes;
    __device__ Source(const CUtensorMap& p_map, const CUtensorMap& q_map, bool q_mn_major, int columns)
        : p(p_map), q(q_map), mn_major(q_mn_major) {
      boxes = mn_major ? columns / 64 : 2;
      box_columns = mn_major ? 64 : columns / 2;
      box_bytes = box_columns * kTileDepth * 2;
    }
  };

  __device__ void WaitForP1() {
    if (a_.wait_for_p1) WaitForPredecessor();
    if (a_.low.tile_columns != 0) {
      WaitForPredecessor();  // that zeroed the counters
      WaitForCount(SharesAdded(a_.low), gridDim.x);
      FenceForCopiesFromGlobal();
    }
  }

  __device__ void Copy(const Source& from, int step, int row, int column) {
    Wait(place_.empty(), place_.parity ^ 1);
    ArriveExpecting(place_.full(), Layout::kP + from.boxes * from.box_bytes);
    const int k = step * kTileDepth;
    LoadBox(place_.p(), from.p, place_.full(), k, row);
    for (int box = 0; box < from.boxes; ++box) {
      const int n = column + box * from.box_columns;
      const int x = from.mn_major ? n : k, y = from.mn_major ? k : n;
      const uint32_t to = place_.q() + box * from.box_bytes;
      if (!block_.pairs) {
        LoadBox(to, from.q, place_.full(), x, y);
      } else if (box % 2 == block_.rank) {
        LoadBoxInto(3, to, from.q, place_.full(), x, y);
      }
    }
    place_.Next();
  }

  const GemmArguments& a_;
  const Block block_;
  Place<N> place_;
};

// Named barriers.
constexpr int kGroupBarrier = 1;  // and 2: of a warpgroup
constexpr int kMultipliersBarrier = 3, kAddersBarrier = 4, kPartsBarrier = 5;

constexpr int kAdders = 96;

// Four float32 numbers as sums of two of type T each: 16 bits of bfloat16's 8 and 8.
template <class T>
__device__ void Split(const float4& v, T* high, T* low) {
  const T* type = nullptr;
  const float x = static_cast<float>(static_cast<T>(v.x)), y = static_cast<float>(static_cast<T>(v.y));
  const float z = static_cast<float>(static_cast<T>(v.z)), w = static_cast<float>(static_cast<T>(v.w));
  *reinterpret_cast<uint2*>(high) = {Pack(x, y, type), Pack(z, w, type)};
  *reinterpret_cast<uint2*>(low) = {Pack(v.x - x, v.y - y, type), Pack(v.z - z, v.w - w, type)};
}

// The share of one thread among `threads`; several loads at a time are under way.
template <class T>
__device__ void SplitAll(const float* from, T* high, T* low, int64_t elements, int64_t thread, int64_t threads) {
  constexpr int kAtOnce = 6;
  for (int64_t first = thread * 4; first < elements; first += threads * 4 * kAtOnce) {
    float4 v[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int64_t at = first + i * threads * 4;
      if (at < elements) v[i] = __ldcs(reinterpret_cast<const float4*>(from + at));
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int64_t at = first + i * threads * 4;
      if (at < elements) Split(v[i], high + at, low + at);
    }
  }
}

// h from its parts: the share of a block, by the warps that neither copy nor multiply.
template <class T>
__device__ void AddUpLowRank(const GemmArguments& a, int thread) {
  const LowRankArguments& low = a.low;
  if (low.a_parts == 2) {
    SplitAll(low.b, static_cast<T*>(low.b_high), static_cast<T*>(low.b_low), low.b_elements,
             static_cast<int64_t>(blockIdx.x) * kAdders + thread, static_cast<int64_t>(gridDim.x) * kAdders);
  }
  if (thread < 32) NamedBarrier(kPartsBarrier, 256 + 32);  // this block's parts are stored
  if (thread % 32 == 0) {
    WaitForPredecessor();  // that zeroed the counters
    if (thread == 0) AddReleased(PartsStored(low));
    WaitForCount(PartsStored(low), gridDim.x);
  }
  __syncwarp();
  const int64_t elements = static_cast<int64_t>(a.rows) * low.rank, stride = static_cast<int64_t>(gridDim.x) * kAdders * 4;
  for (int64_t at = ((thread / 32 * static_cast<int64_t>(gridDim.x) + blockIdx.x) * 32 + thread % 32) * 4; at < elements; at += stride) {
    float4 sum = {};
    const float* from = low.sums + at;
#pragma unroll 8
    for (int split = 0; split < low.splits; ++split, from += elements) {
      const float4 part = __ldcg(reinterpret_cast<const float4*>(from));
      sum.x += part.x, sum.y += part.y, sum.z += part.z, sum.w += part.w;
    }
    sum.x *= low.factor, sum.y *= low.factor, sum.z *= low.factor, sum.w *= low.factor;
    T* const h = static_cast<T*>(low.h) + at;
    if (low.a_parts == 2) {
      Split(sum, h, static_cast<T*>(low.h_low) + at);
    } else {
      const T* type = nullptr;
      *reinterpret_cast<uint2*>(h) = {Pack(sum.x, sum.y, type), Pack(sum.z, sum.w, type)};
    }
  }
  FenceForCopiesFromGlobal();
  NamedBarrier(kAddersBarrier, kAdders);
  if (thread == 0) AddReleased(SharesAdded(low));
}

// The multiplying side of a block: one warpgroup, 64 rows.
template <class T, int N>
class Multiplier {
  using Layout = GemmLayout<N>;
  static constexpr int kWide = WideColumns(N);

 public:
  __device__ Multiplier(const GemmArguments& arguments, unsigned char* memory)
      : a_(arguments), block_(arguments), memory_(memory), shared_(SharedAddress(memory)), place_{shared_} {}

  __device__ void Run() {
    for (LowTiles tile(a_, block_); tile.valid(); tile.Next()) {
      if (kWide != kNarrow && a_.low.tile_columns == kWide) {
        LowTile<kWide>(tile);
      } else {
        LowTile<kNarrow>(tile);
      }
    }
    if (a_.low.tile_columns != 0) NamedArrive(kPartsBarrier, 256 + 32);
    for (Tiles<N> tile(a_, block_); tile.valid(); tile.Next()) {
      if (block_.pairs) FetchColumns(tile.column);
      Sum(tile);
      if (block_.pairs) {
        Store(tile);
      } else {
        StoreTogether(tile);
      }
    }
    if (lane_ == 0) WaitForStores();
  }

 private:
  template <int columns>
  __device__ void LowTile(const LowTiles& tile) {
    Begin();
    Steps<columns>(tile.last - tile.first, a_.low.a_mn_major);
    End();
    float* sums = a_.low.sums + static_cast<int64_t>(tile.split) * a_.rows * a_.low.rank;
    const int row = tile.row + group_ * 64 + 16 * (thread_ / 32) + lane_ / 4;
#pragma unroll
    for (int i = 0; i < columns / 8; ++i) {
      const int column = tile.column + i * 8 + lane_ % 4 * 2;
      if (column >= a_.low.rank) break;  // rank is a multiple of 8
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        if (row + 8 * half >= a_.rows) continue;
        float* to = sums + static_cast<int64_t>(row + 8 * half) * a_.low.rank + column;
        __stcg(reinterpret_cast<float2*>(to), {sums_[4 * i + 2 * half], sums_[4 * i + 2 * half + 1]});
      }
    }
  }

  __device__ void Sum(const Tiles<N>& tile) {
    Begin();
#pragma unroll 1
    for (int which = 0, before = 0; which < a_.pairs; before += a_.steps[which++]) {
      Steps<N>(min(tile.last - before, a_.steps[which]) - max(tile.first - before, 0), a_.q_mn_major[which]);
    }
    End();
  }

  __device__ void Begin() { accumulate_ = 0, unreleased_ = 0; }

  __device__ void End() {
    MmaWait<0>();
    HoldAccumulators(sums_);
    if (unreleased_ != 0) Release(unreleased_);
    if (accumulate_ == 0) {  // nothing to sum: more blocks than steps
#pragma unroll
      for (float& sum : sums_) sum = 0;
    }
  }

  template <int columns>
  __device__ void Steps(int steps, bool mn_major) {
    if (mn_major) {
      if constexpr (columns % 64 == 0) Steps<columns, true>(steps);
    } else {
      Steps<columns, false>(steps);
    }
  }

  template <int columns, bool kMnMajor>
  __device__ void Steps(int steps) {
    float(&sums)[columns / 2] = reinterpret_cast<float(&)[columns / 2]>(sums_);
    for (int step = 0; step < steps; ++step, place_.Next()) {
      Wait(place_.full(), place_.parity);
      const uint64_t p = Operand<false>(place_.p() + group_ * 64 * kTileDepth * 2), q = Operand<kMnMajor>(place_.q());
      MmaFence();
#pragma unroll
      for (int i = 0; i < kTileDepth / 16; ++i) {
        Mma<columns>::template Run<T, kMnMajor>(sums, p + i * (kBytesPerStep<false> >> 4), q + i * (kBytesPerStep<kMnMajor> >> 4), accumulate_);
        accumulate_ = 1;
      }
      MmaCommit();
      MmaWait<1>();  // the stage before this one has been read
      if (unreleased_ != 0) Release(unreleased_);
      unreleased_ = place_.empty();
    }
  }

  __device__ void Release(uint32_t empty) {
    const int targets = block_.pairs ? 2 : 1;
    if (lane_ < targets) ArriveInBlock(empty, targets == 2 ? lane_ : block_.rank);
  }

  // Gain and bias of a tile's columns to shared memory, while the product runs. The last reads of the tile before are behind a barrier.
  __device__ void FetchColumns(int column) {
    for (int i = thread_; i < N; i += 128) {
      const bool inside = column + i < a_.columns;
      CopyWord(SharedAddress(gains() + i), a_.gain + (inside ? column + i : 0), !inside);
      biases()[i] = !inside || a_.bias == nullptr ? 0 : static_cast<float>(static_cast<const T*>(a_.bias)[column + i]);
    }
  }

  // Every warp for itself: 16 rows, 32 columns after 32 columns.
  __device__ void Store(const Tiles<N>& tile) {
    const int warp = threadIdx.x / 32, row = lane_ % 16;  // that this lane addresses for stmatrix
    WaitForWords();
    NamedBarrier(kGroupBarrier + group_, 128);
#pragma unroll
    for (int chunk = 0; chunk < N / kStoreColumns; ++chunk) {
      const uint32_t staging = shared_ + Layout::kStagingAt + (warp * Layout::kStagings + staged_) * Layout::kStaging;
      if (++staged_ == Layout::kStagings) staged_ = 0;
      if (lane_ == 0) WaitForStoresToRead<Layout::kStagings - 1>();
      __syncwarp();
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        uint32_t m[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int eight = chunk * 4 + half * 2 + i / 2, at = eight * 4 + i % 2 * 2, column = eight * 8 + lane_ % 4 * 2;
          const float2 g = *reinterpret_cast<const float2*>(gains() + column), b = *reinterpret_cast<const float2*>(biases() + column);
          m[i] = Pack(fmaf(g.x, sums_[at], b.x), fmaf(g.y, sums_[at + 1], b.y), static_cast<const T*>(nullptr));
        }
        const int unit = half * 2 + lane_ / 16;  // of 16 bytes, in a row of 64; swizzled as the map of D says
        StoreMatrices(staging + row * 64 + ((unit ^ (row >> 1 & 3)) << 4), m);
      }
      FenceForCopies();
      __syncwarp();
      if (lane_ == 0) StoreBox(a_.d, staging, tile.column + chunk * kStoreColumns, tile.row + warp * kStoreRows);
    }
    NamedBarrier(kGroupBarrier + group_, 128);  // all have read gain and bias
  }

  // Each block of the cluster adds up its share of the tile's rows.
  __device__ void StoreTogether(const Tiles<N>& tile) {
    constexpr int kPitch = Layout::kPitch;
    NamedBarrier(kMultipliersBarrier, 256);  // both warpgroups have read the stages
    float* sums = reinterpret_cast<float*>(memory_);
    const int row = group_ * 64 + 16 * (thread_ / 32) + lane_ / 4, column = lane_ % 4 * 2;
#pragma unroll
    for (int i = 0; i < N / 8; ++i) {
      *reinterpret_cast<float2*>(sums + row * kPitch + i * 8 + column) = {sums_[4 * i], sums_[4 * i + 1]};
      *reinterpret_cast<float2*>(sums + (row + 8) * kPitch + i * 8 + column) = {sums_[4 * i + 2], sums_[4 * i + 3]};
    }
    ClusterBarrier();
    const int share = (kTileRows + block_.cluster_blocks - 1) / block_.cluster_blocks, from = block_.rank * share;
    const int count = (min(from + share, kTileRows) - from) * (N / 8);
    for (int i = threadIdx.x; i < count; i += 256) {
      const int r = from + i / (N / 8), c = i % (N / 8) * 8;
      if (tile.row + r < a_.rows && tile.column + c < a_.columns) StoreEight(tile.row + r, tile.column + c, shared_ + (r * kPitch + c) * 4);
    }
    ClusterBarrier();  // nobody leaves while others read its memory
  }

  __device__ void StoreEight(int row, int column, uint32_t address) {
    float v[8] = {};
#pragma unroll 4
    for (int block = 0; block < block_.cluster_blocks; ++block) {
      const uint32_t there = InBlock(address, block);
      const float4 low = LoadFromCluster(there), high = LoadFromCluster(there + 16);
      v[0] += low.x, v[1] += low.y, v[2] += low.z, v[3] += low.w;
      v[4] += high.x, v[5] += high.y, v[6] += high.z, v[7] += high.w;
    }
    const int inside = min(8, a_.columns - column);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      if (i >= inside) break;
      const float gain = a_.gain == nullptr ? a_.factor : a_.gain[column + i];
      v[i] = fmaf(gain, v[i], a_.bias == nullptr ? 0.f : static_cast<float>(static_cast<const T*>(a_.bias)[column + i]));
    }
    T* out = static_cast<T*>(a_.out) + static_cast<int64_t>(row) * a_.columns + column;
    if (a_.columns % 8 == 0 && reinterpret_cast<uintptr_t>(a_.out) % 16 == 0) {
      *reinterpret_cast<uint4*>(out) = PackEight<T>(v);
    } else {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        if (i < inside) out[i] = static_cast<T>(v[i]);
      }
    }
  }

  __device__ float* gains() { return reinterpret_cast<float*>(memory_ + Layout::kColumnsAt + group_ * Layout::kColumns); }
  __device__ float* biases() { return gains() + N; }

  const GemmArguments& a_;
  const Block block_;
  unsigned char* memory_;
  uint32_t shared_;
  Place<N> place_;
  int group_ = threadIdx.x / 128, thread_ = threadIdx.x % 128, lane_ = threadIdx.x % 32;
  int accumulate_ = 0;
  int staged_ = 0;           // which of the warp's buffers for boxes of D is next
  uint32_t unreleased_ = 0;  // barrier of the stage that the products in flight read
  float sums_[N / 2];
};

}  // namespace gemm

// Grid: for kPairs any even number of blocks, in clusters of two; for kSplit a cluster of at most 8 blocks for each tile. With a
// low-rank phase all blocks must be resident at once.
template <class T, int N>
__global__ void __launch_bounds__(kGemmThreads, 1) GemmKernel(const __grid_constant__ GemmArguments a) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL  // empty for other devices; LinearGemmSupports keeps it from them
  using namespace gemm;
  using Layout = GemmLayout<N>;
  extern __shared__ __align__(1024) unsigned char memory[];
  const uint32_t shared = SharedAddress(memory);
  const bool pairs = a.cluster == Cluster::kPairs;
  if (threadIdx.x == 0) {
    Place<N> place{shared};
    for (int i = 0; i < Layout::kStages; ++i, place.Next()) {
      BarrierInit(place.full(), 1);
      BarrierInit(place.empty(), pairs ? 16 : 8);  // multiplying warps that read what a block copies
    }
    BarrierInitFence();
    if (a.let_next_start) LaunchDependents();
  }
  ClusterBarrier();
  if (threadIdx.x >= 256) {
    GiveUpRegisters<56>();
    if (threadIdx.x == 256) Copier<N>(a, shared).Run();
    if (threadIdx.x >= kGemmThreads - kAdders && a.low.tile_columns != 0) AddUpLowRank<T>(a, static_cast<int>(threadIdx.x) - (kGemmThreads - kAdders));
    __syncwarp();
    if (!pairs) ClusterBarrier();
    ClusterBarrier();
  } else {
    TakeRegisters<224>();
    Multiplier<T, N>(a, memory).Run();
    if (pairs) ClusterBarrier();  // nobody leaves while others copy into its memory
  }
#endif
}

}  // namespace ort_dora::cuda
