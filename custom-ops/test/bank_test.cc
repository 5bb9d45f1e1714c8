// DoraLinearBank and DoraComposeBank: rows that take their adapters from a bank.
#include "reference.h"

namespace ort_dora {
namespace {

struct BankCase {
  TypePair types;
  int64_t run, in, out;     // rows of a run
  std::vector<int> slots;   // of the runs
  bool transposed = false;  // W, of DoraLinearBank
  bool bias = true;
  bool base_has_bias = false;  // DoraComposeBank
  int64_t max_rank = 6;
  bool aligned = false;  // the module's parts lie at multiples of 16 elements
};

// Slots of the bank: of ranks 0, 1, 2 … up to max_rank and again, the last one of max_rank.
constexpr int64_t kSlots = 9;

// A module's part of a bank that holds other things as well, at offsets that nothing divides, or that 16 does.
struct Bank {
  Array bank, gains, scaling;
  std::vector<int32_t> rank;
  int64_t in, out, max_rank, row, gain_row;
  int64_t offset_a, offset_b, offset_g = 5;

  Bank(const BankCase& c, Random& random)
      : in(c.in), out(c.out), max_rank(c.max_rank), gain_row(c.out + 7), offset_a(c.aligned ? 16 : 3) {
    const int64_t unit = c.aligned ? 16 : 1;
    offset_b = (offset_a + max_rank * in + unit) / unit * unit;
    row = (offset_b + out * max_rank + 11 * unit) / unit * unit;
    bank = random.Values(c.types.U, kSlots * row, 1 / std::sqrt(static_cast<double>(in) + 1));
    gains = random.Values(DType::kFloat32, kSlots * gain_row, 0.2, 1);
    scaling = random.Values(DType::kFloat32, kSlots);
    for (int64_t slot = 0; slot < kSlots; ++slot) {
      const int64_t used = slot + 1 == kSlots ? max_rank : slot % (max_rank + 1);
      rank.push_back(static_cast<int32_t>(used));
      for (int64_t j = used; j < max_rank; ++j) {
        for (int64_t k = 0; k < in; ++k) bank.set(a(slot, j, k), 0);
        for (int64_t n = 0; n < out; ++n) bank.set(b(slot, n, j), 0);
      }
    }
  }

  size_t a(int64_t slot, int64_t j, int64_t k) const { return static_cast<size_t>(slot * row + offset_a + j * in + k); }
  size_t b(int64_t slot, int64_t n, int64_t j) const { return static_cast<size_t>(slot * row + offset_b + n * max_rank + j); }
  size_t g(int64_t slot, int64_t n) const { return static_cast<size_t>(slot * gain_row + offset_g + n); }

  AdapterBank View(const std::vector<int32_t>& slots) const {
    AdapterBank view;
    view.bank = bank.data(), view.gains = gains.floats(), view.scaling = scaling.floats(), view.rank = rank.data();
    view.slot = slots.data(), view.dtype = bank.dtype, view.slots = kSlots, view.row_elements = row, view.row_gains = gain_row;
    view.runs = static_cast<int64_t>(slots.size()), view.offset_a = offset_a, view.offset_b = offset_b;
    view.offset_g = offset_g, view.max_rank = max_rank;
    return view;
  }
};

struct Inputs {
  Array x, base, bias;
  Stored W;
  Bank bank;
  std::vector<int32_t> slots;
  int64_t rows;

  Inputs(const BankCase& c, uint32_t seed) : Inputs(c, Random(seed)) {}
  Inputs(const BankCase& c, Random random)
      : bank(c, random), slots(c.slots.begin(), c.slots.end()), rows(c.run * static_cast<int64_t>(c.slots.size())) {
    x = random.Values(c.types.T, rows * c.in);
    base = random.Values(c.types.T, rows * c.out);
    bias = random.Values(c.types.T, c.out);
    W = random.Values(c.types.T, c.out, c.in, c.transposed, 1 / std::sqrt(static_cast<double>(c.in) + 1));
  }
};

class BankOperators : public OnEveryIsa {
 protected:
  // y of the runs [first, last).
  Array Linear(const BankCase& c, const Inputs& i, Parallel& parallel, size_t first, size_t last) {
    const std::vector<int32_t> slots(i.slots.begin() + static_cast<int64_t>(first), i.slots.begin() + static_cast<int64_t>(last));
    DoraLinearBankProblem p;
    p.rows = c.run * static_cast<int64_t>(slots.size());
    Array y(c.types.T, static_cast<size_t>(p.rows * c.out));
    p.x = Part(i.x, c.run * c.in, first), p.W = i.W.view(), p.adapters = i.bank.View(slots);
    p.bias = c.bias ? i.bias.data() : nullptr, p.y = y.data(), p.dtype = c.types.T;
    kernels().dora_linear_bank(p, parallel);
    return y;
  }
  Array Compose(const BankCase& c, const Inputs& i, Parallel& parallel, size_t first, size_t last) {
    const std::vector<int32_t> slots(i.slots.begin() + static_cast<int64_t>(first), i.slots.begin() + static_cast<int64_t>(last));
    DoraComposeBankProblem p;
    p.rows = c.run * static_cast<int64_t>(slots.size()), p.in = c.in, p.channels = c.out;
    Array out(c.types.T, static_cast<size_t>(p.rows * c.out));
    p.x = Part(i.x, c.run * c.in, first), p.base = Part(i.base, c.run * c.out, first), p.adapters = i.bank.View(slots);
    p.bias = c.bias ? i.bias.data() : nullptr, p.base_has_bias = c.base_has_bias, p.out = out.data(), p.dtype = c.types.T;
    kernels().dora_compose_bank(p, parallel);
    return out;
  }
  using Operator = Array (BankOperators::*)(const BankCase&, const Inputs&, Parallel&, size_t, size_t);
  static constexpr Operator kBoth[] = {&BankOperators::Linear, &BankOperators::Compose};

  static const void* Part(const Array& array, int64_t elements, size_t index) {
    return static_cast<const char*>(array.data()) + static_cast<size_t>(elements) * index * SizeOf(array.dtype);
  }

  // kBoth operators against float64, and against the error of PEFT's own order of roundings.
  void Check(const BankCase& c, uint32_t seed) {
    SCOPED_TRACE(testing::Message() << Name(c.types) << " runs of " << c.run << " x " << c.slots.size() << " in " << c.in << " out "
                                    << c.out << " transposed " << c.transposed << " bias " << c.bias << c.base_has_bias);
    const Inputs i(c, seed);
    TwoThreads threads;
    const Array y = Linear(c, i, threads, 0, c.slots.size()), composed = Compose(c, i, threads, 0, c.slots.size());
    const DType T = c.types.T, U = c.types.U;
    Error linear, compose, peft_linear, peft_compose;
    for (int64_t t = 0; t < i.rows; ++t) {
      const int slot = c.slots[static_cast<size_t>(t / c.run)];
      const auto x = [&](int64_t k) { return i.x[static_cast<size_t>(t * c.in + k)]; };
      std::vector<double> h, rounded;
      for (int64_t j = 0; j < c.max_rank && slot >= 0; ++j) {
        const auto a = [&](int64_t k) { return i.bank.bank[i.bank.a(slot, j, k)]; };
        double sum = 0;
        for (int64_t k = 0; k < c.in; ++k) sum += x(k) * a(k);
        h.push_back(sum);
        rounded.push_back(Round(BlasDot(c.in, x, a, fused()), U));
      }
      for (int64_t n = 0; n < c.out; ++n) {
        const auto at = static_cast<size_t>(t * c.out + n);
        const auto w = [&](int64_t k) { return i.W(n, k); };
        const double bias = c.bias ? i.bias[static_cast<size_t>(n)] : 0, base = i.base[at];
        double product = 0, lora = 0, g = 1, s = 0, peft_lora = 0;
        for (int64_t k = 0; k < c.in; ++k) product += x(k) * w(k);
        if (slot >= 0) {
          const auto b = [&](int64_t j) { return i.bank.bank[i.bank.b(slot, n, j)]; };
          for (int64_t j = 0; j < c.max_rank; ++j) lora += h[static_cast<size_t>(j)] * b(j);
          peft_lora = Round(BlasDot(c.max_rank, [&](int64_t j) { return rounded[static_cast<size_t>(j)]; }, b, fused()), U);
          g = i.bank.gains[i.bank.g(slot, n)], s = i.bank.scaling[static_cast<size_t>(slot)];
        }
        const double exact = g * (product + s * lora) + bias;
        linear.Add(y[at], exact);
        const double peft_base = Round(BlasDot(c.in, x, w, fused()) + bias, T);
        peft_linear.Add(PeftCompose(peft_base, peft_lora, g, bias, true, s, T, U), exact);
        const double exact_compose = c.base_has_bias ? base + (g - 1) * (base - bias) + g * s * lora : g * (base + s * lora) + bias;
        compose.Add(composed[at], exact_compose);
        peft_compose.Add(PeftCompose(base, peft_lora, g, bias, c.base_has_bias, s, T, U), exact_compose);
      }
    }
    // The values of a row share the roundings of x·Aᵀ: as samples of chance they count once.
    linear.count = compose.count = i.rows;
    // On the device the base of a long run is rounded, as PEFT's is; which of the two is closer is then a matter of chance.
    ExpectAsCloseAsPeft(linear, peft_linear, T == DType::kFloat32 || c.run > 64, &ratios_);
    ExpectAsCloseAsPeft(compose, peft_compose, T == DType::kFloat32, &ratios_);
  }

  std::vector<double> ratios_;
};

void ExpectSame(const Array& all, size_t first, const Array& part) {
  for (size_t i = 0; i < part.size(); ++i) {
    const double got = all[first + i], expected = part[i];
    ASSERT_TRUE(got == expected || (std::isnan(got) && std::isnan(expected))) << i << ": " << got << " is not " << expected;
  }
}

TEST_P(BankOperators, EveryTypeAndFormIsAsCloseToFloat64AsPeft) {
  uint32_t seed = 1;
  for (const TypePair& types : kTypePairs) {
    for (const int64_t run : {1, 3, 21}) {
      for (const bool flag : {false, true}) {
        Check({types, run, 77, 45, {4, 4, -1, 0, 6, 2, 2, 2, 8, -1, 5}, flag, !flag || run == 3, flag}, seed++);
      }
    }
  }
  EXPECT_LE(GeometricMean(ratios_), 1.0);
}

TEST_P(BankOperators, LongInnerDimensionsAndRanks) {
  uint32_t seed = 100;
  for (const TypePair& types : kTypePairs) Check({types, 2, 700, 40, {3, -1, 8}, seed % 2 == 0, true, false, 300}, seed++);
}

// What 16-byte loads and bulk copies need, on the device; runs too long for the same bits there; more rows than one tile has.
TEST_P(BankOperators, AlignedParts) {
  uint32_t seed = 200;
  for (const TypePair& types : kTypePairs) {
    for (const bool flag : {false, true}) {
      for (const int64_t run : {1, 9}) {
        Check({types, run, 200, flag ? 72 : 69, {4, 4, -1, 0, 6, 2, 2, 8}, flag, !flag || run == 9, flag, flag ? 24 : 16, true}, seed++);
      }
      Check({types, 70, 136, flag ? 40 : 37, {8, -1}, flag, !flag, flag, 16, true}, seed++);
    }
    Check({types, 1, 64, 200, {8}, true, false, false, 8, true}, seed++);
    Check({types, 5, 8, 64, {8, 1}, false, true, false, 32, true}, seed++);
  }
}

TEST_P(BankOperators, RandomShapes) {
  Random shape(11);
  for (uint32_t seed = 0; seed < 40; ++seed) {
    std::vector<int> slots;
    for (int64_t runs = shape.Integer(1, 20); runs > 0; --runs) slots.push_back(static_cast<int>(shape.Integer(-1, kSlots - 1)));
    Check({kTypePairs[seed % 5], shape.Integer(1, 20), shape.Integer(8, 90), shape.Integer(1, 100), slots, seed % 2 == 0, seed % 3 != 0,
           seed % 7 == 0, shape.Integer(1, 40)},
          seed + 2000);
  }
}

TEST_P(BankOperators, SixtyFourRunsGiveTheBitsOfSixtyFourSingleRuns) {
  Serial serial;
  TwoThreads threads;
  for (const TypePair& types : kTypePairs) {
    for (const Operator op : kBoth) {
      for (const bool transposed : {false, true}) {
        for (const int64_t run : {1, 3, 17}) {
          const bool aligned = run != 3 && types.T != DType::kFloat32;
          BankCase c{types, run, aligned ? 328 : 270, aligned ? 136 : 45, {}, transposed};
          if (aligned) c.max_rank = 16, c.aligned = true;
          for (int i = 0; i < 64; ++i) c.slots.push_back(i * 5 % 10 - 1);
          for (size_t i = 20; i < 33; ++i) c.slots[i] = 7;
          const Inputs inputs(c, 3);
          const Array all = (this->*op)(c, inputs, threads, 0, 64);
          for (size_t i = 0; i < 64; ++i) {
            SCOPED_TRACE(testing::Message() << Name(types) << " run " << i << " of length " << run << " transposed " << transposed);
            ExpectSame(all, i * static_cast<size_t>(run * c.out), (this->*op)(c, inputs, serial, i, i + 1));
            if (HasFatalFailure()) return;
          }
        }
      }
    }
  }
}

TEST_P(BankOperators, EqualSlotsGiveWhatDoraLinearGives) {
  TwoThreads threads;
  for (const TypePair& types : kTypePairs) {
    const BankCase c{types, 20, 300, 64, {5, 5}};
    const Inputs i(c, 8);
    const Array y = Linear(c, i, threads, 0, 2);
    Array a(types.U, static_cast<size_t>(5 * c.in)), b(types.U, static_cast<size_t>(c.out * 5)), expected(types.T, y.size());
    for (int64_t j = 0; j < 5; ++j) {
      for (int64_t k = 0; k < c.in; ++k) a.set(static_cast<size_t>(j * c.in + k), i.bank.bank[i.bank.a(5, j, k)]);
      for (int64_t n = 0; n < c.out; ++n) b.set(static_cast<size_t>(n * 5 + j), i.bank.bank[i.bank.b(5, n, j)]);
    }
    DoraLinearProblem p;
    p.x = i.x.data(), p.W = i.W.view(), p.A = {a.data(), types.U, 5, c.in, false}, p.B = {b.data(), types.U, c.out, 5, false};
    p.g = i.bank.gains.floats() + i.bank.g(5, 0), p.bias = i.bias.data(), p.y = expected.data(), p.dtype = types.T, p.rows = i.rows;
    p.scaling = i.bank.scaling.floats()[5];
    kernels().dora_linear(p, threads);
    Error error;
    for (size_t n = 0; n < y.size(); ++n) error.Add(y[n], expected[n]);
    EXPECT_LE(error.max, types.T == DType::kFloat32 ? 1e-5 : types.T == DType::kFloat16 ? 0x1p-8 : 0x1p-5);
  }
}

TEST_P(BankOperators, EmptySizesRanksAndScalings) {
  for (const TypePair& types : kTypePairs) {
    Check({types, 0, 24, 20, {3, -1}}, 1);
    Check({types, 2, 24, 0, {3, -1}}, 2);
    Check({types, 2, 0, 20, {3, -1}}, 3);
    Check({types, 2, 24, 20, {0, 0, 7}}, 4);  // rank 0
    Check({types, 2, 24, 20, {-1, -1}}, 5);
  }
}

TEST_P(BankOperators, NonFiniteValuesStayInTheirRuns) {
  TwoThreads threads;
  for (const TypePair& types : kTypePairs) {
    for (const Operator op : kBoth) {
      for (const int64_t run : {1, 18}) {
        const BankCase c{types, run, 70, 50, {2, -1, 0, 3, 3, 1}};
        const Inputs clean(c, 9);
        const Array expected = (this->*op)(c, clean, threads, 0, 6);
        for (const double bad : {static_cast<double>(INFINITY), std::nan("")}) {
          for (int where = 0; where < 4; ++where) {
            Inputs i(c, 9);
            i.bank.scaling.set(3, 0);  // hides nothing: 0·inf is NaN, as in PEFT
            if (where == 0) i.bank.bank.set(i.bank.a(3, 1, 69), bad);
            if (where == 1) i.bank.bank.set(i.bank.b(3, 49, 1), bad);
            if (where == 2) i.bank.gains.set(i.bank.g(3, 49), bad);
            // Slot 0 stands in for none in function bodies.
            if (where == 3) i.bank.bank.set(i.bank.b(0, 49, 0), bad), i.bank.gains.set(i.bank.g(0, 49), bad);
            const Array y = (this->*op)(c, i, threads, 0, 6);
            const int slot = where == 3 ? 0 : 3;
            for (size_t t = 0; t < static_cast<size_t>(i.rows); ++t) {
              const size_t at = t * 50 + 49;
              const int of_run = c.slots[t / static_cast<size_t>(run)];
              if (of_run == slot) {
                EXPECT_FALSE(std::isfinite(y[at])) << Name(types) << " where " << where;
              } else if (of_run != 3) {
                EXPECT_EQ(y[at], expected[at]) << Name(types) << " where " << where;
              }
            }
          }
        }
      }
    }
  }
}

// Slots and ranks that callers on the CPU have refused lie on the device, where nobody can.
TEST_P(BankOperators, WrongSlotsOnTheDeviceBecomeNaN) {
  if (std::string(kernels().isa).rfind("cuda", 0) != 0) GTEST_SKIP() << "not on the device";
  Serial serial;
  for (const TypePair& types : kTypePairs) {
    for (const Operator op : kBoth) {
      for (const int64_t run : {1, 9, 70}) {
        BankCase c{types, run, 64, 40, {2, -1, 7, 3}};
        c.aligned = run != 9, c.max_rank = 8;
        const Array expected = (this->*op)(c, Inputs(c, 4), serial, 0, 4);
        for (const int wrong : {static_cast<int>(kSlots), -2, INT32_MAX, INT32_MIN, 7}) {
          Inputs i(c, 4);
          i.slots[2] = wrong;
          if (wrong == 7) i.bank.rank[7] = static_cast<int32_t>(c.max_rank) + 1;
          const Array y = (this->*op)(c, i, serial, 0, 4);
          for (size_t at = 0; at < y.size(); ++at) {
            if (at / static_cast<size_t>(run * c.out) == 2) {
              ASSERT_TRUE(std::isnan(y[at])) << Name(types) << " slot " << wrong << " run " << run;
            } else {
              ASSERT_EQ(y[at], expected[at]) << Name(types) << " slot " << wrong << " run " << run;
            }
          }
        }
      }
    }
  }
}

TEST_P(BankOperators, DoNotDependOnThreads) {
  const BankCase c{kTypePairs[0], 3, 1500, 300, {1, 8, 8, -1, 4}, true};
  const Inputs i(c, 1);
  Serial serial;
  TwoThreads threads;
  ExpectSame(Linear(c, i, serial, 0, 5), 0, Linear(c, i, threads, 0, 5));
  ExpectSame(Compose(c, i, serial, 0, 5), 0, Compose(c, i, threads, 0, 5));
}

INSTANTIATE_TEST_SUITE_P(Isa, BankOperators, EveryIsa(), IsaName);

}  // namespace
}  // namespace ort_dora
