// Loads and stores of float32, float16 and bfloat16 as vectors of float32. Rounding is to nearest even; NaN stays NaN.
#include "ort_dora/tensor.h"

#include <cstring>

#include <hwy/cache_control.h>
#include <hwy/highway.h>

// For a lambda of a kernel's inner loop.
#ifndef ORT_DORA_INLINE
#define ORT_DORA_INLINE __attribute__((always_inline))
#endif

#if defined(ORT_DORA_CPU_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ORT_DORA_CPU_SIMD_INL_H_
#undef ORT_DORA_CPU_SIMD_INL_H_
#else
#define ORT_DORA_CPU_SIMD_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace ort_dora {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using I32 = hn::RebindToSigned<F32>;
using U32 = hn::RebindToUnsigned<F32>;
using U16 = hn::Rebind<uint16_t, F32>;
using VF = hn::Vec<F32>;

constexpr size_t kLanes = hn::MaxLanes(F32());

HWY_INLINE VF Load(const float* p) { return hn::LoadU(F32(), p); }

HWY_INLINE VF Load(const BFloat16* p) {
  const auto bits = hn::LoadU(U16(), reinterpret_cast<const uint16_t*>(p));
  return hn::BitCast(F32(), hn::ShiftLeft<16>(hn::PromoteTo(U32(), bits)));
}

HWY_INLINE hn::Vec<U16> Low16(hn::Vec<U32> bits) {
  // Values below 2^16 survive the saturation of the signed form, which every target has.
  return hn::DemoteTo(U16(), hn::BitCast(I32(), bits));
}

HWY_INLINE void Store(VF v, float* p) { hn::StoreU(v, F32(), p); }

HWY_INLINE void Store(VF v, BFloat16* p) {
  const U32 u32;
  const auto bits = hn::BitCast(u32, v);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(u32, 1));
  const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(u32, 0x7FFF))));
  const auto quieted = hn::Or(hn::ShiftRight<16>(bits), hn::Set(u32, 0x40));
  const auto is_nan = hn::Ne(v, v);
  const auto result = hn::IfThenElse(hn::RebindMask(u32, is_nan), quieted, rounded);
  hn::StoreU(Low16(result), U16(), reinterpret_cast<uint16_t*>(p));
}

#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3

HWY_INLINE VF Load(const Float16* p) {
  const hn::Rebind<hwy::float16_t, F32> f16;
  return hn::PromoteTo(F32(), hn::LoadU(f16, reinterpret_cast<const hwy::float16_t*>(p)));
}

HWY_INLINE void Store(VF v, Float16* p) {
  const hn::Rebind<hwy::float16_t, F32> f16;
  hn::StoreU(hn::DemoteTo(f16, v), f16, reinterpret_cast<hwy::float16_t*>(p));
}

#else  // No F16C: Highway's emulation is not defined for infinities, so the conversion is done on the bits.

HWY_INLINE VF Load(const Float16* p) {
  const F32 f32;
  const U32 u32;
  const auto half = hn::PromoteTo(u32, hn::LoadU(U16(), reinterpret_cast<const uint16_t*>(p)));
  const auto magnitude = hn::ShiftLeft<13>(hn::And(half, hn::Set(u32, 0x7FFF)));
  const auto sign = hn::ShiftLeft<16>(hn::And(half, hn::Set(u32, 0x8000)));
  // Both exponents' biases differ by 112; the product is exact, also where the half is subnormal.
  const auto scaled = hn::Mul(hn::BitCast(f32, magnitude), hn::BitCast(f32, hn::Set(u32, (127u + 112u) << 23)));
  const auto special = hn::Ge(scaled, hn::Set(f32, 65536.0f));
  const auto bits = hn::BitCast(u32, scaled);
  const auto widest = hn::Or(bits, hn::Set(u32, 0xFFu << 23));
  return hn::BitCast(f32, hn::Or(sign, hn::IfThenElse(hn::RebindMask(u32, special), widest, bits)));
}

HWY_INLINE void Store(VF v, Float16* p) {
  const F32 f32;
  const U32 u32;
  const auto all = hn::BitCast(u32, v);
  const auto sign = hn::And(all, hn::Set(u32, 0x80000000u));
  const auto bits = hn::Xor(all, sign);
  const auto magnitude = hn::BitCast(f32, bits);
  // Normal: rebias, add half of the last place (to even), drop 13 bits; the carry reaches infinity by itself.
  const auto odd = hn::And(hn::ShiftRight<13>(bits), hn::Set(u32, 1));
  const auto biased = hn::Sub(hn::Add(bits, hn::Add(odd, hn::Set(u32, 0xFFF))), hn::Set(u32, 112u << 23));
  const auto normal = hn::ShiftRight<13>(biased);
  // Subnormal: adding 0.5 leaves the half's bits, rounded to even, at the end of the sum's.
  const auto shifted = hn::BitCast(u32, hn::Add(magnitude, hn::Set(f32, 0.5f)));
  const auto subnormal = hn::Sub(shifted, hn::Set(u32, 126u << 23));
  const auto is_nan = hn::Ne(v, v);
  const auto special = hn::IfThenElse(hn::RebindMask(u32, is_nan), hn::Set(u32, 0x7E00), hn::Set(u32, 0x7C00));
  const auto is_small = hn::Lt(magnitude, hn::Set(f32, 6.103515625e-5f));  // 2^-14
  const auto is_normal = hn::Lt(magnitude, hn::Set(f32, 65536.0f));
  auto result = hn::IfThenElse(hn::RebindMask(u32, is_normal), normal, special);
  result = hn::IfThenElse(hn::RebindMask(u32, is_small), subnormal, result);
  result = hn::Or(result, hn::ShiftRight<16>(sign));
  hn::StoreU(Low16(result), U16(), reinterpret_cast<uint16_t*>(p));
}

#endif

// The first `count` lanes (fewer than a vector); the others are zero.
template <class T>
HWY_INLINE VF LoadPart(const T* p, size_t count) {
  T lanes[kLanes] = {};
  std::memcpy(lanes, p, count * sizeof(T));
  return Load(lanes);
}

template <class T>
HWY_INLINE void StorePart(VF v, T* p, size_t count) {
  T lanes[kLanes];
  Store(v, lanes);
  std::memcpy(p, lanes, count * sizeof(T));
}

template <class T>
HWY_INLINE float Scalar(const T* p) {
  return hn::GetLane(LoadPart(p, 1));
}
HWY_INLINE float Scalar(const float* p) { return *p; }

// Elementwise arithmetic on results of type T, by vectors of D: as wide as makes their error that of their rounding alone.
// float32 is computed in float64, where a product of two is exact; half precision in float32. `count` below kLanes: a part.
template <class T>
struct Elementwise {
  using D = F32;
  using V = VF;
  static constexpr size_t kLanes = hn::MaxLanes(D());
  template <class U>
  static HWY_INLINE V Read(const U* p, size_t count) {
    return count == kLanes ? Load(p) : LoadPart(p, count);
  }
  template <class U>
  static HWY_INLINE void Write(V v, U* p, size_t count) {
    count == kLanes ? Store(v, p) : StorePart(v, p, count);
  }
};

template <>
struct Elementwise<float> {
  using D = hn::Repartition<double, F32>;
  using V = hn::Vec<D>;
  using Narrow = hn::Rebind<float, D>;
  static constexpr size_t kLanes = hn::MaxLanes(D());
  static HWY_INLINE V Read(const float* p, size_t count) {
    if (count == kLanes) return hn::PromoteTo(D(), hn::LoadU(Narrow(), p));
    float lanes[kLanes] = {};
    std::memcpy(lanes, p, count * sizeof(float));
    return hn::PromoteTo(D(), hn::LoadU(Narrow(), lanes));
  }
  static HWY_INLINE void Write(V v, float* p, size_t count) {
    if (count == kLanes) return hn::StoreU(Rounded(v), Narrow(), p);
    float lanes[kLanes];
    hn::StoreU(Rounded(v), Narrow(), lanes);
    std::memcpy(p, lanes, count * sizeof(float));
  }

 private:
  static HWY_INLINE hn::Vec<Narrow> Rounded(V v) {
#if HWY_TARGET == HWY_SCALAR
    return hn::Set(Narrow(), static_cast<float>(hn::GetLane(v)));  // Highway's would make a finite number of an infinity.
#else
    return hn::DemoteTo(Narrow(), v);
#endif
  }
};

// step(i, count) for [first, last), by whole vectors and a rest; the constant count lets the whole ones be compiled without a branch.
template <size_t kCount, class Step>
HWY_INLINE void ForVectors(int64_t first, int64_t last, const Step& step) {
  constexpr auto kWhole = static_cast<int64_t>(kCount);
  int64_t i = first;
  for (; i + kWhole <= last; i += kWhole) step(i, kCount);
  if (i < last) step(i, static_cast<size_t>(last - i));
}

}  // namespace HWY_NAMESPACE
}  // namespace ort_dora
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
