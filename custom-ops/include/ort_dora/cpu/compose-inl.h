// DoraCompose: g·(base + s·lora) + bias in float32, rounded once.
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

struct Composition {
  VF scaling;
  bool base_has_bias;

  // Near g = 1 what g changes is kept apart from the base until the last addition (g − 1 is exact there); far from 1 that
  // sum would cancel, and 0·inf would be NaN. Each has a rounding or two less than PEFT.
  HWY_INLINE VF operator()(VF base, VF lora, VF g, VF bias) const {
    const VF one = hn::Set(F32(), 1.0f), gs = hn::Mul(g, scaling), excess = hn::Sub(g, one);
    const VF bare = base_has_bias ? hn::Sub(base, bias) : base;
    const VF offset = base_has_bias ? hn::Zero(F32()) : bias;
    const VF near = hn::Add(base, hn::Add(hn::MulAdd(excess, bare, hn::Mul(gs, lora)), offset));
    const VF far = hn::MulAdd(g, bare, hn::MulAdd(gs, lora, bias));
    const auto close = hn::Lt(hn::Abs(excess), hn::Set(F32(), 0.5f));
    const auto finite = hn::Le(hn::Abs(base), hn::Set(F32(), std::numeric_limits<float>::max()));
    return hn::IfThenElse(hn::And(close, finite), near, far);
  }
};

// Elements a task: large enough to hide its cost, small enough to share one row among threads.
constexpr int64_t kComposeBlock = 16384;

// channels innermost: g and bias are vectors along the row.
template <class T, class U>
void ComposeRows(const DoraComposeProblem& p, const T* base, const U* lora, T* out, Parallel& parallel) {
  const int64_t width = std::min<int64_t>(p.channels, kComposeBlock);
  const int64_t height = std::max<int64_t>(1, kComposeBlock / width);
  const int64_t across = (p.channels + width - 1) / width;
  const int64_t down = (p.outer + height - 1) / height;
  const Composition compose{hn::Set(F32(), p.scaling), p.base_has_bias};
  const T* bias = static_cast<const T*>(p.bias);
  parallel.For(across * down, [&](int64_t task) {
    const int64_t first = task % across * width, last = std::min(p.channels, first + width);
    const int64_t top = task / across * height, bottom = std::min(p.outer, top + height);
    for (int64_t row = top; row < bottom; ++row) {
      const int64_t start = row * p.channels;
      int64_t c = first;
      for (; c + static_cast<int64_t>(kLanes) <= last; c += kLanes) {
        const VF b = bias == nullptr ? hn::Zero(F32()) : Load(bias + c);
        Store(compose(Load(base + start + c), Load(lora + start + c), Load(p.g + c), b), out + start + c);
      }
      if (c == last) continue;
      const size_t rest = static_cast<size_t>(last - c);
      const VF b = bias == nullptr ? hn::Zero(F32()) : LoadPart(bias + c, rest);
      const VF y = compose(LoadPart(base + start + c, rest), LoadPart(lora + start + c, rest), LoadPart(p.g + c, rest), b);
      StorePart(y, out + start + c, rest);
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
  const Composition compose{hn::Set(F32(), p.scaling), p.base_has_bias};
  const T* bias = static_cast<const T*>(p.bias);
  parallel.For(across * down, [&](int64_t task) {
    const int64_t first = task % across * width, last = std::min(p.inner, first + width);
    const int64_t top = task / across * height, bottom = std::min(planes, top + height);
    for (int64_t plane = top; plane < bottom; ++plane) {
      const int64_t channel = plane % p.channels, start = plane * p.inner;
      const VF g = hn::Set(F32(), p.g[channel]);
      const VF b = bias == nullptr ? hn::Zero(F32()) : hn::Set(F32(), hn::GetLane(LoadPart(bias + channel, 1)));
      int64_t i = first;
      for (; i + static_cast<int64_t>(kLanes) <= last; i += kLanes) {
        Store(compose(Load(base + start + i), Load(lora + start + i), g, b), out + start + i);
      }
      if (i == last) continue;
      const size_t rest = static_cast<size_t>(last - i);
      StorePart(compose(LoadPart(base + start + i, rest), LoadPart(lora + start + i, rest), g, b), out + start + i, rest);
    }
  });
}

void DoraCompose(const DoraComposeProblem& p, Parallel& parallel) {
  if (p.outer == 0 || p.channels == 0 || p.inner == 0) return;
  WithMutableElements(p.out, p.dtype, [&](auto* out) {
    using T = std::remove_pointer_t<decltype(out)>;
    WithElements(p.lora, p.lora_dtype, [&](const auto* lora) {
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
