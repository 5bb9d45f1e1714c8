// References for the tests: the operators in float64, and what PEFT's own arithmetic makes of the same numbers.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "ort_dora/operators.h"

namespace ort_dora {

inline std::string Name(DType dtype) {
  return dtype == DType::kFloat32 ? "float32" : dtype == DType::kFloat16 ? "float16" : "bfloat16";
}

// Scalar conversions, independent of those under test.
inline double FromBits(uint16_t bits, DType dtype) {
  if (dtype == DType::kBFloat16) {
    const uint32_t wide = static_cast<uint32_t>(bits) << 16;
    float f;
    std::memcpy(&f, &wide, 4);
    return f;
  }
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == 31) return mantissa ? std::nan("") : sign * INFINITY;
  return sign * (exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25));
}

// Rounds to nearest even in the type, from float64 (once).
inline double Round(double value, DType dtype) {
  if (dtype == DType::kFloat32) return static_cast<float>(value);
  if (!std::isfinite(value) || value == 0) return value;
  const int digits = dtype == DType::kFloat16 ? 11 : 8, lowest = dtype == DType::kFloat16 ? -14 : -126;
  const int exponent = std::max(std::ilogb(value), lowest);
  const double unit = std::ldexp(1.0, exponent - digits + 1);
  const double rounded = std::nearbyint(value / unit) * unit;
  const double largest = dtype == DType::kFloat16 ? 65504.0 : 0x1.FEp127;
  return std::abs(rounded) > largest ? std::copysign(INFINITY, value) : rounded;
}

inline uint16_t ToBits(double value, DType dtype) {
  if (dtype == DType::kBFloat16) {
    if (std::isnan(value)) return 0x7FC0;
    const float f = static_cast<float>(Round(value, dtype));
    uint32_t wide;
    std::memcpy(&wide, &f, 4);
    return static_cast<uint16_t>(wide >> 16);
  }
  if (std::isnan(value)) return 0x7E00;
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const double rounded = std::abs(Round(value, dtype));
  if (std::isinf(rounded)) return sign | 0x7C00;
  if (rounded < 0x1p-14) return static_cast<uint16_t>(sign | static_cast<int>(rounded * 0x1p24));
  const int exponent = std::ilogb(rounded);
  return static_cast<uint16_t>(sign | (exponent + 15) << 10 | (static_cast<int>(std::ldexp(rounded, 10 - exponent)) - 1024));
}

// An array of one of the dtypes that knows its values in float64.
class Array {
 public:
  Array() = default;
  Array(DType type, size_t size) : dtype(type), bytes_(size * SizeOf(type)), size_(size) {}
  Array(DType type, const std::vector<double>& values) : Array(type, values.size()) {
    for (size_t i = 0; i < size_; ++i) set(i, values[i]);
  }

  DType dtype = DType::kFloat32;
  size_t size() const { return size_; }
  const void* data() const { return bytes_.data(); }
  void* data() { return bytes_.data(); }
  const float* floats() const { return reinterpret_cast<const float*>(bytes_.data()); }
  float* floats() { return reinterpret_cast<float*>(bytes_.data()); }
  double operator[](size_t i) const {
    if (dtype == DType::kFloat32) return floats()[i];
    uint16_t bits;
    std::memcpy(&bits, bytes_.data() + 2 * i, 2);
    return FromBits(bits, dtype);
  }
  void set(size_t i, double value) {
    if (dtype == DType::kFloat32) {
      floats()[i] = static_cast<float>(value);
    } else {
      const uint16_t bits = ToBits(value, dtype);
      std::memcpy(bytes_.data() + 2 * i, &bits, 2);
    }
  }

 private:
  std::vector<unsigned char> bytes_;
  size_t size_ = 0;
};

// A rows x cols matrix in either layout.
struct Stored {
  Array array;
  int64_t rows = 0, cols = 0;
  bool transposed = false;
  size_t index(int64_t i, int64_t j) const { return static_cast<size_t>(transposed ? j * rows + i : i * cols + j); }
  double operator()(int64_t i, int64_t j) const { return array[index(i, j)]; }
  void set(int64_t i, int64_t j, double value) { array.set(index(i, j), value); }
  Matrix view() const { return {array.data(), array.dtype, rows, cols, transposed}; }
};

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  double Normal(double deviation = 1) { return std::normal_distribution<double>(0, deviation)(engine_); }
  int64_t Integer(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(engine_); }
  Array Values(DType dtype, int64_t size, double deviation = 1, double mean = 0) {
    Array array(dtype, static_cast<size_t>(size));
    for (size_t i = 0; i < array.size(); ++i) array.set(i, mean + Normal(deviation));
    return array;
  }
  Stored Values(DType dtype, int64_t rows, int64_t cols, bool transposed, double deviation = 1) {
    return {Values(dtype, rows * cols, deviation), rows, cols, transposed};
  }

 private:
  std::mt19937 engine_;
};

// Two threads that take task by task, as a session's intra-op pool does.
class TwoThreads final : public Parallel {
 public:
  void For(int64_t count, Task task) override {
    std::atomic<int64_t> next{0};
    const auto work = [&] {
      for (int64_t i; (i = next++) < count;) task(i);
    };
    if (count < 2) return work();
    std::thread other(work);
    work();
    other.join();
  }
};

// The distance of results from float64 values.
struct Error {
  double rms = 0, max = 0;
  int64_t count = 0;
  void Add(double got, double expected) {
    const double error = std::abs(got - expected);
    max = std::max(max, error);
    squares_ += error * error;
    rms = std::sqrt(squares_ / static_cast<double>(++count));
  }

 private:
  double squares_ = 0;
};

// The results of a product are as close to float64 as PEFT's: half precision in the mean and at worst, float32 in the mean.
// float32's worst of some hundred is a matter of single roundings, of which both have a last one of one size; and which of the two is
// nearer in a handful is chance within these margins. `ratios` collects the cases for a test of their mean.
inline void ExpectAsCloseAsPeft(const Error& ours, const Error& peft, bool float32, std::vector<double>* ratios = nullptr) {
  EXPECT_LE(ours.rms, peft.rms * (!float32 ? 1.0001 : ours.count >= 256 ? 1.0 : 1.6));
  EXPECT_LE(ours.max, peft.max * (!float32 ? 1.0001 : ours.count >= 1000 ? 1.4 : 2.0));
  if (float32 && ratios != nullptr && peft.rms > 0 && ours.rms > 0) ratios->push_back(ours.rms / peft.rms);
}

// The same without margins, for results that are rounded once from something far more exact.
inline void ExpectAsCloseAsPeftAlways(const Error& ours, const Error& peft) {
  constexpr double kReference = 1 + 0x1p-28;  // That of float64 itself, beside roundings to float32.
  EXPECT_LE(ours.rms, peft.rms * kReference);
  EXPECT_LE(ours.max, peft.max * kReference);
}

inline double GeometricMean(const std::vector<double>& ratios) {
  double sum = 0;
  for (const double ratio : ratios) sum += std::log(ratio);
  return std::exp(sum / static_cast<double>(ratios.size()));
}

// ---- PEFT ---------------------------------------------------------------------------------------------------------
// Rounding order of PEFT's DoraLinearLayer with adapters of dtype U on a base of dtype T (T or float32). Products are
// as a BLAS computes them: per element, float32 along the inner dimension in blocks, then one rounding to the type; with
// fused multiply-adds where the processor has them.

constexpr int64_t kBlasBlock = 384;

template <class A, class B>
double BlasDot(int64_t depth, A a, B b, bool fused) {
  float total = 0;
  for (int64_t block = 0; block < depth; block += kBlasBlock) {
    float sum = 0;
    for (int64_t k = block; k < std::min(depth, block + kBlasBlock); ++k) {
      const float x = static_cast<float>(a(k)), y = static_cast<float>(b(k));
      if (fused) {
        sum = std::fma(x, y, sum);
      } else {
        const float product = x * y;
        sum += product;
      }
    }
    total += sum;
  }
  return total;
}

// y0 + [(g − 1)·u + (g·ℓ)·s] with u = y0 − bias.
inline double PeftCompose(double base, double lora, double g, double bias, bool base_has_bias, double s, DType T, DType U) {
  const DType common = T == U ? T : DType::kFloat32;
  if (T == U) g = Round(g, T);
  const double with_bias = base_has_bias ? base : Round(base + bias, T);
  const double u = Round(with_bias - bias, T);
  const double scaled = Round(Round(g * lora, common) * s, common);
  const double change = Round(Round(Round(g - 1, common) * u, common) + scaled, common);
  return Round(Round(with_bias + change, common), T);
}

// Every instruction set that this processor has.
class OnEveryIsa : public testing::TestWithParam<size_t> {
 protected:
  const CpuKernels& kernels() const { return SupportedCpuKernels()[GetParam()]; }
  bool fused() const { return std::string(kernels().isa) != "portable"; }
};

inline std::string IsaName(const testing::TestParamInfo<size_t>& info) { return SupportedCpuKernels()[info.param].isa; }
inline auto EveryIsa() { return testing::Range<size_t>(0, SupportedCpuKernels().size()); }

struct TypePair {
  DType T, U;
};
constexpr TypePair kTypePairs[] = {{DType::kFloat32, DType::kFloat32},
                                   {DType::kFloat16, DType::kFloat16},
                                   {DType::kFloat16, DType::kFloat32},
                                   {DType::kBFloat16, DType::kBFloat16},
                                   {DType::kBFloat16, DType::kFloat32}};

inline std::string Name(const TypePair& types) { return Name(types.T) + "/" + Name(types.U); }

}  // namespace ort_dora
