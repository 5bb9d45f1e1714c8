// A loaded model: ONNX Runtime's session, and what its inputs and outputs are.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "element_type.h"
#include "ort_library.h"

namespace ort_dora {

struct ValueInfo {
  std::string name;
  bool is_tensor = false;
  ElementType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  std::vector<int64_t> dims;         // -1 where symbolic
  std::vector<std::string> symbols;  // as long as dims; empty where the dimension is fixed or has no name
};

// Shared by the NativeSession object and by every run in flight, so that disposing never races a run.
struct Model {
  explicit Model(Ort::Session loaded);

  Ort::Session session;
  std::vector<ValueInfo> inputs, outputs;
};

}  // namespace ort_dora
