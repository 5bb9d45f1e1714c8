// Everything that the library registers: operator x provider x dtypes T (the other dtypes follow from T). ONNX Runtime finds RegisterCustomOps by its name.
#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "ort/custom_op.h"

namespace ort_dora {
namespace {

constexpr const char* kDomain = "ort.dora";
// Session config entry: operators to leave out, by name, separated by commas. ONNX Runtime inlines their function bodies.
constexpr const char* kBodyEntry = "ort_dora.body";

// Element types of a first input: those with kernels, and those that are registered to be refused by name.
constexpr ONNXTensorElementDataType kFirstTypes[] = {
    ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16, ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8};

const std::vector<ProviderOp*>& AllOps() {
  constexpr DType f32 = DType::kFloat32, f16 = DType::kFloat16, bf16 = DType::kBFloat16;
  static const auto& ops = *new std::vector<ProviderOp*>([] {
    std::vector<ProviderOp*> all;
    const auto add = [&](const OpDefinition& definition, const std::vector<DType>& dtypes, const Provider& provider = CpuProvider()) {
      for (const ONNXTensorElementDataType first : kFirstTypes) all.push_back(new ProviderOp(definition, provider, dtypes, first));
    };
    add(DoraScaleOp(), {f32, f16, bf16});
    add(DoraComposeOp(), {f32, f16, bf16});
    add(DoraLinearOp(), {f32, f16, bf16});
    add(DoraComposeGradOp(), {f32, f16, bf16});
    add(DoraLinearBankOp(), {f32, f16, bf16});
    add(DoraComposeBankOp(), {f32, f16, bf16});
#ifdef ORT_DORA_CUDA
    for (const auto* op : {&DoraScaleOp(), &DoraComposeOp(), &DoraLinearOp(), &DoraComposeGradOp(), &DoraLinearBankOp(), &DoraComposeBankOp()}) {
      add(*op, {f32, f16, bf16}, CudaProvider());
    }
#endif
    return all;
  }());
  return ops;
}

// Names from a comma-separated list; throws on one that is not an operator.
std::set<std::string> ParseNames(const std::string& list) {
  std::set<std::string> names;
  for (size_t at = 0; at <= list.size();) {
    const size_t comma = std::min(list.find(',', at), list.size());
    const std::string name = list.substr(at, comma - at);
    at = comma + 1;
    if (name.empty()) continue;
    const auto is_op = [&](const ProviderOp* op) { return name == op->definition.name; };
    if (std::none_of(AllOps().begin(), AllOps().end(), is_op)) {
      throw InputError("session config entry " + std::string(kBodyEntry) + ": expected names of operators of " + kDomain +
                       " separated by commas, got '" + name + "'");
    }
    names.insert(name);
  }
  return names;
}

// The domain without some operators. Each is made once and never freed: sessions keep pointers into it.
OrtCustomOpDomain* DomainWithout(const std::set<std::string>& names) {
  static std::mutex mutex;
  static auto& domains = *new std::map<std::set<std::string>, OrtCustomOpDomain*>;
  const std::lock_guard lock(mutex);
  OrtCustomOpDomain*& domain = domains[names];
  if (domain != nullptr) return domain;
  Ort::CustomOpDomain fresh(kDomain);
  for (ProviderOp* op : AllOps()) {
    if (names.count(op->definition.name) == 0) fresh.Add(op);
  }
  return domain = fresh.release();
}

}  // namespace
}  // namespace ort_dora

extern "C" __attribute__((visibility("default"))) OrtStatus* RegisterCustomOps(OrtSessionOptions* options,
                                                                              const OrtApiBase* base) {
  const OrtApi* api = base->GetApi(ort_dora::kOrtApiVersion);
  if (api == nullptr) {
    // Every runtime has version 1, and CreateStatus is its first member.
    return base->GetApi(1)->CreateStatus(
        ORT_NOT_IMPLEMENTED, (std::string("ort.dora needs ONNX Runtime 1.23 or newer, this is ") + base->GetVersionString()).c_str());
  }
  try {
    static std::once_flag once;
    std::call_once(once, [&] { Ort::InitApi(api); });
    const Ort::UnownedSessionOptions session(options);
    const std::string body = session.GetConfigEntryOrDefault(ort_dora::kBodyEntry, "");
    Ort::ThrowOnError(api->AddCustomOpDomain(options, ort_dora::DomainWithout(ort_dora::ParseNames(body))));
    return nullptr;
  } catch (const std::exception& error) {
    return api->CreateStatus(ORT_INVALID_ARGUMENT, (std::string("ort.dora: ") + error.what()).c_str());
  }
}
