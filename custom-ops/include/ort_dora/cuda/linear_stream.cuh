// DoraLinear for few tokens, matrices with contiguous columns: bound by the bytes of W, A and B, each of which is read once.
//
// y = g·(x·Wᵀ + h·Bᵀ) + bias and h = s·x·Aᵀ in one launch of as many blocks as the device has multiprocessors. A block has rows of W and B
// of its own; its warps stand side by side along them, and every lane reads 16 bytes of a row straight into registers, many loads
// at once. So memory sees pieces of kilobytes, and no warp waits for another before the end. Some further warps of every block
// compute a few rows of h meanwhile and count in; when W is done, h has long been complete. Blocks that wait for one another make
// the launch a cooperative one.
//
// Products are mma with 8 rows of the matrix as its columns: the 16 bytes that a lane has read are operands as they are, if the
// tokens are read at the same columns. These come from the first-level cache, which the matrix is kept out of.
#pragma once

#include <algorithm>

#include "ort_dora/cuda/elements.cuh"
#include "ort_dora/cuda/hopper.cuh"
#include "ort_dora/cuda/mma.cuh"
#include "ort_dora/cuda/problems.h"

namespace ort_dora::cuda {

constexpr int64_t kStreamMaxTokens = 32;

// A warp's step: groups of 8 rows by units of 64 bytes, of which a quad of lanes reads one a load. E: the matrix's elements.
template <class E, int token_tiles, int groups, int units, int stages, int together>
struct StreamShape {
  static constexpr int kTokenTiles = token_tiles;  // of 8
  static constexpr int kGroups = groups, kRows = 8 * groups;
  static constexpr int kUnits = units;
  static constexpr int kStages = stages;            // steps that are read ahead
  static constexpr int kTogether = together;        // units whose tokens are read at once
  static constexpr int kCount = 16 / sizeof(E);     // columns a lane and load
  static constexpr int kUnit = 4 * kCount, kChunk = units * kUnit;  // columns
  static constexpr int kTiles = (token_tiles + 1) / 2;              // of 16 tokens, as mma takes them
};

// How a number of tokens is computed; chosen among some forty ways on an H200 (docs/decisions/0010-cuda-kernels.md).
template <int token_tiles, int groups, int warps, int low_rank_warps, int registers>
struct StreamWay {
  static constexpr int kTokenTiles = token_tiles, kRows = 8 * groups;
  static constexpr int kWarps = warps, kLowRankWarps = low_rank_warps, kThreads = 32 * (warps + low_rank_warps), kRegisters = registers;
  template <class E>
  using Main = StreamShape<E, token_tiles, groups, token_tiles == 1 ? 4 : 2, 1, token_tiles == 1 && sizeof(E) == 2 ? 4 : 1>;
  template <class E>
  using LowRank = StreamShape<E, token_tiles, 1, 4, 2, token_tiles == 1 && sizeof(E) == 2 ? 4 : 1>;
};
using StreamFew = StreamWay<1, 2, 12, 8, 96>;
using StreamLow = StreamWay<2, 5, 12, 4, 128>;
using StreamHigh = StreamWay<2, 8, 8, 4, 168>;
using StreamMany = StreamWay<4, 4, 8, 4, 168>;

// [rows, cols], columns contiguous, every row at a multiple of 16 bytes.
struct StreamMatrix {
  const char* data = nullptr;
  int64_t rows = 0;
  int cols = 0;
};

// A block's part of a matrix: `tiles` tiles of rows from `row` on.
struct StreamPart {
  int64_t row;
  int tiles;
};

// h for bfloat16 B: the sum of two bfloat16 numbers, 2⁻¹⁷ of it apart from it. [2][tokens, r].
struct HalfPair {
  __nv_bfloat16 value;
};
template <class B>
using LowRankOf = std::conditional_t<std::is_same_v<B, __nv_bfloat16>, HalfPair, float>;

template <class E>
__device__ inline float Element(const uint4& v, int i) {
  if constexpr (sizeof(E) == 4) {
    return __uint_as_float(Word(v, i));
  } else {
    const uint32_t two = Word(v, i / 2), one = i % 2 == 0 ? two & 0xFFFF : two >> 16;
    if constexpr (std::is_same_v<E, __half>) return __half2float(__ushort_as_half(static_cast<unsigned short>(one)));
    return __uint_as_float(one << 16);
  }
}

// Of what is read once: it displaces neither the tokens from the first-level cache nor what others left in the second.
template <bool kIf>
__device__ inline uint4 LoadMatrix(const char* from, bool valid) {
  uint4 v = {};
  if constexpr (kIf) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.u32 p, %5, 0;\n@p ld.global.cs.nc.v4.u32 {%0, %1, %2, %3}, [%4];\n}"
                 : "+r"(v.x), "+r"(v.y), "+r"(v.z), "+r"(v.w)
                 : "l"(from), "r"(static_cast<int>(valid)));
  } else {
    asm volatile("ld.global.cs.nc.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(from));
  }
  return v;
}
// Not the read-only way: h is written by this launch.
template <class V>
__device__ inline V LoadTokens(const void* from, bool valid) {
  V v = {};
  if constexpr (sizeof(V) == 8) {
    auto& words = reinterpret_cast<uint2&>(v);
    asm volatile("{\n.reg .pred p;\nsetp.ne.u32 p, %3, 0;\n@p ld.global.v2.u32 {%0, %1}, [%2];\n}" : "+r"(words.x), "+r"(words.y) : "l"(from), "r"(static_cast<int>(valid)) : "memory");
  } else {
#pragma unroll
    for (int i = 0; i < static_cast<int>(sizeof(V) / 16); ++i) {
      auto& words = reinterpret_cast<uint4*>(&v)[i];
      asm volatile("{\n.reg .pred p;\nsetp.ne.u32 p, %5, 0;\n@p ld.global.v4.u32 {%0, %1, %2, %3}, [%4];\n}"
                   : "+r"(words.x), "+r"(words.y), "+r"(words.z), "+r"(words.w)
                   : "l"(static_cast<const char*>(from) + i * 16), "r"(static_cast<int>(valid))
                   : "memory");
    }
  }
  return v;
}

// Sums of a warp: token tiles of 16, groups of 8 rows; lane (g, t) has tokens g and g + 8 by rows 2t and 2t + 1. Where there is but
// one, products go to two by turns: each would wait for the one before.
template <class Shape, class Sum>
struct StreamSums {
  static constexpr int kChains = Shape::kTiles * Shape::kGroups == 1 && sizeof(Sum) == 4 ? 2 : 1;
  Sum v[kChains][Shape::kTiles][Shape::kGroups][4] = {};
};

// Matrix and tokens of one 16-bit type: the lane's 16 bytes of a unit are two products' worth. `tokens[n]` is of token tile n.
template <class Shape, class T, int kTokenTiles>
__device__ inline void MultiplyHalf(const uint4 (&w)[Shape::kGroups], const uint4 (&tokens)[kTokenTiles], StreamSums<Shape, float>& sums) {
#pragma unroll
  for (int m = 0; m < Shape::kTiles; ++m) {
    const uint4 low = tokens[2 * m], high = 2 * m + 1 < kTokenTiles ? tokens[2 * m + 1 < kTokenTiles ? 2 * m + 1 : 0] : uint4{};
#pragma unroll
    for (int j = 0; j < Shape::kGroups; ++j) {
      Mma16<T>(sums.v[0][m][j], low.x, high.x, low.y, high.y, w[j].x, w[j].y);
      Mma16<T>(sums.v[sums.kChains - 1][m][j], low.z, high.z, low.w, high.w, w[j].z, w[j].w);
    }
  }
}

// Anything else in TF32: float32 as two numbers each, 16-bit numbers as what they are. mma truncates its sums: what rounding
// should not be lost is added outside it.
template <class Shape, class E, class X, int kTokenTiles, class Sum>
__device__ inline void MultiplyTf32(const uint4 (&w)[Shape::kGroups], const Vector<X, Shape::kCount> (&tokens)[kTokenTiles], StreamSums<Shape, Sum>& sums) {
#pragma unroll
  for (int e = 0; e < Shape::kCount; e += 2) {
    uint32_t b[Shape::kGroups][2][2];
#pragma unroll
    for (int j = 0; j < Shape::kGroups; ++j) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const float v = Element<E>(w[j], e + i);
        if constexpr (sizeof(E) == 2) {
          b[j][0][i] = __float_as_uint(v), b[j][1][i] = 0;
        } else {
          const SplitTf32 split = Split(v);
          b[j][0][i] = split.high, b[j][1][i] = split.low;
        }
      }
    }
#pragma unroll
    for (int m = 0; m < Shape::kTiles; ++m) {
      uint32_t high[4], low[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int n = 2 * m + i % 2;
        if (n >= kTokenTiles) {
          high[i] = low[i] = 0;
        } else if constexpr (sizeof(X) == 2) {
          high[i] = __float_as_uint(ToFloat(tokens[n < kTokenTiles ? n : 0].v[e + i / 2])), low[i] = 0;
        } else {
          const SplitTf32 split = Split(tokens[n < kTokenTiles ? n : 0].v[e + i / 2]);
          high[i] = split.high, low[i] = split.low;
        }
      }
#pragma unroll
      for (int j = 0; j < Shape::kGroups; ++j) {
        float small[4] = {}, large[4] = {};
        if constexpr (sizeof(E) == 4) MmaTf32(small, high, b[j][1][0], b[j][1][1]);
        if constexpr (sizeof(X) == 4) MmaTf32(small, low, b[j][0][0], b[j][0][1]);
        MmaTf32(large, high, b[j][0][0], b[j][0][1]);
#pragma unroll
        for (int i = 0; i < 4; ++i) sums.v[0][m][j][i] += Sum{large[i]} + small[i];
      }
    }
  }
}

// Adds a part of matrix · tokensᵀ to this warp's sums in shared memory, [tiles][tokens][kRows]. A tile is cut into chunks of columns; the steps, along one tile's
// chunks and then the next one's, go to the kWarps warps by turns. `before_tokens()` is called when the first loads are on their way.
// X: what the tokens are, HalfPair or a number; tokens [count, cols]. kRagged: the part may end within a tile or a chunk.
template <class Shape, class E, class X, int kWarps, bool kRagged, class Sum, class Before>
__device__ __forceinline__ void StreamPass(const StreamMatrix& matrix, const StreamPart& part, int warp, const void* tokens, int count, float* to, Before before_tokens) {
  constexpr bool kPair = std::is_same_v<X, HalfPair>;
  using Number = std::conditional_t<kPair, __nv_bfloat16, X>;
  constexpr int kTokenTiles = Shape::kTokenTiles, kRows = Shape::kRows, kChunkBytes = Shape::kChunk * static_cast<int>(sizeof(E)), kStages = Shape::kStages;
  const int lane = threadIdx.x % 32, group_lane = lane / 4, column = lane % 4 * Shape::kCount;
  const int chunks = (matrix.cols + Shape::kChunk - 1) / Shape::kChunk, total = part.tiles * chunks, steps = total > warp ? (total - warp + kWarps - 1) / kWarps : 0;
  if (steps == 0) return;
  const int64_t pitch = matrix.cols * static_cast<int64_t>(sizeof(E));

  int next_chunk = warp % chunks;
  int64_t next_row = part.row + warp / chunks * kRows + group_lane;
  const char* at = matrix.data + next_row * pitch + (int64_t{next_chunk} * Shape::kChunk + column) * static_cast<int64_t>(sizeof(E));
  uint4 read[kStages][Shape::kUnits][Shape::kGroups];
  const auto read_next = [&](int stage) {
#pragma unroll
    for (int j = 0; j < Shape::kGroups; ++j) {
#pragma unroll
      for (int u = 0; u < Shape::kUnits; ++u) {
        const bool valid = !kRagged || (next_row + 8 * j < matrix.rows && next_chunk * Shape::kChunk + column + u * Shape::kUnit < matrix.cols);
        read[stage][u][j] = LoadMatrix<kRagged>(at + j * 8 * pitch + u * 64, valid);
      }
    }
    next_chunk += kWarps, at += kWarps * kChunkBytes;
    while (next_chunk >= chunks) {
      next_chunk -= chunks, at += kRows * pitch - int64_t{chunks} * kChunkBytes;
      if (kRagged) next_row += kRows;
    }
  };
#pragma unroll
  for (int stage = 0; stage < kStages; ++stage) {
    if (stage < steps) read_next(stage);
  }
  before_tokens();

  int chunk = warp % chunks;
  to += warp / chunks * count * kRows + group_lane * kRows + lane % 4 * 2;
  const Number* const from = static_cast<const Number*>(tokens) + int64_t{group_lane} * matrix.cols + column;
  StreamSums<Shape, Sum> sums;
  for (int step = 0; step < steps; step += kStages) {
#pragma unroll
    for (int stage = 0; stage < kStages; ++stage) {
      if (step + stage >= steps) break;
      constexpr int kTogether = Shape::kTogether;
#pragma unroll
      for (int u0 = 0; u0 < Shape::kUnits; u0 += kTogether) {
        Vector<Number, Shape::kCount> x[kTogether][kPair ? 2 : 1][kTokenTiles];
#pragma unroll
        for (int u = 0; u < kTogether; ++u) {
#pragma unroll
          for (int n = 0; n < kTokenTiles; ++n) {
            const int offset = chunk * Shape::kChunk + (u0 + u) * Shape::kUnit;
            const bool valid = 8 * n + group_lane < count && (!kRagged || column + offset < matrix.cols);
#pragma unroll
            for (int k = 0; k < (kPair ? 2 : 1); ++k) {
              x[u][k][n] = LoadTokens<Vector<Number, Shape::kCount>>(from + int64_t{8 * n + k * count} * matrix.cols + offset, valid);
            }
          }
        }
#pragma unroll
        for (int u = 0; u < kTogether; ++u) {
          if constexpr (kPair && kTokenTiles == 1) {
            // The two parts as tokens 0 … 7 and 8 … 15.
            MultiplyHalf<Shape, E, 2>(read[stage][u0 + u], {reinterpret_cast<const uint4&>(x[u][0][0]), reinterpret_cast<const uint4&>(x[u][1][0])}, sums);
          } else if constexpr (std::is_same_v<E, Number> && sizeof(E) == 2) {
#pragma unroll
            for (int k = kPair ? 1 : 0; k >= 0; --k) MultiplyHalf<Shape, E, kTokenTiles>(read[stage][u0 + u], reinterpret_cast<const uint4(&)[kTokenTiles]>(x[u][k]), sums);
          } else {
            MultiplyTf32<Shape, E, Number, kTokenTiles, Sum>(read[stage][u0 + u], x[u][0], sums);
          }
        }
      }
      chunk += kWarps;
      if (chunk >= chunks || step + stage + 1 == steps) {
#pragma unroll
        for (int m = 0; m < Shape::kTiles; ++m) {
#pragma unroll
          for (int j = 0; j < Shape::kGroups; ++j) {
            Sum total_of[4];
#pragma unroll
            for (int i = 0; i < 4; ++i) {
              total_of[i] = sums.v[0][m][j][i] + (sums.kChains == 2 ? sums.v[sums.kChains - 1][m][j][i] : Sum{0});
            }
            if (kPair && kTokenTiles == 1) total_of[0] += total_of[2], total_of[1] += total_of[3];
#pragma unroll
            for (int i = 0; i < (kTokenTiles == 1 ? 1 : 2); ++i) {
              if (16 * m + 8 * i + group_lane >= count) continue;
              auto* const two = reinterpret_cast<float2*>(to + (16 * m + 8 * i) * kRows + j * 8);
              *two = make_float2(static_cast<float>(two->x + total_of[2 * i]), static_cast<float>(two->y + total_of[2 * i + 1]));
            }
          }
        }
        sums = {};
        for (; chunk >= chunks; chunk -= chunks) to += count * kRows;
      }
      if (step + stage + kStages < steps) read_next(stage);
    }
  }
}

template <class Shape, class E, class X, int kWarps, class Sum, class Before>
__device__ __forceinline__ void StreamWhole(const StreamMatrix& m, const StreamPart& part, int warp, const void* tokens, int count, float* to, Before before_tokens) {
  // The general form costs instructions, which is what a 16-bit matrix has least of.
  if (sizeof(E) == 2 && m.cols % Shape::kChunk == 0 && part.row + int64_t{part.tiles} * Shape::kRows <= m.rows) {
    StreamPass<Shape, E, X, kWarps, sizeof(E) != 2, Sum>(m, part, warp, tokens, count, to, before_tokens);
  } else {
    StreamPass<Shape, E, X, kWarps, true, Sum>(m, part, warp, tokens, count, to, before_tokens);
  }
}

struct StreamParams {
  StreamMatrix w;    // [out, in]
  StreamMatrix a;    // [r, in]; no rows without a low-rank part
  StreamMatrix b;    // [out, r]
  const void* x;     // [tokens, in]
  void* h;           // [tokens, r] float32 or [2][tokens, r] bfloat16
  uint32_t* count;   // of the blocks that have written their rows of h; zero when the launch before has ended
  const float* g;    // [out]
  const void* bias;  // [out] or null
  void* y;           // [tokens, out]
  float scaling;
  int tokens;
  int tiles, parts;  // the rows of W in tiles, cut evenly among the first `parts` blocks
  int batch;         // tiles whose sums find place in shared memory at once
  int rank_rows;     // rows of h for each block
};

__device__ inline void WaitForLaunchBefore() {
#if __CUDA_ARCH__ >= 900
  hopper::WaitForPredecessor();
#endif
}

// This block's rows of h, by its last warps.
template <class Way, class T, class U>
__device__ void StreamLowRank(const StreamParams& p) {
  using Shape = typename Way::template LowRank<U>;
  constexpr int kThreads = Way::kLowRankWarps * 32, kBarrier = 1;
  __shared__ __align__(16) float sums[Way::kLowRankWarps][8 * Shape::kTokenTiles * Shape::kRows];
  const int thread = threadIdx.x - Way::kWarps * 32, warp = thread / 32;
  StreamMatrix a = p.a;
  const int64_t first = int64_t{blockIdx.x} * p.rank_rows;
  a.rows = min(a.rows, first + p.rank_rows);
  if (first >= a.rows) return;
  for (int64_t tile = first; tile < a.rows; tile += Shape::kRows) {
    for (int i = thread % 32; i < p.tokens * Shape::kRows; i += 32) sums[warp][i] = 0;
    __syncwarp();
    StreamWhole<Shape, U, T, Way::kLowRankWarps, SumOf<T>>(a, {tile, 1}, warp, p.x, p.tokens, sums[warp], [] {});
    hopper::NamedBarrier(kBarrier, kThreads);
    for (int i = thread; i < p.tokens * Shape::kRows; i += kThreads) {
      const int64_t row = tile + i % Shape::kRows, at = i / Shape::kRows * p.a.rows + row;
      if (row >= a.rows) continue;
      float sum = 0;
#pragma unroll
      for (int w = 0; w < Way::kLowRankWarps; ++w) sum += sums[w][i];
      sum *= p.scaling;
      if constexpr (std::is_same_v<U, __nv_bfloat16>) {
        auto* const h = static_cast<__nv_bfloat16*>(p.h);
        const __nv_bfloat16 high = __float2bfloat16_rn(sum);
        const float rest = sum - __bfloat162float(high);
        h[at] = high, h[p.tokens * p.a.rows + at] = __float2bfloat16_rn(isfinite(rest) ? rest : 0.0f);
      } else {
        static_cast<float*>(p.h)[at] = sum;
      }
    }
    hopper::NamedBarrier(kBarrier, kThreads);
  }
  WaitForLaunchBefore();
  if (thread == 0) hopper::AddReleased(p.count);
}

template <class Way, class T, class U>
__global__ void __maxnreg__(Way::kRegisters) StreamKernel(const __grid_constant__ StreamParams p) {
  using Shape = typename Way::template Main<T>;
  using LowRankShape = typename Way::template Main<U>;
  constexpr int kWarps = Way::kWarps, kThreads = kWarps * 32, kRows = Way::kRows, kBarrier = 2;
  extern __shared__ __align__(16) float shared[];  // [kWarps][batch][tokens][kRows]
  const int thread = threadIdx.x, warp = thread / 32;
  if (warp >= kWarps) {
    StreamLowRank<Way, T, U>(p);
    return;
  }
  bool waited = false;
  const auto wait_for_h = [&] {
    if (waited) return;
    waited = true;
    WaitForLaunchBefore();
    const uint32_t blocks = static_cast<uint32_t>((p.a.rows + p.rank_rows - 1) / p.rank_rows);
    if (thread % 32 == 0) hopper::WaitForCount(p.count, blocks);
    __syncwarp();
  };

  const int64_t part = blockIdx.x;
  const int last = part < p.parts ? static_cast<int>(p.tiles * (part + 1) / p.parts) : 0, size = p.batch * p.tokens * kRows;
  for (int first = static_cast<int>(p.tiles * part / p.parts); first < last; first += p.batch) {
    const int tiles = min(p.batch, last - first), live = tiles * p.tokens * kRows;
    const int64_t row = int64_t{first} * kRows;
    float* const sums = shared + warp * size;
    for (int i = thread % 32; i < live; i += 32) sums[i] = 0;
    __syncwarp();
    const StreamPart rows_of_block{row, tiles};
#if __CUDA_ARCH__ >= 900
    if (thread == 0 && p.b.cols > 0) {
      // B is asked for from the cache when W is done: that wait should be a short one.
      const int64_t pitch = p.b.cols * static_cast<int64_t>(sizeof(U)), rows = min(int64_t{tiles} * kRows, p.b.rows - row);
      asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(p.b.data + row * pitch), "r"(static_cast<uint32_t>(min(rows * pitch, int64_t{1} << 20))) : "memory");
    }
#endif
    StreamWhole<Shape, T, T, kWarps, SumOf<T>>(p.w, rows_of_block, warp, p.x, p.tokens, sums, [] {});
    __syncwarp();
    if (p.b.cols > 0) StreamWhole<LowRankShape, U, LowRankOf<U>, kWarps, SumOf<T>>(p.b, rows_of_block, warp, p.h, p.tokens, sums, wait_for_h);
    hopper::NamedBarrier(kBarrier, kThreads);

    for (int i = thread; i < live; i += kThreads) {
      const int token = i / kRows % p.tokens;
      const int64_t y_row = row + i / kRows / p.tokens * kRows + i % kRows;
      if (y_row >= p.w.rows) continue;
      const float bias = p.bias == nullptr ? 0.0f : ToFloat(static_cast<const T*>(p.bias)[y_row]), g = p.g[y_row];
      float sum = 0;
#pragma unroll
      for (int w = 0; w < kWarps; ++w) sum += shared[w * size + i];
      static_cast<T*>(p.y)[token * p.w.rows + y_row] = FromFloat<T>(fmaf(g, sum, bias));
    }
    hopper::NamedBarrier(kBarrier, kThreads);
  }
  // Every block waits, so that this launch ends after the one before it.
  WaitForLaunchBefore();
}

template <class Count>
__global__ void ZeroCountKernel(Count* count) {
#if __CUDA_ARCH__ >= 900
  hopper::LaunchDependents();
#endif
  *count = 0;
}

// Whether these kernels take the problem.
inline bool StreamLinearSupports(const CudaLinearProblem& p) {
  const auto streams = [](const Matrix& m) {
    return !m.transposed && IsAligned(m.data) && m.cols * static_cast<int64_t>(SizeOf(m.dtype)) % 16 == 0 && m.cols <= INT32_MAX / 2;
  };
  // The truncation of the tensor cores shows in short sums of float32.
  constexpr int64_t kLeastFloat32 = 256;
  if (p.dtype == DType::kFloat32 && p.W.cols < kLeastFloat32) return false;
  if (p.rows < 1 || p.rows > kStreamMaxTokens || p.W.rows < 1 || p.W.cols < 1 || !IsAligned(p.x) || !streams(p.W)) return false;
  return p.A.rows == 0 || (streams(p.A) && streams(p.B));
}

inline size_t StreamLinearBytes(const CudaLinearProblem& p) { return kWorkspaceAlignment + Padded(static_cast<size_t>(p.rows * p.A.rows) * sizeof(float)); }

template <class Way, class T, class U>
cudaError_t LaunchStream(const CudaLinearProblem& p, void* workspace, const StreamDevice& device, cudaStream_t stream) {
  const auto matrix = [](const Matrix& m) { return StreamMatrix{static_cast<const char*>(m.data), m.rows, static_cast<int>(m.cols)}; };
  StreamParams q{};
  q.w = matrix(p.W), q.x = p.x, q.g = p.g, q.bias = p.bias, q.y = p.y, q.scaling = p.scaling, q.tokens = static_cast<int>(p.rows);
  q.tiles = static_cast<int>(CeilDiv<int64_t>(p.W.rows, Way::kRows));
  q.parts = std::min(q.tiles, device.multiprocessors);
  const int each = CeilDiv(q.tiles, q.parts), tile_bytes = Way::kWarps * q.tokens * Way::kRows * static_cast<int>(sizeof(float));
  q.batch = CeilDiv(each, CeilDiv(each, device.shared_memory / tile_bytes));
  int blocks = q.parts;
  if (p.A.rows > 0) {
    blocks = device.multiprocessors;  // where there are fewer parts, the others have rows of h
    q.a = matrix(p.A), q.b = matrix(p.B);
    q.count = static_cast<uint32_t*>(workspace), q.h = static_cast<char*>(workspace) + kWorkspaceAlignment;
    q.rank_rows = static_cast<int>(CeilDiv<int64_t>(p.A.rows, blocks));
    ZeroCountKernel<<<1, 1, 0, stream>>>(q.count);
    if (cudaError_t e = cudaGetLastError(); e != cudaSuccess) return e;
  }
  const auto kernel = StreamKernel<Way, T, U>;
  if (cudaError_t e = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, device.shared_memory); e != cudaSuccess) return e;
  cudaLaunchAttribute attributes[2] = {};
  cudaLaunchConfig_t config = {};
  config.gridDim = static_cast<unsigned>(blocks);
  config.blockDim = Way::kThreads;
  config.dynamicSmemBytes = static_cast<size_t>(q.batch) * tile_bytes;
  config.stream = stream;
  config.attrs = attributes;
  if (p.A.rows > 0) {
    attributes[config.numAttrs].id = cudaLaunchAttributeCooperative;
    attributes[config.numAttrs++].val.cooperative = 1;
    if (device.major >= 9) {
      attributes[config.numAttrs].id = cudaLaunchAttributeProgrammaticStreamSerialization;
      attributes[config.numAttrs++].val.programmaticStreamSerializationAllowed = 1;
    }
  }
  return cudaLaunchKernelEx(&config, kernel, q);
}

// T is the type of p.dtype.
template <class T>
cudaError_t LaunchStreamLinear(const CudaLinearProblem& p, void* workspace, size_t workspace_bytes, cudaStream_t stream) {
  if (workspace_bytes < StreamLinearBytes(p)) return cudaErrorInvalidValue;
  StreamDevice device;
  if (const cudaError_t error = StreamDevice::Current(cudaDevAttrMaxSharedMemoryPerBlockOptin, &device); error != cudaSuccess) return error;
  // The rest is for the sums of h, and for the first-level cache where there is much.
  constexpr int kMost = 128 << 10, kOther = 4 << 10;
  device.shared_memory = std::min(kMost, device.shared_memory - kOther);
  const auto launch = [&](auto way, auto u) { return LaunchStream<decltype(way), T, typename decltype(u)::type>(p, workspace, device, stream); };
  const auto with_tokens = [&](auto u) {
    if (p.rows <= 8) return launch(StreamFew{}, u);
    if (p.rows > 16) return launch(StreamMany{}, u);
    // Rows of the block that has most. High tiles are the better ones where these come to about the same.
    const auto most = [&](int64_t rows) { return CeilDiv<int64_t>(CeilDiv<int64_t>(p.W.rows, rows), device.multiprocessors) * rows; };
    return 11 * most(StreamLow::kRows) < 10 * most(StreamHigh::kRows) ? launch(StreamLow{}, u) : launch(StreamHigh{}, u);
  };
  return p.A.dtype == p.dtype ? with_tokens(TypeOf<T>{}) : with_tokens(TypeOf<float>{});
}

}  // namespace ort_dora::cuda
