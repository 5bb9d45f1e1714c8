// DoraCompose: g·(base + s·lora) + bias, float32 in float64 and half precision in float32, rounded once.
#include "ort_dora/operators.h"

#include <algorithm>
#include <limits>

#include "ort_dora/cpu/simd-inl.h"

#if defined(ORT_DORA_CPU_COMPOSE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ORT_DORA_CPU_COMPOSE_INL_H_
#undef ORT_DORA_CPU_COMPOSE_INL_H_
#else
#define ORT_DORA_CPU_COMPOSE_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace ort_dora {
namespace HWY_NAMESPACE {

template <class D>
struct CompositionOf {
  using V = hn::Vec<D>;
  V scaling;
  bool base_has_bias;

  // Near g = 1 what g changes is kept apart from the base until the last addition (g − 1 is exact there); far from 1 that
  // sum would cancel, and 0·inf would be NaN. Each has a rounding or two less than PEFT.
  HWY_INLINE V operator()(V base, V lora, V g, V bias) const {
    const D d;
    const V gs = hn::Mul(g, scaling), excess = hn::Sub(g, hn::Set(d, 1));
    const V bare = base_has_bias ? hn::Sub(base, bias) : base;
    const V offset = base_has_bias ? hn::Zero(d) : bias;
    const V near = hn::Add(base, hn::Add(hn::MulAdd(excess, bare, hn::Mul(gs, lora)), offset));
    const V far = hn::MulAdd(g, bare, hn::MulAdd(gs, lora, bias));
    const auto close = hn::Lt(hn::Abs(excess), hn::Set(d, 0.5f));
    const auto finite = hn::Le(hn::Abs(base), hn::Set(d, std::numeric_limits<float>::max()));
    return hn::IfThenElse(hn::And(close, finite), near, far);
  }
};
using Composition = CompositionOf<F32>;

// Elements a task: large enough to hide its cost, small enough to share one row among threads.
constexpr int64_t kComposeBlock = 16384;

// channels innermost: g and bias are vectors along the row.
template <class T, class U>
void ComposeRows(const DoraComposeProblem& p, const T* base, const U* lora, T* out, Parallel& parallel) {
  const int64_t width = std::min<int64_t>(p.channels, kComposeBlock);
  const int64_t height = std::max<int64_t>(1, kComposeBlock / width);
  const int64_t across = (p.channels + width - 1) / width;
  const int64_t down = (p.outer + height - 1) / height;
  using E = Elementwise<T>;
  using D = typename E::D;
  const CompositionOf<D> compose{hn::Set(D(), p.scaling), p.base_has_bias};
  const T* bias = static_cast<const T*>(p.bias);
  parallel.For(across * down, [&](int64_t task) {
    const int64_t first = task % across * width, last = std::min(p.channels, first + width);
    const int64_t top = task / across * height, bottom = std::min(p.outer, top + height);
    for (int64_t row = top; row < bottom; ++row) {
      const int64_t start = row * p.channels;
      const auto step = [&](int64_t c, size_t count) ORT_DORA_INLINE {
        const auto b = bias == nullptr ? hn::Zero(D()) : E::Read(bias + c, count);
        const auto y = compose(E::Read(base + start + c, count), E::Read(lora + start + c, count), E::Read(p.g + c, count), b);
        E::Write(y, out + start + c, count);
      };
      ForVectors<E::kLanes>(first, last, step);
    }
  });
}

// channels before a contiguous inner extent (convolutions): g and bias are constant along it.
template <class T, class U>
void ComposePlanes(const DoraComposeProblem& p, const T* base, const U* lora, T* out, Parallel& parallel) {
  const int64_t planes = p.outer * p.channels;
  const int64_t width = std::min<int64_t>(p.inner, kComposeBlock);
  const int64_t height = std::max<int64_t>(1, kComposeBlock / width);
  const int64_t across = (p.inner + width - 1) / width;
  const int64_t down = (planes + height - 1) / height;
  using E = Elementwise<T>;
  using D = typename E::D;
  const CompositionOf<D> compose{hn::Set(D(), p.scaling), p.base_has_bias};
  const T* bias = static_cast<const T*>(p.bias);
  parallel.For(across * down, [&](int64_t task) {
    const int64_t first = task % across * width, last = std::min(p.inner, first + width);
    const int64_t top = task / across * height, bottom = std::min(planes, top + height);
    for (int64_t plane = top; plane < bottom; ++plane) {
      const int64_t channel = plane % p.channels, start = plane * p.inner;
      const auto g = hn::Set(D(), p.g[channel]);
      const auto b = hn::Set(D(), bias == nullptr ? 0.0f : Scalar(bias + channel));
      const auto step = [&](int64_t i, size_t count) ORT_DORA_INLINE {
        const auto y = compose(E::Read(base + start + i, count), E::Read(lora + start + i, count), g, b);
        E::Write(y, out + start + i, count);
      };
      ForVectors<E::kLanes>(first, last, step);
    }
  });
}

void DoraCompose(const DoraComposeProblem& p, Parallel& parallel) {
  if (p.outer == 0 || p.channels == 0 || p.inner == 0) return;
  WithMutableElements(p.out, p.dtype, [&](auto* out) {
    using T = std::remove_pointer_t<decltype(out)>;
    WithAdapterElements<T>(p.lora, p.lora_dtype, [&](const auto* lora) {
      const T* base = static_cast<const T*>(p.base);
      if (p.inner == 1) {
        ComposeRows(p, base, lora, out, parallel);
      } else {
        ComposePlanes(p, base, lora, out, parallel);
      }
    });
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace ort_dora
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
