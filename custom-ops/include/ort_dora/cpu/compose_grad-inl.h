// DoraComposeGrad: the three gradients of g·(base + s·lora) in one pass over dy.
#include "ort_dora/operators.h"

#include <algorithm>
#include <vector>

#include "ort_dora/cpu/simd-inl.h"

#if defined(ORT_DORA_CPU_COMPOSE_GRAD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ORT_DORA_CPU_COMPOSE_GRAD_INL_H_
#undef ORT_DORA_CPU_COMPOSE_GRAD_INL_H_
#else
#define ORT_DORA_CPU_COMPOSE_GRAD_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace ort_dora {
namespace HWY_NAMESPACE {

// A task is a strip of some rows by kGradColumns channels; there are at most kGradStrips strips of whole kGradRows. The sums of d_g do
// not depend on the number of threads: half precision in float32 along kGradRows rows, then float64 in order. Scratch: a double for each
// strip and channel.
constexpr int64_t kGradRows = 64;
constexpr int64_t kGradColumns = 1024;
constexpr int64_t kGradStrips = 256;

template <class T, class U>
class GradBlock {
  using E = Elementwise<T>;
  using D = typename E::D;
  using V = typename E::V;

 public:
  GradBlock(const DoraComposeGradProblem& p, int64_t top, int64_t bottom, double* sums)
      : p_(p), top_(top), bottom_(bottom), sums_(sums) {}

  // Channels [c, c + count), count at most a vector.
  HWY_INLINE void Column(int64_t c, size_t count) const {
    const V g = E::Read(p_.g + c, count), s = hn::Set(D(), p_.scaling), gs = hn::Mul(g, s);
    V sum = hn::Zero(D());
    for (int64_t row = top_; row < bottom_; ++row) {
      const int64_t at = row * p_.channels + c;
      const V dy = E::Read(static_cast<const T*>(p_.dy) + at, count);
      if (p_.d_base != nullptr) E::Write(hn::Mul(g, dy), static_cast<T*>(p_.d_base) + at, count);
      if (p_.d_lora != nullptr) E::Write(hn::Mul(gs, dy), static_cast<U*>(p_.d_lora) + at, count);
      if (sums_ == nullptr) continue;
      const V base = E::Read(static_cast<const T*>(p_.base) + at, count);
      const V lora = E::Read(static_cast<const U*>(p_.lora) + at, count);
      sum = hn::MulAdd(dy, hn::MulAdd(s, lora, base), sum);
    }
    if (sums_ == nullptr) return;
    hn::TFromD<D> lanes[E::kLanes];
    hn::StoreU(sum, D(), lanes);
    for (size_t i = 0; i < count; ++i) sums_[c + static_cast<int64_t>(i)] += lanes[i];
  }

 private:
  const DoraComposeGradProblem& p_;
  const int64_t top_, bottom_;
  double* const sums_;
};

template <class T, class U>
void ComposeGrad(const DoraComposeGradProblem& p, Parallel& parallel) {
  const int64_t across = (p.channels + kGradColumns - 1) / kGradColumns;
  const int64_t groups = (p.rows + kGradRows - 1) / kGradRows;
  const int64_t height = std::max<int64_t>(1, (groups + kGradStrips - 1) / kGradStrips) * kGradRows;
  const int64_t down = (p.rows + height - 1) / height;
  std::vector<double> partial(p.d_g == nullptr ? 0 : static_cast<size_t>(down * p.channels));
  parallel.For(across * down, [&](int64_t task) {
    const int64_t strip = task / across, first = task % across * kGradColumns;
    const int64_t last = std::min(p.channels, first + kGradColumns), end = std::min(p.rows, (strip + 1) * height);
    double* sums = p.d_g == nullptr ? nullptr : partial.data() + strip * p.channels;
    for (int64_t top = strip * height; top < end; top += kGradRows) {
      const GradBlock<T, U> block(p, top, std::min(end, top + kGradRows), sums);
      ForVectors<Elementwise<T>::kLanes>(first, last, [&](int64_t c, size_t count) ORT_DORA_INLINE { block.Column(c, count); });
    }
  });
  if (p.d_g == nullptr) return;
  for (int64_t c = 0; c < p.channels; ++c) {
    double sum = 0;
    for (int64_t strip = 0; strip < down; ++strip) sum += partial[static_cast<size_t>(strip * p.channels + c)];
    p.d_g[c] = static_cast<float>(sum);
  }
}

void DoraComposeGrad(const DoraComposeGradProblem& p, Parallel& parallel) {
  if (p.channels == 0) return;
  WithElements(p.base, p.dtype, [&](const auto* base) {
    using T = std::remove_const_t<std::remove_pointer_t<decltype(base)>>;
    WithAdapterElements<T>(p.lora, p.lora_dtype, [&](const auto* lora) {
      using U = std::remove_const_t<std::remove_pointer_t<decltype(lora)>>;
      ComposeGrad<T, U>(p, parallel);
    });
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace ort_dora
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
