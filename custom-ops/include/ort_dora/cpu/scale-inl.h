// DoraScale.
#include "ort_dora/operators.h"

#include <cmath>

#include "ort_dora/cpu/simd-inl.h"

#if defined(ORT_DORA_CPU_SCALE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ORT_DORA_CPU_SCALE_INL_H_
#undef ORT_DORA_CPU_SCALE_INL_H_
#else
#define ORT_DORA_CPU_SCALE_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace ort_dora {
namespace HWY_NAMESPACE {

inline float At(const Matrix& m, int64_t row, int64_t col) {
  const int64_t at = m.transposed ? col * m.rows + row : row * m.cols + col;
  return WithElements(m.data, m.dtype, [&](const auto* p) { return hn::GetLane(LoadPart(p + at, 1)); });
}

void DoraScale(const DoraScaleProblem& p, Parallel& parallel) {
  parallel.For(p.W.rows, [&](int64_t row) {
    double sum = 0;
    for (int64_t k = 0; k < p.W.cols; ++k) {
      double change = 0;
      for (int64_t j = 0; j < p.A.rows; ++j) change += double{At(p.B, row, j)} * At(p.A, j, k);
      const double v = At(p.W, row, k) + double{p.scaling} * change;
      sum += v * v;
    }
    const float m = WithElements(p.m.data, p.m.dtype, [&](const auto* v) { return hn::GetLane(LoadPart(v + row, 1)); });
    p.g[row] = static_cast<float>(m / std::sqrt(sum));
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace ort_dora
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
