#include "model.h"

#include <utility>

namespace ort_dora {
namespace {

ValueInfo InfoOf(std::string name, const Ort::TypeInfo& type) {
  ValueInfo info{std::move(name), type.GetONNXType() == ONNX_TYPE_TENSOR};
  if (!info.is_tensor) return info;
  const auto shape = type.GetTensorTypeAndShapeInfo();
  info.type = shape.GetElementType();
  info.dims = shape.GetShape();
  for (const char* symbol : shape.GetSymbolicDimensions()) info.symbols.emplace_back(symbol);
  return info;
}

}  // namespace

Model::Model(Ort::Session loaded, Initializers given, bool cuda_graphs)
    : initializers(std::move(given)), session(std::move(loaded)), lane(cuda_graphs ? std::make_unique<worker_pool::Lane>() : nullptr) {
  Ort::AllocatorWithDefaultOptions allocator;
  for (size_t i = 0; i < session.GetInputCount(); ++i) {
    inputs.push_back(InfoOf(session.GetInputNameAllocated(i, allocator).get(), session.GetInputTypeInfo(i)));
  }
  for (size_t i = 0; i < session.GetOutputCount(); ++i) {
    outputs.push_back(InfoOf(session.GetOutputNameAllocated(i, allocator).get(), session.GetOutputTypeInfo(i)));
  }
}

void ExecuteNow(Job& job, const Model& model) {
  if (!model.lane) return job.Execute();
  if (model.lane->Run({[](void* data) { static_cast<Job*>(data)->Execute(); }, &job})) return;
  job.Cancel();
  job.Execute();
}

}  // namespace ort_dora
