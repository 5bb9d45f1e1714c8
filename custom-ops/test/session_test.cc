// The library as a user loads it: into sessions of onnxruntime-node's own libonnxruntime.
#include <dlfcn.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <numeric>
#include <thread>

#include "model.h"
#include "ort/api.h"
#include "reference.h"

namespace ort_dora {
namespace {

const OrtApiBase& Runtime() {
  static const OrtApiBase* base = [] {
    // ONNX Runtime 1.30 reports its use to its makers, from a thread that loses memory and outlives what it reads.
    setenv("ORT_DISABLE_TELEMETRY", "1", 1);
    const char* path = std::getenv("ORT_DORA_TEST_ORT_LIBRARY");
    void* library = dlopen(path != nullptr ? path : ORT_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) throw std::runtime_error(dlerror());
    const auto* api_base = reinterpret_cast<const OrtApiBase* (*)()>(dlsym(library, "OrtGetApiBase"))();
    Ort::InitApi(api_base->GetApi(kOrtApiVersion));
    return api_base;
  }();
  return *base;
}

Ort::Env& Environment() {
  Runtime();
  static auto& env = *new Ort::Env(ORT_LOGGING_LEVEL_FATAL, "session_test");
  return env;
}

// On a machine with a GPU the same tests run on CUDA: ORT_DORA_TEST_CUDA=1, with ORT_DORA_TEST_ORT_LIBRARY naming a
// libonnxruntime.so.1 that has the CUDA provider beside it, and ORT_DORA_TEST_OPS_LIBRARY naming libort_dora_ops_cuda.so.
bool OnCuda() { return std::getenv("ORT_DORA_TEST_CUDA") != nullptr; }

const char* OpsLibrary() {
  const char* path = std::getenv("ORT_DORA_TEST_OPS_LIBRARY");
  return path != nullptr ? path : OPS_LIBRARY;
}

struct Options {
  bool library = true;
  std::string body = {};
  int threads = 2;
};

Ort::Session Load(const std::string& model, const Options& options = {}) {
  Ort::Env& env = Environment();
  Ort::SessionOptions session;
  session.SetIntraOpNumThreads(options.threads);
  if (!options.body.empty()) session.AddConfigEntry("ort_dora.body", options.body.c_str());
  if (OnCuda()) {
    OrtCUDAProviderOptionsV2* cuda = nullptr;
    Ort::ThrowOnError(Ort::GetApi().CreateCUDAProviderOptions(&cuda));
    session.AppendExecutionProvider_CUDA_V2(*cuda);
    Ort::GetApi().ReleaseCUDAProviderOptions(cuda);
  }
  if (options.library) session.RegisterCustomOpsLibrary(OpsLibrary());
  return Ort::Session(env, model.data(), model.size(), session);
}

// The message of the exception that loading the model throws.
std::string LoadError(const std::string& model, const Options& options = {}) {
  try {
    Load(model, options);
  } catch (const Ort::Exception& error) {
    return error.what();
  }
  return "no error";
}

ONNXTensorElementDataType ToOnnx(DType dtype) {
  return dtype == DType::kFloat32   ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT
         : dtype == DType::kFloat16 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16
                                    : ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16;
}

struct Feed {
  std::string name;
  Array array;
  std::vector<int64_t> dims;
};

std::vector<Ort::Value> RunSession(Ort::Session& session, std::vector<Feed>& feeds, const std::vector<const char*>& outputs) {
  const Ort::MemoryInfo memory("Cpu", OrtDeviceAllocator, 0, OrtMemTypeDefault);
  std::vector<const char*> names;
  std::vector<Ort::Value> values;
  for (Feed& feed : feeds) {
    names.push_back(feed.name.c_str());
    values.push_back(Ort::Value::CreateTensor(memory, feed.array.data(), feed.array.size() * SizeOf(feed.array.dtype),
                                              feed.dims.data(), feed.dims.size(), ToOnnx(feed.array.dtype)));
  }
  return session.Run(Ort::RunOptions(), names.data(), values.data(), values.size(), outputs.data(), outputs.size());
}

std::vector<std::string> Symbols(const Ort::Session& session, size_t output = 0) {
  const auto info = session.GetOutputTypeInfo(output);
  const auto tensor = info.GetTensorTypeAndShapeInfo();
  const std::vector<int64_t> sizes = tensor.GetShape();
  const std::vector<const char*> symbols = tensor.GetSymbolicDimensions();
  std::vector<std::string> out;
  for (size_t i = 0; i < sizes.size(); ++i) out.push_back(sizes[i] < 0 ? symbols[i] : std::to_string(sizes[i]));
  return out;
}

const std::vector<Value> kLinearInputs = {{"x", kFloat, {"batch", "tokens", "6"}},
                                          {"W", kFloat, {"4", "6"}},
                                          {"A", kFloat, {"2", "6"}},
                                          {"B", kFloat, {"4", "2"}},
                                          {"g", kFloat, {"4"}},
                                          {"bias", kFloat, {"4"}}};
const Node kLinear = {"DoraLinear", {"x", "W", "A", "B", "g", "bias"}, {"y"}, {}, {{"scaling", 2.0f}}};
const Value kY = {"y", kFloat, {}, false};

std::vector<Value> With(std::vector<Value> values, size_t index, int type, std::vector<std::string> dims) {
  values[index].type = type;
  values[index].dims = std::move(dims);
  return values;
}

std::vector<Feed> LinearFeeds(const TypePair& types) {
  Random random(1);
  std::vector<Feed> feeds;
  feeds.push_back({"x", random.Values(types.T, 2 * 5 * 6), {2, 5, 6}});
  feeds.push_back({"W", random.Values(types.T, 24), {4, 6}});
  feeds.push_back({"A", random.Values(types.U, 12), {2, 6}});
  feeds.push_back({"B", random.Values(types.U, 8), {4, 2}});
  feeds.push_back({"g", random.Values(DType::kFloat32, 4), {4}});
  feeds.push_back({"bias", random.Values(types.T, 4), {4}});
  return feeds;
}

TEST(Session, LinearRunsWithEveryDtypeAndItsShapesAreInferred) {
  for (const TypePair& types : kTypePairs) {
    SCOPED_TRACE(Name(types));
    std::vector<Value> inputs = kLinearInputs;
    for (const size_t i : {0, 1, 5}) inputs[i].type = ToOnnx(types.T);
    for (const size_t i : {2, 3}) inputs[i].type = ToOnnx(types.U);
    Ort::Session session = Load(Model({kLinear}, inputs, {{"y", ToOnnx(types.T), {}, false}}));
    EXPECT_EQ(Symbols(session), (std::vector<std::string>{"batch", "tokens", "4"}));
    std::vector<Feed> feeds = LinearFeeds(types);
    const std::vector<Ort::Value> out = RunSession(session, feeds, {"y"});
    ASSERT_EQ(out[0].GetTensorTypeAndShapeInfo().GetShape(), (std::vector<int64_t>{2, 5, 4}));
    Array y(types.T, 40);
    std::memcpy(y.data(), out[0].GetTensorRawData(), 40 * SizeOf(types.T));
    for (size_t t = 0; t < 10; ++t) {
      for (size_t n = 0; n < 4; ++n) {
        double sum = 0;
        for (size_t k = 0; k < 6; ++k) {
          double weight = feeds[1].array[n * 6 + k];
          for (size_t j = 0; j < 2; ++j) weight += 2 * feeds[3].array[n * 2 + j] * feeds[2].array[j * 6 + k];
          sum += feeds[0].array[t * 6 + k] * weight;
        }
        const double exact = feeds[4].array[n] * sum + feeds[5].array[n];
        ASSERT_NEAR(y[t * 4 + n], exact, std::abs(exact) * 0x1p-8 + 1e-5);
      }
    }
  }
}

TEST(Session, BiasIsOptional) {
  Node node = kLinear;
  std::vector<Value> inputs = kLinearInputs;
  inputs.pop_back();
  node.inputs.pop_back();
  std::vector<Feed> feeds = LinearFeeds(kTypePairs[0]);
  feeds.pop_back();
  Ort::Session session = Load(Model({node}, inputs, {kY}));
  RunSession(session, feeds, {"y"});
  node.inputs.push_back("");  // left out by an empty name
  Ort::Session other = Load(Model({node}, inputs, {kY}));
  RunSession(other, feeds, {"y"});
}

TEST(Session, TypesAreKnownWhereShapesAreNot) {
  for (const TypePair& types : kTypePairs) {
    for (const bool bias : {false, true}) {
      SCOPED_TRACE(testing::Message() << Name(types) << " bias " << bias);
      const int T = ToOnnx(types.T), U = ToOnnx(types.U);
      const auto unknown = [](const std::string& name, int type) { return Value{name, type, {}, false}; };
      std::vector<Value> inputs = {unknown("x", T), unknown("W", T), unknown("A", U), unknown("B", U), unknown("g", kFloat)};
      Node linear = kLinear;
      if (bias) {
        inputs.push_back(unknown("bias", T));
      } else {
        linear.inputs.pop_back();
      }
      Load(Model({linear}, inputs, {unknown("y", T)}));
      Node compose = {"DoraCompose", {"x", "A", "g"}, {"y"}, {}, {{"scaling", 1.0f}}};
      if (bias) compose.inputs.push_back("bias");
      Load(Model({compose}, inputs, {unknown("y", T)}));
      Load(Model({{"DoraComposeGrad", {"x", "W", "A", "g"}, {"d_base", "d_lora", "d_g"}, {}, {{"scaling", 1.0f}}}}, inputs,
                 {unknown("d_base", T), unknown("d_lora", U), unknown("d_g", kFloat)}));
      Load(Model({{"DoraScale", {"W", "A", "B", "x"}, {"g_out"}, {}, {{"scaling", 1.0f}}}}, inputs, {unknown("g_out", kFloat)}));
    }
  }
}

TEST(Session, ScaleAndComposeInferTheirShapes) {
  Ort::Session scale = Load(Model({{"DoraScale", {"W", "A", "B", "m"}, {"g"}, {{"transW", 1}}, {{"scaling", 1.0f}}}},
                                  {{"W", kBFloat16, {"in", "4"}}, {"A", kFloat, {"2", "in"}}, {"B", kFloat, {"4", "2"}}, {"m", kBFloat16, {"4"}}},
                                  {{"g", kFloat, {}, false}}));
  EXPECT_EQ(Symbols(scale), (std::vector<std::string>{"4"}));
  const std::vector<Value> conv = {{"base", kFloat16, {"n", "3", "h", "w"}}, {"lora", kFloat, {"n", "3", "h", "w"}}, {"g", kFloat, {"3"}}};
  Ort::Session compose = Load(Model({{"DoraCompose", {"base", "lora", "g"}, {"y"}, {{"axis", 1}, {"base_has_bias", 1}}, {{"scaling", 1.0f}}}},
                                    conv, {{"y", kFloat16, {}, false}}));
  EXPECT_EQ(Symbols(compose), (std::vector<std::string>{"n", "3", "h", "w"}));
}

TEST(Session, GradientsAreEachOptional) {
  const std::vector<Value> inputs = {{"dy", kFloat16, {"n", "8"}}, {"base", kFloat16, {"n", "8"}}, {"lora", kFloat, {"n", "8"}}, {"g", kFloat, {"8"}}};
  const auto node = [](std::vector<std::string> outputs) {
    return Node{"DoraComposeGrad", {"dy", "base", "lora", "g"}, std::move(outputs), {}, {{"scaling", 2.0f}}};
  };
  std::vector<Feed> feeds;
  for (const auto& [name, dtype] : {std::pair{"dy", DType::kFloat16}, {"base", DType::kFloat16}, {"lora", DType::kFloat32}}) {
    feeds.push_back({name, Array(dtype, std::vector<double>(24, 1.0)), {3, 8}});
  }
  feeds.push_back({"g", Array(DType::kFloat32, std::vector<double>(8, 0.5)), {8}});
  Ort::Session all = Load(Model({node({"d_base", "d_lora", "d_g"})}, inputs,
                                {{"d_base", kFloat16, {}, false}, {"d_lora", kFloat, {}, false}, {"d_g", kFloat, {}, false}}));
  EXPECT_EQ(Symbols(all, 2), (std::vector<std::string>{"8"}));
  const std::vector<Ort::Value> out = RunSession(all, feeds, {"d_base", "d_lora", "d_g"});
  EXPECT_EQ(out[1].GetTensorData<float>()[0], 1.0f);
  EXPECT_EQ(out[2].GetTensorData<float>()[7], 9.0f);
  Ort::Session last = Load(Model({node({"", "", "d_g"})}, inputs, {{"d_g", kFloat, {}, false}}));
  EXPECT_EQ(RunSession(last, feeds, {"d_g"})[0].GetTensorData<float>()[0], 9.0f);
  Ort::Session first = Load(Model({node({"d_base"})}, inputs, {{"d_base", kFloat16, {}, false}}));
  RunSession(first, feeds, {"d_base"});
}

struct BadModel {
  std::vector<Value> inputs;
  Node node;
  std::string message;
};

TEST(Session, WrongModelsAreRefusedWhenLoadedNamingTheInput) {
  Node trans_two = kLinear, trans_float = kLinear, unscaled = kLinear, scaling_int = kLinear;
  trans_two.ints = {{"transW", 2}};
  trans_float.floats.push_back({"transW", 1.0f});
  unscaled.floats.clear();
  scaling_int.floats.clear();
  scaling_int.ints = {{"scaling", 2}};
  Node transposed = kLinear;
  transposed.ints = {{"transW", 1}};
  const BadModel models[] = {
      {With(kLinearInputs, 2, kFloat, {"2", "5"}), kLinear, "input A: expected [r,in], got [2,5] (in is 6 in W)"},
      {With(kLinearInputs, 1, kFloat, {"4", "6", "1"}), kLinear, "input W: expected [out,in], got [4,6,1]"},
      {With(kLinearInputs, 3, kFloat, {"4", "3"}), kLinear, "input B: expected [out,r], got [4,3] (r is 2 in A)"},
      {With(kLinearInputs, 4, kFloat, {"5"}), kLinear, "input g: expected [out], got [5] (out is 4 in W)"},
      {With(kLinearInputs, 5, kFloat, {"4", "1"}), kLinear, "input bias: expected [out], got [4,1]"},
      {With(kLinearInputs, 0, kFloat, {"batch", "7"}), kLinear, "input x: expected [...,in], got [batch,7] (in is 6 in W)"},
      {kLinearInputs, transposed, "input x: expected [...,in], got [batch,tokens,6] (in is 4 in W)"},
      {With(kLinearInputs, 0, kDouble, {"batch", "6"}), kLinear, "input x: expected float32 or float16 or bfloat16, got float64"},
      {With(kLinearInputs, 1, kFloat16, {"4", "6"}), kLinear, "input W: expected float32 as x is, got float16"},
      {With(kLinearInputs, 2, kFloat16, {"2", "6"}), kLinear, "input A: expected float32 as x is, got float16"},
      {With(kLinearInputs, 3, kInt64, {"4", "2"}), kLinear, "input B: expected float32 as A is, got int64"},
      {With(kLinearInputs, 4, kBFloat16, {"4"}), kLinear, "input g: expected float32, got bfloat16"},
      {kLinearInputs, trans_two, "attribute transW: expected 0 or 1, got 2"},
      {kLinearInputs, trans_float, "attribute transW: expected an int, got a float"},
      {kLinearInputs, unscaled, "attribute scaling (float, required)"},
      {kLinearInputs, scaling_int, "attribute scaling (float, required)"},
  };
  for (const BadModel& bad : models) {
    const std::string error = LoadError(Model({bad.node}, bad.inputs, {{"y", bad.inputs[0].type, {}, false}}));
    EXPECT_NE(error.find("ort.dora DoraLinear: " + bad.message), std::string::npos) << error << "\nexpected: " << bad.message;
  }
  const std::vector<Value> compose = {{"base", kFloat, {"2", "3"}}, {"lora", kFloat, {"2", "4"}}, {"g", kFloat, {"3"}}};
  const std::string unequal = LoadError(Model({{"DoraCompose", {"base", "lora", "g"}, {"y"}, {}, {{"scaling", 1.0f}}}}, compose, {kY}));
  EXPECT_NE(unequal.find("input lora: expected [2,3] as base has, got [2,4]"), std::string::npos) << unequal;
  const std::string axis = LoadError(Model({{"DoraCompose", {"base", "base", "g"}, {"y"}, {{"axis", 2}}, {{"scaling", 1.0f}}}}, compose, {kY}));
  EXPECT_NE(axis.find("attribute axis: 2 is not an axis of base, which is [2,3]"), std::string::npos) << axis;
}

TEST(Session, WrongFeedsAreRefusedWhenRun) {
  std::vector<Value> inputs = With(kLinearInputs, 0, kFloat, {"batch", "tokens", "width"});
  inputs[2].dims = {"r", "width"};
  Ort::Session session = Load(Model({kLinear}, inputs, {kY}));
  std::vector<Feed> feeds = LinearFeeds(kTypePairs[0]);
  feeds[2] = {"A", Array(DType::kFloat32, 10), {2, 5}};
  try {
    RunSession(session, feeds, {"y"});
    FAIL() << "no error";
  } catch (const Ort::Exception& error) {
    EXPECT_NE(std::string(error.what()).find("input A: expected [r,in], got [2,5] (in is 6 in W)"), std::string::npos) << error.what();
  }
}

// A body that is not the operator, so that it shows which of the two ran.
const Function kBody = {"DoraLinear", {"x", "W", "A", "B", "g", "bias"}, {"y"}, {{"Identity", {"g"}, {"y"}, {}, {}, "", "inner"}}};

TEST(Session, KernelOverridesTheFunctionUnlessLeftOut) {
  const std::string model = Model({kLinear}, kLinearInputs, {kY}, {kBody});
  std::vector<Feed> feeds = LinearFeeds(kTypePairs[0]);
  const auto rank = [&](const Options& options) {
    Ort::Session session = Load(model, options);
    return RunSession(session, feeds, {"y"})[0].GetTensorTypeAndShapeInfo().GetShape().size();
  };
  EXPECT_EQ(rank({}), 3u);
  EXPECT_EQ(rank({/*library=*/false}), 1u);
  EXPECT_EQ(rank({true, "DoraLinear"}), 1u);
  EXPECT_EQ(rank({true, "DoraScale,DoraLinear"}), 1u);
  EXPECT_EQ(rank({true, "DoraScale"}), 3u);
  // Every overload is served by the one kernel.
  Node node = kLinear;
  node.overload = "form";
  Function body = kBody;
  body.overload = "form";
  Ort::Session session = Load(Model({node}, kLinearInputs, {kY}, {body}));
  EXPECT_EQ(RunSession(session, feeds, {"y"})[0].GetTensorTypeAndShapeInfo().GetShape().size(), 3u);
}

TEST(Session, LeavingOutIsByOperatorNotByDtype) {
  // Where the operator is registered, no dtype falls back to the function: what the kernel does not take is refused.
  std::vector<Value> inputs = kLinearInputs;
  for (Value& input : inputs) input.type = kDouble;
  const std::string error = LoadError(Model({kLinear}, inputs, {{"y", kDouble, {}, false}}, {kBody}));
  EXPECT_NE(error.find("input x: expected float32 or float16 or bfloat16, got float64"), std::string::npos) << error;
}

TEST(Session, UnknownOperatorInTheConfigEntryIsAnError) {
  const std::string error = LoadError(Model({kLinear}, kLinearInputs, {kY}), {true, "DoraLinear,Linear"});
  EXPECT_NE(error.find("ort_dora.body"), std::string::npos) << error;
  EXPECT_NE(error.find("'Linear'"), std::string::npos) << error;
}

TEST(Session, ConcurrentLoadsAndRuns) {
  const std::string model = Model({kLinear}, kLinearInputs, {kY});
  // The runtime itself races when first sessions with an op library are loaded at the same time, so one comes first.
  Ort::Session first = Load(model);
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      try {
        for (int i = 0; i < 5; ++i) {
          Ort::Session session = Load(model, {true, t % 2 ? "DoraScale" : "", 1});
          std::vector<Feed> feeds = LinearFeeds(kTypePairs[0]);
          RunSession(session, feeds, {"y"});
          RunSession(first, feeds, {"y"});
        }
      } catch (const std::exception&) {
        ++failures;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
}

TEST(Session, RegistrationDoesNotGrow) {
  // A library that adds operators to its domain at each registration makes every load slower than the one before.
  const std::string model = Model({kLinear}, kLinearInputs, {kY});
  // The fastest of some loads: what else the machine does only adds.
  const auto fastest = [&](int loads) {
    double least = INFINITY;
    for (int i = 0; i < loads; ++i) {
      const auto start = std::chrono::steady_clock::now();
      Load(model);
      least = std::min(least, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    }
    return least;
  };
  fastest(20);
  const double before = fastest(50);
  fastest(300);
  // Once is enough: what grows does not become faster again, what others do on the machine passes.
  double after = fastest(50);
  for (int again = 0; again < 4 && after >= 2 * before; ++again) after = fastest(50);
  EXPECT_LT(after, 2 * before);
}

TEST(Session, AnOlderRuntimeIsRefusedWithItsVersion) {
  void* library = dlopen(OpsLibrary(), RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr) << dlerror();
  const auto register_ops = reinterpret_cast<OrtStatus* (*)(OrtSessionOptions*, const OrtApiBase*)>(dlsym(library, "RegisterCustomOps"));
  static const OrtApi* api = Runtime().GetApi(1);
  const OrtApiBase old = {[](uint32_t version) noexcept -> const OrtApi* { return version > 20 ? nullptr : api; },
                          []() noexcept { return "1.20.0"; }};
  const Ort::Status status(register_ops(nullptr, &old));
  EXPECT_NE(status.GetErrorMessage().find("needs ONNX Runtime 1.23 or newer, this is 1.20.0"), std::string::npos) << status.GetErrorMessage();
}

// ---- Banks ----------------------------------------------------------------------------------------------------------

// x [batch,tokens,6] in runs, W [4,6], 3 slots of up to rank 2: A at 1, B at 13 in rows of 21 elements, g at 2 in rows of 6.
const std::vector<Value> kBankInputs = {{"x", kFloat, {"batch", "tokens", "6"}}, {"W", kFloat, {"4", "6"}}, {"bank", kFloat, {"3", "21"}},
                                        {"gains", kFloat, {"3", "6"}},           {"scaling", kFloat, {"3"}}, {"rank", kInt32, {"3"}},
                                        {"slot", kInt32, {"runs"}},              {"bias", kFloat, {"4"}}};
const Node kLinearBank = {"DoraLinearBank",
                          {"x", "W", "bank", "gains", "scaling", "rank", "slot", "bias"},
                          {"y"},
                          {{"offset_a", 1}, {"offset_b", 13}, {"offset_g", 2}, {"max_rank", 2}}};

Node WithInt(Node node, const std::string& name, int64_t value) {
  for (auto& [key, old] : node.ints) {
    if (key == name) old = value;
  }
  return node;
}

// Runs kLinearBank on the given slots and ranks; s is ½ and g is 2 for all, every other number 1.
std::vector<Ort::Value> RunBank(Ort::Session& session, const std::vector<int32_t>& slot, const std::vector<int32_t>& rank) {
  const Ort::MemoryInfo memory("Cpu", OrtDeviceAllocator, 0, OrtMemTypeDefault);
  std::vector<float> x(2 * 3 * 6, 1), w(24, 1), bank(3 * 21, 1), gains(3 * 6, 2), scaling(3, 0.5f), bias(4, 1);
  std::vector<int32_t> slots = slot, ranks = rank;
  const auto tensor = [&](auto& data, std::vector<int64_t> dims) {
    return Ort::Value::CreateTensor(memory, data.data(), data.size(), dims.data(), dims.size());
  };
  std::vector<Ort::Value> values;
  values.push_back(tensor(x, {2, 3, 6})), values.push_back(tensor(w, {4, 6})), values.push_back(tensor(bank, {3, 21}));
  values.push_back(tensor(gains, {3, 6})), values.push_back(tensor(scaling, {3})), values.push_back(tensor(ranks, {3}));
  values.push_back(tensor(slots, {static_cast<int64_t>(slots.size())})), values.push_back(tensor(bias, {4}));
  const char* names[] = {"x", "W", "bank", "gains", "scaling", "rank", "slot", "bias"};
  const char* outputs[] = {"y"};
  return session.Run(Ort::RunOptions(), names, values.data(), values.size(), outputs, 1);
}

TEST(Session, BanksRunAndInferTheirShapes) {
  Ort::Session linear = Load(Model({kLinearBank}, kBankInputs, {kY}));
  EXPECT_EQ(Symbols(linear), (std::vector<std::string>{"batch", "tokens", "4"}));
  const std::vector<Ort::Value> y = RunBank(linear, {2, -1, 0}, {2, 7, 1});  // the rank of a slot that is not in use does not matter
  ASSERT_EQ(y[0].GetTensorTypeAndShapeInfo().GetShape(), (std::vector<int64_t>{2, 3, 4}));
  // x·Wᵀ is 6, and each rank adds s·6: g·(6 + 3) + 1, 6 + 1, g·(6 + 2·3) + 1. Two tokens are a run.
  const float expected[] = {19, 19, 7, 7, 25, 25};  // of each token
  for (size_t i = 0; i < 24; ++i) EXPECT_EQ(y[0].GetTensorData<float>()[i], expected[i / 4]) << i;

  Node node = kLinearBank;
  node.op = "DoraComposeBank";
  node.inputs[1] = "base";
  std::vector<Value> inputs = kBankInputs;
  inputs[1] = {"base", kFloat, {"batch", "tokens", "4"}};
  Ort::Session compose = Load(Model({node}, inputs, {kY}));
  EXPECT_EQ(Symbols(compose), (std::vector<std::string>{"batch", "tokens", "4"}));
}

TEST(Session, WrongBanksAreRefusedWhenLoaded) {
  Node unplaced = kLinearBank;
  unplaced.ints.erase(unplaced.ints.begin());
  const BadModel models[] = {
      {kBankInputs, unplaced, "attribute offset_a (int, required)"},
      {kBankInputs, WithInt(kLinearBank, "offset_a", -1), "attribute offset_a: expected 0 or more, got -1"},
      {kBankInputs, WithInt(kLinearBank, "max_rank", 0), "attribute max_rank: expected 1 or more, got 0"},
      {kBankInputs, WithInt(kLinearBank, "offset_a", 10), "attribute offset_a: A of [2,6] at 10 reaches beyond the rows of bank, of 21"},
      {kBankInputs, WithInt(kLinearBank, "offset_b", 14), "attribute offset_b: B of [4,2] at 14 reaches beyond the rows of bank, of 21"},
      {kBankInputs, WithInt(kLinearBank, "offset_b", INT64_MAX), "attribute offset_b: B of [4,2]"},
      {kBankInputs, WithInt(kLinearBank, "offset_g", 3), "attribute offset_g: g of [1,4] at 3 reaches beyond the rows of gains, of 6"},
      {kBankInputs, WithInt(kLinearBank, "max_rank", INT64_MAX), "attribute offset_a: A of [9223372036854775807,6] at 1 reaches beyond"},
      {With(kBankInputs, 3, kFloat, {"4", "6"}), kLinearBank, "input gains: expected [slots,channels], got [4,6] (slots is 3 in bank)"},
      {With(kBankInputs, 5, kInt64, {"3"}), kLinearBank, "input rank: expected int32, got int64"},
      {With(kBankInputs, 6, kFloat, {"runs"}), kLinearBank, "input slot: expected int32, got float32"},
      {With(kBankInputs, 2, kFloat16, {"3", "21"}), kLinearBank, "input bank: expected float32 as x is, got float16"},
  };
  for (const BadModel& bad : models) {
    const std::string error = LoadError(Model({bad.node}, bad.inputs, {kY}));
    EXPECT_NE(error.find("ort.dora DoraLinearBank: " + bad.message), std::string::npos) << error << "\nexpected: " << bad.message;
  }
}

TEST(Session, WrongSlotsAreRefusedWhenRun) {
  Ort::Session session = Load(Model({kLinearBank}, kBankInputs, {kY}));
  const auto error = [&](const std::vector<int32_t>& slot, const std::vector<int32_t>& rank) -> std::string {
    try {
      RunBank(session, slot, rank);
    } catch (const Ort::Exception& exception) {
      return exception.what();
    }
    return "no error";
  };
  const auto expect = [](const std::string& got, const std::string& expected) {
    EXPECT_NE(got.find("ort.dora DoraLinearBank: input " + expected), std::string::npos) << got;
  };
  expect(error({0, 1, 2, 0}, {1, 1, 1}), "slot: expected a number of runs that divides the 6 rows of x, got 4");
  expect(error({}, {1, 1, 1}), "slot: expected a number of runs that divides the 6 rows of x, got 0");
  if (OnCuda()) {
    // Slots and ranks lie on the device, where nobody can refuse them.
    const std::pair<std::vector<int32_t>, std::vector<int32_t>> wrong[] = {{{0, 3}, {1, 1, 1}}, {{0, -2}, {1, 1, 1}}, {{0, INT32_MAX}, {1, 1, 1}}, {{0, 1}, {1, 3, 1}}, {{0, 1}, {1, -1, 1}}};
    for (const auto& [slot, rank] : wrong) {
      const std::vector<Ort::Value> y = RunBank(session, slot, rank);
      for (size_t i = 0; i < 24; ++i) EXPECT_EQ(std::isnan(y[0].GetTensorData<float>()[i]), i >= 12) << slot[1] << " " << i;
    }
    return;
  }
  expect(error({0, 3}, {1, 1, 1}), "slot: element 1 is 3, expected one of the 3 slots of bank, or -1 for none");
  expect(error({-2}, {1, 1, 1}), "slot: element 0 is -2, expected");
  expect(error({INT32_MAX}, {1, 1, 1}), "slot: element 0 is 2147483647, expected");
  expect(error({1}, {1, 3, 1}), "rank: element 1 is 3, expected 0 to max_rank, which is 2");
  expect(error({1}, {1, -1, 1}), "rank: element 1 is -1, expected 0 to max_rank, which is 2");
}

}  // namespace
}  // namespace ort_dora
