// DoraLinear for many rows (linear_gemm.h) against float64, and against what PEFT's arithmetic makes of the same numbers.
#include "ort_dora/cuda/linear_gemm.h"

#include "reference.h"

namespace ort_dora::cuda {
namespace {

// A copy of an array on the device, with a margin behind it that must stay as it is.
class OnDevice {
 public:
  static constexpr size_t kMargin = 4096;
  static constexpr int kPoison = 0xFF;  // NaN in every type

  explicit OnDevice(size_t bytes) : bytes_(bytes) {
    EXPECT_EQ(cudaMalloc(&data_, bytes + kMargin), cudaSuccess);
    EXPECT_EQ(cudaMemset(data_, kPoison, bytes + kMargin), cudaSuccess);
  }
  explicit OnDevice(const Array& array) : OnDevice(array.size() * SizeOf(array.dtype)) {
    EXPECT_EQ(cudaMemcpy(data_, array.data(), bytes_, cudaMemcpyHostToDevice), cudaSuccess);
  }
  ~OnDevice() { cudaFree(data_); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  void CopyTo(Array* array) const {
    EXPECT_EQ(cudaMemcpy(array->data(), data_, bytes_, cudaMemcpyDeviceToHost), cudaSuccess);
    std::vector<unsigned char> margin(kMargin);
    EXPECT_EQ(cudaMemcpy(margin.data(), static_cast<char*>(data_) + bytes_, kMargin, cudaMemcpyDeviceToHost), cudaSuccess);
    EXPECT_TRUE(std::all_of(margin.begin(), margin.end(), [](unsigned char c) { return c == kPoison; })) << "wrote past the end";
  }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

struct Case {
  DType dtype = DType::kBFloat16;
  int64_t rows, in, out, rank;
  int layout = 0;  // bits: transW, transA, transB
  bool bias = true;
  double scaling = 2;
  double g_mean = 1, g_deviation = 0.2;
  bool float32_adapters = false;
  DType adapters() const { return float32_adapters ? DType::kFloat32 : dtype; }
};

constexpr DType kTypes[] = {DType::kBFloat16, DType::kFloat16};

class LinearGemmTest : public testing::Test {
 protected:
  void SetUp() override {
    int count = 0, device = 0, major = 0;
    if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) GTEST_SKIP() << "no CUDA device";
    ASSERT_EQ(cudaGetDevice(&device), cudaSuccess);
    ASSERT_EQ(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), cudaSuccess);
    ASSERT_EQ(cudaDeviceGetAttribute(&multiprocessors_, cudaDevAttrMultiProcessorCount, device), cudaSuccess);
    if (major != 9) GTEST_SKIP() << "compute capability " << major << ", not 9: these kernels are for Hopper";
  }

  int multiprocessors_ = 0;
};

// A layer in host memory and on the device.
struct Placed {
  explicit Placed(const Case& c, uint32_t seed = 1) : Placed(c, Random(seed)) {}
  Placed(const Case& c, Random random)
      : x(random.Values(c.dtype, c.rows * c.in)),
        W(random.Values(c.dtype, c.out, c.in, c.layout & 1, 1 / std::sqrt(c.in + 1.0))),
        A(random.Values(c.adapters(), c.rank, c.in, c.layout & 2, 1 / std::sqrt(c.in + 1.0))),
        B(random.Values(c.adapters(), c.out, c.rank, c.layout & 4, 1 / std::sqrt(c.rank + 1.0))),
        g(random.Values(DType::kFloat32, c.out, c.g_deviation, c.g_mean)),
        bias(random.Values(c.dtype, c.out)) {}

  Array x;
  Stored W, A, B;
  Array g, bias;
};

Matrix Moved(const Stored& stored, const OnDevice& device) {
  Matrix m = stored.view();
  m.data = device.data();
  return m;
}

// `plans` null: as LinearGemm chooses. `launches` > 1: that many times from a captured graph.
Array RunOn(const Case& c, const Placed& l, const LinearGemmPlans* plans = nullptr, int launches = 1) {
  const OnDevice x(l.x), W(l.W.array), A(l.A.array), B(l.B.array), g(l.g), bias(l.bias);
  const OnDevice y(static_cast<size_t>(c.rows * c.out) * 2);
  CudaLinearProblem p;
  p.x = x.data(), p.W = Moved(l.W, W), p.A = Moved(l.A, A), p.B = Moved(l.B, B);
  p.g = static_cast<const float*>(g.data()), p.bias = c.bias ? bias.data() : nullptr;
  p.y = y.data(), p.dtype = c.dtype, p.rows = c.rows, p.scaling = static_cast<float>(c.scaling);
  EXPECT_TRUE(LinearGemmSupports(p));
  const OnDevice workspace(plans != nullptr ? LinearGemmWorkspace(p, *plans) : LinearGemmWorkspace(p));
  cudaStream_t stream;
  EXPECT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  // Fills and copies of the default stream may still run when they return, and this stream does not wait for them.
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  const auto enqueue = [&] {
    return plans != nullptr ? LinearGemm(p, *plans, workspace.data(), workspace.bytes(), stream)
                            : LinearGemm(p, workspace.data(), workspace.bytes(), stream);
  };
  if (launches == 1) {
    EXPECT_EQ(enqueue(), cudaSuccess);
  } else {
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    EXPECT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    EXPECT_EQ(enqueue(), cudaSuccess);
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    EXPECT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
    for (int i = 0; i < launches; ++i) EXPECT_EQ(cudaGraphLaunch(executable, stream), cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    cudaGraphExecDestroy(executable);
    cudaGraphDestroy(graph);
  }
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  cudaStreamDestroy(stream);
  Array result(c.dtype, static_cast<size_t>(c.rows * c.out));
  y.CopyTo(&result);
  return result;
}

// Every `stride`-th row (and the last) against float64 and PEFT.
void Compare(const Case& c, const Placed& l, const Array& y, int64_t stride = 1) {
  const double s = static_cast<float>(c.scaling);
  Error ours, peft;
  std::vector<double> h(static_cast<size_t>(c.rank)), rounded(h.size());
  for (int64_t t = 0; t < c.rows; t = t + stride < c.rows || t == c.rows - 1 ? t + stride : c.rows - 1) {
    const auto x = [&](int64_t k) { return l.x[static_cast<size_t>(t * c.in + k)]; };
    for (int64_t j = 0; j < c.rank; ++j) {
      double sum = 0;
      for (int64_t k = 0; k < c.in; ++k) sum += x(k) * l.A(j, k);
      h[static_cast<size_t>(j)] = sum;
      rounded[static_cast<size_t>(j)] = Round(sum, c.adapters());
    }
    for (int64_t n = 0; n < c.out; ++n) {
      double base = 0, lora = 0, rounded_lora = 0;
      for (int64_t k = 0; k < c.in; ++k) base += x(k) * l.W(n, k);
      for (int64_t j = 0; j < c.rank; ++j) {
        lora += h[static_cast<size_t>(j)] * l.B(n, j);
        rounded_lora += rounded[static_cast<size_t>(j)] * l.B(n, j);
      }
      const double g = l.g[static_cast<size_t>(n)], bias = c.bias ? l.bias[static_cast<size_t>(n)] : 0;
      const double exact = g * (base + s * lora) + bias;
      ours.Add(y[static_cast<size_t>(t * c.out + n)], exact);
      peft.Add(PeftCompose(Round(base + bias, c.dtype), Round(rounded_lora, c.adapters()), g, bias, true, s, c.dtype, c.adapters()), exact);
    }
  }
  ExpectAsCloseAsPeft(ours, peft, false);
}

std::string Describe(const Case& c) {
  return Name(c.dtype) + " x [" + std::to_string(c.rows) + "," + std::to_string(c.in) + "] out " + std::to_string(c.out) + " r " +
         std::to_string(c.rank) + " layout " + std::to_string(c.layout);
}

void Check(const Case& c, const LinearGemmPlans* plans = nullptr, int64_t stride = 1) {
  SCOPED_TRACE(Describe(c));
  const Placed layer(c);
  Compare(c, layer, RunOn(c, layer, plans), stride);
}

TEST_F(LinearGemmTest, EveryLayoutAndType) {
  for (const DType dtype : kTypes) {
    for (int layout = 0; layout < 8; ++layout) Check({dtype, 150, 200, 264, 40, layout, layout % 2 == 0});
  }
}

// As ChooseLinearGemmPlans would have it for a tile and a way to compute h of the test's.
LinearGemmPlans Plans(const Case& c, const GemmPlan& y, LowRankPlan low, int multiprocessors) {
  low.clusters = y.cluster == Cluster::kPairs ? multiprocessors / 2 : static_cast<int>(Units(y, c.rows, c.out));
  return {y, low, {64, Cluster::kSplit, 2, 8}};
}

TEST_F(LinearGemmTest, EveryTileAndCluster) {
  for (const int columns : {64, 128, 160, 192, 256}) {
    for (const int layout : {0, 7}) {
      if (columns == 160 && layout != 0) continue;
      const Case c{DType::kBFloat16, 300, 520, 328, 200, layout};
      for (const LowRankPlan& low : {LowRankPlan{}, LowRankPlan{kNarrow, 3}, LowRankPlan{WideColumns(columns), 1}}) {
        for (const int blocks : {0, 1, 2, 5, 8}) {
          const GemmPlan y = blocks == 0 ? GemmPlan{columns, Cluster::kPairs, 2, 2} : GemmPlan{columns, Cluster::kSplit, blocks, 2};
          if (low.tile_columns != 0 && Units(y, c.rows, c.out) * blocks > 90) continue;  // all must be resident at once
          SCOPED_TRACE(testing::Message() << "tile " << columns << ", blocks " << blocks << ", low-rank tile " << low.tile_columns);
          const LinearGemmPlans plans = Plans(c, y, low, multiprocessors_);
          Check(c, &plans, 43);
        }
      }
    }
  }
}

TEST_F(LinearGemmTest, EveryTileOfTheLowRankProduct) {
  for (const int columns : {64, 128, 192, 256}) {
    for (const int layout : {0, 2}) {
      for (const int blocks : {1, 3, 8}) {
        const LinearGemmPlans plans{{256, Cluster::kPairs, 2, 8}, {}, {columns, Cluster::kSplit, blocks, 2}};
        Check({DType::kFloat16, 140, 520, 136, 200, layout}, &plans, 7);
      }
    }
  }
}

// A block takes several tiles, of h too, and its copies run ahead of its products by a whole ring of stages.
TEST_F(LinearGemmTest, BlocksTakeTileAfterTile) {
  for (const int columns : {64, 160, 256}) {
    const Case c{DType::kBFloat16, 2100, 72, 3 * 1024, 16, 0};
    const LinearGemmPlans plans = Plans(c, {columns, Cluster::kPairs, 2, 4}, {}, multiprocessors_);
    Check(c, &plans, 173);
  }
  const Case c{DType::kBFloat16, 20000, 72, 128, 384, 0};
  const LinearGemmPlans plans = Plans(c, {256, Cluster::kPairs, 2, 8}, {192, 1}, multiprocessors_);
  Check(c, &plans, 1777);
}

TEST_F(LinearGemmTest, FewRowsAndOddSizes) {
  for (const int64_t rows : {1, 65, 127, 129, 257}) Check({DType::kBFloat16, rows, 136, 1048, 8, 0}, nullptr, 5);
  for (const int64_t out : {7, 77, 257}) Check({DType::kFloat16, 260, 136, out, 16, 0});
  for (const int64_t in : {8, 64, 72}) Check({DType::kBFloat16, 130, in, 96, 16, 3});
}

TEST_F(LinearGemmTest, RanksAndScalings) {
  for (const int64_t rank : {0, 8, 64, 72, 384}) Check({DType::kBFloat16, 140, 256, 136, rank, 7});
  for (const double scaling : {0.0, -1.5}) Check({DType::kFloat16, 140, 256, 136, 16, 0, false, scaling});
}

TEST_F(LinearGemmTest, Float32Adapters) {
  for (int layout = 0; layout < 8; ++layout) Check({DType::kBFloat16, 150, 200, 264, 40, layout, layout % 2 == 0, 2, 1, 0.2, true});
  Check({DType::kBFloat16, 1000, 264, 136, 384, 0, true, -0.5, 1, 0.2, true}, nullptr, 17);
}

TEST_F(LinearGemmTest, GNearOne) {
  for (const DType dtype : kTypes) Check({dtype, 140, 256, 136, 16, 7, true, 2, 1, 0x1p-11});
}

TEST_F(LinearGemmTest, SameBitsAgainAndFromGraphs) {
  const Case c{DType::kBFloat16, 500, 1024, 512, 64, 1};
  const Placed layer(c);
  const Array once = RunOn(c, layer), again = RunOn(c, layer), replayed = RunOn(c, layer, nullptr, 5);
  EXPECT_EQ(std::memcmp(once.data(), again.data(), once.size() * 2), 0);
  EXPECT_EQ(std::memcmp(once.data(), replayed.data(), once.size() * 2), 0);
}

TEST_F(LinearGemmTest, NonFinitePropagates) {
  const Case c{DType::kBFloat16, 130, 128, 96, 16, 0};
  Placed layer(c);
  layer.x.set(129 * 128 + 5, INFINITY);
  layer.W.set(7, 3, std::nan(""));
  const Array y = RunOn(c, layer);
  for (int64_t t = 0; t < c.rows; ++t) {
    for (int64_t n = 0; n < c.out; ++n) {
      EXPECT_EQ(std::isfinite(y[static_cast<size_t>(t * c.out + n)]), t != 129 && n != 7) << t << "," << n;
    }
  }
}

TEST_F(LinearGemmTest, RefusesWhatItCannotDo) {
  CudaLinearProblem p;
  const OnDevice memory(1 << 16);
  const auto matrix = [&](int64_t rows, int64_t cols, bool transposed) {
    return Matrix{memory.data(), DType::kBFloat16, rows, cols, transposed};
  };
  p.x = memory.data(), p.y = memory.data(), p.g = static_cast<const float*>(memory.data());
  p.dtype = DType::kBFloat16, p.rows = 70;
  p.W = matrix(64, 64, false), p.A = matrix(8, 64, false), p.B = matrix(64, 8, false);
  EXPECT_TRUE(LinearGemmSupports(p));
  EXPECT_EQ(LinearGemm(p, memory.data(), LinearGemmWorkspace(p) - 1, nullptr), cudaErrorInvalidValue);

  CudaLinearProblem q = p;
  q.A = matrix(12, 64, false), q.B = matrix(64, 12, false);
  EXPECT_FALSE(LinearGemmSupports(q)) << "r is not a multiple of 8";
  q = p;
  q.W = matrix(64, 60, false), q.A = matrix(8, 60, false);
  EXPECT_FALSE(LinearGemmSupports(q)) << "rows of 120 bytes";
  q = p;
  q.W = matrix(60, 64, true), q.B = matrix(60, 8, false);
  EXPECT_FALSE(LinearGemmSupports(q)) << "rows of 120 bytes, transposed";
  q = p;
  q.x = static_cast<const char*>(memory.data()) + 2;
  EXPECT_FALSE(LinearGemmSupports(q)) << "x is not aligned";
  q = p;
  q.dtype = q.W.dtype = DType::kFloat16, q.A.dtype = q.B.dtype = DType::kFloat32;
  EXPECT_FALSE(LinearGemmSupports(q)) << "float32 adapters beside float16";
  q = p;
  q.dtype = q.W.dtype = q.A.dtype = q.B.dtype = DType::kFloat32;
  EXPECT_FALSE(LinearGemmSupports(q)) << "float32";
}

}  // namespace
}  // namespace ort_dora::cuda
