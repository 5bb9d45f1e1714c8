#include "reference.h"

namespace ort_dora {
namespace {

struct Module {
  DType T, U, M;
  int64_t out, in, rank;
  int layout;  // bits: transW, transA, transB
  double scaling;
};

struct Weights {
  Stored W, A, B;
  Array m;
};

constexpr DType f32 = DType::kFloat32, f16 = DType::kFloat16, bf16 = DType::kBFloat16;
constexpr DType kTypes[][3] = {{f32, f32, f32}, {f16, f16, f16}, {f16, f16, f32}, {f16, f32, f16}, {f16, f32, f32},
                               {bf16, bf16, bf16}, {bf16, bf16, f32}, {bf16, f32, bf16}, {bf16, f32, f32}};

Weights Make(const Module& c, uint32_t seed, double adapter = 0.02) {
  Random random(seed);
  Weights w;
  w.W = random.Values(c.T, c.out, c.in, c.layout & 1, 0.05);
  w.A = random.Values(c.U, c.rank, c.in, c.layout & 2, 0.5);
  w.B = random.Values(c.U, c.out, c.rank, c.layout & 4, adapter);
  w.m = random.Values(c.M, c.out, 0.3, 1.0);
  return w;
}

class Scale : public OnEveryIsa {
 protected:
  std::vector<float> Run(const Module& c, const Weights& w) {
    std::vector<float> g(static_cast<size_t>(c.out));
    DoraScaleProblem p;
    p.W = w.W.view(), p.A = w.A.view(), p.B = w.B.view();
    p.m = {w.m.data(), c.M};
    p.scaling = static_cast<float>(c.scaling);
    p.g = g.data();
    TwoThreads threads;
    kernels().dora_scale(p, threads);
    return g;
  }

  static double ExactNorm(const Module& c, const Weights& w, int64_t n) {
    double squares = 0;
    for (int64_t k = 0; k < c.in; ++k) {
      double change = 0;
      for (int64_t j = 0; j < c.rank; ++j) change += w.B(n, j) * w.A(j, k);
      const double value = w.W(n, k) + static_cast<float>(c.scaling) * change;
      squares += value * value;
    }
    return std::sqrt(squares);
  }

  // D = B·A in U, W + s·D and the norm in the common type, the quotient likewise: DoraLinearLayer.get_weight_norm.
  double PeftScale(const Module& c, const Weights& w, int64_t n) const {
    const DType common = c.T == c.U ? c.T : f32;
    float lanes[16] = {};
    for (int64_t k = 0; k < c.in; ++k) {
      const double d = Round(BlasDot(c.rank, [&](int64_t j) { return w.B(n, j); }, [&](int64_t j) { return w.A(j, k); }, fused()), c.U);
      const auto v = static_cast<float>(Round(w.W(n, k) + Round(c.scaling * d, common), common));
      const float square = v * v;
      lanes[k % 16] = fused() ? std::fma(v, v, lanes[k % 16]) : lanes[k % 16] + square;
    }
    float squares = 0;
    for (const float lane : lanes) squares += lane;
    const double norm = Round(std::sqrt(squares), common);
    return Round(w.m[static_cast<size_t>(n)] / norm, c.M == f32 ? f32 : common);
  }

  void Check(const Module& c, const Weights& w) {
    SCOPED_TRACE(testing::Message() << Name(c.T) << "/" << Name(c.U) << "/" << Name(c.M) << " W [" << c.out << "," << c.in << "] r "
                                    << c.rank << " layout " << c.layout << " s " << c.scaling);
    const std::vector<float> g = Run(c, w);
    Error ours, peft;  // relative to m / n
    for (int64_t n = 0; n < c.out; ++n) {
      const double exact = w.m[static_cast<size_t>(n)] / ExactNorm(c, w, n);
      ours.Add(g[static_cast<size_t>(n)] / exact, 1);
      peft.Add(PeftScale(c, w, n) / exact, 1);
    }
    EXPECT_LE(ours.max, kScaleErrorBound);
    ExpectAsCloseAsPeftAlways(ours, peft);
  }
};

TEST_P(Scale, EveryLayoutAndType) {
  uint32_t seed = 1;
  for (const auto& [T, U, M] : kTypes) {
    for (int layout = 0; layout < 8; ++layout) {
      const Module c{T, U, M, 130, 77, 9, layout, layout % 2 ? 2.0 : -0.5};
      Check(c, Make(c, seed++));
    }
  }
}

TEST_P(Scale, SeveralBlocksOfEverything) {
  for (const int layout : {0, 7}) {
    const Module c{f32, f32, f32, 150, 1283, 300, layout, 1.0};
    Check(c, Make(c, 5, 0.005));
    const Module half{bf16, bf16, f32, 150, 1283, 140, layout, 1.0};
    Check(half, Make(half, 6, 0.005));
  }
}

TEST_P(Scale, RandomShapes) {
  Random shape(2);
  for (uint32_t seed = 0; seed < 40; ++seed) {
    const auto& [T, U, M] = kTypes[seed % 9];
    const Module c{T, U, M, shape.Integer(100, 200), shape.Integer(16, 90), shape.Integer(1, 30),
                   static_cast<int>(shape.Integer(0, 7)), shape.Normal(2)};
    Check(c, Make(c, seed));
  }
}

TEST_P(Scale, CancellingRowsAreRecomputed) {
  // W = −s·B·A + residual·noise: at 10⁻³ the factored form has no correct digit left, at 10⁻⁶ float32 has one.
  uint32_t seed = 1;
  for (const double residual : {1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6}) {
    for (const int layout : {0, 7}) {
      const Module c{f32, f32, f32, 140, 190, 12, layout, 1.5};
      Weights w = Make(c, seed);
      Random noise(seed++);
      for (int64_t n = 0; n < c.out; n += n % 3 == 0 ? 1 : 2) {  // mixed with rows that do not
        for (int64_t k = 0; k < c.in; ++k) {
          double change = 0;
          for (int64_t j = 0; j < c.rank; ++j) change += w.B(n, j) * w.A(j, k);
          w.W.set(n, k, -1.5 * change + residual * noise.Normal(0.02));
        }
      }
      SCOPED_TRACE(residual);
      Check(c, w);
    }
  }
}

TEST_P(Scale, PartialCancellationStaysWithinTheBound) {
  // Around the threshold: the factored form's error is largest just above it.
  for (const double share : {0.3, 0.45, 0.5, 0.55, 0.7, 0.9}) {
    const Module c{f32, f32, f32, 140, 600, 24, 7, 1.0};
    Weights w = Make(c, 3);
    for (int64_t n = 0; n < c.out; ++n) {
      for (int64_t k = 0; k < c.in; ++k) {
        double change = 0;
        for (int64_t j = 0; j < c.rank; ++j) change += w.B(n, j) * w.A(j, k);
        w.W.set(n, k, -share * change + 0.3 * w.W(n, k));
      }
    }
    SCOPED_TRACE(share);
    const std::vector<float> g = Run(c, w);
    for (int64_t n = 0; n < c.out; ++n) {
      ASSERT_NEAR(g[static_cast<size_t>(n)] * ExactNorm(c, w, n) / w.m[static_cast<size_t>(n)], 1, kScaleErrorBound);
    }
  }
}

TEST_P(Scale, ZeroRowsRanksScalingsAndMagnitudes) {
  for (const auto& [T, U, M] : kTypes) {
    const Module c{T, U, M, 40, 33, 6, 5, 0.0};
    Weights w = Make(c, 8);
    for (int64_t k = 0; k < c.in; ++k) {
      w.W.set(3, k, 0);
      w.W.set(4, k, 0);
    }
    w.m.set(3, 0);
    w.m.set(4, 2);
    w.m.set(5, -1);
    w.m.set(6, 0);
    const std::vector<float> g = Run(c, w);
    EXPECT_TRUE(std::isnan(g[3]));  // 0 / 0, as in PEFT: no epsilon
    EXPECT_EQ(g[4], INFINITY);
    EXPECT_LT(g[5], 0);
    EXPECT_EQ(g[6], 0);

    Module none = c;
    none.rank = 0, none.scaling = 2;
    Weights bare = Make(none, 9);
    Check(none, bare);
    Module empty = c;
    empty.in = 0;
    EXPECT_TRUE(std::isinf(Run(empty, Make(empty, 1))[0]));
    empty.out = 0;
    EXPECT_TRUE(Run(empty, Make(empty, 1)).empty());
  }
}

TEST_P(Scale, NonFiniteAndHugeValues) {
  const Module c{f32, f32, f32, 40, 33, 6, 0, 0.5};
  for (int where = 0; where < 4; ++where) {
    Weights w = Make(c, 8);
    if (where == 0) w.W.set(7, 2, std::nan(""));
    if (where == 1) w.A.set(3, 2, std::nan(""));
    if (where == 2) w.B.set(7, 2, std::nan(""));
    if (where == 3) w.m.set(7, std::nan(""));
    const std::vector<float> g = Run(c, w);
    EXPECT_TRUE(std::isnan(g[7])) << where;
    EXPECT_EQ(std::isnan(g[8]), where == 1);
  }
  Weights w = Make(c, 8);
  w.W.set(7, 2, INFINITY);  // ‖w‖ = inf
  w.m.set(9, -INFINITY);
  for (int64_t k = 0; k < c.in; ++k) w.W.set(8, k, 1e30);  // whose square float32 cannot hold
  const std::vector<float> g = Run(c, w);
  EXPECT_EQ(g[7], 0);
  EXPECT_EQ(g[9], -INFINITY);
  EXPECT_NEAR(g[8] * ExactNorm(c, w, 8) / w.m[8], 1, 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Isa, Scale, EveryIsa(), IsaName);

}  // namespace
}  // namespace ort_dora
