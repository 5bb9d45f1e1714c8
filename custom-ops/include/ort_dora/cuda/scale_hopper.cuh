// DoraScale on Hopper's tensor cores: the terms of the norms (scale_norms.cuh) from products D = P·Qᵀ of which only sums over
// rows are kept, Σ_j b_j·D_j. Those sums are linear in D, so that K and the rank may be cut at will.
//
//   D = W·Aᵀ       gives 2s·⟨w·Aᵀ, b⟩, and its copies of W also ‖w‖²;
//   D = B·(A·Aᵀ)ᵀ  gives s²·⟨b·(A·Aᵀ), b⟩, in the same registers, but for the diagonal of A·Aᵀ: the tensor cores truncate, and most of that term is
//                  β² = Σ_j b_j²·‖a_j‖², of positive terms. Warps without other work compute the ‖a_j‖².
//
// All in one cooperative launch of clusters of two blocks. A few clusters compute A·Aᵀ first; the others are well into W·Aᵀ when it is needed. Every
// cluster gets as many steps as any other: where its range ends within a tile, the next one goes on, and each writes terms of its own.
//
// wgmma takes 16-bit operands. What is float32 (A·Aᵀ, and adapters that are) enters as a sum of three 16-bit parts, of which
// the products that matter are added up.
#pragma once

#include <cuda.h>

#include <algorithm>

#include "ort_dora/cuda/elements.cuh"
#include "ort_dora/cuda/hopper.cuh"
#include "ort_dora/cuda/problems.h"
#include "ort_dora/cuda/scale_norms.cuh"
#include "ort_dora/cuda/tensor_map.h"
#include "ort_dora/cuda/wgmma.cuh"

namespace ort_dora::cuda {

constexpr int kCrossRows = 128, kCrossDepth = 64;
constexpr int kCrossThreads = 512;  // copies, squares, and two warpgroups of products
// Columns of K, of both products, that one sum runs over in the tensor cores, which truncate, before it goes on in float64.
constexpr int kCrossChunk = 1792;
constexpr int kCrossMaxPairs = 6;
constexpr int kMostClusters = 128;

// A product D = Σ over pairs of P's part by Q's part. A step of it is 64 of K of one pair.
struct CrossProduct {
  CUtensorMap p, q;  // boxes of 128 rows (rows contiguous: 64 columns of 64 rows) and of half of the columns of D
  int steps;
  int pairs;         // parts multiplied with one another, smallest first
  int p_row[kCrossMaxPairs], q_row[kCrossMaxPairs];  // where they begin
  bool p_mn_major;
};

struct ScaleArguments {
  CrossProduct square, cross, quadratic;  // P is A, W, B
  int rows, rank, padded;
  int clusters;
  int gram_tasks, gram_chunks;
  int begin[kMostClusters + 1];  // of each cluster's range of all steps of cross and quadratic, tile by tile
  int first_slot[kMostClusters];  // of its terms in its first tile
  int slots;
  double scaling;
  // A·Aᵀ is multiplied by s/2, so that both products have the same factor, 2s, and go to the same sums. Not in float16, whose exponents do not reach.
  bool fold;
  int b_parts;
  RowTerms* terms;  // [blocks of columns][slots][out]
  float* gram;      // the chunks of A·Aᵀ
  void* gram_parts;  // [3][rank, padded]
  float* lengths;   // ‖a_j‖²
  const void* a;    // [parts][rank, in]
  int a_parts;
  int64_t in;
  uint32_t* counters;  // warps that have stored their parts of A·Aᵀ, blocks that have added them up
};

template <int kColumns>
struct CrossLayout {
  static constexpr int kP = kCrossRows * kCrossDepth * 2, kQ = kColumns * kCrossDepth * 2, kStage = kP + kQ;
  static constexpr int kStages = std::min(8, (220 * 1024) / kStage);
  static constexpr int kWeights = kStage / kP;  // boxes of B, 64 columns each, that a stage holds when sums are weighed
  static constexpr int kBarriersAt = kStages * kStage, kSquaresAt = kBarriersAt + 256, kBytes = kSquaresAt + kCrossRows * 8;
};

namespace cross {

using namespace hopper;

// What a cluster does, in order: parts of A·Aᵀ, then its range of the tiles. A tile is 256 rows of P, 128 a block, and kColumns of D.
template <int kColumns>
struct Schedule {
  const ScaleArguments& a;
  bool gram = true;
  int tile, column, chunk;  // this block's tile of P, the first column of D; of A·Aᵀ: the part of K
  int cross_first, cross_last, quadratic_first, quadratic_last;  // steps; of A·Aᵀ: those of cross
  int slot;
  bool last = false;  // of the tile's pieces

  __device__ explicit Schedule(const ScaleArguments& arguments) : a(arguments), task_(static_cast<int>(blockIdx.x / 2)) { Locate(); }
  __device__ bool valid() const { return gram || at_ < end(); }
  __device__ void Next() {
    if (gram) {
      task_ += a.clusters;
    } else {
      at_ = min((at_ / Length() + 1) * Length(), end());
    }
    Locate();
  }
  __device__ int column_blocks() const { return (a.rank + kColumns - 1) / kColumns; }

 private:
  __device__ int cluster() const { return static_cast<int>(blockIdx.x / 2); }
  __device__ int end() const { return a.begin[cluster() + 1]; }
  __device__ int Length() const { return a.cross.steps + a.quadratic.steps; }
  __device__ void Locate() {
    const int rank = static_cast<int>(ClusterRank());
    if (gram && task_ < a.gram_tasks) {
      chunk = task_ % a.gram_chunks;
      const int rest = task_ / a.gram_chunks;
      column = rest % column_blocks() * kColumns, tile = rest / column_blocks() * 2 + rank;
      cross_first = static_cast<int>(int64_t{a.square.steps} * chunk / a.gram_chunks);
      cross_last = static_cast<int>(int64_t{a.square.steps} * (chunk + 1) / a.gram_chunks);
      quadratic_first = quadratic_last = 0;
      return;
    }
    if (gram) gram = false, at_ = a.begin[cluster()];
    const int item = at_ / Length(), from = at_ - item * Length(), to = min(Length(), end() - item * Length());
    tile = item / column_blocks() * 2 + rank, column = item % column_blocks() * kColumns;
    // Both products in proportion.
    const auto cross_before = [&](int step) { return static_cast<int>(int64_t{step} * a.cross.steps / Length()); };
    cross_first = cross_before(from), cross_last = cross_before(to);
    quadratic_first = from - cross_first, quadratic_last = to - cross_last;
    last = to == Length();
    slot = column / kColumns * a.slots + (at_ == a.begin[cluster()] ? a.first_slot[cluster()] : 0);
  }
  int task_, at_ = 0;
};

// The order in which a task passes through the stages, the same for all: products(which, first, last) over steps of one product, weights() where the sums
// over not too long a part of K are weighed with B.
template <class Task, class Products, class Weights>
__device__ void Walk(const ScaleArguments& a, const Task& task, Products&& products, Weights&& weights) {
  if (task.gram) {
    products(a.square, task.cross_first, task.cross_last);
    return;
  }
  const int quadratic = task.quadratic_last - task.quadratic_first, longest = kCrossChunk / kCrossDepth * a.cross.pairs;
  for (int first = task.cross_first; first < task.cross_last; first += longest) {
    const int last = min(first + longest, task.cross_last);
    products(a.cross, first, last);
    if (last < task.cross_last || (quadratic > 0 && (!a.fold || last - first + quadratic > longest))) weights();
  }
  if (quadratic > 0) products(a.quadratic, task.quadratic_first, task.quadratic_last);
  weights();
}

template <int kColumns>
struct Ring {
  using Layout = CrossLayout<kColumns>;
  uint32_t shared;
  int stage = 0;
  uint32_t parity = 0;
  __device__ uint32_t p() const { return shared + stage * Layout::kStage; }
  __device__ uint32_t q() const { return p() + Layout::kP; }
  __device__ uint32_t full() const { return shared + Layout::kBarriersAt + stage * 8; }
  __device__ uint32_t empty() const { return full() + Layout::kStages * 8; }
  __device__ void Next() {
    if (++stage == Layout::kStages) stage = 0, parity ^= 1;
  }
};

template <int kColumns>
__device__ void Copy(const ScaleArguments& a, uint32_t shared) {
  using Layout = CrossLayout<kColumns>;
  Ring<kColumns> ring{shared};
  const uint32_t rank = ClusterRank();
  const auto load_p = [&](const CrossProduct& product, uint32_t to, int row, int k) {
    if (product.p_mn_major) {
      LoadBox(to, product.p, ring.full(), row, k);
      LoadBox(to + Layout::kP / 2, product.p, ring.full(), row + 64, k);
    } else {
      LoadBox(to, product.p, ring.full(), k, row);
    }
  };
  bool has_gram = false;
  for (Schedule<kColumns> task(a); task.valid(); task.Next()) {
    const auto products = [&](const CrossProduct& product, int first, int last) {
      if (&product == &a.quadratic && !has_gram) {
        WaitForCount(a.counters + 1, static_cast<uint32_t>(2 * min(a.gram_tasks, a.clusters)));
        FenceForCopiesFromGlobal();
        has_gram = true;
      }
      for (int step = first; step < last; ++step, ring.Next()) {
        const int pair = step % product.pairs, k = step / product.pairs * kCrossDepth;
        Wait(ring.empty(), ring.parity ^ 1);
        ArriveExpecting(ring.full(), Layout::kStage);
        load_p(product, ring.p(), product.p_row[pair] + task.tile * kCrossRows, k);
        // Each block copies half of what both need.
        LoadBoxInto(3, ring.q() + rank * (Layout::kQ / 2), product.q, ring.full(), k, product.q_row[pair] + task.column + rank * (kColumns / 2));
      }
    };
    const auto weights = [&] {
      for (int part = 0; part < a.b_parts; ++part) {
        for (int first = 0; first < kColumns / 64; first += Layout::kWeights, ring.Next()) {
          const int boxes = min(Layout::kWeights, kColumns / 64 - first);
          Wait(ring.empty(), ring.parity ^ 1);
          ArriveExpecting(ring.full(), boxes * Layout::kP);
          for (int i = 0; i < boxes; ++i) load_p(a.quadratic, ring.p() + i * Layout::kP, part * a.rows + task.tile * kCrossRows, task.column + (first + i) * 64);
        }
      }
    };
    Walk(a, task, products, weights);
  }
}

template <class T>
__device__ inline float2 Unpack(uint32_t v) {
  if constexpr (std::is_same_v<T, __half>) {
    return __half22float2(reinterpret_cast<const __half2&>(v));
  } else {
    return __bfloat1622float2(reinterpret_cast<const __nv_bfloat162&>(v));
  }
}

__device__ inline void LoadWords(uint32_t (&v)[4], uint32_t address) {
  asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3]) : "r"(address) : "memory");
}

// ‖w‖²: a warpgroup of its own reads what the others multiply.
template <class T, int kColumns>
__device__ void SumSquares(const ScaleArguments& a, uint32_t shared, unsigned char* memory) {
  using Layout = CrossLayout<kColumns>;
  Ring<kColumns> ring{shared};
  const int thread = threadIdx.x % 128, lane = threadIdx.x % 32;
  const bool mn_major = a.cross.p_mn_major;
  // Many sums at once: the stage is waited for.
  const auto add = [&](double (&sum)[2]) {
    float parts[2][4] = {};
    if (mn_major) {
      // A thread has two neighbouring rows and half of the depth.
      const uint32_t box = ring.p() + thread / 64 * (Layout::kP / 2);
      const int begin = thread % 64 / 32 * 32;
#pragma unroll
      for (int i = 0; i < kCrossDepth / 2; ++i) {
        const int k = begin + i;
        uint32_t v;
        asm volatile("ld.shared.u32 %0, [%1];" : "=r"(v) : "r"(box + k * 128 + (((lane / 4) ^ (k & 7)) << 4) + lane % 4 * 4) : "memory");
        const float2 w = Unpack<T>(v);
        parts[0][i % 4] = fmaf(w.x, w.x, parts[0][i % 4]), parts[1][i % 4] = fmaf(w.y, w.y, parts[1][i % 4]);
      }
    } else {
#pragma unroll
      for (int c = 0; c < 8; c += 2) {
        uint32_t v[2][4];
        LoadWords(v[0], ring.p() + thread * 128 + ((c ^ (thread & 7)) << 4));
        LoadWords(v[1], ring.p() + thread * 128 + (((c + 1) ^ (thread & 7)) << 4));
#pragma unroll
        for (int i = 0; i < 8; ++i) {
          const float2 w = Unpack<T>(v[i / 4][i % 4]);
          parts[0][i % 4] = fmaf(w.x, w.x, parts[0][i % 4]), parts[1][i % 4] = fmaf(w.y, w.y, parts[1][i % 4]);
        }
      }
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) sum[i] += (parts[i][0] + parts[i][1]) + (parts[i][2] + parts[i][3]);
  };
  for (Schedule<kColumns> task(a); task.valid(); task.Next()) {
    const bool wanted = !task.gram && task.column == 0;
    double sum[2] = {};
    const auto pass = [&](bool squares) {
      Wait(ring.full(), ring.parity);
      if (squares) add(sum);
      __syncwarp();
      if (lane == 0) ArriveInBlock(ring.empty(), ClusterRank());
      ring.Next();
    };
    const auto products = [&](const CrossProduct& product, int first, int last) {
      for (int step = first; step < last; ++step) pass(wanted && &product == &a.cross && step % product.pairs == 0);
    };
    const auto weights = [&] {
      for (int i = 0; i < a.b_parts * CeilDiv(kColumns / 64, CrossLayout<kColumns>::kWeights); ++i) pass(false);
    };
    Walk(a, task, products, weights);
    if (!wanted) continue;
    RowTerms* terms = a.terms + int64_t{task.slot} * a.rows;
    const int first = task.tile * kCrossRows;
    if (!mn_major) {
      if (first + thread < a.rows) terms[first + thread].squares = sum[0] + sum[1];
      continue;
    }
    // The two halves of the depth.
    auto* halves = reinterpret_cast<double*>(memory + Layout::kSquaresAt);
    const int row = thread / 64 * 64 + lane * 2;
    NamedBarrier(2, 128);
    if (thread % 64 >= 32) halves[row] = sum[0], halves[row + 1] = sum[1];
    NamedBarrier(2, 128);
    if (thread % 64 < 32) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        if (first + row + i < a.rows) terms[first + row + i].squares = sum[i] + halves[row + i];
      }
    }
  }
}

// ‖a_j‖²: three warps of every block, a row at a time.
template <class T>
__device__ void SumLengths(const ScaleArguments& a) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 - 1;
  for (int j = static_cast<int>(blockIdx.x) * 3 + warp; j < a.rank; j += static_cast<int>(gridDim.x) * 3) {
    double sum = 0;
    for (int64_t k = lane * 8; k < a.in; k += 32 * 8) {
      float values[8] = {};
      for (int part = 0; part < a.a_parts; ++part) {
        const auto v = *reinterpret_cast<const Vector<T, 8>*>(static_cast<const T*>(a.a) + (int64_t{part} * a.rank + j) * a.in + k);
#pragma unroll
        for (int i = 0; i < 8; ++i) values[i] += ToFloat(v.v[i]);
      }
      float squares = 0;
#pragma unroll
      for (int i = 0; i < 8; ++i) squares = fmaf(values[i], values[i], squares);
      sum += squares;
    }
    sum = WarpSum(sum);
    if (lane == 0) a.lengths[j] = static_cast<float>(sum);
  }
}

// The products of 64 rows, and their sums.
template <class T, int kColumns>
class Multiplier {
  static constexpr int kHalves = kColumns > 192 ? 2 : 1, kHalf = kColumns / kHalves, kFours = kColumns / 8;
  using Layout = CrossLayout<kColumns>;

 public:
  __device__ Multiplier(const ScaleArguments& arguments, uint32_t shared) : a_(arguments), ring_{shared} {}

  __device__ void Run() {
    bool had_gram = false;
    for (Schedule<kColumns> task(a_); task.valid(); task.Next()) {
      if (!task.gram && had_gram) AddUpGram(), had_gram = false;
      totals_[0] = totals_[1] = 0;
      accumulate_ = 0;
      double factor = 2 * a_.scaling;
      const auto products = [&](const CrossProduct& product, int first, int last) {
        if (&product == &a_.quadratic) {
          factor = a_.fold ? 2 * a_.scaling : a_.scaling * a_.scaling;
        }
        if (product.p_mn_major) {
          Sum<true>(last - first);
        } else {
          Sum<false>(last - first);
        }
      };
      const auto weights = [&] {
        for (int part = 0; part < a_.b_parts; ++part) {
          if (a_.quadratic.p_mn_major) {
            Weigh<true>(factor);
          } else {
            Weigh<false>(factor);
          }
        }
        accumulate_ = 0;
      };
      Walk(a_, task, products, weights);
      if (task.gram) {
        StoreGram(task);
        had_gram = true;
      } else {
        StoreTerms(task);
      }
    }
    if (had_gram) AddUpGram();
  }

 private:
  template <bool kPMnMajor>
  __device__ void Sum(int steps) {
    uint32_t unreleased = 0;
    for (int step = 0; step < steps; ++step, ring_.Next()) {
      Wait(ring_.full(), ring_.parity);
      const uint64_t p = Operand<kPMnMajor>(ring_.p() + group_ * (Layout::kP / 2));
      MmaFence();
#pragma unroll
      for (int i = 0; i < kCrossDepth / 16; ++i) {
#pragma unroll
        for (int half = 0; half < kHalves; ++half) {
          const uint64_t q = Operand<false>(ring_.q() + half * kHalf * kCrossDepth * 2);
          Mma<kHalf>::template Run<T, false, kPMnMajor>(sums_[half], p + i * (kBytesPerStep<kPMnMajor> >> 4), q + i * (kBytesPerStep<false> >> 4), accumulate_);
        }
        accumulate_ = 1;
      }
      MmaCommit();
      MmaWait<1>();
      if (unreleased != 0) Release(unreleased);
      unreleased = ring_.empty();
    }
    MmaWait<0>();
#pragma unroll
    for (int half = 0; half < kHalves; ++half) HoldAccumulators(sums_[half]);
    if (unreleased != 0) Release(unreleased);
  }

  // To both blocks of the cluster: each copies into the other.
  __device__ void Release(uint32_t empty) {
    if (lane_ < 2) ArriveInBlock(empty, lane_);
  }

  // As it lies in the registers, so that warps write whole lines: [chunk][tile][block of columns][four sums][thread].
  __device__ void StoreGram(const Schedule<kColumns>& task) {
    const int tiles = GramTiles();
    if (task.tile < tiles) {
      float4* to = reinterpret_cast<float4*>(a_.gram) + (((int64_t{task.chunk} * tiles + task.tile) * task.column_blocks() + task.column / kColumns) * kFours) * 256 + thread_;
#pragma unroll
      for (int i = 0; i < kFours; ++i) {
        const int half = i / (kHalf / 8), at = i % (kHalf / 8) * 4;
        to[i * 256] = {sums_[half][at], sums_[half][at + 1], sums_[half][at + 2], sums_[half][at + 3]};
      }
    }
    __threadfence();
    __syncwarp();
    if (lane_ == 0) AddReleased(a_.counters);
  }

  // A·Aᵀ from its chunks, in parts: by the clusters that had a chunk.
  __device__ void AddUpGram() {
    constexpr int kAtOnce = 8;
    WaitForCount(a_.counters, static_cast<uint32_t>(a_.gram_tasks) * 2 * 8);
    const int blocks = (a_.rank + kColumns - 1) / kColumns, count = GramTiles() * blocks * kFours;  // groups of 256 times four sums
    const float4* from = reinterpret_cast<const float4*>(a_.gram) + thread_;
#pragma unroll 2
    for (int group = static_cast<int>(blockIdx.x); group < count; group += 2 * min(a_.gram_tasks, a_.clusters)) {
      float sum[4] = {};
      for (int first = 0; first < a_.gram_chunks; first += kAtOnce) {
        float4 v[kAtOnce];
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i) v[i] = first + i < a_.gram_chunks ? __ldcg(from + (int64_t{first + i} * count + group) * 256) : float4{};
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i) sum[0] += v[i].x, sum[1] += v[i].y, sum[2] += v[i].z, sum[3] += v[i].w;
      }
      const int block = group / kFours % blocks, tile = group / kFours / blocks;
      const int row = tile * kCrossRows + row_, column = block * kColumns + group % kFours * 8 + lane_ % 4 * 2;
      StoreParts(row, column, sum[0], sum[1]);
      StoreParts(row + 8, column, sum[2], sum[3]);
    }
    FenceForCopiesFromGlobal();
    __threadfence();
    NamedBarrier(1, 256);
    if (thread_ == 0) AddReleased(a_.counters + 1);
  }

  // A pair of elements of A·Aᵀ in three parts, without the diagonal. Beyond the rank the products have what lies behind the matrix; there it is zero.
  __device__ void StoreParts(int row, int column, float first, float second) {
    if (row >= a_.rank || column >= a_.padded) return;
    float rest[2] = {column < a_.rank ? first : 0, column + 1 < a_.rank ? second : 0};
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      if (column + j == row) rest[j] = 0;
      if (a_.fold) rest[j] *= static_cast<float>(a_.scaling / 2);
    }
    T* to = static_cast<T*>(a_.gram_parts) + row * a_.padded + column;
#pragma unroll
    for (int part = 0; part < 3; ++part, to += a_.rank * a_.padded) {
      Vector<T, 2> v;
#pragma unroll
      for (int j = 0; j < 2; ++j) v.v[j] = FromFloat<T>(rest[j]), rest[j] -= ToFloat(v.v[j]);
      *reinterpret_cast<Vector<T, 2>*>(to) = v;
    }
  }

  __device__ int GramTiles() const { return (a_.rank + kCrossRows - 1) / kCrossRows; }

  // totals += factor · Σ_j b_j·D_j over this thread's columns, b from the stages. Beyond the rank b is zero, and D as well.
  template <bool kMnMajor>
  __device__ void Weigh(double factor) {
    float sums[2][2] = {};
#pragma unroll
    for (int block = 0; block < kColumns / 64; ++block) {
      if (block % Layout::kWeights == 0) Wait(ring_.full(), ring_.parity);
      const uint32_t box = ring_.p() + block % Layout::kWeights * Layout::kP;
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const int at = block * 64 + i * 8, half = at / kHalf, index = at % kHalf / 2;
#pragma unroll
        for (int below = 0; below < 2; ++below) {
          const float2 weight = WeightAt<kMnMajor>(box, row_ + 8 * below, i);
          sums[below][0] = fmaf(weight.x, sums_[half][index + 2 * below], sums[below][0]);
          sums[below][1] = fmaf(weight.y, sums_[half][index + 2 * below + 1], sums[below][1]);
        }
      }
      if (block % Layout::kWeights == Layout::kWeights - 1 || block + 1 == kColumns / 64) {
        __syncwarp();
        Release(ring_.empty());
        ring_.Next();
      }
    }
#pragma unroll
    for (int below = 0; below < 2; ++below) totals_[below] += factor * (double{sums[below][0]} + sums[below][1]);
  }

  // b of a row of the tile at columns 8·i + 2·(lane % 4) and the next, in a box of 64 columns.
  template <bool kMnMajor>
  __device__ float2 WeightAt(uint32_t box, int row, int i) const {
    if constexpr (kMnMajor) {
      const uint32_t rows = box + row / 64 * (Layout::kP / 2) + row % 8 * 2;
      uint16_t v[2];
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int column = i * 8 + lane_ % 4 * 2 + j;
        asm volatile("ld.shared.u16 %0, [%1];" : "=h"(v[j]) : "r"(rows + column * 128 + ((row % 64 / 8 ^ column % 8) << 4)) : "memory");
      }
      return Unpack<T>(v[0] | static_cast<uint32_t>(v[1]) << 16);
    } else {
      uint32_t v;
      asm volatile("ld.shared.u32 %0, [%1];" : "=r"(v) : "r"(box + row * 128 + ((i ^ row % 8) << 4) + lane_ % 4 * 4) : "memory");
      return Unpack<T>(v);
    }
  }

  __device__ void StoreTerms(const Schedule<kColumns>& task) {
    const int first = task.tile * kCrossRows + row_;
#pragma unroll
    for (int below = 0; below < 2; ++below) {
      double sum = totals_[below];
      sum += __shfl_xor_sync(0xFFFFFFFF, sum, 1);
      sum += __shfl_xor_sync(0xFFFFFFFF, sum, 2);
      if (lane_ % 4 != 0 || first + 8 * below >= a_.rows) continue;
      RowTerms* terms = a_.terms + int64_t{task.slot} * a_.rows + first + 8 * below;
      terms->low_rank = sum;
      if (task.column != 0) terms->squares = 0;
      // The last piece of a tile fills the slots that the tile does not need.
      for (int i = task.slot % a_.slots + 1; task.last && i < a_.slots; ++i) *(terms += a_.rows) = {0, 0};
    }
  }

  const ScaleArguments& a_;
  Ring<kColumns> ring_;
  const int thread_ = threadIdx.x - 256, group_ = threadIdx.x / 128 - 2, lane_ = threadIdx.x % 32;
  const int row_ = group_ * 64 + threadIdx.x % 128 / 32 * 16 + lane_ / 4;
  float sums_[kHalves][kHalf / 2];
  int accumulate_ = 0;
  double totals_[2];
};

}  // namespace cross

__global__ void ZeroCounters(uint32_t* counters) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  hopper::LaunchDependents();
  if (threadIdx.x < 2) counters[threadIdx.x] = 0;
#endif
}

template <class T, int kColumns>
__global__ void __launch_bounds__(kCrossThreads, 1) ScaleKernel(const __grid_constant__ ScaleArguments a) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  using namespace cross;
  using Layout = CrossLayout<kColumns>;
  extern __shared__ __align__(1024) unsigned char memory[];
  const uint32_t shared = SharedAddress(memory);
  if (threadIdx.x == 0) {
    Ring<kColumns> ring{shared};
    for (int i = 0; i < Layout::kStages; ++i, ring.Next()) {
      BarrierInit(ring.full(), 1);
      BarrierInit(ring.empty(), 16 + 4);  // the multiplying warps of both blocks, and this block's that square
    }
    BarrierInitFence();
    for (const CrossProduct* product : {&a.square, &a.cross, &a.quadratic}) PrefetchMap(product->p), PrefetchMap(product->q);
  }
  ClusterBarrier();
  WaitForPredecessor();
  const int group = threadIdx.x / 128;
  if (group == 0) {
    GiveUpRegisters<24>();
    if (threadIdx.x == 0) Copy<kColumns>(a, shared);
    if (threadIdx.x >= 32) SumLengths<T>(a);
  } else if (group == 1) {
    GiveUpRegisters<40>();
    SumSquares<T, kColumns>(a, shared, memory);
  } else {
    TakeRegisters<224>();
    Multiplier<T, kColumns>(a, shared).Run();
  }
  __syncwarp();
  LaunchDependents();
  ClusterBarrier();  // nobody leaves while the other block copies into its memory
#endif
}

// to [part][rows][padded] = the parts of a matrix, whose sum is the matrix (but for 2⁻²⁴ of it in bfloat16), tile by tile.
template <class U, class T>
__global__ void __launch_bounds__(256) PartsKernel(Strided<U> from, int64_t rows, int64_t cols, int64_t padded, int parts, T* to) {
  __shared__ float tile[32][33];
  const int64_t across = CeilDiv<int64_t>(padded, 32), row0 = blockIdx.x / across * 32, col0 = blockIdx.x % across * 32;
  const int x = threadIdx.x % 32, y = threadIdx.x / 32;
  const bool by_rows = from.col_stride == 1;
  for (int i = y; i < 32; i += 8) {
    const int r = by_rows ? i : x, c = by_rows ? x : i;
    tile[r][c] = row0 + r < rows && col0 + c < cols ? from(row0 + r, col0 + c) : 0.0f;
  }
  __syncthreads();
  for (int i = y; i < 32; i += 8) {
    if (row0 + i >= rows || col0 + x >= padded) continue;
    float rest = tile[i][x];
    for (int part = 0; part < parts; ++part) {
      const T v = FromFloat<T>(rest);
      to[(part * rows + row0 + i) * padded + col0 + x] = v;
      rest -= ToFloat(v);
    }
  }
}

// The pairs of parts whose products matter, smallest first.
inline void SetPairs(CrossProduct& product, int p_parts, int64_t p_rows, int q_parts, int64_t q_rows) {
  product.pairs = 0;
  for (int order = std::max(p_parts, q_parts) - 1; order >= 0; --order) {
    for (int i = 0; i <= order; ++i) {
      if (i >= p_parts || order - i >= q_parts) continue;
      product.p_row[product.pairs] = static_cast<int>(i * p_rows);
      product.q_row[product.pairs] = static_cast<int>((order - i) * q_rows);
      ++product.pairs;
    }
  }
}

// How a problem is cut, and where things lie in the workspace.
struct HopperScalePlan {
  int columns;            // of D, at once
  int64_t rank, padded;   // rank, and that rounded up to what copies need
  bool a_parts, b_parts;  // copied into parts; else copied as they are
  int parts;              // 3 for float32 adapters
  ScaleArguments arguments{};  // all but pointers and maps
  size_t terms_at, gram_at, gram_parts_at, lengths_at, counters_at, a_at, b_at, bytes;

  HopperScalePlan(const CudaScaleProblem& p, int clusters) {
    const int64_t out = p.W.rows, in = p.W.cols;
    rank = p.A.rows, padded = CeilDiv<int64_t>(rank, 8) * 8;
    columns = Columns(rank);
    const bool wide = p.A.dtype != p.W.dtype;
    parts = wide ? 3 : 1;
    a_parts = wide || p.A.transposed || !CanCopyBoxes(p.A);
    b_parts = wide || !CanCopyBoxes(p.B);
    const int blocks = static_cast<int>(CeilDiv<int64_t>(rank, columns));

    ScaleArguments& a = arguments;
    a.rows = static_cast<int>(out), a.rank = static_cast<int>(rank), a.padded = static_cast<int>(padded);
    a.clusters = std::min(clusters, kMostClusters), a.scaling = p.scaling, a.b_parts = parts, a.fold = p.W.dtype == DType::kBFloat16;
    SetPairs(a.square, parts, rank, parts, rank);
    SetPairs(a.cross, 1, out, parts, rank);
    SetPairs(a.quadratic, parts, out, 3, rank);
    const auto steps = [](int64_t depth, const CrossProduct& product) { return static_cast<int>(CeilDiv<int64_t>(depth, kCrossDepth)) * product.pairs; };
    a.square.steps = steps(in, a.square), a.cross.steps = steps(in, a.cross);
    a.quadratic.steps = p.scaling == 0 ? 0 : steps(rank, a.quadratic);
    a.gram_chunks = GramChunks(static_cast<int>(CeilDiv<int64_t>(rank, 2 * kCrossRows)) * blocks);
    a.gram_tasks = static_cast<int>(CeilDiv<int64_t>(rank, 2 * kCrossRows)) * blocks * a.gram_chunks;
    Divide(static_cast<int>(CeilDiv<int64_t>(out, 2 * kCrossRows)) * blocks);

    size_t at = 0;
    const auto take = [&](int64_t size) {
      const size_t start = at;
      at += Padded(static_cast<size_t>(size));
      return start;
    };
    terms_at = take(int64_t{a.slots} * blocks * out * static_cast<int64_t>(sizeof(RowTerms)));
    gram_at = take(int64_t{a.gram_chunks} * CeilDiv<int64_t>(rank, kCrossRows) * kCrossRows * blocks * columns * 4);
    gram_parts_at = take(3 * rank * padded * 2);
    lengths_at = take(rank * 4);
    counters_at = take(2 * sizeof(uint32_t));
    a_at = take(a_parts ? parts * rank * in * 2 : 0);
    b_at = take(b_parts ? parts * out * padded * 2 : 0);
    bytes = at;
  }

  static int Columns(int64_t rank) { return rank <= 64 ? 64 : rank <= 192 ? 192 : 384; }

 private:
  // A·Aᵀ is wanted early: by a quarter of the clusters, so that the others come far meanwhile.
  int GramChunks(int tiles) const {
    const int steps = arguments.square.steps / arguments.square.pairs;
    const int least = static_cast<int>(CeilDiv(steps, kCrossChunk / kCrossDepth));
    return std::max(least, std::min({steps, 8, static_cast<int>(CeilDiv(arguments.clusters, 4 * tiles))}));
  }

  // The same number of steps for every cluster. What A·Aᵀ costs besides its steps is that of so many.
  void Divide(int tiles) {
    constexpr double kGramSteps = 5;
    ScaleArguments& a = arguments;
    const int length = a.cross.steps + a.quadratic.steps, all = tiles * length, gram_steps = a.square.steps / a.gram_chunks;
    double gram[kMostClusters] = {}, total = all;
    for (int task = 0; task < a.gram_tasks; ++task) gram[task % a.clusters] += gram_steps;
    for (int c = 0; c < a.clusters; ++c) {
      if (gram[c] > 0) gram[c] += kGramSteps;
      total += gram[c];
    }
    double weight = 0, before = 0;
    const auto rest = [&](int c) { return std::max(0.0, total / a.clusters - gram[c]); };
    for (int c = 0; c < a.clusters; ++c) weight += rest(c);
    int previous = -1;
    for (int c = 0; c < a.clusters; ++c) {
      a.begin[c] = static_cast<int>(all * (before / weight));
      before += rest(c);
      a.begin[c + 1] = c + 1 == a.clusters ? all : static_cast<int>(all * (before / weight));
      if (a.begin[c] == a.begin[c + 1]) continue;
      const bool shared = a.begin[c] % length != 0, same = shared && a.begin[previous] / length == a.begin[c] / length;
      a.first_slot[c] = shared ? (same ? a.first_slot[previous] : 0) + 1 : 0;
      a.slots = std::max(a.slots, a.first_slot[c] + 1);
      previous = c;
    }
  }
};

inline bool HopperScaleSupports(const CudaScaleProblem& p) {
  // The steps of all tiles are counted in 31 bits.
  const int64_t steps = CeilDiv<int64_t>(p.W.rows, 2 * kCrossRows) * CeilDiv<int64_t>(p.A.rows, 64) * (3 * CeilDiv<int64_t>(p.W.cols, kCrossDepth) + 6 * 64);
  return IsHopper() && p.W.dtype != DType::kFloat32 && p.A.rows > 0 && p.A.rows <= 4096 && steps < int64_t{1} << 31 && p.W.cols % 8 == 0 &&
         CanCopyBoxes(p.W);
}

// The launch of ScaleKernel: clusters of two, all at once, since they wait for one another.
template <class T, int kColumns>
struct ScaleLaunch {
  cudaLaunchAttribute attributes[3] = {};
  cudaLaunchConfig_t config = {};

  ScaleLaunch() {
    attributes[0].id = cudaLaunchAttributeClusterDimension;
    attributes[0].val.clusterDim = {2, 1, 1};
    attributes[1].id = cudaLaunchAttributeCooperative;
    attributes[1].val.cooperative = 1;
    attributes[2].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[2].val.programmaticStreamSerializationAllowed = 1;
    config.gridDim = 2;
    config.blockDim = kCrossThreads;
    config.dynamicSmemBytes = CrossLayout<kColumns>::kBytes;
    config.attrs = attributes;
    config.numAttrs = 1;
  }
  cudaError_t Allow() const { return cudaFuncSetAttribute(ScaleKernel<T, kColumns>, cudaFuncAttributeMaxDynamicSharedMemorySize, CrossLayout<kColumns>::kBytes); }
  cudaError_t Resident(int* clusters) const {
    if (const cudaError_t e = Allow(); e != cudaSuccess) return e;
    return cudaOccupancyMaxActiveClusters(clusters, ScaleKernel<T, kColumns>, &config);
  }
  cudaError_t Enqueue(const ScaleArguments& a, cudaStream_t stream) {
    if (const cudaError_t e = Allow(); e != cudaSuccess) return e;
    config.gridDim = static_cast<unsigned>(2 * a.clusters);
    config.stream = stream;
    config.numAttrs = 3;
    return cudaLaunchKernelEx(&config, ScaleKernel<T, kColumns>, a);
  }
};

// Calls f with the launch for a problem.
template <class F>
cudaError_t WithScaleLaunch(const CudaScaleProblem& p, F&& f) {
  const auto with_type = [&](auto t) {
    using T = typename decltype(t)::type;
    const int columns = HopperScalePlan::Columns(p.A.rows);
    return columns == 64 ? f(t, ScaleLaunch<T, 64>()) : columns == 192 ? f(t, ScaleLaunch<T, 192>()) : f(t, ScaleLaunch<T, 384>());
  };
  return p.W.dtype == DType::kFloat16 ? with_type(TypeOf<__half>{}) : with_type(TypeOf<__nv_bfloat16>{});
}

inline cudaError_t ScaleClusters(const CudaScaleProblem& p, int* clusters) {
  return WithScaleLaunch(p, [&](auto, const auto& launch) { return launch.Resident(clusters); });
}

inline size_t HopperScaleBytes(const CudaScaleProblem& p) {
  int clusters = 0;
  return ScaleClusters(p, &clusters) == cudaSuccess ? HopperScalePlan(p, clusters).bytes : 0;
}

template <class T, class U, class Launch>
cudaError_t LaunchHopperScale(const CudaScaleProblem& p, HopperScalePlan& plan, Launch& launch, char* workspace, cudaStream_t stream) {
  const int64_t out = p.W.rows, in = p.W.cols, rank = plan.rank, padded = plan.padded;
  ScaleArguments& arguments = plan.arguments;
  arguments.terms = reinterpret_cast<RowTerms*>(workspace + plan.terms_at);
  arguments.gram = reinterpret_cast<float*>(workspace + plan.gram_at);
  arguments.gram_parts = workspace + plan.gram_parts_at;
  arguments.lengths = reinterpret_cast<float*>(workspace + plan.lengths_at);
  arguments.counters = reinterpret_cast<uint32_t*>(workspace + plan.counters_at);
  const void *a = p.A.data, *b = p.B.data;
  const auto copy_parts = [&](const Matrix& m, int64_t pitch, size_t at) {
    const auto blocks = static_cast<unsigned>(CeilDiv<int64_t>(m.rows, 32) * CeilDiv<int64_t>(pitch, 32));
    PartsKernel<U, T><<<blocks, 256, 0, stream>>>(ToStrided<U>(m), m.rows, m.cols, pitch, plan.parts, reinterpret_cast<T*>(workspace + at));
    return cudaGetLastError();
  };
  if (plan.a_parts) {
    if (const cudaError_t e = copy_parts(p.A, in, plan.a_at); e != cudaSuccess) return e;
    a = workspace + plan.a_at;
  }
  if (plan.b_parts) {
    if (const cudaError_t e = copy_parts(p.B, padded, plan.b_at); e != cudaSuccess) return e;
    b = workspace + plan.b_at;
  }

  arguments.a = a, arguments.a_parts = plan.a_parts ? plan.parts : 1, arguments.in = in;
  const int half = plan.columns / 2;
  const auto rows_map = [&](const void* data, int64_t rows, int64_t columns, bool mn_major, CrossProduct& product) {
    product.p_mn_major = mn_major;
    return EncodeMap(mn_major ? BoxedMatrix{data, columns, rows, 64, 64} : BoxedMatrix{data, rows, columns, kCrossRows, 64}, &product.p);
  };
  CrossProduct &square = arguments.square, &cross = arguments.cross, &quadratic = arguments.quadratic;
  if (const cudaError_t e = rows_map(a, plan.parts * rank, in, false, square); e != cudaSuccess) return e;
  if (const cudaError_t e = EncodeMap({a, plan.parts * rank, in, half, 64}, &square.q); e != cudaSuccess) return e;
  if (const cudaError_t e = rows_map(p.W.data, out, in, p.W.transposed, cross); e != cudaSuccess) return e;
  cross.q = square.q;
  const bool b_transposed = p.B.transposed && !plan.b_parts;
  if (const cudaError_t e = rows_map(b, plan.b_parts ? plan.parts * out : out, plan.b_parts ? padded : rank, b_transposed, quadratic); e != cudaSuccess) return e;
  if (const cudaError_t e = EncodeMap({arguments.gram_parts, 3 * rank, padded, half, 64}, &quadratic.q); e != cudaSuccess) return e;

  ZeroCounters<<<1, 32, 0, stream>>>(arguments.counters);
  if (const cudaError_t e = cudaGetLastError(); e != cudaSuccess) return e;
  if (const cudaError_t e = launch.Enqueue(arguments, stream); e != cudaSuccess) return e;
  return LaunchNorms(p, arguments.terms, arguments.slots * static_cast<int>(CeilDiv<int64_t>(rank, plan.columns)), arguments.lengths, true, true, stream);
}

inline cudaError_t LaunchHopperScale(const CudaScaleProblem& p, void* workspace, size_t workspace_bytes, cudaStream_t stream) {
  int clusters = 0;
  if (const cudaError_t error = ScaleClusters(p, &clusters); error != cudaSuccess) return error;
  if (clusters == 0) return cudaErrorLaunchOutOfResources;
  HopperScalePlan plan(p, clusters);
  if (workspace_bytes < plan.bytes) return cudaErrorInvalidValue;
  return WithScaleLaunch(p, [&](auto t, auto launch) {
    using T = typename decltype(t)::type;
    auto* memory = static_cast<char*>(workspace);
    return p.A.dtype == p.W.dtype ? LaunchHopperScale<T, T>(p, plan, launch, memory, stream) : LaunchHopperScale<T, float>(p, plan, launch, memory, stream);
  });
}

}  // namespace ort_dora::cuda
