#include "reference.h"

namespace ort_dora {
namespace {

struct Layer {
  TypePair types;
  int64_t rows, in, out, rank;
  int layout;  // bits: transW, transA, transB
  bool bias;
  double scaling;
  double g_mean = 1, g_deviation = 0.2;
};

struct Weights {
  Array x, g, bias;
  Stored W, A, B;
};

Weights Make(const Layer& l, uint32_t seed) {
  Random random(seed);
  Weights w;
  w.x = random.Values(l.types.T, l.rows * l.in);
  w.W = random.Values(l.types.T, l.out, l.in, l.layout & 1, 1 / std::sqrt(l.in + 1.0));
  w.A = random.Values(l.types.U, l.rank, l.in, l.layout & 2, 1 / std::sqrt(l.in + 1.0));
  w.B = random.Values(l.types.U, l.out, l.rank, l.layout & 4, 1 / std::sqrt(l.rank + 1.0));
  w.g = random.Values(DType::kFloat32, l.out, l.g_deviation, l.g_mean);
  w.bias = random.Values(l.types.T, l.out);
  return w;
}

class Linear : public OnEveryIsa {
 protected:
  Array Run(const Layer& l, const Weights& w, Parallel& parallel) {
    Array y(l.types.T, static_cast<size_t>(l.rows * l.out));
    DoraLinearProblem p;
    p.x = w.x.data(), p.W = w.W.view(), p.A = w.A.view(), p.B = w.B.view(), p.g = w.g.floats();
    p.bias = l.bias ? w.bias.data() : nullptr;
    p.y = y.data(), p.dtype = l.types.T, p.rows = l.rows, p.scaling = static_cast<float>(l.scaling);
    kernels().dora_linear(p, parallel);
    return y;
  }

  void Check(const Layer& l, uint32_t seed) {
    SCOPED_TRACE(testing::Message() << Name(l.types) << " x [" << l.rows << "," << l.in << "] out " << l.out << " r " << l.rank
                                    << " layout " << l.layout << " bias " << l.bias << " s " << l.scaling);
    const Weights w = Make(l, seed);
    TwoThreads threads;
    const Array y = Run(l, w, threads);
    const DType T = l.types.T, U = l.types.U;
    const double s = static_cast<float>(l.scaling);
    Error ours, peft;
    std::vector<double> h(static_cast<size_t>(l.rank)), rounded(h.size());
    for (int64_t t = 0; t < l.rows; ++t) {
      const auto x = [&](int64_t k) { return w.x[static_cast<size_t>(t * l.in + k)]; };
      for (int64_t j = 0; j < l.rank; ++j) {
        const auto a = [&](int64_t k) { return w.A(j, k); };
        double sum = 0;
        for (int64_t k = 0; k < l.in; ++k) sum += x(k) * a(k);
        h[static_cast<size_t>(j)] = sum;
        rounded[static_cast<size_t>(j)] = Round(BlasDot(l.in, x, a, fused()), U);
      }
      for (int64_t n = 0; n < l.out; ++n) {
        double base = 0, lora = 0;
        for (int64_t k = 0; k < l.in; ++k) base += x(k) * w.W(n, k);
        for (int64_t j = 0; j < l.rank; ++j) lora += h[static_cast<size_t>(j)] * w.B(n, j);
        const double g = w.g[static_cast<size_t>(n)], bias = l.bias ? w.bias[static_cast<size_t>(n)] : 0;
        const double exact = g * (base + s * lora) + bias;
        const double got = y[static_cast<size_t>(t * l.out + n)];
        ours.Add(got, exact);
        const double peft_base = Round(BlasDot(l.in, x, [&](int64_t k) { return w.W(n, k); }, fused()) + bias, T);
        const auto rounded_h = [&](int64_t j) { return rounded[static_cast<size_t>(j)]; };
        const double peft_lora = Round(BlasDot(l.rank, rounded_h, [&](int64_t j) { return w.B(n, j); }, fused()), U);
        peft.Add(PeftCompose(peft_base, peft_lora, g, bias, true, s, T, U), exact);
      }
    }
    ExpectAsCloseAsPeft(ours, peft, T == DType::kFloat32, &ratios_);
  }

  std::vector<double> ratios_;
};

TEST_P(Linear, EveryLayoutAndType) {
  uint32_t seed = 1;
  for (const TypePair& types : kTypePairs) {
    for (int layout = 0; layout < 8; ++layout) {
      // Few rows, and more than that: two ways through the kernel. Sizes that no vector divides.
      Check({types, 3, 77, 45, 5, layout, layout % 2 == 0, 2.0}, seed++);
      Check({types, 19, 85, 67, 7, layout, layout % 3 != 0, -0.5}, seed++);
    }
  }
  EXPECT_LE(GeometricMean(ratios_), 1.0);
}

TEST_P(Linear, LongInnerDimension) {
  uint32_t seed = 100;
  for (const TypePair& types : kTypePairs) {
    for (const int layout : {0, 7}) {
      Check({types, 2, 1283, 150, 300, layout, true, 1.0}, seed++);
      Check({types, 21, 1283, 150, 300, layout, true, 1.0}, seed++);
    }
  }
}

TEST_P(Linear, SizesOfWholeVectorsAndFewTokens) {
  // Token counts around those at which kernels take turns; sizes that end within a tile.
  uint32_t seed = 200;
  for (const TypePair& types : kTypePairs) {
    for (const int64_t rows : {1, 8, 9, 16, 17, 32, 33, 65}) {
      Check({types, rows, 264, 136, 40, static_cast<int>(seed % 8), seed % 3 != 0, 1.5}, seed);
      ++seed;
    }
    for (int layout = 0; layout < 8; ++layout) Check({types, 5, 1096, 88, 16, layout, true, 0.5}, seed++);
    Check({types, 2, 40, 2048, 0, 1, true, 1.0}, seed++);
    Check({types, 2, 40, 1024, 8, 0, false, 1.0}, seed++);
  }
}

TEST_P(Linear, RandomShapes) {
  Random shape(11);
  for (uint32_t seed = 0; seed < 60; ++seed) {
    Check({kTypePairs[seed % 5], shape.Integer(1, 40), shape.Integer(1, 130), shape.Integer(1, 140), shape.Integer(0, 40),
           static_cast<int>(shape.Integer(0, 7)), seed % 2 == 0, shape.Normal()},
          seed + 1000);
  }
}

TEST_P(Linear, EveryNumberOfRowsOfATile) {
  for (int64_t rows = 1; rows <= 30; ++rows) Check({kTypePairs[0], rows, 40, 33, 4, static_cast<int>(rows % 8), false, 1.0}, 5);
}

TEST_P(Linear, MoreRowsThanAreTakenAtOnce) { Check({kTypePairs[2], 500, 24, 20, 4, 7, true, 1.0}, 6); }

TEST_P(Linear, EmptyInputsRanksAndScalings) {
  for (const TypePair& types : kTypePairs) {
    for (const int layout : {0, 7}) {
      Check({types, 0, 24, 20, 4, layout, true, 1.0}, 1);
      Check({types, 3, 24, 20, 0, layout, true, 1.0}, 2);
      Check({types, 30, 24, 20, 0, layout, false, 1.0}, 3);
      Check({types, 3, 24, 20, 4, layout, true, 0.0}, 4);
      Check({types, 3, 0, 20, 4, layout, true, 1.0}, 5);
      Check({types, 3, 24, 0, 4, layout, true, 1.0}, 6);
    }
  }
}

TEST_P(Linear, GNearOne) {
  uint32_t seed = 400;
  for (const TypePair& types : kTypePairs) Check({types, 17, 300, 64, 16, 7, true, 2.0, 1.0, 0x1p-11}, seed++);
}

TEST_P(Linear, NonFinitePropagates) {
  TwoThreads threads;
  for (const TypePair& types : kTypePairs) {
    for (const int64_t rows : {2, 20}) {
      for (int layout = 0; layout < 8; layout += 7) {
        const Layer l{types, rows, 70, 50, 6, layout, true, 0.0};
        for (const double bad : {static_cast<double>(INFINITY), std::nan("")}) {
          for (int where = 0; where < 6; ++where) {
            Weights w = Make(l, 9);
            if (where == 0) w.x.set(70 + 13, bad);
            if (where == 1) w.W.set(13, 69, bad);
            if (where == 2) w.A.set(5, 3, bad);
            if (where == 3) w.B.set(13, 5, bad);
            if (where == 4) w.g.set(13, bad);
            if (where == 5) w.bias.set(13, bad);
            const Array y = Run(l, w, threads);
            // s = 0 hides nothing: 0·inf is NaN, as in PEFT.
            EXPECT_FALSE(std::isfinite(y[50 + 13])) << Name(types) << " input " << where << " layout " << layout;
            if (where != 2) { EXPECT_TRUE(std::isfinite(y[where == 0 ? 13 : 50 + 14])); }
          }
        }
      }
    }
  }
}

TEST_P(Linear, DoesNotDependOnThreads) {
  const Layer l{kTypePairs[0], 3, 1500, 300, 8, 7, true, 1.0};
  const Weights w = Make(l, 1);
  Serial serial;
  TwoThreads threads;
  const Array one = Run(l, w, serial), two = Run(l, w, threads);
  for (size_t i = 0; i < one.size(); ++i) ASSERT_EQ(one[i], two[i]);
}

INSTANTIATE_TEST_SUITE_P(Isa, Linear, EveryIsa(), IsaName);

}  // namespace
}  // namespace ort_dora
