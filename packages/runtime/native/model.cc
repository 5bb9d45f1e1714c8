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

Model::Model(Ort::Session loaded) : session(std::move(loaded)) {
  Ort::AllocatorWithDefaultOptions allocator;
  for (size_t i = 0; i < session.GetInputCount(); ++i) {
    inputs.push_back(InfoOf(session.GetInputNameAllocated(i, allocator).get(), session.GetInputTypeInfo(i)));
  }
  for (size_t i = 0; i < session.GetOutputCount(); ++i) {
    outputs.push_back(InfoOf(session.GetOutputNameAllocated(i, allocator).get(), session.GetOutputTypeInfo(i)));
  }
}

}  // namespace ort_dora
