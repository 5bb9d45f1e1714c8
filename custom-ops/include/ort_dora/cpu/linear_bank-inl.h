// DoraLinearBank: x·Wᵀ of all rows at once, the adapters' products added to the same sums, then g, bias and the one rounding.
#include "ort_dora/operators.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "ort_dora/cpu/bank-inl.h"
#include "ort_dora/cpu/linear-inl.h"

#if defined(ORT_DORA_CPU_LINEAR_BANK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ORT_DORA_CPU_LINEAR_BANK_INL_H_
#undef ORT_DORA_CPU_LINEAR_BANK_INL_H_
#else
#define ORT_DORA_CPU_LINEAR_BANK_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace ort_dora {
namespace HWY_NAMESPACE {

// Rows at once where runs are short: W is read once for as many, and their sums stay in the caches.
constexpr int64_t kShortRunRows = 64;

// Rows [first_row, first_row + rows) of y. `form` decides in which order x·Wᵀ is summed up.
template <class T>
void LinearBankRows(const DoraLinearBankProblem& p, int64_t first_row, int64_t rows, LeftOperand::Form form, Parallel& parallel) {
  const int64_t in = p.W.cols, out = p.W.rows;
  const T* source = static_cast<const T*>(p.x);
  const BankProducts products(p.adapters, source, in, p.rows, first_row, rows, parallel);
  LeftOperand x(rows, in, form);
  parallel.For(x.blocks(), [&](int64_t block) { x.Fill(block, Strided<T>{source + first_row * in, in, 1}, 1.0f); });
  std::optional<StripSums> strips;
  if (x.few() && p.W.transposed) strips.emplace(x, p.W, parallel);

  static constexpr auto kOnes = [] {
    std::array<float, kLinearColumns> ones{};
    for (float& one : ones) one = 1.0f;
    return ones;
  }();
  parallel.For((out + kLinearColumns - 1) / kLinearColumns, [&](int64_t task) {
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
    products.AddTo(first, count, c, stride, panel);
    const T* bias = p.bias == nullptr ? nullptr : static_cast<const T*>(p.bias) + first;
    products.ForEachRow(first, [&](int64_t r, const float* g) {
      T* y = static_cast<T*>(p.y) + (first_row + r) * out + first;
      FinishRow(c + r * stride, g == nullptr ? kOnes.data() : g, bias, y, count);
    });
  });
}

void DoraLinearBank(const DoraLinearBankProblem& p, Parallel& parallel) {
  if (p.rows == 0 || p.W.rows == 0) return;
  // By the length of a run, not by the number of rows: a run alone is then summed up in the same order as among others.
  const bool are_short = p.rows / p.adapters.runs <= kFewRows;
  const auto form = are_short ? LeftOperand::Form::kByRows : LeftOperand::Form::kTiles;
  const int64_t at_once = are_short ? kShortRunRows : kLinearRows;
  WithMutableElements(p.y, p.dtype, [&](auto* y) {
    using T = std::remove_pointer_t<decltype(y)>;
    for (int64_t row = 0; row < p.rows; row += at_once) {
      LinearBankRows<T>(p, row, std::min(at_once, p.rows - row), form, parallel);
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace ort_dora
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
