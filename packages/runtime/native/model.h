// A loaded model: ONNX Runtime's session, and what its inputs and outputs are.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "element_type.h"
#include "job.h"
#include "ort_library.h"
#include "tensor_data.h"
#include "worker_pool.h"

namespace ort_dora {

struct ValueInfo {
  std::string name;
  bool is_tensor = false;
  ElementType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  std::vector<int64_t> dims;         // -1 where symbolic
  std::vector<std::string> symbols;  // as long as dims; empty where the dimension is fixed or has no name
};

// Values that stand in for initializers of the model, by their names.
using Initializers = std::vector<std::pair<std::string, SharedValue>>;

// Shared by the NativeSession object and by every run in flight, so that disposing never races a run.
struct Model {
  Model(Ort::Session loaded, Initializers initializers, bool cuda_graphs);

  const Initializers initializers;  // used by the session for as long as it lives
  Ort::Session session;
  std::vector<ValueInfo> inputs, outputs;
  // There if runs are captured in CUDA graphs: ONNX Runtime keeps these for each thread, and replays must not overlap.
  std::unique_ptr<worker_pool::Lane> lane;
  int next_graph = 1;  // a number for each set of buffers
};

// On the thread that JavaScript waits on, or on the model's own.
void ExecuteNow(Job& job, const Model& model);

}  // namespace ort_dora
