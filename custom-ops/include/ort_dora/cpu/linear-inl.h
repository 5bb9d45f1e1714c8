// DoraLinear.
#include "ort_dora/operators.h"

#include <vector>

#include "ort_dora/cpu/simd-inl.h"

#if defined(ORT_DORA_CPU_LINEAR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ORT_DORA_CPU_LINEAR_INL_H_
#undef ORT_DORA_CPU_LINEAR_INL_H_
#else
#define ORT_DORA_CPU_LINEAR_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace ort_dora {
namespace HWY_NAMESPACE {

inline float Element(const void* data, DType dtype, int64_t at) {
  return WithElements(data, dtype, [&](const auto* p) { return hn::GetLane(LoadPart(p + at, 1)); });
}

inline float Element(const Matrix& m, int64_t row, int64_t col) {
  return Element(m.data, m.dtype, m.transposed ? col * m.rows + row : row * m.cols + col);
}

void DoraLinear(const DoraLinearProblem& p, Parallel& parallel) {
  parallel.For(p.rows, [&](int64_t t) {
    std::vector<float> x(static_cast<size_t>(p.W.cols)), h(static_cast<size_t>(p.A.rows));
    for (int64_t k = 0; k < p.W.cols; ++k) x[static_cast<size_t>(k)] = Element(p.x, p.dtype, t * p.W.cols + k);
    for (int64_t j = 0; j < p.A.rows; ++j) {
      float sum = 0;
      for (int64_t k = 0; k < p.W.cols; ++k) sum += x[static_cast<size_t>(k)] * Element(p.A, j, k);
      h[static_cast<size_t>(j)] = p.scaling * sum;
    }
    for (int64_t n = 0; n < p.W.rows; ++n) {
      float sum = 0;
      for (int64_t k = 0; k < p.W.cols; ++k) sum += x[static_cast<size_t>(k)] * Element(p.W, n, k);
      for (int64_t j = 0; j < p.A.rows; ++j) sum += h[static_cast<size_t>(j)] * Element(p.B, n, j);
      const float y = p.g[n] * sum + (p.bias == nullptr ? 0.0f : Element(p.bias, p.dtype, n));
      WithMutableElements(p.y, p.dtype, [&](auto* out) { StorePart(hn::Set(F32(), y), out + t * p.W.rows + n, 1); });
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace ort_dora
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
