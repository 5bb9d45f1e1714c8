// More than 2^31 elements, without the memory: a few MiB are mapped again and again at consecutive addresses.
#include <sys/mman.h>
#include <unistd.h>

#include <system_error>

#include "reference.h"

namespace ort_dora {
namespace {

constexpr int64_t kChannels = 3 << 12;
constexpr int64_t kRows = (int64_t{1} << 31) / kChannels + 3;
// What is mapped again: whole rows of bfloat16 and of whole pages.
constexpr int64_t kRepeatedRows = 128;
constexpr size_t kRepeatedBytes = static_cast<size_t>(kRepeatedRows * kChannels) * 2;
static_assert(kRows * kChannels > int64_t{1} << 31);

// kRows x kChannels of bfloat16; row r is the same memory as row r % kRepeatedRows. Only the last rows are of their own, so that what
// is read or written 2^31 elements before them, or 2^32 bytes, is seen.
class RepeatedRows {
 public:
  RepeatedRows() {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    bytes_ = (static_cast<size_t>(kRows + kRepeatedRows) * kChannels * 2 + kRepeatedBytes) / page * page;
    const int file = memfd_create("ort_dora_large_test", 0);
    void* reserved = mmap(nullptr, bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (file < 0 || ftruncate(file, 2 * kRepeatedBytes) != 0 || reserved == MAP_FAILED) Fail();
    data_ = static_cast<unsigned char*>(reserved);
    const size_t last = static_cast<size_t>(kRows - 1) / kRepeatedRows * kRepeatedBytes;
    for (size_t at = 0; at <= last; at += kRepeatedBytes) {
      const off_t from = at == last ? static_cast<off_t>(kRepeatedBytes) : 0;
      if (mmap(data_ + at, kRepeatedBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, from) == MAP_FAILED) Fail();
    }
    close(file);
  }
  RepeatedRows(const RepeatedRows&) = delete;
  ~RepeatedRows() { munmap(data_, bytes_); }

  void* data() { return data_; }
  double at(int64_t row, int64_t channel) const {
    uint16_t bits;
    std::memcpy(&bits, data_ + (row * kChannels + channel) * 2, 2);
    return FromBits(bits, DType::kBFloat16);
  }
  // `value(channel)` in every row of the repeated part, or in all rows after it.
  template <class F>
  void Fill(bool tail, F value) {
    const int64_t first = tail ? (kRows - 1) / kRepeatedRows * kRepeatedRows : 0, last = tail ? kRows : kRepeatedRows;
    for (int64_t row = first; row < last; ++row) {
      for (int64_t channel = 0; channel < kChannels; ++channel) {
        const uint16_t bits = ToBits(value(channel), DType::kBFloat16);
        std::memcpy(data_ + (row * kChannels + channel) * 2, &bits, 2);
      }
    }
  }

 private:
  [[noreturn]] static void Fail() { throw std::system_error(errno, std::generic_category(), "mapping"); }
  unsigned char* data_ = nullptr;
  size_t bytes_ = 0;
};

// Small whole numbers: exact in bfloat16, and so are the results.
double Small(int64_t channel) { return static_cast<double>(channel % 13 - 6); }

TEST(Large, ComposeAndItsGradientBeyondTwoToThe31Elements) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "takes a minute where every access is checked";
#endif
  RepeatedRows base, lora, out;
  for (const bool tail : {false, true}) {
    base.Fill(tail, [&](int64_t c) { return Small(c) + (tail ? 20 : 0); });
    lora.Fill(tail, [&](int64_t c) { return Small(c + 5) - (tail ? 20 : 0); });
    out.Fill(tail, [&](int64_t) { return 99; });
  }
  const Array g(DType::kFloat32, std::vector<double>(kChannels, 2.0));
  TwoThreads threads;

  DoraComposeProblem compose;
  compose.base = base.data(), compose.lora = lora.data(), compose.g = g.floats(), compose.out = out.data();
  compose.dtype = compose.lora_dtype = DType::kBFloat16;
  compose.outer = kRows, compose.channels = kChannels, compose.scaling = 0.5f;
  SupportedCpuKernels().front().dora_compose(compose, threads);
  for (const int64_t row : {int64_t{0}, kRows / 2, kRows - 1}) {
    for (int64_t c = 0; c < kChannels; ++c) {
      ASSERT_EQ(out.at(row, c), 2 * (base.at(row, c) + 0.5 * lora.at(row, c))) << row << ", " << c;
    }
  }

  // The gradient of g over all rows: dy is 1, so that the sum counts the rows of either kind.
  Array d_g(DType::kFloat32, static_cast<size_t>(kChannels));
  for (const bool tail : {false, true}) out.Fill(tail, [](int64_t) { return 1; });
  DoraComposeGradProblem gradient;
  gradient.dy = out.data(), gradient.base = base.data(), gradient.lora = lora.data(), gradient.g = g.floats(), gradient.d_g = d_g.floats();
  gradient.dtype = gradient.lora_dtype = DType::kBFloat16;
  gradient.rows = kRows, gradient.channels = kChannels, gradient.scaling = 0.5f;
  SupportedCpuKernels().front().dora_compose_grad(gradient, threads);
  const int64_t in_tail = kRows - (kRows - 1) / kRepeatedRows * kRepeatedRows;
  for (int64_t c = 0; c < kChannels; ++c) {
    const auto row = [&](int64_t r) { return base.at(r, c) + 0.5 * lora.at(r, c); };
    const double expected = static_cast<double>(kRows - in_tail) * row(0) + static_cast<double>(in_tail) * row(kRows - 1);
    ASSERT_EQ(d_g[static_cast<size_t>(c)], static_cast<float>(expected)) << c;
  }
}

}  // namespace
}  // namespace ort_dora
