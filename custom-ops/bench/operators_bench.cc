// Times DoraLinear against its function body in ONNX Runtime, the body against PEFT's own form, and DoraScale against a BLAS on W·Aᵀ.
// Prints JSON.
//   operators_bench --ort libonnxruntime.so.1 --blas libopenblas.so [--threads 2] [--size 4096] [--seconds 1]
// --rows, --rank and --dtype leave out the others. The sides take turns, so that what else the machine does meets all; figures are medians.
#include <dlfcn.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "model.h"
#include "ort/api.h"
#include "ort_dora/operators.h"

namespace ort_dora {
namespace {

struct Settings {
  std::string ort, blas;
  int threads = 2;
  int64_t size = 4096;
  double seconds = 1;
  int64_t rows = 0, rank = 0;
  std::string dtype;
  bool Wants(int64_t of_rank, const char* of_dtype, int64_t of_rows = 0) const {
    return (rank == 0 || rank == of_rank) && (dtype.empty() || dtype == of_dtype) && (rows == 0 || of_rows == 0 || rows == of_rows);
  }
};

using Clock = std::chrono::steady_clock;

// Median milliseconds of each side. A side runs by itself for a while, in turn with the others: the threads of a session or a BLAS
// go on spinning after its last run, and whoever came next at once would have to share the cores with them.
std::vector<double> Alternate(const std::vector<std::function<void()>>& sides, double seconds) {
  constexpr int kTurns = 3;
  constexpr auto kUntilThreadsSleep = std::chrono::milliseconds(150);
  std::vector<std::vector<double>> times(sides.size());
  for (int turn = 0; turn < kTurns; ++turn) {
    for (size_t i = 0; i < sides.size(); ++i) {
      std::this_thread::sleep_for(kUntilThreadsSleep);
      sides[i]();
      const auto start = Clock::now();
      for (int runs = 0; runs < 3 || Clock::now() - start < std::chrono::duration<double>(seconds / kTurns); ++runs) {
        const auto begin = Clock::now();
        sides[i]();
        times[i].push_back(std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
      }
    }
  }
  std::vector<double> medians;
  for (auto& side : times) {
    std::nth_element(side.begin(), side.begin() + static_cast<std::ptrdiff_t>(side.size() / 2), side.end());
    medians.push_back(side[side.size() / 2]);
  }
  return medians;
}

struct Element {
  const char* name;
  int onnx;
  DType dtype;
};
constexpr Element kElements[] = {{"float32", kFloat, DType::kFloat32}, {"float16", kFloat16, DType::kFloat16}, {"bfloat16", kBFloat16, DType::kBFloat16}};

// Values of about 0.05 in any of the types.
std::string RandomBytes(const Element& element, int64_t count, uint32_t seed) {
  std::mt19937 engine(seed);
  std::string bytes(static_cast<size_t>(count) * SizeOf(element.dtype), '\0');
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t random = engine();
    if (element.dtype == DType::kFloat32) {
      const float value = (static_cast<float>(random % 2001) - 1000) * 5e-5f;
      std::memcpy(&bytes[static_cast<size_t>(4 * i)], &value, 4);
    } else {
      // Exponents of 2⁻⁶ … 2⁻⁵, any mantissa and sign.
      const auto bits = static_cast<uint16_t>(element.dtype == DType::kFloat16 ? 0x2400 | (random & 0x87FF) : 0x3C80 | (random & 0x80FF));
      std::memcpy(&bytes[static_cast<size_t>(2 * i)], &bits, 2);
    }
  }
  return bytes;
}

Initializer Weights(const std::string& name, const Element& element, std::vector<int64_t> dims, uint32_t seed) {
  int64_t count = 1;
  for (const int64_t dim : dims) count *= dim;
  return {name, element.onnx, std::move(dims), RandomBytes(element, count, seed)};
}

enum class Form { kOperator, kBody, kOriginal };

// One DoRA layer of size x size: the operator, what its function body is once it is inlined, or what PEFT's own code exports to, with the
// norm already computed (float32 only).
std::string LinearModel(const Element& element, int64_t size, int64_t rank, bool transposed, Form form) {
  const auto dims = [&](int64_t rows, int64_t cols) { return transposed ? std::vector{cols, rows} : std::vector{rows, cols}; };
  const Element& wide = kElements[0];
  const std::vector<Initializer> weights = {Weights("W", element, dims(size, size), 1), Weights("A", element, dims(rank, size), 2),
                                            Weights("B", element, dims(size, rank), 3), Weights("g", wide, {size}, 4),
                                            Weights("bias", element, {size}, 5)};
  const std::vector<Value> x = {{"x", element.onnx, {"rows", std::to_string(size)}}}, y = {{"y", element.onnx, {}, false}};
  if (form == Form::kOperator) {
    const int64_t flag = transposed;
    return Model({{"DoraLinear", {"x", "W", "A", "B", "g", "bias"}, {"y"}, {{"transW", flag}, {"transA", flag}, {"transB", flag}}, {{"scaling", 2.0f}}}},
                 x, y, {}, weights);
  }
  std::vector<Node> nodes;
  const auto add = [&](const char* op, std::vector<std::string> in, const std::string& out, std::vector<std::pair<std::string, int64_t>> ints = {},
                       std::vector<std::pair<std::string, float>> floats = {}) {
    nodes.push_back({op, std::move(in), {out}, std::move(ints), std::move(floats), "", out});
  };
  const auto right = [&](const std::string& name) {
    if (transposed) return name;
    add("Transpose", {name}, name + "_t");
    return name + "_t";
  };
  const std::string w = right("W"), a = right("A"), b = right("B");
  const bool half = element.dtype != DType::kFloat32;
  // As in packages/rewriter: float32 scales B (folded), half precision scales the product.
  add("Constant", {}, "s", {}, {{"value_float", 2.0f}});
  add("MatMul", {"x", w}, "base");
  add("MatMul", {"x", a}, "h");
  if (form == Form::kOriginal) {
    add("Constant", {}, "one", {}, {{"value_float", 1.0f}});
    add("Add", {"base", "bias"}, "result");
    add("Sub", {"result", "bias"}, "bare");
    add("Sub", {"g", "one"}, "excess");
    add("Mul", {"excess", "bare"}, "change");
    add("MatMul", {"h", b}, "up");
    add("Mul", {"g", "up"}, "scaled");
    add("Mul", {"scaled", "s"}, "lora");
    add("Add", {"change", "lora"}, "dora");
    add("Add", {"result", "dora"}, "y");
    return Model(nodes, x, y, {}, weights);
  }
  if (half) {
    add("MatMul", {"h", b}, "up");
    add("Cast", {"up"}, "up_wide", {{"to", kFloat}});
    add("Mul", {"up_wide", "s"}, "lora");
    add("Cast", {"base"}, "base_wide", {{"to", kFloat}});
    add("Cast", {"bias"}, "bias_wide", {{"to", kFloat}});
  } else {
    add("Mul", {b, "s"}, "b_scaled");
    add("MatMul", {"h", "b_scaled"}, "lora");
  }
  add("Add", {half ? "base_wide" : "base", "lora"}, "sum");
  add("Mul", {"g", "sum"}, "scaled");
  add("Add", {"scaled", half ? "bias_wide" : "bias"}, half ? "y_wide" : "y");
  if (half) add("Cast", {"y_wide"}, "y", {{"to", element.onnx}});
  return Model(nodes, x, y, {}, weights);
}

class Session {
 public:
  Session(Ort::Env& env, const std::string& model, int threads) : session_(Open(env, model, threads)) {}

  std::function<void()> Runner(const Element& element, int64_t rows, int64_t width) {
    auto bytes = std::make_shared<std::string>(RandomBytes(element, rows * width, 9));
    return [this, bytes, &element, rows, width] {
      const int64_t dims[] = {rows, width};
      const char *in = "x", *out = "y";
      const Ort::Value x = Ort::Value::CreateTensor(Ort::MemoryInfo("Cpu", OrtDeviceAllocator, 0, OrtMemTypeDefault), bytes->data(), bytes->size(),
                                                    dims, 2, static_cast<ONNXTensorElementDataType>(element.onnx));
      session_.Run(Ort::RunOptions(), &in, &x, 1, &out, 1);
    };
  }

 private:
  static Ort::Session Open(Ort::Env& env, const std::string& model, int threads) {
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(threads);
    options.SetGraphOptimizationLevel(ORT_ENABLE_ALL);
    options.RegisterCustomOpsLibrary(OPS_LIBRARY);
    return Ort::Session(env, model.data(), model.size(), options);
  }
  Ort::Session session_;
};

// Threads that wait for tasks, as a session's pool does.
class Pool final : public Parallel {
 public:
  explicit Pool(int threads) {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { Work(); });
  }
  ~Pool() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }
  void For(int64_t count, Task task) override {
    {
      const std::lock_guard lock(mutex_);
      task_ = &task;
      count_ = count;
      next_ = 0;
      busy_ = static_cast<int>(workers_.size());
      ++generation_;
    }
    wake_.notify_all();
    Take();
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return busy_ == 0; });
  }

 private:
  void Take() {
    for (int64_t i; (i = next_++) < count_;) (*task_)(i);
  }
  void Work() {
    for (int64_t seen = 0;;) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stopping_ || generation_ != seen; });
      if (stopping_) return;
      seen = generation_;
      lock.unlock();
      Take();
      lock.lock();
      if (--busy_ == 0) done_.notify_one();
    }
  }
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::thread> workers_;
  const Task* task_ = nullptr;
  std::atomic<int64_t> next_{0};
  int64_t count_ = 0, generation_ = 0;
  int busy_ = 0;
  bool stopping_ = false;
};

using Sgemm = void (*)(int, int, int, int, int, int, float, const float*, int, const float*, int, float, float*, int);

double PeakMiB() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return std::strtod(line.c_str() + 6, nullptr) / 1024;
  }
  return 0;
}

void ResetPeak() { std::ofstream("/proc/self/clear_refs") << 5; }

void BenchScale(const Settings& settings, bool& first) {
  void* library = dlopen(settings.blas.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw std::runtime_error(dlerror());
  Sgemm sgemm = nullptr;
  for (const char* prefix : {"", "scipy_"}) {
    if (sgemm == nullptr) sgemm = reinterpret_cast<Sgemm>(dlsym(library, (std::string(prefix) + "cblas_sgemm").c_str()));
    using SetThreads = void (*)(int);
    const auto set = reinterpret_cast<SetThreads>(dlsym(library, (std::string(prefix) + "openblas_set_num_threads").c_str()));
    if (set != nullptr) set(settings.threads);
  }
  if (sgemm == nullptr) throw std::runtime_error(settings.blas + " has no cblas_sgemm");
  const auto n = static_cast<int>(settings.size);
  Pool pool(settings.threads);
  for (const int rank : {16, 384}) {
    std::vector<float> product(static_cast<size_t>(n) * static_cast<size_t>(rank)), g(static_cast<size_t>(n));
    const std::string w32 = RandomBytes(kElements[0], int64_t{n} * n, 1), a32 = RandomBytes(kElements[0], int64_t{rank} * n, 2);
    const auto floats = [](const std::string& bytes) { return reinterpret_cast<const float*>(bytes.data()); };
    for (const Element& element : kElements) {
      if (!settings.Wants(rank, element.name)) continue;
      const std::string w = RandomBytes(element, int64_t{n} * n, 1), a = RandomBytes(element, int64_t{rank} * n, 2);
      const std::string b = RandomBytes(element, int64_t{n} * rank, 3), m = RandomBytes(element, n, 4);
      DoraScaleProblem p;
      p.W = {w.data(), element.dtype, n, n, false};
      p.A = {a.data(), element.dtype, rank, n, false};
      p.B = {b.data(), element.dtype, n, rank, false};
      p.m = {m.data(), element.dtype};
      p.g = g.data();
      const auto scale = [&] { SupportedCpuKernels().front().dora_scale(p, pool); };
      const auto blas = [&] { sgemm(101, 111, 112, n, rank, n, 1.0f, floats(w32), n, floats(a32), n, 0.0f, product.data(), rank); };
      scale();
      ResetPeak();
      const double before = PeakMiB();
      scale();
      const double scratch = PeakMiB() - before;
      const std::vector<double> ms = Alternate({blas, scale}, settings.seconds);
      // W·Aᵀ alone, the part that both do: the rest of DoraScale counts as time, not as work.
      const double gflop = 2e-9 * n * n * rank;
      std::printf("%s\n  {\"op\": \"DoraScale\", \"dtype\": \"%s\", \"out\": %d, \"in\": %d, \"rank\": %d, \"blas_ms\": %.3f, \"kernel_ms\": %.3f, "
                  "\"blas_gflops\": %.1f, \"kernel_gflops\": %.1f, \"rate_of_blas\": %.2f, \"scratch_mib\": %.1f, \"bound_mib\": %.1f}",
                  first ? "" : ",", element.name, n, n, rank, ms[0], ms[1], gflop / ms[0] * 1e3, gflop / ms[1] * 1e3, ms[0] / ms[1], scratch,
                  (double(n) * rank + double(rank) * rank) * 4 / (1 << 20));
      first = false;
      std::fflush(stdout);
    }
  }
}

void BenchLinear(const Settings& settings, bool& first) {
  void* library = dlopen(settings.ort.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw std::runtime_error(dlerror());
  const auto* base = reinterpret_cast<const OrtApiBase* (*)()>(dlsym(library, "OrtGetApiBase"))();
  Ort::InitApi(base->GetApi(kOrtApiVersion));
  Ort::Env env(ORT_LOGGING_LEVEL_ERROR, "bench");
  for (const int64_t rank : {16, 384}) {
    for (const bool transposed : {true, false}) {
      Session body32(env, LinearModel(kElements[0], settings.size, rank, transposed, Form::kBody), settings.threads);
      for (const Element& element : kElements) {
        if (!settings.Wants(rank, element.name)) continue;
        Session kernel(env, LinearModel(element, settings.size, rank, transposed, Form::kOperator), settings.threads);
        // ONNX Runtime's CPU provider has no bfloat16 MatMul, so that its body there is the float32 one after casts.
        const bool has_body = element.dtype != DType::kBFloat16;
        Session body(env, LinearModel(has_body ? element : kElements[0], settings.size, rank, transposed, Form::kBody), settings.threads);
        for (const int64_t rows : {1, 16, 256}) {
          if (!settings.Wants(rank, element.name, rows)) continue;
          const std::vector<double> ms = Alternate({body32.Runner(kElements[0], rows, settings.size), kernel.Runner(element, rows, settings.size),
                                                    body.Runner(has_body ? element : kElements[0], rows, settings.size)},
                                                   settings.seconds);
          std::printf("%s\n  {\"op\": \"DoraLinear\", \"dtype\": \"%s\", \"out\": %lld, \"in\": %lld, \"rank\": %lld, \"rows\": %lld, \"w_stored\": \"%s\", "
                      "\"kernel_ms\": %.3f, \"body_ms\": %s, \"body_float32_ms\": %.3f, \"of_float32_body\": %.2f}",
                      first ? "" : ",", element.name, (long long)settings.size, (long long)settings.size, (long long)rank, (long long)rows,
                      transposed ? "[in,out]" : "[out,in]", ms[1], has_body ? std::to_string(ms[2]).c_str() : "null", ms[0], ms[1] / ms[0]);
          first = false;
          std::fflush(stdout);
        }
      }
    }
  }
}

// What a rewritten model costs where the library is missing, against the model before.
void BenchStock(const Settings& settings, bool& first) {
  Ort::Env env(ORT_LOGGING_LEVEL_ERROR, "bench");
  const Element& element = kElements[0];
  for (const int64_t rank : {16, 384}) {
    if (!settings.Wants(rank, element.name)) continue;
    Session original(env, LinearModel(element, settings.size, rank, true, Form::kOriginal), settings.threads);
    Session body(env, LinearModel(element, settings.size, rank, true, Form::kBody), settings.threads);
    for (const int64_t rows : {1, 16, 256}) {
      if (!settings.Wants(rank, element.name, rows)) continue;
      const std::vector<double> ms =
          Alternate({original.Runner(element, rows, settings.size), body.Runner(element, rows, settings.size)}, settings.seconds);
      std::printf("%s\n  {\"op\": \"stock\", \"dtype\": \"float32\", \"out\": %lld, \"in\": %lld, \"rank\": %lld, \"rows\": %lld, "
                  "\"original_ms\": %.3f, \"rewritten_ms\": %.3f, \"of_original\": %.2f}",
                  first ? "" : ",", (long long)settings.size, (long long)settings.size, (long long)rank, (long long)rows, ms[0], ms[1], ms[1] / ms[0]);
      first = false;
      std::fflush(stdout);
    }
  }
}

}  // namespace
}  // namespace ort_dora

int main(int count, char** arguments) {
  ort_dora::Settings settings;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string name = arguments[i], value = arguments[i + 1];
    if (name == "--ort") settings.ort = value;
    if (name == "--blas") settings.blas = value;
    if (name == "--threads") settings.threads = std::atoi(value.c_str());
    if (name == "--size") settings.size = std::atoll(value.c_str());
    if (name == "--seconds") settings.seconds = std::atof(value.c_str());
    if (name == "--rows") settings.rows = std::atoll(value.c_str());
    if (name == "--rank") settings.rank = std::atoll(value.c_str());
    if (name == "--dtype") settings.dtype = value;
  }
  bool first = true;
  try {
    std::printf("[");
    if (!settings.blas.empty()) ort_dora::BenchScale(settings, first);
    if (!settings.ort.empty()) {
      ort_dora::BenchLinear(settings, first);
      ort_dora::BenchStock(settings, first);
    }
    std::printf("\n]\n");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "operators_bench: %s\n", error.what());
    return 1;
  }
}
