// DoraLinear for few tokens with W and B as ONNX MatMul stores them, [in,out] and [r,out] (linear_stream.cuh has the other layout).
//
// One kernel computes h = s·x·Aᵀ in float32, a second one y = g·(x·Wᵀ + h·Bᵀ) + bias. The second starts while the first runs
// (programmatic dependent launch) and streams W until it needs h; the first takes so little of a multiprocessor that both fit.
//
// In the second, W is cut into tiles of rows, and the steps along their columns, one tile after another, evenly among blocks:
// about as many as the device holds at once. Where a tile ends up in several blocks, each writes its sums to the workspace, and
// the one that comes last adds them up, always in the order of the columns. A warp streams its rows through shared memory with
// asynchronous copies; every lane reads back only what it copied itself, so that warps never wait for one another, and the
// copies of the next tile go on while a tile is finished.
//
// Work on tensor cores takes a tenth of the bytes' time. A lane copies 16 bytes wherever the matrix is contiguous, and the
// order of rows and columns within a step is chosen so that these bytes are operands of mma as they are (columns contiguous, as
// A may be) or after a byte permutation (rows contiguous). What is contiguous in memory is in flight at the same
// time in pieces of 256 bytes and more: memory is slower for smaller ones.
#pragma once

#include <algorithm>

#include "ort_dora/cuda/elements.cuh"
#include "ort_dora/cuda/hopper.cuh"
#include "ort_dora/cuda/mma.cuh"
#include "ort_dora/cuda/problems.h"

namespace ort_dora::cuda::transposed {

constexpr int64_t kMaxTokens = 32;
constexpr int kStreamWarps = 4, kStreamThreads = 32 * kStreamWarps;
constexpr int kStreamChunks = 8;  // 16-byte copies a lane and step: 4 KiB a warp
constexpr int kStreamChunkPitch = 32 * 16;
constexpr int kStreamStepBytes = kStreamChunks * kStreamChunkPitch;

// A matrix of which rows are streamed.
struct StreamMatrix {
  const char* data = nullptr;
  int64_t rows = 0, cols = 0;
  int64_t pitch = 0;  // bytes from one contiguous line to the next
  bool float32 = false;

  static StreamMatrix Of(const Matrix& m) {
    return {static_cast<const char*>(m.data), m.rows, m.cols, (m.transposed ? m.rows : m.cols) * static_cast<int64_t>(SizeOf(m.dtype)), m.dtype == DType::kFloat32};
  }
  // Every line starts at a multiple of 16 bytes.
  bool Streams() const { return reinterpret_cast<uintptr_t>(data) % 16 == 0 && pitch % 16 == 0; }
};

struct StreamParams {
  StreamMatrix w;    // [out, in]
  StreamMatrix b;    // [out, r]; no rows without a low-rank part
  const void* x;     // [tokens, in]
  const float* h;    // [tokens, r], written by the launch before
  const float* g;    // [out]
  const void* bias;  // [out] or null
  void* y;           // [tokens, out]
  int64_t tokens;
  float* sums;    // [blocks][2][tokens, rounded up to those of a shape][rows of a tile]
  int* arrivals;  // [tiles], zero
};

// A step of a warp: kRows rows, of which a lane (g, t) = (lane / 4, lane % 4) has the 2·kTiles from 2·kTiles·g on, by kBlocks
// times 4·E columns, of which it has E from E·t on in each; E = 16 / size of an element.
// Chunk c of a lane is row c % (2·kTiles) of block c / (2·kTiles) (columns contiguous), or all of its rows at column c, or, of
// 32-bit elements, rows 4·(c % 2) … at column c / 2 (rows contiguous).
template <int kTokenTiles, int kRowTiles = 4>
struct StreamShape {
  static constexpr int kTiles = kRowTiles;  // of 16 rows, as mma takes them
  static constexpr int kBlocks = 4 / kRowTiles;
  static constexpr int kRows = 16 * kTiles, kTileRows = kStreamWarps * kRows;
  static constexpr int kTokens = 8 * kTokenTiles;
  static constexpr int kBlocksEach = 2;  // thread blocks that a multiprocessor is to hold
  static constexpr int kStageBytes = kStreamStepBytes + kBlocks * kTokenTiles * kStreamChunkPitch;
  // Three steps of eight warps in flight cover the latency of memory; more would lengthen it for the launch beside this one.
  static constexpr int kStages = 4;
  static constexpr int kBytes = kStreamWarps * kStages * kStageBytes;
  static __host__ __device__ constexpr int Depth(bool float32) { return kBlocks * (float32 ? 16 : 32); }
  static __host__ __device__ int Steps(const StreamMatrix& m) { return m.rows == 0 ? 0 : static_cast<int>((m.cols + Depth(m.float32) - 1) / Depth(m.float32)); }
};

// Calls `f(c, pointer, inside)` for this lane's chunks of the step at (row, k).
template <class Shape, bool kRowsContiguous, class F>
__device__ void ForEachChunk(const StreamMatrix& m, int64_t row, int64_t k, F f) {
  constexpr int kLaneRows = 2 * Shape::kTiles;
  const int lane = threadIdx.x % 32, size = m.float32 ? 4 : 2, count = 16 / size;
  row += lane / 4 * kLaneRows;
  k += lane % 4 * count;
  if constexpr (!kRowsContiguous) {
    const char* from = m.data + row * m.pitch + k * size;
#pragma unroll
    for (int c = 0; c < kStreamChunks; ++c) {
      const int r = c % kLaneRows, block = c / kLaneRows;
      f(c, from + r * m.pitch + block * 64, row + r < m.rows && k + block * 4 * count < m.cols);
    }
  } else if (!m.float32) {
    const char* from = m.data + k * m.pitch + row * 2;
#pragma unroll
    for (int c = 0; c < kStreamChunks; ++c) f(c, from + c * m.pitch, row < m.rows && k + c < m.cols);
  } else {
    const char* from = m.data + k * m.pitch + row * 4;
#pragma unroll
    for (int c = 0; c < kStreamChunks; ++c) f(c, from + c / 2 * m.pitch + c % 2 * 16, row + c % 2 * 4 < m.rows && k + c / 2 < m.cols);
  }
}

// A step of a matrix with contiguous rows.
template <class Shape>
__device__ void CopyStep(const StreamMatrix& m, int64_t row, int64_t k, uint32_t to) {
  if (row + Shape::kRows <= m.rows && k + Shape::Depth(m.float32) <= m.cols) {
    ForEachChunk<Shape, true>(m, row, k, [&](int c, const char* from, bool) { CopyAsync(to + c * kStreamChunkPitch, from); });
  } else {
    ForEachChunk<Shape, true>(m, row, k, [&](int c, const char* from, bool inside) { CopyAsync(to + c * kStreamChunkPitch, inside ? from : m.data, inside); });
  }
}

// Tokens g, g + 8, … at this lane's kCount columns of every block.
template <class Shape, class TX, int kTokenTiles>
__device__ void CopyTokens(const StreamParams& p, int64_t k, uint32_t to) {
  constexpr int kCount = 16 / sizeof(TX);
  const int lane = threadIdx.x % 32;
  k += lane % 4 * kCount;
#pragma unroll
  for (int block = 0; block < Shape::kBlocks; ++block) {
#pragma unroll
    for (int n = 0; n < kTokenTiles; ++n) {
      const int64_t token = 8 * n + lane / 4, column = k + block * 4 * kCount;
      if (token >= p.tokens) continue;  // nor is it read back
      const bool valid = column < p.w.cols;
      CopyAsyncShared(to + (block * kTokenTiles + n) * kStreamChunkPitch, valid ? static_cast<const TX*>(p.x) + token * p.w.cols + column : p.x, valid);
    }
  }
}

// sums[j][n] of a lane: rows 2j and 2j + 1 of its own, by tokens 8n + 2t and 8n + 2t + 1, as mma lays out its result.
template <class Shape, int kTokenTiles, class Sum = float>
using StreamSums = Sum[Shape::kTiles][kTokenTiles][4];

// Elements T by tokens T, both of 16 bits; `tokens(block, n)` gives this lane's 16 bytes of a token.
template <class Shape, class T, bool kRowsContiguous, int kTokenTiles, class Tokens>
__device__ void MultiplyHalf(const uint4 (&w)[kStreamChunks], Tokens tokens, StreamSums<Shape, kTokenTiles>& sums) {
  // A second sum where one alone would make every product wait for the one before.
  constexpr bool kTwo = Shape::kTiles * kTokenTiles == 1;
  float second[4] = {};
#pragma unroll
  for (int block = 0; block < Shape::kBlocks; ++block) {
    uint4 x[kTokenTiles];
#pragma unroll
    for (int n = 0; n < kTokenTiles; ++n) x[n] = tokens(block, n);
#pragma unroll
    for (int step = 0; step < 2; ++step) {
#pragma unroll
      for (int j = 0; j < Shape::kTiles; ++j) {
        uint32_t a[4];
        if constexpr (!kRowsContiguous) {
          const uint4 &even = w[block * 2 * Shape::kTiles + 2 * j], &odd = w[block * 2 * Shape::kTiles + 2 * j + 1];
          a[0] = Word(even, 2 * step), a[1] = Word(odd, 2 * step), a[2] = Word(even, 2 * step + 1), a[3] = Word(odd, 2 * step + 1);
        } else {
          const uint32_t k0 = Word(w[4 * step], j), k1 = Word(w[4 * step + 1], j), k2 = Word(w[4 * step + 2], j), k3 = Word(w[4 * step + 3], j);
          a[0] = __byte_perm(k0, k1, 0x5410), a[1] = __byte_perm(k0, k1, 0x7632);
          a[2] = __byte_perm(k2, k3, 0x5410), a[3] = __byte_perm(k2, k3, 0x7632);
        }
#pragma unroll
        for (int n = 0; n < kTokenTiles; ++n) Mma16<T>(kTwo && step == 1 ? second : sums[j][n], a[0], a[1], a[2], a[3], Word(x[n], 2 * step), Word(x[n], 2 * step + 1));
      }
    }
  }
  if constexpr (kTwo) {
#pragma unroll
    for (int i = 0; i < 4; ++i) sums[0][0][i] += second[i];
  }
}

// Column e of row r of this lane in a block of a step, as float32.
template <class Shape, class T, bool kRowsContiguous>
__device__ float StepElement(const uint4 (&w)[kStreamChunks], int block, int r, int e) {
  if constexpr (sizeof(T) == 4) {
    return __uint_as_float(kRowsContiguous ? Word(w[2 * e + r / 4], r % 4) : Word(w[block * 2 * Shape::kTiles + r], e));
  } else {
    const uint32_t two = kRowsContiguous ? Word(w[e], r / 2) : Word(w[block * 2 * Shape::kTiles + r], e / 2);
    const bool high = (kRowsContiguous ? r : e) % 2 == 1;
    if constexpr (std::is_same_v<T, __half>) {
      return __half2float(__ushort_as_half(static_cast<unsigned short>(high ? two >> 16 : two)));
    } else {
      return __uint_as_float(high ? two & 0xFFFF0000 : two << 16);
    }
  }
}

// Elements by tokens in TF32: float32 as two numbers each, 16-bit elements as the one that they are. `element(block, r, e)` and
// `token(block, n, e)` give float32. mma truncates its sums: what rounding should not be lost is added outside it.
template <class Shape, class T, bool kExactTokens, int kTokenTiles, class Sum, class Element, class Token>
__device__ void MultiplyTf32(Element element, Token token, StreamSums<Shape, kTokenTiles, Sum>& sums) {
  constexpr int kCount = 16 / sizeof(T);
#pragma unroll
  for (int block = 0; block < Shape::kBlocks; ++block) {
#pragma unroll
    for (int e = 0; e < kCount; e += 2) {
      SplitTf32 x[kTokenTiles][2];
#pragma unroll
      for (int n = 0; n < kTokenTiles; ++n) x[n][0] = Split(token(block, n, e)), x[n][1] = Split(token(block, n, e + 1));
#pragma unroll
      for (int j = 0; j < Shape::kTiles; ++j) {
        uint32_t high[4], low[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float v = element(block, 2 * j + i % 2, e + i / 2);
          if constexpr (sizeof(T) == 2) {
            high[i] = __float_as_uint(v);
          } else {
            const SplitTf32 split = Split(v);
            high[i] = split.high, low[i] = split.low;
          }
        }
#pragma unroll
        for (int n = 0; n < kTokenTiles; ++n) {
          float small[4] = {}, large[4] = {};
          if constexpr (sizeof(T) == 4) MmaTf32(small, low, x[n][0].high, x[n][1].high);
          if constexpr (!kExactTokens) MmaTf32(small, high, x[n][0].low, x[n][1].low);
          MmaTf32(large, high, x[n][0].high, x[n][1].high);
#pragma unroll
          for (int i = 0; i < 4; ++i) sums[j][n][i] += Sum{large[i]} + small[i];
        }
      }
    }
  }
}

__device__ inline float LoadSharedFloat(uint32_t address) {
  float v;
  asm volatile("ld.shared.f32 %0, [%1];" : "=f"(v) : "r"(address) : "memory");
  return v;
}

// B by h. In bfloat16 h is the sum of two numbers, 2⁻¹⁷ of it apart from it.
template <class Shape, class B, int kTokenTiles, class Sum>
__device__ void MultiplyLowRank(const StreamParams& p, int64_t k, const uint4 (&w)[kStreamChunks], StreamSums<Shape, kTokenTiles, Sum>& sums) {
  constexpr int kCount = 16 / sizeof(B);
  const int lane = threadIdx.x % 32;
  float h[Shape::kBlocks][kTokenTiles][kCount];
#pragma unroll
  for (int block = 0; block < Shape::kBlocks; ++block) {
#pragma unroll
    for (int n = 0; n < kTokenTiles; ++n) {
      const int64_t token = 8 * n + lane / 4, first = k + (block * 4 + lane % 4) * kCount;
#pragma unroll
      for (int e = 0; e < kCount; ++e) h[block][n][e] = token < p.tokens && first + e < p.b.cols ? p.h[token * p.b.cols + first + e] : 0.0f;
    }
  }
  if constexpr (std::is_same_v<B, __nv_bfloat16>) {
    const auto parts = [&](int block, int n, bool low) {
      Vector<__nv_bfloat16, kCount> v;
#pragma unroll
      for (int e = 0; e < kCount; ++e) {
        const __nv_bfloat16 high = __float2bfloat16_rn(h[block][n][e]);
        const float rest = h[block][n][e] - __bfloat162float(high);
        v.v[e] = low ? __float2bfloat16_rn(isfinite(rest) ? rest : 0.0f) : high;
      }
      return reinterpret_cast<const uint4&>(v);
    };
    MultiplyHalf<Shape, B, true, kTokenTiles>(w, [&](int block, int n) { return parts(block, n, true); }, sums);
    MultiplyHalf<Shape, B, true, kTokenTiles>(w, [&](int block, int n) { return parts(block, n, false); }, sums);
  } else {
    MultiplyTf32<Shape, B, false, kTokenTiles, Sum>([&](int block, int r, int e) { return StepElement<Shape, B, true>(w, block, r, e); },
                                               [&](int block, int n, int e) { return h[block][n][e]; }, sums);
  }
}

constexpr int kLowRankThreads = 256, kLowRankCluster = 8;

struct LowRankParams {
  StreamMatrix a;  // [r, in]
  const void* x;   // [tokens, in]
  float* h;        // [tokens, r]
  int64_t tokens;
  float scaling;
  int* arrivals;  // [tiles] of the launch that follows, to be set to zero
  int tiles;
};

// h = s·x·Aᵀ. A tile of rows a cluster, its columns among all of the cluster's warps; straight to registers, since there is
// little of it and all is asked for at once.
template <class TX, class TA, bool kRowsContiguous, int kTokenTiles>
__global__ void __launch_bounds__(kLowRankThreads, kTokenTiles == 4 ? 1 : 2) LowRankKernel(const __grid_constant__ LowRankParams p, int cluster) {
  using Shape = StreamShape<kTokenTiles, kRowsContiguous ? 4 : 1>;
  constexpr int kCount = 16 / sizeof(TA), kWarps = kLowRankThreads / 32, kDepth = Shape::Depth(sizeof(TA) == 4);
  __shared__ float block_sums[Shape::kTokens][Shape::kRows];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#if __CUDA_ARCH__ >= 900
  hopper::LaunchDependents();
#endif
  for (int i = static_cast<int>(blockIdx.x) * kLowRankThreads + threadIdx.x; i < p.tiles; i += static_cast<int>(gridDim.x) * kLowRankThreads) p.arrivals[i] = 0;
  const int rank = static_cast<int>(blockIdx.x) % cluster, parts = cluster * kWarps, part = rank * kWarps + warp;
  const int64_t row = int64_t{blockIdx.x} / cluster * Shape::kRows;
  const int steps = Shape::Steps(p.a), first = static_cast<int>(int64_t{steps} * part / parts), last = static_cast<int>(int64_t{steps} * (part + 1) / parts);

  StreamSums<Shape, kTokenTiles, SumOf<TX>> sums = {};
  for (int step = first; step < last; ++step) {
    // Everything is asked for before the first of it is used.
    uint4 a[kStreamChunks];
    ForEachChunk<Shape, kRowsContiguous>(p.a, row, int64_t{step} * kDepth, [&](int c, const char* from, bool inside) { a[c] = inside ? __ldcs(reinterpret_cast<const uint4*>(from)) : uint4{}; });
    Vector<TX, kCount> x[Shape::kBlocks][kTokenTiles] = {};
#pragma unroll
    for (int block = 0; block < Shape::kBlocks; ++block) {
#pragma unroll
      for (int n = 0; n < kTokenTiles; ++n) {
        const int64_t token = 8 * n + lane / 4, k = int64_t{step} * kDepth + (block * 4 + lane % 4) * kCount;
        if (token < p.tokens && k < p.a.cols) x[block][n] = *reinterpret_cast<const Vector<TX, kCount>*>(static_cast<const TX*>(p.x) + token * p.a.cols + k);
      }
    }
    if constexpr (sizeof(TA) == 2) {
      MultiplyHalf<Shape, TA, kRowsContiguous, kTokenTiles>(a, [&](int block, int n) { return reinterpret_cast<const uint4&>(x[block][n]); }, sums);
    } else {
      MultiplyTf32<Shape, TA, sizeof(TX) == 2, kTokenTiles, SumOf<TX>>([&](int block, int r, int e) { return StepElement<Shape, TA, kRowsContiguous>(a, block, r, e); },
                                                                       [&](int block, int n, int e) { return ToFloat(x[block][n].v[e]); }, sums);
    }
  }

  for (int turn = 0; turn < kWarps; ++turn) {
    if (turn == warp) {
#pragma unroll
      for (int j = 0; j < Shape::kTiles; ++j) {
#pragma unroll
        for (int n = 0; n < kTokenTiles; ++n) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            float& sum = block_sums[8 * n + lane % 4 * 2 + i % 2][lane / 4 * 2 * Shape::kTiles + 2 * j + i / 2];
            sum = static_cast<float>(turn == 0 ? sums[j][n][i] : sum + sums[j][n][i]);
          }
        }
      }
    }
    __syncthreads();
  }
#if __CUDA_ARCH__ >= 900
  if (cluster > 1) hopper::ClusterBarrier();
#endif
  for (int i = rank * kLowRankThreads + threadIdx.x; i < p.tokens * Shape::kRows; i += cluster * kLowRankThreads) {
    const int token = i / Shape::kRows, r = i % Shape::kRows;
    float sum = block_sums[token][r];
#if __CUDA_ARCH__ >= 900
    if (cluster > 1) {
      const uint32_t mine = hopper::SharedAddress(&block_sums[token][r]);
      sum = 0;
      for (int block = 0; block < cluster; ++block) {
        float v;
        asm volatile("ld.shared::cluster.f32 %0, [%1];" : "=f"(v) : "r"(hopper::InBlock(mine, block)) : "memory");
        sum += v;
      }
    }
#endif
    if (row + r < p.a.rows) p.h[token * p.a.rows + row + r] = p.scaling * sum;
  }
#if __CUDA_ARCH__ >= 900
  // Nobody leaves while others read its memory.
  if (cluster > 1) hopper::ClusterBarrier();
#endif
}

// The steps of a block: those of all tiles, one tile after another, cut evenly.
struct StreamRange {
  int64_t first, last;
  int steps;  // of a tile
  __device__ StreamRange(int64_t tiles, int tile_steps, int64_t block, int64_t blocks)
      : first(tiles * tile_steps * block / blocks), last(tiles * tile_steps * (block + 1) / blocks), steps(tile_steps) {}
};

// A block's part of a tile. A block goes from its last tile back to its first: of that it may have nothing but steps of B,
// which wait for h, so that it had better come last.
struct StreamSegment {
  int64_t tile;
  int first, last;  // steps within the tile
  __device__ StreamSegment(const StreamRange& range, int64_t end) : tile((end - 1) / range.steps) {
    const int64_t start = tile * range.steps;
    first = static_cast<int>(max(range.first, start) - start), last = static_cast<int>(end - start);
  }
  __device__ int64_t begin(const StreamRange& range) const { return tile * range.steps + first; }
};

// x and W of type T, B of T or float32.
template <class T, int kTokenTiles>
__global__ void __launch_bounds__(kStreamThreads, StreamShape<kTokenTiles>::kBlocksEach) StreamKernel(const __grid_constant__ StreamParams p) {
  using Shape = StreamShape<kTokenTiles>;
  constexpr int kStages = Shape::kStages, kTokens = Shape::kTokens;
  extern __shared__ __align__(16) char shared[];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const uint32_t ring = hopper::SharedAddress(shared) + warp * kStages * Shape::kStageBytes + lane * 16;
  const int w_steps = Shape::Steps(p.w), tile_steps = w_steps + Shape::Steps(p.b);
  const int64_t tiles = (p.w.rows + Shape::kTileRows - 1) / Shape::kTileRows, total = tiles * tile_steps;
  const StreamRange range(tiles, tile_steps, blockIdx.x, gridDim.x);

  StreamSegment copied(range, range.last);
  int copy_step = copied.first, copy_stage = 0;
  bool copying = true;
  const auto copy_next = [&] {
    if (copying) {
      const uint32_t to = ring + copy_stage * Shape::kStageBytes;
      const int64_t row = copied.tile * Shape::kTileRows + warp * Shape::kRows;
      if (copy_step < w_steps) {
        const int64_t k = int64_t{copy_step} * Shape::Depth(sizeof(T) == 4);
        CopyStep<Shape>(p.w, row, k, to);
        CopyTokens<Shape, T, kTokenTiles>(p, k, to + kStreamStepBytes);
      } else {
        CopyStep<Shape>(p.b, row, int64_t{copy_step - w_steps} * Shape::Depth(p.b.float32), to);
      }
      if (++copy_step == copied.last) {
        const int64_t end = copied.begin(range);
        copying = end > range.first;
        if (copying) copied = StreamSegment(range, end), copy_step = copied.first;
      }
    }
    copy_stage = copy_stage + 1 == kStages ? 0 : copy_stage + 1;
    CopyCommit();
  };
  for (int i = 0; i + 1 < kStages; ++i) copy_next();

  const auto finish = [&](int64_t token, int64_t row, float sum) {
    if (row >= p.w.rows) return;
    const float bias = p.bias == nullptr ? 0.0f : ToFloat(static_cast<const T*>(p.bias)[row]);
    static_cast<T*>(p.y)[token * p.w.rows + row] = FromFloat<T>(fmaf(p.g[row], sum, bias));
  };
  bool waited = false;
  const auto wait_for_low_rank = [&] {
#if __CUDA_ARCH__ >= 900
    if (!waited) asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
    waited = true;
  };

  int stage = 0;
  for (int64_t end = range.last; end > range.first;) {
    const StreamSegment segment(range, end);
    end = segment.begin(range);
    StreamSums<Shape, kTokenTiles, SumOf<T>> sums = {};
    for (int step = segment.first; step < segment.last; ++step) {
      CopyWait<kStages - 2>();
      copy_next();
      const uint32_t from = ring + stage * Shape::kStageBytes;
      stage = stage + 1 == kStages ? 0 : stage + 1;
      uint4 w[kStreamChunks];
#pragma unroll
      for (int c = 0; c < kStreamChunks; ++c) w[c] = LoadShared16(from + c * kStreamChunkPitch);
      if (step < w_steps) {
        const auto chunk = [&](int block, int n) { return from + kStreamStepBytes + (block * kTokenTiles + n) * kStreamChunkPitch; };
        const auto is_token = [&](int n) { return 8 * n + lane / 4 < p.tokens; };
        if constexpr (sizeof(T) == 2) {
          MultiplyHalf<Shape, T, true, kTokenTiles>(w, [&](int block, int n) { return is_token(n) ? LoadShared16(chunk(block, n)) : uint4{}; }, sums);
        } else {
          MultiplyTf32<Shape, T, false, kTokenTiles, double>([&](int block, int r, int e) { return StepElement<Shape, T, true>(w, block, r, e); },
                                                     [&](int block, int n, int e) { return is_token(n) ? LoadSharedFloat(chunk(block, n) + e * 4) : 0.0f; }, sums);
        }
      } else {
        wait_for_low_rank();
        const int64_t k = int64_t{step - w_steps} * Shape::Depth(p.b.float32);
        if (sizeof(T) == 2 && !p.b.float32) {
          MultiplyLowRank<Shape, T, kTokenTiles, SumOf<T>>(p, k, w, sums);
        } else {
          MultiplyLowRank<Shape, float, kTokenTiles, SumOf<T>>(p, k, w, sums);
        }
      }
    }

    const bool whole = segment.first == 0 && segment.last == tile_steps;
    const int64_t tile_row = segment.tile * Shape::kTileRows;
    // A block's first slot is for the tile in which it starts, the second for the one in which it ends.
    constexpr int kSlot = kTokens * Shape::kTileRows;
    float* const slot = p.sums + (int64_t{blockIdx.x} * 2 + (end == range.first ? 0 : 1)) * kSlot;
#pragma unroll
    for (int j = 0; j < Shape::kTiles; ++j) {
#pragma unroll
      for (int n = 0; n < kTokenTiles; ++n) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const int token = 8 * n + lane % 4 * 2 + i, row = warp * Shape::kRows + lane / 4 * 2 * Shape::kTiles + 2 * j;
          if (token >= p.tokens) continue;
          if (whole) {
            finish(token, tile_row + row, static_cast<float>(sums[j][n][i]));
            finish(token, tile_row + row + 1, static_cast<float>(sums[j][n][i + 2]));
          } else {
            __stcg(reinterpret_cast<float2*>(slot + token * Shape::kTileRows + row), make_float2(static_cast<float>(sums[j][n][i]), static_cast<float>(sums[j][n][i + 2])));
          }
        }
      }
    }
    if (whole) continue;

    // The blocks that have a part of this tile; the last to arrive adds the parts up.
    const int64_t start = segment.tile * tile_steps;
    const int64_t first_block = ((start + 1) * gridDim.x - 1) / total, last_block = ((start + tile_steps) * gridDim.x - 1) / total;
    __shared__ bool last;
    wait_for_low_rank();  // which also set the arrivals to zero
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) last = atomicAdd(p.arrivals + segment.tile, 1) == static_cast<int>(last_block - first_block);
    __syncthreads();
    if (last) {
      __threadfence();
      // Only the first of them may have started before this tile.
      const float* const first_slot = p.sums + (first_block * 2 + (total * first_block / gridDim.x < start ? 1 : 0)) * kSlot;
      const float* const next_slots = p.sums + (first_block + 1) * 2 * kSlot;
      const int others = static_cast<int>(last_block - first_block);
      for (int i = threadIdx.x; i < p.tokens * Shape::kTileRows; i += kStreamThreads) {
        float sum = __ldcg(first_slot + i);
#pragma unroll 4
        for (int block = 0; block < others; ++block) sum += __ldcg(next_slots + int64_t{block} * 2 * kSlot + i);
        finish(i / Shape::kTileRows, tile_row + i % Shape::kTileRows, sum);
      }
    }
    __syncthreads();  // before `last` is written again
  }
  // Every block waits, so that this launch ends after the one before it.
  wait_for_low_rank();
}

inline cudaError_t CurrentDevice(StreamDevice* d) { return StreamDevice::Current(cudaDevAttrMaxSharedMemoryPerMultiprocessor, d); }

// Blocks of the stream kernel that the device holds at once.
template <class Shape>
int ResidentBlocks(const StreamDevice& d) {
  constexpr int kReserved = 1024;  // of shared memory, for each block
  return std::min(Shape::kBlocksEach, d.shared_memory / (Shape::kBytes + kReserved)) * d.multiprocessors;
}

// What the launches of one problem share: the second one's blocks and tiles, and the workspace: h, arrivals, sums.
struct StreamPlan {
  unsigned blocks = 0;  // 0: the device lacks the shared memory
  int tiles = 0;
  size_t arrivals_at = 0, sums_at = 0, bytes = 0;

  template <class Shape>
  static StreamPlan For(const CudaLinearProblem& p, const StreamDevice& device) {
    StreamPlan plan;
    const int64_t tiles = CeilDiv<int64_t>(p.W.rows, Shape::kTileRows);
    const int64_t steps = tiles * (Shape::Steps(StreamMatrix::Of(p.W)) + (p.A.rows == 0 ? 0 : Shape::Steps(StreamMatrix::Of(p.B))));
    // As many blocks for each tile, so that a block has but one part of one tile: every further part costs a pass over the sums.
    // Blocks then also go along the same columns, whole lines of memory where rows are contiguous.
    const int64_t slots = ResidentBlocks<Shape>(device), each = std::max<int64_t>(1, std::min(slots / tiles, steps / tiles));
    plan.blocks = slots == 0 ? 0 : static_cast<unsigned>(tiles * each);
    plan.tiles = static_cast<int>(tiles);
    plan.arrivals_at = Padded(static_cast<size_t>(p.rows * p.A.rows) * sizeof(float));
    plan.sums_at = plan.arrivals_at + Padded(static_cast<size_t>(tiles) * sizeof(int));
    plan.bytes = plan.sums_at + size_t{plan.blocks} * 2 * Shape::kTokens * Shape::kTileRows * sizeof(float);
    return plan;
  }
};

// Calls `f` with the number of token tiles as a type.
template <class F>
auto WithTokenTiles(int64_t tokens, F f) {
  if (tokens <= 8) return f(std::integral_constant<int, 1>{});
  if (tokens <= 16) return f(std::integral_constant<int, 2>{});
  return f(std::integral_constant<int, 4>{});
}

inline StreamPlan PlanStream(const CudaLinearProblem& p, const StreamDevice& device) {
  return WithTokenTiles(p.rows, [&](auto token_tiles) { return StreamPlan::For<StreamShape<decltype(token_tiles)::value>>(p, device); });
}

// Whether these kernels take the problem.
inline bool Supports(const CudaLinearProblem& p) {
  const StreamMatrix w = StreamMatrix::Of(p.W), a = StreamMatrix::Of(p.A), b = StreamMatrix::Of(p.B);
  const bool x = IsAligned(p.x) && p.W.cols * static_cast<int64_t>(SizeOf(p.dtype)) % 16 == 0;
  const bool low_rank = p.A.rows == 0 || (a.Streams() && b.Streams() && p.B.transposed);
  // The truncation of the tensor cores shows in short sums of float32.
  constexpr int64_t kLeastFloat32 = 256;
  if (p.dtype == DType::kFloat32 && p.W.cols < kLeastFloat32) return false;
  if (p.rows < 1 || p.rows > kMaxTokens || p.W.rows < 1 || p.W.cols < 1 || !p.W.transposed || !x || !w.Streams() || !low_rank) return false;
  StreamDevice device;
  return CurrentDevice(&device) == cudaSuccess && PlanStream(p, device).blocks > 0;
}

inline size_t WorkspaceBytes(const CudaLinearProblem& p) {
  StreamDevice device;
  return CurrentDevice(&device) == cudaSuccess ? PlanStream(p, device).bytes : 0;
}

template <class T, class U, bool kRowsContiguous, int kTokenTiles>
cudaError_t LaunchLowRank(const LowRankParams& p, const StreamDevice& device, cudaStream_t stream) {
  const auto kernel = LowRankKernel<T, U, kRowsContiguous, kTokenTiles>;
  // A multiprocessor keeps to one division of its memory: that of the launch that is to run beside this one.
  if (cudaError_t e = cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared); e != cudaSuccess) return e;
  const int cluster = device.major >= 9 ? kLowRankCluster : 1;
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {static_cast<unsigned>(cluster), 1, 1};
  cudaLaunchConfig_t config = {};
  config.gridDim = static_cast<unsigned>(CeilDiv<int64_t>(p.a.rows, kRowsContiguous ? 64 : 16) * cluster);
  config.blockDim = kLowRankThreads;
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = cluster > 1 ? 1 : 0;
  return cudaLaunchKernelEx(&config, kernel, p, cluster);
}

template <class T, int kTokenTiles>
cudaError_t LaunchStream(const StreamParams& p, unsigned blocks, const StreamDevice& device, cudaStream_t stream) {
  using Shape = StreamShape<kTokenTiles>;
  const auto kernel = StreamKernel<T, kTokenTiles>;
  if (cudaError_t e = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Shape::kBytes); e != cudaSuccess) return e;
  if (cudaError_t e = cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared); e != cudaSuccess) return e;
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = blocks;
  config.blockDim = kStreamThreads;
  config.dynamicSmemBytes = Shape::kBytes;
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = p.b.rows > 0 && device.major >= 9 ? 1 : 0;
  return cudaLaunchKernelEx(&config, kernel, p);
}

// T is the type of p.dtype.
template <class T>
cudaError_t Launch(const CudaLinearProblem& p, void* workspace, size_t workspace_bytes, cudaStream_t stream) {
  StreamDevice device;
  if (const cudaError_t error = CurrentDevice(&device); error != cudaSuccess) return error;
  const StreamPlan plan = PlanStream(p, device);
  if (plan.blocks == 0 || workspace_bytes < plan.bytes) return cudaErrorInvalidValue;
  auto* memory = static_cast<char*>(workspace);
  StreamParams main{};
  main.w = StreamMatrix::Of(p.W);
  main.x = p.x, main.g = p.g, main.bias = p.bias, main.y = p.y;
  main.tokens = p.rows;
  main.arrivals = reinterpret_cast<int*>(memory + plan.arrivals_at);
  main.sums = reinterpret_cast<float*>(memory + plan.sums_at);
  if (p.A.rows > 0) {
    const LowRankParams low_rank{StreamMatrix::Of(p.A), p.x, reinterpret_cast<float*>(memory), p.rows, p.scaling, main.arrivals, plan.tiles};
    const auto launch = [&](auto rows_contiguous, auto token_tiles) {
      constexpr bool kRowsContiguous = decltype(rows_contiguous)::value;
      constexpr int kTokenTiles = decltype(token_tiles)::value;
      return p.A.dtype == p.dtype ? LaunchLowRank<T, T, kRowsContiguous, kTokenTiles>(low_rank, device, stream)
                                  : LaunchLowRank<T, float, kRowsContiguous, kTokenTiles>(low_rank, device, stream);
    };
    const cudaError_t error = WithTokenTiles(p.rows, [&](auto token_tiles) { return p.A.transposed ? launch(std::true_type{}, token_tiles) : launch(std::false_type{}, token_tiles); });
    if (error != cudaSuccess) return error;
    main.b = StreamMatrix::Of(p.B), main.h = low_rank.h;
  } else if (const cudaError_t error = cudaMemsetAsync(main.arrivals, 0, static_cast<size_t>(plan.tiles) * sizeof(int), stream); error != cudaSuccess) {
    return error;
  }
  return WithTokenTiles(p.rows, [&](auto token_tiles) { return LaunchStream<T, decltype(token_tiles)::value>(main, plan.blocks, device, stream); });
}

}  // namespace ort_dora::cuda::transposed
