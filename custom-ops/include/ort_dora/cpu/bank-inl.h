// The low-rank products of rows that take their adapters from a bank.
#include "ort_dora/operators.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "ort_dora/cpu/gemm-inl.h"

#if defined(ORT_DORA_CPU_BANK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ORT_DORA_CPU_BANK_INL_H_
#undef ORT_DORA_CPU_BANK_INL_H_
#else
#define ORT_DORA_CPU_BANK_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace ort_dora {
namespace HWY_NAMESPACE {

// Columns of x·Aᵀ a task.
constexpr int64_t kBankDownColumns = kPanel;

// s·(x·Aᵀ)·Bᵀ for some rows of x, each with the adapter of its run.
//
// x·Aᵀ is always taken by Dots and the product with Bᵀ always by Panels: both add up the terms of a row in one order however
// many rows there are, so that a row's result does not depend on its neighbours. Neighbours of equal slots share the reads.
class BankProducts {
 public:
  // Of the rows [first_row, first_row + rows) of x [total_rows,in].
  template <class T>
  BankProducts(const AdapterBank& adapters, const T* x, int64_t in, int64_t total_rows, int64_t first_row, int64_t rows,
               Parallel& parallel)
      : adapters_(adapters) {
    const std::vector<Piece> tiles = Tiles(total_rows / adapters.runs, first_row, rows);
    const int64_t stride = RoundUp(LargestRank(tiles), kBankDownColumns), blocks = stride / kBankDownColumns;
    Buffer down(rows * stride);
    Down(tiles, x + first_row * in, in, down.data(), stride, blocks, parallel);

    // Of tiles of one slot, the full ones become one operand, whose rows need no padding.
    for (const Piece& tile : tiles) {
      const bool full = tile.rows == kTileRows && !pieces_.empty() && pieces_.back().rows % kTileRows == 0;
      if (full && pieces_.back().slot == tile.slot) {
        pieces_.back().rows += tile.rows;
      } else {
        pieces_.push_back(tile);
      }
    }
    for (const Piece& piece : pieces_) {
      LeftOperand& h = h_.emplace_back(piece.rows, Rank(piece), LeftOperand::Form::kTiles);
      const Strided<float> scores{down.data() + piece.first * stride, stride, 1};
      for (int64_t block = 0; block < h.blocks(); ++block) h.Fill(block, scores, adapters.scaling[piece.slot]);
    }
  }

  // c[r][n] += the product of row r with column first + n, for n < count. c has rows of c_stride ≥ RoundUp(count, kPanel) floats;
  // `panels` is aligned scratch of kPanelFloats.
  void AddTo(int64_t first, int64_t count, float* c, int64_t c_stride, float* panels) const {
    for (size_t i = 0; i < pieces_.size(); ++i) {
      if (h_[i].depth() == 0) continue;
      // The operand's depth, the rank, may be less than the matrix has.
      const Matrix b = Stored(pieces_[i], adapters_.offset_b, first + count, adapters_.max_rank);
      AddProduct(h_[i], b, first, count, c + pieces_[i].first * c_stride, c_stride, panels);
    }
  }

  // Calls f(row, g) for each row, g being the gains from column `first` on, null where the row has no adapter.
  template <class F>
  void ForEachRow(int64_t first, F&& f) const {
    for (const Piece& piece : pieces_) {
      const float* g = piece.slot < 0 ? nullptr : adapters_.gains + piece.slot * adapters_.row_gains + adapters_.offset_g + first;
      for (int64_t r = 0; r < piece.rows; ++r) f(piece.first + r, g);
    }
  }

 private:
  // Consecutive rows of one slot.
  struct Piece {
    int64_t first, rows;
    int32_t slot;
  };

  int64_t Rank(const Piece& piece) const { return piece.slot < 0 ? 0 : adapters_.rank[piece.slot]; }

  int64_t LargestRank(const std::vector<Piece>& pieces) const {
    int64_t largest = 0;
    for (const Piece& piece : pieces) largest = std::max(largest, Rank(piece));
    return largest;
  }

  // Pieces of at most kTileRows; of the rows of one slot side by side, only the last may have fewer.
  std::vector<Piece> Tiles(int64_t run, int64_t first_row, int64_t rows) const {
    std::vector<Piece> tiles;
    for (int64_t r = 0; r < rows; ++r) {
      const int32_t slot = adapters_.slot[(first_row + r) / run];
      if (tiles.empty() || tiles.back().slot != slot || tiles.back().rows == kTileRows) tiles.push_back({r, 0, slot});
      ++tiles.back().rows;
    }
    return tiles;
  }

  // down[r][j] = x[r] · A[j] for the adapter of each row.
  template <class T>
  void Down(const std::vector<Piece>& tiles, const T* x, int64_t in, float* down, int64_t stride, int64_t blocks,
            Parallel& parallel) const {
    std::vector<LeftOperand> operands;
    for (const Piece& tile : tiles) operands.emplace_back(Rank(tile) == 0 ? 0 : tile.rows, in, LeftOperand::Form::kByRows);
    const auto count = static_cast<int64_t>(tiles.size());
    parallel.For(count, [&](int64_t i) { operands[i].Fill(0, Strided<T>{x + tiles[i].first * in, in, 1}, 1.0f); });
    parallel.For(count * blocks, [&](int64_t task) {
      const Piece& tile = tiles[task / blocks];
      const int64_t first = task % blocks * kBankDownColumns, columns = std::min(kBankDownColumns, Rank(tile) - first);
      if (columns <= 0) return;
      float* c = down + tile.first * stride + first;
      for (int64_t r = 0; r < tile.rows; ++r) std::memset(c + r * stride, 0, kBankDownColumns * sizeof(float));
      AddProduct(operands[task / blocks], Stored(tile, adapters_.offset_a, Rank(tile), in), first, columns, c, stride, nullptr);
    });
  }

  // The matrix that the piece's row of the bank holds at `offset`.
  Matrix Stored(const Piece& piece, int64_t offset, int64_t rows, int64_t cols) const {
    const int64_t at = piece.slot * adapters_.row_elements + offset;
    const void* data = static_cast<const char*>(adapters_.bank) + at * static_cast<int64_t>(SizeOf(adapters_.dtype));
    return {data, adapters_.dtype, rows, cols, false};
  }

  const AdapterBank& adapters_;
  std::vector<Piece> pieces_;
  std::vector<LeftOperand> h_;  // s·x·Aᵀ of each piece
};

}  // namespace HWY_NAMESPACE
}  // namespace ort_dora
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
