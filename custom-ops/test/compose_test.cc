#include "reference.h"

namespace ort_dora {
namespace {

struct Composition {
  TypePair types;
  int64_t outer, channels, inner;
  bool bias, base_has_bias;
  double scaling;
  double g_mean = 1, g_deviation = 0.1, base_deviation = 1;
};

class Compose : public OnEveryIsa {
 protected:
  // Runs the kernel on random values; checks it against float64 and against PEFT's error.
  void Check(const Composition& c, uint32_t seed) {
    SCOPED_TRACE(testing::Message() << Name(c.types) << " [" << c.outer << "," << c.channels << "," << c.inner << "] bias "
                                    << c.bias << " base_has_bias " << c.base_has_bias << " s " << c.scaling);
    Random random(seed);
    const int64_t size = c.outer * c.channels * c.inner;
    const Array base = random.Values(c.types.T, size, c.base_deviation), lora = random.Values(c.types.U, size);
    const Array g = random.Values(DType::kFloat32, c.channels, c.g_deviation, c.g_mean);
    const Array bias = random.Values(c.types.T, c.channels);
    Array out(c.types.T, static_cast<size_t>(size));
    DoraComposeProblem p;
    p.base = base.data();
    p.lora = lora.data();
    p.g = g.floats();
    p.bias = c.bias ? bias.data() : nullptr;
    p.out = out.data();
    p.dtype = c.types.T;
    p.lora_dtype = c.types.U;
    p.outer = c.outer;
    p.channels = c.channels;
    p.inner = c.inner;
    p.scaling = static_cast<float>(c.scaling);
    p.base_has_bias = c.base_has_bias;
    TwoThreads threads;
    kernels().dora_compose(p, threads);

    Error ours, peft;
    const double s = p.scaling;
    for (int64_t i = 0; i < size; ++i) {
      const auto at = static_cast<size_t>(i), channel = static_cast<size_t>(i / c.inner % c.channels);
      const double b = c.bias ? bias[channel] : 0;
      const double exact = c.base_has_bias ? base[at] + (g[channel] - 1) * (base[at] - b) + g[channel] * s * lora[at]
                                           : g[channel] * (base[at] + s * lora[at]) + b;
      const double by_peft = PeftCompose(base[at], lora[at], g[channel], b, c.base_has_bias, s, c.types.T, c.types.U);
      ours.Add(out[at], exact);
      peft.Add(by_peft, exact);
      if (c.types.T == DType::kFloat32) {
        // Element by element, but for what float64 rounds itself.
        const double terms = std::abs(base[at]) + std::abs(b) + std::abs(g[channel]) * (std::abs(base[at]) + std::abs(b) + std::abs(s * lora[at]));
        ASSERT_LE(std::abs(out[at] - exact), std::abs(by_peft - exact) + 0x1p-50 * terms);
      }
    }
    if (c.types.T == DType::kFloat32) {
      ExpectAsCloseAsPeftAlways(ours, peft);
    } else {
      ExpectAsCloseAsPeft(ours, peft, false);
    }
  }
};

TEST_P(Compose, EveryFormIsAsCloseToFloat64AsPeft) {
  uint32_t seed = 1;
  for (const TypePair& types : kTypePairs) {
    for (const bool bias : {false, true}) {
      for (const bool base_has_bias : {false, true}) {
        for (const double scaling : {2.0, 0.0, -0.75, 1.0}) {
          Check({types, 37, 131, 1, bias, base_has_bias, scaling}, seed++);
          Check({types, 30, 11, 49, bias, base_has_bias, scaling}, seed++);
        }
      }
    }
  }
}

TEST_P(Compose, GNearOneKeepsTheCorrection) {
  // With g in half precision, (1 − 2⁻⁹, 1 + 2⁻⁸) is exactly 1 and the base's correction is lost.
  uint32_t seed = 100;
  for (const TypePair& types : kTypePairs) {
    for (const bool base_has_bias : {false, true}) {
      for (const double distance : {0x1p-10, 0x1p-14, 0x1p-20}) {
        Check({types, 64, 257, 1, true, base_has_bias, 1.5, 1.0, distance, 8.0}, seed++);
      }
    }
  }
}

TEST_P(Compose, RandomShapesIncludingEmpty) {
  Random shape(7);
  for (uint32_t seed = 0; seed < 60; ++seed) {
    const TypePair types = kTypePairs[seed % 5];
    Check({types, shape.Integer(0, 9), shape.Integer(1, 70), shape.Integer(0, 40), seed % 2 == 0, seed % 3 == 0, 0.5}, seed);
  }
  Check({kTypePairs[0], 3, 20011, 1, true, false, 1.0}, 1);
  Check({kTypePairs[2], 2, 3, 20011, true, true, 1.0}, 1);
}

TEST_P(Compose, NonFinitePropagates) {
  for (const TypePair& types : kTypePairs) {
    for (const double bad : {static_cast<double>(INFINITY), -static_cast<double>(INFINITY), std::nan("")}) {
      for (int where = 0; where < 4; ++where) {
        Array base(types.T, std::vector<double>(40, 1.0)), lora(types.U, std::vector<double>(40, 1.0));
        Array g(DType::kFloat32, std::vector<double>(40, 1.25)), bias(types.T, std::vector<double>(40, 1.0)), out(types.T, 40);
        (where == 0 ? base : where == 1 ? lora : where == 2 ? g : bias).set(33, bad);
        DoraComposeProblem p;
        p.base = base.data(), p.lora = lora.data(), p.g = g.floats(), p.bias = bias.data(), p.out = out.data();
        p.dtype = types.T, p.lora_dtype = types.U, p.outer = 1, p.channels = 40;
        Serial serial;
        for (const bool base_has_bias : {false, true}) {
          p.base_has_bias = base_has_bias;
          kernels().dora_compose(p, serial);
          EXPECT_FALSE(std::isfinite(out[33])) << Name(types) << " input " << where;
          EXPECT_TRUE(std::isfinite(out[32]));
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, Compose, EveryIsa(), IsaName);

}  // namespace
}  // namespace ort_dora
