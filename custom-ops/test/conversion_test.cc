// Loads and stores of the half-precision types, all 65 536 values and the edges of rounding, through DoraCompose with g = 1.
#include "reference.h"

namespace ort_dora {
namespace {

class Conversion : public OnEveryIsa {
 protected:
  // base rounded to `dtype` by the kernel: 1·(base + 0·lora).
  Array Copy(const Array& base, DType dtype) {
    const auto size = static_cast<int64_t>(base.size());
    const Array g(DType::kFloat32, std::vector<double>(base.size(), 1.0));
    const Array zero(dtype, base.size());
    Array out(dtype, base.size());
    DoraComposeProblem p;
    p.base = base.dtype == dtype ? base.data() : zero.data();
    p.lora = base.dtype == dtype ? zero.data() : base.data();
    p.lora_dtype = base.dtype == dtype ? dtype : base.dtype;
    p.dtype = dtype;
    p.g = g.floats();
    p.out = out.data();
    p.outer = 1;
    p.channels = size;
    p.scaling = base.dtype == dtype ? 0.0f : 1.0f;
    Serial serial;
    kernels().dora_compose(p, serial);
    return out;
  }
};

TEST_P(Conversion, EveryHalfSurvives) {
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16}) {
    Array all(dtype, 65536);
    for (uint32_t bits = 0; bits < 65536; ++bits) std::memcpy(static_cast<char*>(all.data()) + 2 * bits, &bits, 2);
    const Array out = Copy(all, dtype);
    for (uint32_t bits = 0; bits < 65536; ++bits) {
      if (std::isnan(all[bits])) {
        ASSERT_TRUE(std::isnan(out[bits])) << Name(dtype) << " " << bits;
      } else {
        ASSERT_EQ(out[bits], all[bits]) << Name(dtype) << " " << bits;
      }
    }
  }
}

TEST_P(Conversion, RoundsToNearestEven) {
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16}) {
    std::vector<double> values;
    for (uint32_t bits = 0; bits + 1 < 0x7C00; bits += 3) {
      const double low = FromBits(static_cast<uint16_t>(bits), dtype), high = FromBits(static_cast<uint16_t>(bits + 1), dtype);
      const float middle = static_cast<float>((low + high) / 2);
      for (const float v : {middle, std::nextafter(middle, 0.0f), std::nextafter(middle, INFINITY)}) {
        values.push_back(v);
        values.push_back(-v);
      }
    }
    for (const double edge : {65504.0, 65519.99, 65520.0, 65536.0, 1e6, 3.4e38, 0x1p-25, 0x1.000002p-25, 0x1p-26, 0x1p-133, 0x1p-134}) {
      values.push_back(edge);
      values.push_back(-edge);
    }
    const Array wide(DType::kFloat32, values);
    const Array out = Copy(wide, dtype);
    for (size_t i = 0; i < values.size(); ++i) ASSERT_EQ(out[i], Round(wide[i], dtype)) << Name(dtype) << " " << wide[i];
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, Conversion, EveryIsa(), IsaName);

}  // namespace
}  // namespace ort_dora
