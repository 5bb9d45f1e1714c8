// DoraLinear: one product over the concatenated inner dimension [x | s·x·Aᵀ] · [W | B]ᵀ, then g, bias and the one rounding.
#include "ort_dora/operators.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "ort_dora/cpu/gemm-inl.h"

#if defined(ORT_DORA_CPU_LINEAR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ORT_DORA_CPU_LINEAR_INL_H_
#undef ORT_DORA_CPU_LINEAR_INL_H_
#else
#define ORT_DORA_CPU_LINEAR_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace ort_dora {
namespace HWY_NAMESPACE {

// Rows of x at once: their float32 copy and the task's tile of C stay in the caches.
constexpr int64_t kLinearRows = 384;
// Columns of y a task: enough tasks for many threads, tiles of C small enough for the L2 cache.
constexpr int64_t kLinearColumns = 128;
// Columns of x·Aᵀ a task, of which there may be few.
constexpr int64_t kDownColumns = kPanel;
// Strips of a stored [in,out] W: its rows are read in runs as long as a tile of C in half of the L1 cache allows, since DRAM
// is slow at short ones; then `in` is divided as well, for there to be enough tasks.
constexpr int64_t kStripTile = 4096;
constexpr int64_t kStripDepth = 512;

// row[n] = g·sum[n] + bias, rounded once.
template <class T>
void FinishRow(const float* sum, const float* g, const T* bias, T* row, int64_t count) {
  int64_t n = 0;
  for (; n + kVector <= count; n += kVector) {
    const VF b = bias == nullptr ? hn::Zero(F32()) : Load(bias + n);
    Store(hn::MulAdd(Load(g + n), Load(sum + n), b), row + n);
  }
  if (n == count) return;
  const size_t rest = static_cast<size_t>(count - n);
  const VF b = bias == nullptr ? hn::Zero(F32()) : LoadPart(bias + n, rest);
  StorePart(hn::MulAdd(LoadPart(g + n, rest), Load(sum + n), b), row + n, rest);
}

// x·Wᵀ for few rows and a stored [in,out] W: tiles of sums, each over a part of the inner dimension and a run of columns.
class StripSums {
 public:
  StripSums(const LeftOperand& x, const Matrix& w, Parallel& parallel)
      : rows_(x.rows()),
        width_(std::max(kLinearColumns, kStripTile / rows_ / kLinearColumns * kLinearColumns)),
        across_((w.rows + width_ - 1) / width_),
        parts_(std::max<int64_t>(1, (w.cols + kStripDepth - 1) / kStripDepth)),
        buffer_(parts_ * across_ * rows_ * stride()) {
    parallel.For(across_ * parts_, [&](int64_t task) {
      const int64_t part = task / across_, begin = part * kStripDepth, end = std::min(w.cols, begin + kStripDepth);
      const int64_t first = task % across_ * width_, count = std::min(width_, w.rows - first);
      float* c = buffer_.data() + task * rows_ * stride();
      std::memset(c, 0, static_cast<size_t>(rows_ * stride()) * sizeof(float));
      WithStrided(w, [&](const auto& strided) { Strips(x, strided, begin, end, first, count, c, stride()); });
    });
  }

  // c[..] += the sums of one row over all parts, from column `first`, a multiple of kLinearColumns, and for at most as many.
  void AddTo(int64_t row, int64_t first, int64_t count, float* c) const {
    for (int64_t part = 0; part < parts_; ++part) {
      const int64_t tile = part * across_ + first / width_;
      const float* from = buffer_.data() + (tile * rows_ + row) * stride() + first % width_;
      for (int64_t n = 0; n < count; n += kVector) Store(hn::Add(Load(c + n), Load(from + n)), c + n);
    }
  }

 private:
  // Rows a power of two apart would share a few sets of the L1 cache.
  int64_t stride() const { return width_ + kVector; }

  const int64_t rows_, width_, across_, parts_;
  Buffer buffer_;
};

// Rows [first_row, first_row + rows) of y.
template <class T>
void LinearRows(const DoraLinearProblem& p, int64_t first_row, int64_t rows, Parallel& parallel) {
  const int64_t in = p.W.cols, out = p.W.rows, rank = p.A.rows;
  const auto form = rows <= kFewRows ? LeftOperand::Form::kByRows : LeftOperand::Form::kTiles;
  LeftOperand x(rows, in, form), h(rows, rank, form);
  const Strided<T> source{static_cast<const T*>(p.x) + first_row * in, in, 1};
  parallel.For(x.blocks(), [&](int64_t block) { x.Fill(block, source, 1.0f); });

  // h = s·x·Aᵀ, kept in float32.
  const int64_t rank_stride = RoundUp(rank, kDownColumns);
  Buffer down(x.padded_rows() * rank_stride);
  parallel.For(rank_stride / kDownColumns, [&](int64_t task) {
    const int64_t first = task * kDownColumns, count = std::min(kDownColumns, rank - first);
    float* c = down.data() + first;
    for (int64_t r = 0; r < x.padded_rows(); ++r) std::memset(c + r * rank_stride, 0, kDownColumns * sizeof(float));
    AddProduct(x, p.A, first, count, c, rank_stride, ThreadScratch(kPanelFloats));
  });
  const Strided<float> scores{down.data(), rank_stride, 1};
  for (int64_t block = 0; block < h.blocks(); ++block) h.Fill(block, scores, p.scaling);

  std::optional<StripSums> strips;
  if (x.few() && p.W.transposed) strips.emplace(x, p.W, parallel);

  const int64_t tasks = (out + kLinearColumns - 1) / kLinearColumns;
  parallel.For(tasks, [&](int64_t task) {
    const int64_t first = task * kLinearColumns, count = std::min(kLinearColumns, out - first);
    const int64_t stride = RoundUp(count, kPanel);
    float* panel = ThreadScratch(kPanelFloats + x.padded_rows() * stride);
    float* c = panel + kPanelFloats;
    std::memset(c, 0, static_cast<size_t>(x.padded_rows() * stride) * sizeof(float));
    if (strips.has_value()) {
      for (int64_t r = 0; r < rows; ++r) strips->AddTo(r, first, stride, c + r * stride);
    } else {
      AddProduct(x, p.W, first, count, c, stride, panel);
    }
    AddProduct(h, p.B, first, count, c, stride, panel);
    for (int64_t r = 0; r < rows; ++r) {
      const T* bias = p.bias == nullptr ? nullptr : static_cast<const T*>(p.bias) + first;
      FinishRow(c + r * stride, p.g + first, bias, static_cast<T*>(p.y) + (first_row + r) * out + first, count);
    }
  });
}

void DoraLinear(const DoraLinearProblem& p, Parallel& parallel) {
  if (p.rows == 0 || p.W.rows == 0) return;
  WithMutableElements(p.y, p.dtype, [&](auto* y) {
    using T = std::remove_pointer_t<decltype(y)>;
    for (int64_t row = 0; row < p.rows; row += kLinearRows) {
      LinearRows<T>(p, row, std::min(kLinearRows, p.rows - row), parallel);
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace ort_dora
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
