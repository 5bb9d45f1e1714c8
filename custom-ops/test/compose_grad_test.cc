#include "reference.h"

namespace ort_dora {
namespace {

class ComposeGrad : public OnEveryIsa {
 protected:
  struct Outputs {
    Array d_base, d_lora, d_g;
  };

  Outputs Run(const TypePair& types, int64_t rows, int64_t channels, double scaling, const Array& dy, const Array& base,
              const Array& lora, const Array& g, Parallel& parallel, int wanted = 7) {
    Outputs out{Array(types.T, dy.size()), Array(types.U, dy.size()), Array(DType::kFloat32, static_cast<size_t>(channels))};
    DoraComposeGradProblem p;
    p.dy = dy.data(), p.base = base.data(), p.lora = lora.data(), p.g = g.floats();
    p.d_base = wanted & 1 ? out.d_base.data() : nullptr;
    p.d_lora = wanted & 2 ? out.d_lora.data() : nullptr;
    p.d_g = wanted & 4 ? out.d_g.floats() : nullptr;
    p.dtype = types.T, p.lora_dtype = types.U, p.rows = rows, p.channels = channels;
    p.scaling = static_cast<float>(scaling);
    kernels().dora_compose_grad(p, parallel);
    return out;
  }
};

TEST_P(ComposeGrad, GradientsAgainstFloat64) {
  Random random(3);
  TwoThreads threads;
  for (const TypePair& types : kTypePairs) {
    for (const double scaling : {2.0, 0.0, -0.5}) {
      for (const auto& [rows, channels] : {std::pair<int64_t, int64_t>{200, 67}, {1, 1}, {0, 5}, {65, 1030}}) {
        SCOPED_TRACE(testing::Message() << Name(types) << " " << rows << "x" << channels << " s " << scaling);
        const int64_t size = rows * channels;
        const Array dy = random.Values(types.T, size), base = random.Values(types.T, size), lora = random.Values(types.U, size);
        const Array g = random.Values(DType::kFloat32, channels, 0.2, 1.0);
        const Outputs out = Run(types, rows, channels, scaling, dy, base, lora, g, threads);
        std::vector<double> d_g(static_cast<size_t>(channels)), magnitude(d_g.size());
        for (size_t i = 0; i < dy.size(); ++i) {
          const size_t c = i % d_g.size();
          // One rounding to the type, and for half precision float32's own before it.
          const auto bound = [&](double exact, DType dtype) {
            if (types.T == DType::kFloat32) return std::abs(exact) * 0x1.000001p-24 + 0x1p-149;
            return std::abs(exact) * (dtype == DType::kFloat32 ? 0x1p-22 : dtype == DType::kFloat16 ? 0x1.01p-11 : 0x1.01p-8) + 0x1p-24;
          };
          ASSERT_NEAR(out.d_base[i], g[c] * dy[i], bound(g[c] * dy[i], types.T));
          ASSERT_NEAR(out.d_lora[i], scaling * g[c] * dy[i], bound(scaling * g[c] * dy[i], types.U));
          d_g[c] += dy[i] * (base[i] + scaling * lora[i]);
          magnitude[c] += std::abs(dy[i]) * (std::abs(base[i]) + std::abs(scaling * lora[i]));
        }
        for (size_t c = 0; c < d_g.size(); ++c) {
          const double bound = types.T == DType::kFloat32 ? std::abs(d_g[c]) * 0x1p-24 + 0x1p-45 * magnitude[c] : 64 * 0x1p-24 * magnitude[c];
          ASSERT_NEAR(out.d_g[c], d_g[c], bound);
        }
      }
    }
  }
}

TEST_P(ComposeGrad, EveryOutputIsOptionalAndIndependent) {
  Random random(4);
  Serial serial;
  const TypePair types{DType::kFloat16, DType::kFloat32};
  const Array dy = random.Values(types.T, 70), base = random.Values(types.T, 70), lora = random.Values(types.U, 70);
  const Array g = random.Values(DType::kFloat32, 7, 0.2, 1.0);
  const Outputs all = Run(types, 10, 7, 1.5, dy, base, lora, g, serial);
  for (int wanted = 0; wanted < 8; ++wanted) {
    const Outputs some = Run(types, 10, 7, 1.5, dy, base, lora, g, serial, wanted);
    for (size_t i = 0; i < 70; ++i) {
      ASSERT_EQ(some.d_base[i], wanted & 1 ? all.d_base[i] : 0);
      ASSERT_EQ(some.d_lora[i], wanted & 2 ? all.d_lora[i] : 0);
    }
    for (size_t c = 0; c < 7; ++c) ASSERT_EQ(some.d_g[c], wanted & 4 ? all.d_g[c] : 0);
  }
}

TEST_P(ComposeGrad, SumsDoNotDependOnThreads) {
  Random random(5);
  const TypePair types = kTypePairs[0];
  const Array dy = random.Values(types.T, 700 * 33), base = random.Values(types.T, 700 * 33), lora = random.Values(types.U, 700 * 33);
  const Array g = random.Values(DType::kFloat32, 33, 0.2, 1.0);
  Serial serial;
  TwoThreads threads;
  const Outputs one = Run(types, 700, 33, 1.5, dy, base, lora, g, serial), two = Run(types, 700, 33, 1.5, dy, base, lora, g, threads);
  for (size_t c = 0; c < 33; ++c) ASSERT_EQ(one.d_g[c], two.d_g[c]);
}

TEST_P(ComposeGrad, NonFinitePropagates) {
  Serial serial;
  const TypePair types = kTypePairs[3];
  for (int where = 0; where < 3; ++where) {
    Array dy(types.T, std::vector<double>(20, 1.0)), base = dy, lora(types.U, std::vector<double>(20, 1.0));
    const Array g(DType::kFloat32, std::vector<double>(20, 1.0));
    (where == 0 ? dy : where == 1 ? base : lora).set(17, std::nan(""));
    const Outputs out = Run(types, 1, 20, 1.0, dy, base, lora, g, serial);
    EXPECT_TRUE(std::isnan(out.d_g[17])) << where;
    EXPECT_EQ(std::isnan(out.d_base[17]), where == 0);
    EXPECT_FALSE(std::isnan(out.d_g[16]));
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, ComposeGrad, EveryIsa(), IsaName);

}  // namespace
}  // namespace ort_dora
