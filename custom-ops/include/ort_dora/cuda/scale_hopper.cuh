// DoraScale on Hopper's tensor cores: the terms of the norms (scale_norms.cuh) from products D = P·Qᵀ of which only sums over
// rows are kept, Σ_j b_j·D_j. Those sums are linear in D, so that K and the rank may be cut into tasks at will.
//
//   1. D = W·Aᵀ gives 2s·⟨w·Aᵀ, b⟩, and its copies of W also ‖w‖²; tasks with A in the place of W write A·Aᵀ.
//   2. D = B·(A·Aᵀ)ᵀ gives s²·⟨b·(A·Aᵀ), b⟩.
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
// Columns of K that one sum runs over in the tensor cores, which truncate, before it goes on in float64.
constexpr int kCrossChunk = 2048;
constexpr int kCrossMaxPairs = 6;

// A product D = Σ over pairs of P's part by Q's part, and what is made of it.
struct CrossProduct {
  CUtensorMap p, q;  // boxes of 128 rows (rows contiguous: 64 columns of 64 rows) and of half of the columns of D
  int rows;          // of one part of P
  int depth;         // K
  int chunks;        // tasks along K
  int pairs;         // parts multiplied with one another, smallest first
  int p_row[kCrossMaxPairs], q_row[kCrossMaxPairs];  // where they begin
  int first_slot;    // of the chunks' terms
  bool p_mn_major;
  bool raw;  // D itself goes to `gram`
};

struct CrossArguments {
  CrossProduct products[2];
  int count;  // of products
  int rank;
  const void* b;  // [parts][out, pitch], or [r, pitch] if transposed, of the type of W
  int b_parts;
  bool b_transposed;
  int64_t b_pitch, b_part_stride;
  bool squares;  // ‖p‖² of the first product
  double factor;
  RowTerms* terms;  // [slots, out]
  int64_t out;
  float* gram;  // [chunks, rank, rank]
};

template <int kColumns>
struct CrossLayout {
  static constexpr int kP = kCrossRows * kCrossDepth * 2, kQ = kColumns * kCrossDepth * 2, kStage = kP + kQ;
  static constexpr int kStages = std::min(8, (220 * 1024) / kStage);
  static constexpr int kBarriersAt = kStages * kStage, kSquaresAt = kBarriersAt + 256, kBytes = kSquaresAt + kCrossRows * 8 * 2;
};

namespace cross {

using namespace hopper;

// The tasks of a cluster of two blocks: pairs of tiles of P, the same part of K and of the rank.
template <int kColumns>
struct Schedule {
  const CrossArguments& a;
  int task, stride, which, tile, chunk, column;
  __device__ explicit Schedule(const CrossArguments& arguments) : a(arguments), task(blockIdx.x / 2), stride(gridDim.x / 2) { Locate(); }
  __device__ bool valid() const { return which < a.count; }
  __device__ void Next() { task += stride, Locate(); }
  __device__ const CrossProduct& product() const { return a.products[which]; }
  __device__ int first_step() const { return static_cast<int>(int64_t{Steps()} * chunk / product().chunks); }
  __device__ int last_step() const { return static_cast<int>(int64_t{Steps()} * (chunk + 1) / product().chunks); }
  __device__ int column_blocks() const { return (a.rank + kColumns - 1) / kColumns; }
  __device__ int slot() const { return product().first_slot + chunk * column_blocks() + column / kColumns; }

 private:
  __device__ int Steps() const { return (product().depth + kCrossDepth - 1) / kCrossDepth; }
  __device__ void Locate() {
    int rest = task;
    for (which = 0; which < a.count; ++which) {
      const int parts = product().chunks * column_blocks(), pairs_of_tiles = (product().rows + 2 * kCrossRows - 1) / (2 * kCrossRows);
      if (rest < parts * pairs_of_tiles) {
        // The same tiles one after the other: W stays in the second-level cache for the next part of the rank.
        tile = rest / parts * 2 + static_cast<int>(ClusterRank());
        chunk = rest % parts / column_blocks();
        column = rest % column_blocks() * kColumns;
        return;
      }
      rest -= parts * pairs_of_tiles;
    }
  }
};

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
__device__ void Copy(const CrossArguments& a, uint32_t shared) {
  using Layout = CrossLayout<kColumns>;
  Ring<kColumns> ring{shared};
  const uint32_t rank = ClusterRank();
  for (Schedule<kColumns> task(a); task.valid(); task.Next()) {
    const CrossProduct& product = task.product();
    for (int step = task.first_step(); step < task.last_step(); ++step) {
      for (int pair = 0; pair < product.pairs; ++pair, ring.Next()) {
        Wait(ring.empty(), ring.parity ^ 1);
        ArriveExpecting(ring.full(), Layout::kStage);
        const int k = step * kCrossDepth, row = product.p_row[pair] + task.tile * kCrossRows;
        if (product.p_mn_major) {
          LoadBox(ring.p(), product.p, ring.full(), row, k);
          LoadBox(ring.p() + Layout::kP / 2, product.p, ring.full(), row + 64, k);
        } else {
          LoadBox(ring.p(), product.p, ring.full(), k, row);
        }
        // Each block copies half of what both need.
        LoadBoxInto(3, ring.q() + rank * (Layout::kQ / 2), product.q, ring.full(), k, product.q_row[pair] + task.column + rank * (kColumns / 2));
      }
    }
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

// ‖p‖² of the first product's rows: a warpgroup of its own reads what the others multiply.
template <class T, int kColumns>
__device__ void SumSquares(const CrossArguments& a, uint32_t shared, double* squares) {
  Ring<kColumns> ring{shared};
  const int thread = threadIdx.x % 128, lane = threadIdx.x % 32;
  const auto release = [&] {
    __syncwarp();
    if (lane == 0) ArriveInBlock(ring.empty(), ClusterRank());
  };
  for (Schedule<kColumns> task(a); task.valid(); task.Next()) {
    const CrossProduct& product = task.product();
    const bool wanted = a.squares && task.which == 0 && task.column == 0;
    double sum[2] = {};
    for (int step = task.first_step(); step < task.last_step(); ++step) {
      for (int pair = 0; pair < product.pairs; ++pair, ring.Next()) {
        Wait(ring.full(), ring.parity);
        if (wanted && pair == 0) {
          float part[2] = {};
          if (product.p_mn_major) {
            // A thread has two neighbouring rows and half of the depth.
            const uint32_t box = ring.p() + thread / 64 * (CrossLayout<kColumns>::kP / 2);
            const int two = thread % 32, begin = thread % 64 / 32 * 32;
#pragma unroll 8
            for (int k = begin; k < begin + 32; ++k) {
              uint32_t v;
              asm volatile("ld.shared.u32 %0, [%1];" : "=r"(v) : "r"(box + k * 128 + (((two / 4) ^ (k & 7)) << 4) + two % 4 * 4) : "memory");
              const float2 w = Unpack<T>(v);
              part[0] = fmaf(w.x, w.x, part[0]), part[1] = fmaf(w.y, w.y, part[1]);
            }
          } else {
#pragma unroll 2
            for (int c = 0; c < 8; ++c) {
              uint32_t v[4];
              asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3]) : "r"(ring.p() + thread * 128 + ((c ^ (thread & 7)) << 4)) : "memory");
#pragma unroll
              for (int i = 0; i < 4; ++i) {
                const float2 w = Unpack<T>(v[i]);
                part[0] = fmaf(w.x, w.x, part[0]), part[1] = fmaf(w.y, w.y, part[1]);
              }
            }
          }
          sum[0] += part[0], sum[1] += part[1];
        }
        release();
      }
    }
    if (!wanted) continue;
    RowTerms* terms = a.terms + int64_t{task.slot()} * a.out;
    const int first = task.tile * kCrossRows;
    if (!product.p_mn_major) {
      if (first + thread < product.rows) terms[first + thread].squares = sum[0] + sum[1];
      continue;
    }
    // The two halves of the depth.
    const int row = thread / 64 * 64 + thread % 32 * 2;
    NamedBarrier(1, 128);
    if (thread % 64 >= 32) squares[row] = sum[0], squares[row + 1] = sum[1];
    NamedBarrier(1, 128);
    if (thread % 64 < 32) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        if (first + row + i < product.rows) terms[first + row + i].squares = sum[i] + squares[row + i];
      }
    }
  }
}

// The products of 64 rows, and their sums.
template <class T, int kColumns>
class Multiplier {
  static constexpr int kHalves = kColumns > 192 ? 2 : 1, kHalf = kColumns / kHalves;
  using Layout = CrossLayout<kColumns>;

 public:
  __device__ Multiplier(const CrossArguments& arguments, uint32_t shared) : a_(arguments), ring_{shared} {}

  __device__ void Run() {
    for (Schedule<kColumns> task(a_); task.valid(); task.Next()) {
      if (task.product().p_mn_major) {
        Sum<true>(task);
      } else {
        Sum<false>(task);
      }
      if (task.product().raw) {
        StoreRaw(task);
      } else if (a_.b_transposed) {
        StoreTerms<true>(task);
      } else {
        StoreTerms<false>(task);
      }
    }
  }

 private:
  template <bool kPMnMajor>
  __device__ void Sum(const Schedule<kColumns>& task) {
    int accumulate = 0;
    uint32_t unreleased = 0;
    const int steps = (task.last_step() - task.first_step()) * task.product().pairs;
    for (int step = 0; step < steps; ++step, ring_.Next()) {
      Wait(ring_.full(), ring_.parity);
      const uint64_t p = Operand<kPMnMajor>(ring_.p() + group_ * (Layout::kP / 2));
      MmaFence();
#pragma unroll
      for (int i = 0; i < kCrossDepth / 16; ++i) {
#pragma unroll
        for (int half = 0; half < kHalves; ++half) {
          const uint64_t q = Operand<false>(ring_.q() + half * kHalf * kCrossDepth * 2);
          Mma<kHalf>::template Run<T, false, kPMnMajor>(sums_[half], p + i * (kBytesPerStep<kPMnMajor> >> 4), q + i * (kBytesPerStep<false> >> 4), accumulate);
        }
        accumulate = 1;
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

  __device__ void StoreRaw(const Schedule<kColumns>& task) {
    float* to = a_.gram + int64_t{task.chunk} * a_.rank * a_.rank;
#pragma unroll
    for (int half = 0; half < kHalves; ++half) {
#pragma unroll
      for (int i = 0; i < kHalf / 2; ++i) {
        const int row = task.tile * kCrossRows + row_ + i % 4 / 2 * 8, column = task.column + half * kHalf + i / 4 * 8 + lane_ % 4 * 2 + i % 2;
        if (row < a_.rank && column < a_.rank) to[row * a_.rank + column] = sums_[half][i];
      }
    }
  }

  template <bool kTransposed>
  __device__ void StoreTerms(const Schedule<kColumns>& task) {
    const int first = task.tile * kCrossRows + row_, last = task.product().rows - 1;
    float sums[2][2] = {};
    for (int part = 0; part < a_.b_parts; ++part) {
      const T* b = static_cast<const T*>(a_.b) + part * a_.b_part_stride;
      const T* rows[2] = {b + int64_t{min(first, last)} * (kTransposed ? 1 : a_.b_pitch), b + int64_t{min(first + 8, last)} * (kTransposed ? 1 : a_.b_pitch)};
#pragma unroll
      for (int half = 0; half < kHalves; ++half) {
#pragma unroll
        for (int i = 0; i < kHalf / 8; ++i) {
          const int column = task.column + half * kHalf + i * 8 + lane_ % 4 * 2;
#pragma unroll
          for (int below = 0; below < 2; ++below) {
            // What is outside has no part in the sums. In pairs b is zero between the rank and its even pitch.
            float2 weight{};
            if constexpr (kTransposed) {
              if (column < a_.rank) weight.x = ToFloat(rows[below][column * a_.b_pitch]);
              if (column + 1 < a_.rank) weight.y = ToFloat(rows[below][(column + 1) * a_.b_pitch]);
            } else if (column < a_.rank) {
              weight = Unpack<T>(*reinterpret_cast<const uint32_t*>(rows[below] + column));
            }
            if (column < a_.rank) sums[below][0] = fmaf(weight.x, sums_[half][4 * i + 2 * below], sums[below][0]);
            if (column + 1 < a_.rank) sums[below][1] = fmaf(weight.y, sums_[half][4 * i + 2 * below + 1], sums[below][1]);
          }
        }
      }
    }
#pragma unroll
    for (int below = 0; below < 2; ++below) {
      double sum = double{sums[below][0]} + sums[below][1];
      sum += __shfl_xor_sync(0xFFFFFFFF, sum, 1);
      sum += __shfl_xor_sync(0xFFFFFFFF, sum, 2);
      const int row = first + 8 * below;
      if (lane_ % 4 != 0 || row > last) continue;
      RowTerms& terms = a_.terms[int64_t{task.slot()} * a_.out + row];
      terms.low_rank = a_.factor * sum;
      // The warpgroup of squares writes the first column's.
      if (!a_.squares || task.column != 0) terms.squares = 0;
    }
  }

  const CrossArguments& a_;
  Ring<kColumns> ring_;
  const int group_ = threadIdx.x / 128 - 2, lane_ = threadIdx.x % 32;
  const int row_ = group_ * 64 + threadIdx.x % 128 / 32 * 16 + lane_ / 4;
  float sums_[kHalves][kHalf / 2];
};

}  // namespace cross

template <class T, int kColumns>
__global__ void __launch_bounds__(kCrossThreads, 1) CrossKernel(const __grid_constant__ CrossArguments a) {
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
  }
  ClusterBarrier();
  const int group = threadIdx.x / 128;
  if (group == 0) {
    GiveUpRegisters<24>();
    if (threadIdx.x == 0) Copy<kColumns>(a, shared);
  } else if (group == 1) {
    GiveUpRegisters<40>();
    SumSquares<T, kColumns>(a, shared, reinterpret_cast<double*>(memory + Layout::kSquaresAt));
  } else {
    TakeRegisters<224>();
    Multiplier<T, kColumns>(a, shared).Run();
  }
  __syncwarp();
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

// The sum of the chunks of A·Aᵀ, in parts as above, and its diagonal.
template <class T>
__global__ void __launch_bounds__(256) GramPartsKernel(const float* chunks, int count, int rank, int padded, T* to, float* lengths) {
  const int size = rank * padded;
  for (int i = static_cast<int>(blockIdx.x) * 256 + threadIdx.x; i < size; i += static_cast<int>(gridDim.x) * 256) {
    const int row = i / padded, col = i % padded;
    float rest = 0;
    if (col < rank) {
      for (int chunk = 0; chunk < count; ++chunk) rest += chunks[(int64_t{chunk} * rank + row) * rank + col];
    }
    if (col == row) lengths[row] = rest;
    for (int part = 0; part < 3; ++part) {
      const T v = FromFloat<T>(rest);
      to[part * size + i] = v;
      rest -= ToFloat(v);
    }
  }
}

// How a problem is cut into tasks, and where things lie in the workspace.
struct HopperScalePlan {
  int columns;            // of D, at once
  int64_t rank, padded;   // rank, and that rounded up to what copies need
  bool a_parts, b_parts;  // copied into parts; else copied as they are
  int parts;              // 3 for float32 adapters
  int cross_chunks, gram_chunks, quadratic_chunks, slots;
  size_t terms_at, gram_at, gram_parts_at, lengths_at, a_at, b_at, bytes;

  explicit HopperScalePlan(const CudaScaleProblem& p, int multiprocessors) {
    rank = p.A.rows, padded = CeilDiv<int64_t>(rank, 8) * 8;
    columns = rank <= 64 ? 64 : rank <= 192 ? 192 : 384;
    const bool wide = p.A.dtype != p.W.dtype;
    parts = wide ? 3 : 1;
    a_parts = wide || p.A.transposed || !CanCopyBoxes(p.A.data, rank, p.A.cols);
    b_parts = wide || !CanCopyBoxes(p.B.data, p.B.transposed ? rank : p.B.rows, p.B.transposed ? p.B.rows : rank);
    const int blocks = static_cast<int>(CeilDiv<int64_t>(rank, columns));
    const auto tasks = [&](int64_t rows) { return static_cast<int>(CeilDiv<int64_t>(rows, 2 * kCrossRows)) * blocks; };
    const int clusters = multiprocessors / 2;
    // Enough tasks to fill the device and to bound the sums; not so many that a task is short.
    const auto chunks = [&](int64_t rows, int64_t depth) {
      const int steps = static_cast<int>(CeilDiv<int64_t>(depth, kCrossDepth));
      const int least = static_cast<int>(CeilDiv<int64_t>(depth, kCrossChunk));
      int best = least;
      double best_cost = 1e30;
      for (int n = least; n <= std::max(least, std::min(steps, 32)); ++n) {
        const double cost = double(CeilDiv(tasks(rows) * n, clusters)) * (double(CeilDiv(steps, n)) + 2);
        if (cost < best_cost) best = n, best_cost = cost;
      }
      return best;
    };
    cross_chunks = chunks(p.W.rows, p.W.cols);
    gram_chunks = static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(16, p.W.cols / 512)));
    quadratic_chunks = chunks(p.W.rows, rank);
    slots = (cross_chunks + quadratic_chunks) * blocks;
    size_t at = 0;
    const auto take = [&](int64_t size) {
      const size_t start = at;
      at += Padded(static_cast<size_t>(size));
      return start;
    };
    terms_at = take(slots * p.W.rows * static_cast<int64_t>(sizeof(RowTerms)));
    gram_at = take(gram_chunks * rank * rank * 4);
    gram_parts_at = take(3 * rank * padded * 2);
    lengths_at = take(rank * 4);
    a_at = take(a_parts ? parts * rank * p.A.cols * 2 : 0);
    b_at = take(b_parts ? parts * p.W.rows * padded * 2 : 0);
    bytes = at;
  }
};

inline bool HopperScaleSupports(const CudaScaleProblem& p) {
  int device = 0, major = 0, minor = 0;
  if (cudaGetDevice(&device) != cudaSuccess || cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) != cudaSuccess ||
      cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) != cudaSuccess) {
    return false;
  }
  constexpr int64_t kMostRows = int64_t{1} << 29;
  return major == 9 && minor == 0 && p.W.dtype != DType::kFloat32 && p.A.rows > 0 && p.A.rows <= 4096 && p.W.rows < kMostRows && p.W.cols % 8 == 0 &&
         CanCopyBoxes(p.W.data, p.W.transposed ? p.W.cols : p.W.rows, p.W.transposed ? p.W.rows : p.W.cols);
}

inline size_t HopperScaleBytes(const CudaScaleProblem& p) {
  int multiprocessors = 0;
  return MultiprocessorCount(&multiprocessors) == cudaSuccess ? HopperScalePlan(p, multiprocessors).bytes : 0;
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

template <class T>
cudaError_t LaunchCross(const CrossArguments& a, int columns, int multiprocessors, cudaStream_t stream) {
  const auto launch = [&](auto kernel, int bytes) {
    if (const cudaError_t e = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes); e != cudaSuccess) return e;
    cudaLaunchAttribute cluster = {};
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim = {2, 1, 1};
    cudaLaunchConfig_t config = {};
    config.gridDim = static_cast<unsigned>(multiprocessors / 2 * 2);
    config.blockDim = kCrossThreads;
    config.dynamicSmemBytes = static_cast<size_t>(bytes);
    config.stream = stream;
    config.attrs = &cluster;
    config.numAttrs = 1;
    return cudaLaunchKernelEx(&config, kernel, a);
  };
  return columns == 64    ? launch(CrossKernel<T, 64>, CrossLayout<64>::kBytes)
         : columns == 192 ? launch(CrossKernel<T, 192>, CrossLayout<192>::kBytes)
                          : launch(CrossKernel<T, 384>, CrossLayout<384>::kBytes);
}

template <class T, class U>
cudaError_t LaunchHopperScale(const CudaScaleProblem& p, const HopperScalePlan& plan, char* workspace, int multiprocessors, cudaStream_t stream) {
  const int64_t out = p.W.rows, in = p.W.cols, rank = plan.rank, padded = plan.padded;
  auto* terms = reinterpret_cast<RowTerms*>(workspace + plan.terms_at);
  auto* gram = reinterpret_cast<float*>(workspace + plan.gram_at);
  auto* gram_parts = reinterpret_cast<T*>(workspace + plan.gram_parts_at);
  auto* lengths = reinterpret_cast<float*>(workspace + plan.lengths_at);
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

  CrossArguments common{};
  common.rank = static_cast<int>(rank);
  common.b = b, common.b_parts = plan.b_parts ? plan.parts : 1, common.b_transposed = p.B.transposed && !plan.b_parts;
  common.b_pitch = common.b_transposed ? out : plan.b_parts ? padded : rank, common.b_part_stride = out * padded;
  common.terms = terms, common.out = out, common.gram = gram;
  const int half = plan.columns / 2;
  const auto rows_map = [&](const void* data, int64_t rows, int64_t columns, bool mn_major, CrossProduct& product) {
    product.p_mn_major = mn_major;
    return EncodeMap(mn_major ? BoxedMatrix{data, columns, rows, 64, 64} : BoxedMatrix{data, rows, columns, kCrossRows, 64}, &product.p);
  };

  CrossArguments first = common;
  first.count = 2, first.squares = true, first.factor = 2.0 * p.scaling;
  CrossProduct& cross = first.products[0];
  cross.rows = static_cast<int>(out), cross.depth = static_cast<int>(in), cross.chunks = plan.cross_chunks;
  SetPairs(cross, 1, out, plan.parts, rank);
  if (const cudaError_t e = rows_map(p.W.data, out, in, p.W.transposed, cross); e != cudaSuccess) return e;
  if (const cudaError_t e = EncodeMap({a, plan.parts * rank, in, half, 64}, &cross.q); e != cudaSuccess) return e;
  CrossProduct& square = first.products[1];
  square.rows = static_cast<int>(rank), square.depth = static_cast<int>(in), square.chunks = plan.gram_chunks, square.raw = true;
  SetPairs(square, plan.parts, rank, plan.parts, rank);
  square.q = cross.q;
  if (const cudaError_t e = rows_map(a, plan.parts * rank, in, false, square); e != cudaSuccess) return e;
  if (const cudaError_t e = LaunchCross<T>(first, plan.columns, multiprocessors, stream); e != cudaSuccess) return e;

  GramPartsKernel<T><<<static_cast<unsigned>(CeilDiv<int64_t>(rank * padded, 256)), 256, 0, stream>>>(gram, plan.gram_chunks, static_cast<int>(rank), static_cast<int>(padded), gram_parts, lengths);
  if (const cudaError_t e = cudaGetLastError(); e != cudaSuccess) return e;

  CrossArguments second = common;
  second.count = 1, second.factor = double{p.scaling} * p.scaling;
  CrossProduct& quadratic = second.products[0];
  const int blocks = static_cast<int>(CeilDiv<int64_t>(rank, plan.columns));
  quadratic.rows = static_cast<int>(out), quadratic.depth = static_cast<int>(rank), quadratic.chunks = plan.quadratic_chunks;
  quadratic.first_slot = plan.cross_chunks * blocks;
  SetPairs(quadratic, plan.parts, out, 3, rank);
  if (const cudaError_t e = rows_map(b, plan.b_parts ? plan.parts * out : out, plan.b_parts ? padded : rank, common.b_transposed, quadratic); e != cudaSuccess) return e;
  if (const cudaError_t e = EncodeMap({gram_parts, 3 * rank, padded, half, 64}, &quadratic.q); e != cudaSuccess) return e;
  if (const cudaError_t e = LaunchCross<T>(second, plan.columns, multiprocessors, stream); e != cudaSuccess) return e;
  return LaunchNorms(p, terms, plan.slots, lengths, stream);
}

inline cudaError_t LaunchHopperScale(const CudaScaleProblem& p, void* workspace, size_t workspace_bytes, cudaStream_t stream) {
  int multiprocessors = 0;
  if (const cudaError_t error = MultiprocessorCount(&multiprocessors); error != cudaSuccess) return error;
  const HopperScalePlan plan(p, multiprocessors);
  if (workspace_bytes < plan.bytes) return cudaErrorInvalidValue;
  auto* memory = static_cast<char*>(workspace);
  const auto launch = [&](auto t) {
    using T = typename decltype(t)::type;
    return p.A.dtype == p.W.dtype ? LaunchHopperScale<T, T>(p, plan, memory, multiprocessors, stream) : LaunchHopperScale<T, float>(p, plan, memory, multiprocessors, stream);
  };
  return p.W.dtype == DType::kFloat16 ? launch(TypeOf<__half>{}) : launch(TypeOf<__nv_bfloat16>{});
}

}  // namespace ort_dora::cuda
