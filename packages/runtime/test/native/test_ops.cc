// Operators of the domain ort.dora.test, all of one input x [n] and one output y [n]:
//   Sleep  waits x[0] milliseconds and copies x; throws for a negative time
//   Watch  re-reads x for x[0] milliseconds; y[0] is the number of passes in which an x[i] was not x[1] any more
//   Twice  2 * x + 0.5, for float32 and bfloat16; the half tells it from the function of that name
#define ORT_API_MANUAL_INIT
#include <onnxruntime_cxx_api.h>
#undef ORT_API_MANUAL_INIT

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace {

using Milliseconds = std::chrono::duration<double, std::milli>;

struct Tensors {
  explicit Tensors(OrtKernelContext* raw) : context(raw), x(context.GetInput(0)) {
    const auto shape = x.GetTensorTypeAndShapeInfo().GetShape();
    count = static_cast<size_t>(shape[0]);
    y = context.GetOutput(0, shape.data(), shape.size());
  }
  Ort::KernelContext context;
  Ort::ConstValue x;
  Ort::UnownedValue y{nullptr};
  size_t count;
};

struct Sleep {
  void Compute(OrtKernelContext* context) {
    Tensors t(context);
    const float* x = t.x.GetTensorData<float>();
    if (x[0] < 0) throw std::runtime_error("Sleep: negative time");
    std::this_thread::sleep_for(Milliseconds(x[0]));
    std::copy_n(x, t.count, t.y.GetTensorMutableData<float>());
  }
};

struct Watch {
  void Compute(OrtKernelContext* context) {
    Tensors t(context);
    const volatile float* x = t.x.GetTensorData<float>();
    const double time = x[0];
    const float expected = x[1];
    float changed = 0;
    for (const auto start = std::chrono::steady_clock::now(); Milliseconds(std::chrono::steady_clock::now() - start).count() < time;) {
      bool same = true;
      for (size_t i = 1; i < t.count; i += 64) same &= x[i] == expected;
      changed += !same;
      std::this_thread::sleep_for(Milliseconds(2));
    }
    t.y.GetTensorMutableData<float>()[0] = changed;
  }
};

float FromBfloat16(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

uint16_t ToBfloat16(float value) {  // truncates: the tests use exact values
  uint32_t wide;
  std::memcpy(&wide, &value, sizeof wide);
  return static_cast<uint16_t>(wide >> 16);
}

struct Twice {
  void Compute(OrtKernelContext* context) {
    Tensors t(context);
    if (t.x.GetTensorTypeAndShapeInfo().GetElementType() == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT) {
      const float* x = t.x.GetTensorData<float>();
      std::transform(x, x + t.count, t.y.GetTensorMutableData<float>(), [](float v) { return 2 * v + 0.5f; });
    } else {
      const auto* x = static_cast<const uint16_t*>(t.x.GetTensorRawData());
      std::transform(x, x + t.count, static_cast<uint16_t*>(t.y.GetTensorMutableRawData()), [](uint16_t v) { return ToBfloat16(2 * FromBfloat16(v) + 0.5f); });
    }
  }
};

template <typename Kernel>
struct Operator : Ort::CustomOpBase<Operator<Kernel>, Kernel> {
  Operator(const char* name, ONNXTensorElementDataType type) : name(name), type(type) {}
  void* CreateKernel(const OrtApi&, const OrtKernelInfo*) const { return new Kernel; }
  const char* GetName() const { return name; }
  const char* GetExecutionProviderType() const { return "CPUExecutionProvider"; }
  size_t GetInputTypeCount() const { return 1; }
  ONNXTensorElementDataType GetInputType(size_t) const { return type; }
  size_t GetOutputTypeCount() const { return 1; }
  ONNXTensorElementDataType GetOutputType(size_t) const { return type; }

  const char* name;
  ONNXTensorElementDataType type;
};

// Built once and never freed: ONNX Runtime keeps pointers to the operators, and adding them to a domain again at every registration
// makes each load slower than the one before.
struct Registry {
  Registry() {
    domain.Add(&sleep);
    domain.Add(&watch);
    domain.Add(&twice);
    domain.Add(&twice_bfloat16);
  }
  Operator<Sleep> sleep{"Sleep", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT};
  Operator<Watch> watch{"Watch", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT};
  Operator<Twice> twice{"Twice", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT};
  Operator<Twice> twice_bfloat16{"Twice", ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16};
  Ort::CustomOpDomain domain{"ort.dora.test"};
};

}  // namespace

extern "C" __attribute__((visibility("default"))) OrtStatus* RegisterCustomOps(OrtSessionOptions* raw, const OrtApiBase* base) {
  const OrtApi* api = base->GetApi(23);
  try {
    static std::once_flag once;
    static Registry* registry;
    std::call_once(once, [&] {
      Ort::InitApi(api);
      registry = new Registry;
    });
    Ort::UnownedSessionOptions(raw).Add(registry->domain);
    return nullptr;
  } catch (const std::exception& e) {
    return api->CreateStatus(ORT_FAIL, e.what());
  }
}
