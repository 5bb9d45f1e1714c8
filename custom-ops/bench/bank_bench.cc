// Times DoraLinearBank against DoraLinear on one layer: 64 slots of rank 16, one row a run. Prints a table of milliseconds.
//   bank_bench [size, 4096]
// Two threads. The sides take turns run by run, so that what else the machine does meets all; figures are medians.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "ort_dora/operators.h"

namespace ort_dora {
namespace {

constexpr int64_t kSlots = 64, kRank = 16;
constexpr int kTurns = 15;

// A second thread that waits for work as a session's does: by spinning.
class TwoThreads final : public Parallel {
 public:
  ~TwoThreads() override {
    stop_ = true;
    other_.join();
  }
  void For(int64_t count, Task task) override {
    if (count < 2) return Serial().For(count, task);
    next_ = 0, count_ = count, task_ = &task, busy_ = true;
    Work();
    while (busy_) {}
  }

 private:
  void Work() {
    for (int64_t i; (i = next_++) < count_;) (*task_)(i);
  }
  void Serve() {
    while (!stop_) {
      if (!busy_) continue;
      Work();
      busy_ = false;
    }
  }
  std::atomic<bool> stop_{false}, busy_{false};
  std::atomic<int64_t> next_{0};
  int64_t count_ = 0;
  const Task* task_ = nullptr;
  std::thread other_{[this] { Serve(); }};
};

// Elements of about 0.05 in either of the types.
std::vector<unsigned char> Values(DType dtype, int64_t count, uint32_t seed) {
  std::mt19937 engine(seed);
  std::vector<unsigned char> bytes(static_cast<size_t>(count) * SizeOf(dtype));
  WithMutableElements(bytes.data(), dtype, [&](auto* to) {
    for (int64_t i = 0; i < count; ++i) {
      const uint32_t random = engine();
      if constexpr (std::is_same_v<decltype(to), float*>) {
        to[i] = (static_cast<float>(random % 2001) - 1000) * 5e-5f;
      } else {
        to[i].bits = static_cast<uint16_t>(0x3C80 | (random & 0x80FF));
      }
    }
  });
  return bytes;
}

std::vector<double> Medians(const std::vector<std::function<void()>>& sides) {
  std::vector<std::vector<double>> times(sides.size());
  for (int turn = 0; turn < kTurns; ++turn) {
    for (size_t i = 0; i < sides.size(); ++i) {
      const auto start = std::chrono::steady_clock::now();
      sides[i]();
      times[i].push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    }
  }
  std::vector<double> medians;
  for (auto& side : times) {
    std::nth_element(side.begin(), side.begin() + kTurns / 2, side.end());
    medians.push_back(side[kTurns / 2]);
  }
  return medians;
}

void Measure(const char* name, DType dtype, int64_t size, int64_t rows, bool transposed, Parallel& threads) {
  const CpuKernels& kernels = SupportedCpuKernels().front();
  const auto x = Values(dtype, rows * size, 1), w = Values(dtype, size * size, 2), bank = Values(dtype, kSlots * 2 * kRank * size, 3);
  const std::vector<float> gains(static_cast<size_t>(kSlots * size), 1), scaling(kSlots, 2);
  const std::vector<int32_t> rank(kSlots, kRank), equal(static_cast<size_t>(rows), 0), none(static_cast<size_t>(rows), -1);
  std::vector<int32_t> different(static_cast<size_t>(rows));
  std::iota(different.begin(), different.end(), 0);
  std::vector<unsigned char> y(static_cast<size_t>(rows * size) * SizeOf(dtype));
  const Matrix weights{w.data(), dtype, size, size, transposed};

  DoraLinearProblem linear;
  linear.x = x.data(), linear.W = weights, linear.A = {bank.data(), dtype, kRank, size, false};
  linear.B = {bank.data() + kRank * size * static_cast<int64_t>(SizeOf(dtype)), dtype, size, kRank, false};
  linear.g = gains.data(), linear.y = y.data(), linear.dtype = dtype, linear.rows = rows, linear.scaling = 2;
  const auto banked = [&](const std::vector<int32_t>& slots, int64_t runs) {
    DoraLinearBankProblem p;
    p.x = x.data(), p.W = weights, p.y = y.data(), p.dtype = dtype, p.rows = rows;
    p.adapters.bank = bank.data(), p.adapters.gains = gains.data(), p.adapters.scaling = scaling.data(), p.adapters.rank = rank.data();
    p.adapters.slot = slots.data(), p.adapters.dtype = dtype, p.adapters.slots = kSlots, p.adapters.row_elements = 2 * kRank * size;
    p.adapters.row_gains = size, p.adapters.runs = runs, p.adapters.offset_b = kRank * size, p.adapters.max_rank = kRank;
    return [p, &kernels, &threads] { kernels.dora_linear_bank(p, threads); };
  };
  const std::vector<double> ms = Medians({[&] { kernels.dora_linear(linear, threads); }, banked(equal, 1), banked(equal, rows),
                                          banked(different, rows), banked(none, rows)});
  std::printf("%-9s %-8s %5ld |%9.2f |", name, transposed ? "[in,out]" : "[out,in]", static_cast<long>(rows), ms[0]);
  for (size_t i = 1; i < ms.size(); ++i) std::printf("%9.2f (%.2f)", ms[i], ms[i] / ms[0]);
  std::printf("\n");
}

}  // namespace
}  // namespace ort_dora

int main(int argc, char** argv) {
  using namespace ort_dora;
  const int64_t size = argc > 1 ? std::atoll(argv[1]) : 4096;
  TwoThreads threads;
  std::printf("ms, in brackets relative to DoraLinear\ndtype     W stored  rows | DoraLinear | bank: one run  a run a row, equal slots  different slots  no slot\n");
  for (const bool transposed : {false, true}) {
    for (const int64_t rows : {1, 16, 64}) {
      Measure("float32", DType::kFloat32, size, rows, transposed, threads);
      Measure("bfloat16", DType::kBFloat16, size, rows, transposed, threads);
    }
  }
}
