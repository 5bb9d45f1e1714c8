// Products with a large matrix of float32, float16 or bfloat16 weights, in float32: C += X · Wᵀ.
//
// Libraries' GEMMs take one dtype and want a packed or float32 copy of W. Here half-precision weights are widened on their
// way into registers, so that they cost half of float32's memory traffic, and several products can add to one tile of C that
// never leaves the cache (docs/decisions/0005-cpu-kernels.md has the measurements). Three ways, by rows of X and layout of W:
//   Dots    few rows, W [out,in] as stored: vectors along `in`, a block of W's rows against all rows of X
//   Strips  few rows, W [in,out] as stored: vectors along `out`, a block of W's stored rows added to a strip of C
//   Panels  more rows: kPanel columns by kDepth of W are widened into a panel that stays in the L1 cache and meets every row
#include "ort_dora/operators.h"

#include <algorithm>
#include <cstring>

#include "ort_dora/cpu/simd-inl.h"
#include "ort_dora/scratch.h"

#if defined(ORT_DORA_CPU_GEMM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ORT_DORA_CPU_GEMM_INL_H_
#undef ORT_DORA_CPU_GEMM_INL_H_
#else
#define ORT_DORA_CPU_GEMM_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace ort_dora {
namespace HWY_NAMESPACE {

constexpr int64_t kVector = static_cast<int64_t>(kLanes);
// The accumulators of a tile, kTileRows x 2 vectors, fill the registers but for two vectors of W and one of X.
constexpr int64_t kPanel = 2 * kVector;
constexpr int64_t kTileRows = HWY_TARGET == HWY_AVX3 ? 12 : 6;
// Sums run in float32 over a block of the inner dimension, then are added to C: their error grows with a block's depth and with
// the number of blocks. At 128 the traffic of C costs 5 %.
constexpr int64_t kDepth = 256;
constexpr int64_t kBlocks = 8;
// Up to here a row of X more costs less than packing W.
constexpr int64_t kFewRows = 16;

constexpr int64_t RoundUp(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// Pointers and strides of a matrix's elements, dtype known.
template <class T>
struct Strided {
  const T* data;
  int64_t row_stride, col_stride;
  const T* at(int64_t row, int64_t col) const { return data + row * row_stride + col * col_stride; }
};

template <class F>
void WithStrided(const Matrix& m, F&& f) {
  WithElements(m.data, m.dtype, [&](const auto* p) {
    using T = std::remove_const_t<std::remove_pointer_t<decltype(p)>>;
    f(m.transposed ? Strided<T>{p, 1, m.rows} : Strided<T>{p, m.cols, 1});
  });
}

// `count` consecutive elements as float32.
template <class T>
void Widen(const T* from, float* to, int64_t count) {
  int64_t i = 0;
  for (; i + kVector <= count; i += kVector) Store(Load(from + i), to + i);
  if (i < count) StorePart(LoadPart(from + i, static_cast<size_t>(count - i)), to + i, static_cast<size_t>(count - i));
}

// ---- X ------------------------------------------------------------------------------------------------------------

// Depth of the blocks for an inner dimension of `depth`: kDepth for long ones, at least kBlocks of them for short ones, whose sums
// else were no better than a plain loop's.
constexpr int64_t BlockDepth(int64_t depth) { return std::min(kDepth, RoundUp(std::max<int64_t>(1, depth / kBlocks), 16)); }

// The left operand in float32. Few rows: row-major. Otherwise by blocks of the inner dimension, tiles of `tile` rows within, and
// within a tile the rows' values side by side; rows are padded to whole tiles with zeros.
class LeftOperand {
 public:
  enum class Form { kByRows, kTiles };
  LeftOperand(int64_t rows, int64_t depth, Form form) : LeftOperand(rows, depth, form, BlockDepth(depth)) {}
  LeftOperand(int64_t rows, int64_t depth, Form form, int64_t block_depth)
      : form_(form),
        rows_(rows),
        depth_(depth),
        block_depth_(block_depth),
        tiles_(form == Form::kByRows ? 1 : std::max<int64_t>(1, (rows + kTileRows - 1) / kTileRows)),
        tile_(std::max<int64_t>(1, (rows + tiles_ - 1) / tiles_)),
        // Rows a power of two apart would share a few sets of the L1 cache.
        row_stride_(RoundUp(depth, 16) + 16),
        buffer_(form == Form::kByRows ? rows * row_stride_ : padded_rows() * depth) {}

  int64_t rows() const { return rows_; }
  int64_t depth() const { return depth_; }
  int64_t block_depth() const { return block_depth_; }
  bool few() const { return form_ == Form::kByRows; }
  int64_t tile() const { return tile_; }
  int64_t tiles() const { return tiles_; }
  int64_t padded_rows() const { return tiles_ * tile_; }

  const float* row(int64_t r) const { return buffer_.data() + r * row_stride_; }  // few
  int64_t row_stride() const { return row_stride_; }
  const float* tile_at(int64_t block, int64_t depth, int64_t index) const {
    return buffer_.data() + block * padded_rows() + index * tile_ * depth;
  }

  int64_t blocks() const { return few() ? 1 : (depth_ + block_depth_ - 1) / block_depth_; }

  // Fills one of blocks() from factor · x, in which `x` is rows x depth.
  template <class T>
  void Fill(int64_t block, const Strided<T>& x, float factor) {
    if (few()) {
      for (int64_t r = 0; r < rows_; ++r) FillRow(x, r, 0, depth_, factor, buffer_.data() + r * row_stride_);
      return;
    }
    const int64_t first = block * block_depth_, depth = std::min(block_depth_, depth_ - first);
    float* to = buffer_.data() + first * padded_rows();
    float line[kDepth];
    for (int64_t t = 0; t < tiles_; ++t, to += tile_ * depth) {
      for (int64_t m = 0; m < tile_; ++m) {
        const int64_t r = t * tile_ + m;
        if (r < rows_) {
          FillRow(x, r, first, depth, factor, line);
        } else {
          std::memset(line, 0, sizeof line);
        }
        for (int64_t k = 0; k < depth; ++k) to[k * tile_ + m] = line[k];
      }
    }
  }

 private:
  template <class T>
  static void FillRow(const Strided<T>& x, int64_t row, int64_t first, int64_t depth, float factor, float* to) {
    if (x.col_stride == 1) {
      Widen(x.at(row, first), to, depth);
    } else {
      for (int64_t k = 0; k < depth; ++k) to[k] = Scalar(x.at(row, first + k));
    }
    if (factor == 1.0f) return;
    for (int64_t k = 0; k < depth; ++k) to[k] *= factor;
  }

  Form form_;
  int64_t rows_, depth_, block_depth_, tiles_, tile_, row_stride_;
  Buffer buffer_;
};

// ---- Dots -----------------------------------------------------------------------------------------------------------

// c[t][n] += Σ_k x[t][k] · w[n][k] for kRowsOfX rows of x and kRowsOfW of w.
template <int kRowsOfX, int kRowsOfW, class T>
HWY_INLINE void DotBlock(const float* x, int64_t x_stride, int64_t depth, const T* w, int64_t w_stride, float* c, int64_t c_stride) {
  VF sum[kRowsOfX][kRowsOfW];
  for (auto& row : sum) {
    for (VF& v : row) v = hn::Zero(F32());
  }
  const auto step = [&](const auto& load, int64_t k) ORT_DORA_INLINE {
    VF weights[kRowsOfW];
    HWY_UNROLL(16)
    for (int n = 0; n < kRowsOfW; ++n) weights[n] = load(w + n * w_stride + k);
    HWY_UNROLL(16)
    for (int t = 0; t < kRowsOfX; ++t) {
      const VF values = load(x + t * x_stride + k);
      HWY_UNROLL(16)
      for (int n = 0; n < kRowsOfW; ++n) sum[t][n] = hn::MulAdd(values, weights[n], sum[t][n]);
    }
  };
  int64_t k = 0;
  for (; k + kVector <= depth; k += kVector) {
    step([](const auto* p) ORT_DORA_INLINE { return Load(p); }, k);
  }
  if (k < depth) {
    const size_t rest = static_cast<size_t>(depth - k);
    step([rest](const auto* p) ORT_DORA_INLINE { return LoadPart(p, rest); }, k);
  }
  for (int t = 0; t < kRowsOfX; ++t) {
    for (int n = 0; n < kRowsOfW; ++n) c[t * c_stride + n] += hn::GetLane(hn::SumOfLanes(F32(), sum[t][n]));
  }
}

template <int kRowsOfW, class T>
HWY_INLINE void DotsOfRows(const LeftOperand& x, const T* w, int64_t w_stride, float* c, int64_t c_stride) {
  const int64_t rows = x.rows();
  // A lane sums as many terms as a block of panels.
  const int64_t stride = x.row_stride(), block = x.block_depth() * kVector;
  for (int64_t k = 0; k < x.depth(); k += block) {
    const int64_t depth = std::min(block, x.depth() - k);
    int64_t t = 0;
    for (; t + 4 <= rows; t += 4) DotBlock<4, kRowsOfW>(x.row(t) + k, stride, depth, w + k, w_stride, c + t * c_stride, c_stride);
    for (; t < rows; ++t) DotBlock<1, kRowsOfW>(x.row(t) + k, stride, depth, w + k, w_stride, c + t * c_stride, c_stride);
  }
}

template <class T>
void Dots(const LeftOperand& x, const Strided<T>& w, int64_t first, int64_t count, float* c, int64_t c_stride) {
  constexpr int kRowsOfW = HWY_TARGET == HWY_AVX3 ? 6 : 2;
  int64_t n = 0;
  for (; n + kRowsOfW <= count; n += kRowsOfW) DotsOfRows<kRowsOfW>(x, w.at(first + n, 0), w.row_stride, c + n, c_stride);
  for (; n < count; ++n) DotsOfRows<1>(x, w.at(first + n, 0), w.row_stride, c + n, c_stride);
}

// ---- Strips ---------------------------------------------------------------------------------------------------------

// Stored rows of W in registers at once; a strip of C is read and written once for as many.
constexpr int64_t kStripRows = HWY_TARGET == HWY_AVX3 ? 16 : 8;

// c[t][..] += Σ x[t][k] · w[k][..] for kCount stored rows of w, `count` columns.
template <int kCount, class T>
HWY_INLINE void StripBlock(const LeftOperand& x, int64_t k, const T* w, int64_t w_stride, int64_t count, float* c,
                           int64_t c_stride) {
  constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(T));
  const int64_t rows = x.rows(), x_stride = x.row_stride();
  const auto step = [&](const auto& load, int64_t n) ORT_DORA_INLINE {
    VF weights[kCount];
    HWY_UNROLL(16)
    for (int i = 0; i < kCount; ++i) weights[i] = load(w + i * w_stride + n);
    if (n % kLine == 0) {
      HWY_UNROLL(16)
      for (int i = 0; i < kCount; ++i) hwy::Prefetch(w + (kCount + i) * w_stride + n);
    }
    const float* values = x.row(0) + k;
    float* to = c + n;
    for (int64_t t = 0; t < rows; ++t, values += x_stride, to += c_stride) {
      // Summed from zero and added once: a rounding at the size of the whole sum costs most.
      VF sum[2] = {hn::Zero(F32()), hn::Zero(F32())};
      HWY_UNROLL(16)
      for (int i = 0; i < kCount; ++i) sum[i % 2] = hn::MulAdd(hn::Set(F32(), values[i]), weights[i], sum[i % 2]);
      Store(hn::Add(Load(to), hn::Add(sum[0], sum[1])), to);
    }
  };
  int64_t n = 0;
  for (; n + kVector <= count; n += kVector) {
    step([](const auto* p) ORT_DORA_INLINE { return Load(p); }, n);
  }
  if (n < count) {
    const size_t rest = static_cast<size_t>(count - n);
    step([rest](const auto* p) ORT_DORA_INLINE { return LoadPart(p, rest); }, n);
  }
}

// The part of the product that the inner dimension's [begin, end) contributes.
template <class T>
void Strips(const LeftOperand& x, const Strided<T>& w, int64_t begin, int64_t end, int64_t first, int64_t count, float* c,
            int64_t c_stride) {
  int64_t k = begin;
  for (; k + kStripRows <= end; k += kStripRows) {
    StripBlock<kStripRows>(x, k, w.at(first, k), w.col_stride, count, c, c_stride);
  }
  for (; k + 4 <= end; k += 4) StripBlock<4>(x, k, w.at(first, k), w.col_stride, count, c, c_stride);
  for (; k < end; ++k) StripBlock<1>(x, k, w.at(first, k), w.col_stride, count, c, c_stride);
}

// ---- Panels ---------------------------------------------------------------------------------------------------------

// Columns that are packed at once. Of a stored [in,out] W each row gives a run of as many: DRAM and TLB are slow at short ones.
constexpr int64_t kPackColumns = 4 * kPanel;
constexpr int64_t kPanelFloats = kPackColumns * kDepth;
constexpr int64_t kPackAhead = 16;
constexpr int64_t kPackAheadBytes = 512;

// Lane j of v[i] and lane i of v[j] change places.
#if HWY_TARGET == HWY_SCALAR
HWY_INLINE void Transpose(VF (&)[kLanes]) {}
#else
HWY_INLINE void Transpose(VF (&v)[kLanes]) {
  const F32 f32;
  const hn::Repartition<double, F32> f64;
  HWY_UNROLL(4)
  for (size_t i = 0; i < kLanes; i += 4) {  // Within blocks of 128 bits.
    const auto low01 = hn::BitCast(f64, hn::InterleaveLower(f32, v[i], v[i + 1]));
    const auto high01 = hn::BitCast(f64, hn::InterleaveUpper(f32, v[i], v[i + 1]));
    const auto low23 = hn::BitCast(f64, hn::InterleaveLower(f32, v[i + 2], v[i + 3]));
    const auto high23 = hn::BitCast(f64, hn::InterleaveUpper(f32, v[i + 2], v[i + 3]));
    v[i] = hn::BitCast(f32, hn::InterleaveLower(f64, low01, low23));
    v[i + 1] = hn::BitCast(f32, hn::InterleaveUpper(f64, low01, low23));
    v[i + 2] = hn::BitCast(f32, hn::InterleaveLower(f64, high01, high23));
    v[i + 3] = hn::BitCast(f32, hn::InterleaveUpper(f64, high01, high23));
  }
#if HWY_TARGET == HWY_AVX3
  HWY_UNROLL(4)
  for (size_t i = 0; i < 4; ++i) {  // The blocks.
    const VF low02 = hn::ConcatLowerLower(f32, v[8 + i], v[i]), low13 = hn::ConcatLowerLower(f32, v[12 + i], v[4 + i]);
    const VF high02 = hn::ConcatUpperUpper(f32, v[8 + i], v[i]), high13 = hn::ConcatUpperUpper(f32, v[12 + i], v[4 + i]);
    v[i] = hn::OddEvenBlocks(hn::SwapAdjacentBlocks(low13), low02);
    v[4 + i] = hn::OddEvenBlocks(low13, hn::SwapAdjacentBlocks(low02));
    v[8 + i] = hn::OddEvenBlocks(hn::SwapAdjacentBlocks(high13), high02);
    v[12 + i] = hn::OddEvenBlocks(high13, hn::SwapAdjacentBlocks(high02));
  }
#elif HWY_TARGET == HWY_AVX2
  HWY_UNROLL(4)
  for (size_t i = 0; i < 4; ++i) {
    const VF low = v[i], high = v[4 + i];
    v[i] = hn::ConcatLowerLower(f32, high, low);
    v[4 + i] = hn::ConcatUpperUpper(f32, high, low);
  }
#endif
}
#endif

// panel[k][n] = w[first + n][depth_first + k] for a W stored [out,in].
template <class T>
void PackRows(const Strided<T>& w, int64_t first, int64_t count, int64_t depth_first, int64_t depth, float* HWY_RESTRICT panel) {
  int64_t n = 0;
  for (; n + kVector <= count; n += kVector) {
    const T* from = w.at(first + n, depth_first);
    int64_t k = 0;
    for (; k + kVector <= depth; k += kVector) {
      VF block[kLanes];
      const T* row = from + k;
      HWY_UNROLL(16)
      for (size_t i = 0; i < kLanes; ++i, row += w.row_stride) block[i] = Load(row);
      // So many rows at once are beyond the processor's own prefetching.
      row = from + k + kPackAheadBytes / static_cast<int64_t>(sizeof(T));
      HWY_UNROLL(16)
      for (size_t i = 0; i < kLanes; ++i, row += w.row_stride) hwy::Prefetch(row);
      Transpose(block);
      float* to = panel + k * kPanel + n;
      HWY_UNROLL(16)
      for (size_t i = 0; i < kLanes; ++i, to += kPanel) Store(block[i], to);
    }
    for (; k < depth; ++k) {
      for (int64_t i = 0; i < kVector; ++i) panel[k * kPanel + n + i] = Scalar(from + i * w.row_stride + k);
    }
  }
  for (int64_t k = 0; k < depth; ++k) {
    for (int64_t i = n; i < kPanel; ++i) panel[k * kPanel + i] = i < count ? Scalar(w.at(first + i, depth_first + k)) : 0.0f;
  }
}

// The panels of columns [first, first + count), one behind the other: panel[k][n] = w[first + n][depth_first + k] in float32,
// columns past `count` zero.
template <class T>
void PackPanels(const Strided<T>& w, int64_t first, int64_t count, int64_t depth_first, int64_t depth, float* HWY_RESTRICT panels) {
  if (w.row_stride != 1) {
    for (int64_t n = 0; n < count; n += kPanel, panels += depth * kPanel) {
      PackRows(w, first + n, std::min(kPanel, count - n), depth_first, depth, panels);
    }
    return;
  }
  for (int64_t k = 0; k < depth; ++k) {
    const T* from = w.at(first, depth_first + k);
    float* to = panels + k * kPanel;
    for (int64_t n = 0; n < count; n += kPanel, to += depth * kPanel) {
      // The next rows are a page or more apart, where the processor's own prefetching does not reach.
      hwy::Prefetch(from + kPackAhead * w.col_stride + n);
      hwy::Prefetch(from + kPackAhead * w.col_stride + n + kVector);
      if (n + kPanel <= count) {
        Store(Load(from + n), to);
        Store(Load(from + n + kVector), to + kVector);
      } else {
        std::memset(to, 0, kPanel * sizeof(float));
        Widen(from + n, to, count - n);
      }
    }
  }
}

// c[0 … kRows)[0 … kPanel) += x · panel over `depth`.
template <int kRows>
void Tile(int64_t depth, const float* HWY_RESTRICT x, const float* HWY_RESTRICT panel, float* HWY_RESTRICT c, int64_t c_stride) {
  VF sum[kRows][2];
  for (auto& row : sum) row[0] = row[1] = hn::Zero(F32());
  for (int64_t k = 0; k < depth; ++k, x += kRows, panel += kPanel) {
    const VF left = hn::Load(F32(), panel), right = hn::Load(F32(), panel + kVector);
    HWY_UNROLL(16)
    for (int m = 0; m < kRows; ++m) {
      const VF value = hn::Set(F32(), x[m]);
      sum[m][0] = hn::MulAdd(value, left, sum[m][0]);
      sum[m][1] = hn::MulAdd(value, right, sum[m][1]);
    }
  }
  for (int m = 0; m < kRows; ++m, c += c_stride) {
    Store(hn::Add(sum[m][0], Load(c)), c);
    Store(hn::Add(sum[m][1], Load(c + kVector)), c + kVector);
  }
}

using TileFunction = void (*)(int64_t, const float*, const float*, float*, int64_t);

inline TileFunction TileOf(int64_t rows) {
  static constexpr TileFunction kTiles[] = {
      nullptr, Tile<1>, Tile<2>, Tile<3>, Tile<4>, Tile<5>, Tile<6>,
#if HWY_TARGET == HWY_AVX3
      Tile<7>, Tile<8>, Tile<9>, Tile<10>, Tile<11>, Tile<12>,
#endif
  };
  return kTiles[rows];
}

// The first `tiles` tiles of x's rows against one packed panel: c[..][0 … kPanel).
inline void MultiplyPanel(const LeftOperand& x, int64_t tiles, int64_t depth_first, int64_t depth, const float* panel, float* c,
                          int64_t c_stride) {
  const TileFunction tile = TileOf(x.tile());
  for (int64_t t = 0; t < tiles; ++t) {
    tile(depth, x.tile_at(depth_first, depth, t), panel, c + t * x.tile() * c_stride, c_stride);
  }
}

template <class T>
void Panels(const LeftOperand& x, const Strided<T>& w, int64_t first, int64_t count, float* c, int64_t c_stride, float* panels) {
  for (int64_t k = 0; k < x.depth(); k += x.block_depth()) {
    const int64_t depth = std::min(x.block_depth(), x.depth() - k);
    for (int64_t n = 0; n < count; n += kPackColumns) {
      const int64_t columns = std::min(kPackColumns, count - n);
      PackPanels(w, first + n, columns, k, depth, panels);
      for (int64_t i = 0; i < columns; i += kPanel) MultiplyPanel(x, x.tiles(), k, depth, panels + i * depth, c + n + i, c_stride);
    }
  }
}

// c[t][n] += Σ_k x[t][k] · w[first + n][k] for n < count. c has x.padded_rows() rows of c_stride >= RoundUp(count, kPanel)
// floats; `panels` is aligned scratch of kPanelFloats.
inline void AddProduct(const LeftOperand& x, const Matrix& w, int64_t first, int64_t count, float* c, int64_t c_stride, float* panels) {
  if (x.depth() == 0) return;
  WithStrided(w, [&](const auto& strided) {
    if (!x.few()) {
      Panels(x, strided, first, count, c, c_stride, panels);
    } else if (strided.col_stride == 1) {
      Dots(x, strided, first, count, c, c_stride);
    } else {
      Strips(x, strided, 0, x.depth(), first, count, c, c_stride);
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace ort_dora
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
