// DoraComposeBank: the adapters' products in float32, composed with the base as in DoraCompose, rounded once.
#include "ort_dora/operators.h"

#include <algorithm>
#include <cstring>

#include "ort_dora/cpu/bank-inl.h"
#include "ort_dora/cpu/compose-inl.h"

#if defined(ORT_DORA_CPU_COMPOSE_BANK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ORT_DORA_CPU_COMPOSE_BANK_INL_H_
#undef ORT_DORA_CPU_COMPOSE_BANK_INL_H_
#else
#define ORT_DORA_CPU_COMPOSE_BANK_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace ort_dora {
namespace HWY_NAMESPACE {

// Rows at once, and columns a task: products of that size stay in the L2 cache.
constexpr int64_t kComposeBankRows = 384;
constexpr int64_t kComposeBankColumns = 128;

// One row of `count` channels; `lora` holds s·lora already.
template <class T>
void ComposeBankRow(const T* base, const float* lora, const float* g, const T* bias, bool base_has_bias, T* out, int64_t count) {
  using E = Elementwise<T>;
  using D = typename E::D;
  const CompositionOf<D> compose{hn::Set(D(), 1), base_has_bias};
  const auto step = [&](int64_t n, size_t lanes) ORT_DORA_INLINE {
    const auto b = bias == nullptr ? hn::Zero(D()) : E::Read(bias + n, lanes);
    E::Write(compose(E::Read(base + n, lanes), E::Read(lora + n, lanes), E::Read(g + n, lanes), b), out + n, lanes);
  };
  ForVectors<E::kLanes>(0, count, step);
}

// A row without an adapter: the base, and the bias unless the base holds it.
template <class T>
void ComposeBaseRow(const T* base, const T* bias, T* out, int64_t count) {
  if (bias == nullptr) {
    std::memcpy(out, base, static_cast<size_t>(count) * sizeof(T));
    return;
  }
  using E = Elementwise<T>;
  const auto step = [&](int64_t n, size_t lanes) ORT_DORA_INLINE {
    E::Write(hn::Add(E::Read(base + n, lanes), E::Read(bias + n, lanes)), out + n, lanes);
  };
  ForVectors<E::kLanes>(0, count, step);
}

// Rows [first_row, first_row + rows) of the output.
template <class T>
void ComposeBankRows(const DoraComposeBankProblem& p, int64_t first_row, int64_t rows, Parallel& parallel) {
  const BankProducts products(p.adapters, static_cast<const T*>(p.x), p.in, p.rows, first_row, rows, parallel);
  parallel.For((p.channels + kComposeBankColumns - 1) / kComposeBankColumns, [&](int64_t task) {
    const int64_t first = task * kComposeBankColumns, count = std::min(kComposeBankColumns, p.channels - first);
    const int64_t stride = RoundUp(count, kPanel);
    float* panel = ThreadScratch(kPanelFloats + rows * stride);
    float* c = panel + kPanelFloats;
    std::memset(c, 0, static_cast<size_t>(rows * stride) * sizeof(float));
    products.AddTo(first, count, c, stride, panel);
    const T* bias = p.bias == nullptr ? nullptr : static_cast<const T*>(p.bias) + first;
    products.ForEachRow(first, [&](int64_t r, const float* g) {
      const int64_t at = (first_row + r) * p.channels + first;
      const T* base = static_cast<const T*>(p.base) + at;
      T* out = static_cast<T*>(p.out) + at;
      if (g == nullptr) {
        ComposeBaseRow(base, p.base_has_bias ? nullptr : bias, out, count);
      } else {
        ComposeBankRow(base, c + r * stride, g, bias, p.base_has_bias, out, count);
      }
    });
  });
}

void DoraComposeBank(const DoraComposeBankProblem& p, Parallel& parallel) {
  if (p.rows == 0 || p.channels == 0) return;
  WithMutableElements(p.out, p.dtype, [&](auto* out) {
    using T = std::remove_pointer_t<decltype(out)>;
    for (int64_t row = 0; row < p.rows; row += kComposeBankRows) {
      ComposeBankRows<T>(p, row, std::min(kComposeBankRows, p.rows - row), parallel);
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace ort_dora
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
