// DoraScale: factored norms, and dense ones in float64 for the rows where the factored terms cancel.
#include "ort_dora/operators.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "ort_dora/cpu/gemm-inl.h"

#if defined(ORT_DORA_CPU_SCALE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ORT_DORA_CPU_SCALE_INL_H_
#undef ORT_DORA_CPU_SCALE_INL_H_
#else
#define ORT_DORA_CPU_SCALE_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace ort_dora {
namespace HWY_NAMESPACE {

// Rows of W (and of A) a task.
constexpr int64_t kScaleRows = 128;
// Columns of A packed at once: scratch of r times this, and one pass over the sums for each.
constexpr int64_t kScaleDepth = 4 * kDepth;
// Rows that a dense task recomputes against one pass over A, and the columns it does at a time.
constexpr int64_t kDenseRows = 8;
constexpr int64_t kDenseColumns = 256;

struct RowTerms {
  double squares = 0;    // ‖w‖²
  double low_rank = 0;   // 2s·⟨w·Aᵀ, b⟩ + s²·⟨b·(A·Aᵀ), b⟩
  double adapter = 0;    // β²
};

// The factored terms of every row, in two passes: W·(2s·A)ᵀ over blocks of `in`, then b·(s²·A·Aᵀ)ᵀ and the sums with b.
// A·Aᵀ is symmetric: only what is on its diagonal and to one side is computed, and counts twice there.
class FactoredNorms {
 public:
  FactoredNorms(const DoraScaleProblem& p, Parallel& parallel)
      : p_(p),
        rank_(p.A.rows),
        out_chunks_((p.W.rows + kScaleRows - 1) / kScaleRows),
        rank_chunks_((rank_ + kScaleRows - 1) / kScaleRows),
        terms_(static_cast<size_t>(p.W.rows)),
        padded_rank_(Padded(rank_)),
        products_((out_chunks_ + rank_chunks_) * padded_rank_ * kScaleRows) {
    std::memset(products_.data(), 0, static_cast<size_t>((out_chunks_ + rank_chunks_) * padded_rank_ * kScaleRows) * sizeof(float));
    for (int64_t k = 0; k < p.W.cols; k += kScaleDepth) Advance(k, std::min(kScaleDepth, p.W.cols - k), parallel);
    if (rank_ > 0) Finish(parallel);
  }

  const RowTerms& row(int64_t n) const { return terms_[static_cast<size_t>(n)]; }

 private:
  static int64_t Padded(int64_t rank) { return LeftOperand(rank, 0, LeftOperand::Form::kTiles).padded_rows(); }
  // [padded_rank][kScaleRows]: the products of the rows of one chunk of W, or, after those, of A, with every row of 2s·A.
  float* products(int64_t chunk) { return products_.data() + chunk * padded_rank_ * kScaleRows; }

  // Adds what columns [k, k + depth) contribute to ‖w‖², W·(2s·A)ᵀ and A·(2s·A)ᵀ.
  void Advance(int64_t k, int64_t depth, Parallel& parallel) {
    LeftOperand a(rank_, depth, LeftOperand::Form::kTiles, BlockDepth(p_.W.cols));
    WithStrided(p_.A, [&](const auto& all) {
      auto columns = all;
      columns.data = all.at(0, k);
      parallel.For(a.blocks(), [&](int64_t block) { a.Fill(block, columns, 2 * p_.scaling); });
    });
    parallel.For(out_chunks_ + rank_chunks_, [&](int64_t chunk) {
      const bool of_w = chunk < out_chunks_;
      const int64_t first = (of_w ? chunk : chunk - out_chunks_) * kScaleRows;
      WithStrided(of_w ? p_.W : p_.A, [&](const auto& matrix) {
        const int64_t count = std::min(kScaleRows, (of_w ? p_.W.rows : rank_) - first);
        // Of A·(2s·A)ᵀ, rows of 2s·A up to the last one of this chunk of A.
        const int64_t tiles = of_w ? a.tiles() : (first + count - 1) / a.tile() + 1;
        AdvanceChunk(a, tiles, matrix, k, depth, first, count, products(chunk), of_w);
      });
    });
  }

  template <class T>
  void AdvanceChunk(const LeftOperand& a, int64_t tiles, const Strided<T>& matrix, int64_t k, int64_t depth, int64_t first,
                    int64_t count, float* products, bool add_squares) {
    float* panels = ThreadScratch(kScaleRows * kDepth);
    for (int64_t block = 0; block < depth; block += a.block_depth()) {
      const int64_t length = std::min(a.block_depth(), depth - block);
      PackPanels(matrix, first, count, k + block, length, panels);
      for (int64_t n = 0; n < count; n += kPanel) {
        const float* panel = panels + n * length;
        if (add_squares) AddSquares(panel, length, std::min(kPanel, count - n), &terms_[static_cast<size_t>(first + n)]);
        MultiplyPanel(a, tiles, block, length, panel, products + n, kScaleRows);
      }
    }
  }

  // Sixteen terms in float32, then float64: this term is most of n², and in float32 alone would cost it a digit.
  static void AddSquares(const float* panel, int64_t depth, int64_t columns, RowTerms* terms) {
    double sums[kPanel] = {};
    float part[kPanel];
    for (int64_t k = 0; k < depth;) {
      VF left = hn::Zero(F32()), right = hn::Zero(F32());
      for (const int64_t end = std::min(depth, k + 16); k < end; ++k, panel += kPanel) {
        const VF l = hn::Load(F32(), panel), r = hn::Load(F32(), panel + kVector);
        left = hn::MulAdd(l, l, left);
        right = hn::MulAdd(r, r, right);
      }
      Store(left, part);
      Store(right, part + kVector);
      for (int64_t n = 0; n < kPanel; ++n) sums[n] += part[n];
    }
    for (int64_t n = 0; n < columns; ++n) terms[n].squares += sums[n];
  }

  void Finish(Parallel& parallel) {
    // A·(2s·A)ᵀ becomes the left operand s²·A·Aᵀ, upper triangle, and its diagonal ‖a_j‖².
    LeftOperand gram(rank_, rank_, LeftOperand::Form::kTiles);
    std::vector<double> lengths(static_cast<size_t>(rank_));
    Buffer square(rank_ * rank_);
    const double s = p_.scaling;
    for (int64_t j = 0; j < rank_; ++j) {
      std::memset(square.data() + j * rank_, 0, static_cast<size_t>(j) * sizeof(float));
      for (int64_t i = j; i < rank_; ++i) {
        const float product = products(out_chunks_ + i / kScaleRows)[j * kScaleRows + i % kScaleRows];
        square.data()[j * rank_ + i] = i == j ? product : 2 * product;
      }
      lengths[static_cast<size_t>(j)] = s == 0 ? 0 : square.data()[j * rank_ + j] / (2 * s);
    }
    parallel.For(gram.blocks(), [&](int64_t block) {
      gram.Fill(block, Strided<float>{square.data(), rank_, 1}, p_.scaling / 2);
    });
    parallel.For(out_chunks_, [&](int64_t chunk) {
      WithStrided(p_.B, [&](const auto& b) { FinishChunk(gram, lengths, b, chunk); });
    });
  }

  template <class T>
  void FinishChunk(const LeftOperand& gram, const std::vector<double>& lengths, const Strided<T>& b, int64_t chunk) {
    const int64_t first = chunk * kScaleRows, count = std::min(kScaleRows, p_.W.rows - first);
    float* panel = ThreadScratch(rank_ * kPanel);
    for (int64_t n = 0; n < count; n += kPanel) {
      const int64_t columns = std::min(kPanel, count - n);
      float* sums = products(chunk) + n;
      PackPanels(b, first + n, columns, 0, rank_, panel);
      for (int64_t k = 0; k < rank_; k += gram.block_depth()) {
        const int64_t depth = std::min(gram.block_depth(), rank_ - k);
        for (int64_t tile = 0; tile < gram.tiles(); ++tile) {
          const int64_t row = tile * gram.tile(), zeros = std::max<int64_t>(0, row - k);
          if (zeros >= depth) break;
          TileOf(gram.tile())(depth - zeros, gram.tile_at(k, depth, tile) + zeros * gram.tile(), panel + (k + zeros) * kPanel,
                              sums + row * kScaleRows, kScaleRows);
        }
      }
      double low_rank[kPanel] = {}, adapter[kPanel] = {};
      for (int64_t j = 0; j < rank_; ++j) {
        const float* HWY_RESTRICT sum = sums + j * kScaleRows;
        const float* HWY_RESTRICT weights = panel + j * kPanel;
        const double length = lengths[static_cast<size_t>(j)];
        for (int64_t i = 0; i < kPanel; ++i) {
          const double weight = weights[i];
          low_rank[i] += weight * sum[i];
          adapter[i] += weight * weight * length;
        }
      }
      for (int64_t i = 0; i < columns; ++i) {
        RowTerms& terms = terms_[static_cast<size_t>(first + n + i)];
        terms.low_rank = low_rank[i];
        terms.adapter = adapter[i];
      }
    }
  }

  const DoraScaleProblem& p_;
  const int64_t rank_, out_chunks_, rank_chunks_;
  std::vector<RowTerms> terms_;
  const int64_t padded_rank_;
  Buffer products_;
};

// The norms of some rows from W + s·B·A itself, in float64.
class DenseNorms {
 public:
  explicit DenseNorms(const DoraScaleProblem& p) : p_(p) {}

  // norms[i] = ‖W + s·B·A‖ of row rows[i], for at most kDenseRows rows.
  void Compute(const int64_t* rows, int64_t count, double* norms) const {
    double values[kDenseRows][kDenseColumns], sums[kDenseRows] = {};
    float line[kDenseColumns];
    for (int64_t first = 0; first < p_.W.cols; first += kDenseColumns) {
      const int64_t columns = std::min(kDenseColumns, p_.W.cols - first);
      for (int64_t i = 0; i < count; ++i) std::fill_n(values[i], columns, 0.0);
      for (int64_t j = 0; j < p_.A.rows; ++j) {
        Read(p_.A, j, first, columns, line);
        for (int64_t i = 0; i < count; ++i) {
          float weight;
          Read(p_.B, rows[i], j, 1, &weight);
          for (int64_t k = 0; k < columns; ++k) values[i][k] += double{weight} * line[k];
        }
      }
      for (int64_t i = 0; i < count; ++i) {
        Read(p_.W, rows[i], first, columns, line);
        for (int64_t k = 0; k < columns; ++k) {
          const double value = line[k] + double{p_.scaling} * values[i][k];
          sums[i] += value * value;
        }
      }
    }
    for (int64_t i = 0; i < count; ++i) norms[i] = std::sqrt(sums[i]);
  }

 private:
  static void Read(const Matrix& m, int64_t row, int64_t first, int64_t count, float* to) {
    WithStrided(m, [&](const auto& elements) {
      if (elements.col_stride == 1) {
        Widen(elements.at(row, first), to, count);
      } else {
        for (int64_t k = 0; k < count; ++k) to[k] = Scalar(elements.at(row, first + k));
      }
    });
  }

  const DoraScaleProblem& p_;
};

// n, or a negative number if the terms do not determine it.
inline double NormOf(const RowTerms& terms, double scaling) {
  if (std::isnan(terms.squares)) return terms.squares;
  const double square = terms.squares + terms.low_rank;
  const double reach = std::sqrt(terms.squares) + std::abs(scaling) * std::sqrt(terms.adapter);
  const double limit = reach * reach / kCancellation;
  return square >= limit && limit < std::numeric_limits<double>::infinity() ? std::sqrt(square) : -1;
}

void DoraScale(const DoraScaleProblem& p, Parallel& parallel) {
  const int64_t out = p.W.rows;
  if (out == 0) return;
  std::vector<float> magnitude(static_cast<size_t>(out));
  WithElements(p.m.data, p.m.dtype, [&](const auto* m) { Widen(m, magnitude.data(), out); });
  const auto finish = [&](int64_t row, double norm) {
    p.g[row] = static_cast<float>(magnitude[static_cast<size_t>(row)] / norm);
  };

  std::vector<int64_t> undetermined;
  {
    const FactoredNorms factored(p, parallel);
    for (int64_t row = 0; row < out; ++row) {
      const double norm = NormOf(factored.row(row), p.scaling);
      if (norm < 0) {
        undetermined.push_back(row);
      } else {
        finish(row, norm);
      }
    }
  }
  const auto left = static_cast<int64_t>(undetermined.size());
  parallel.For((left + kDenseRows - 1) / kDenseRows, [&](int64_t task) {
    const int64_t first = task * kDenseRows, count = std::min(kDenseRows, left - first);
    double norms[kDenseRows];
    DenseNorms(p).Compute(undetermined.data() + first, count, norms);
    for (int64_t i = 0; i < count; ++i) finish(undetermined[static_cast<size_t>(first + i)], norms[i]);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace ort_dora
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
