// Execution providers of a session, by the names of src/session-options.ts.
#pragma once
#include <string>
#include <unordered_map>

#include "ort_library.h"

namespace ort_dora {

using StringMap = std::unordered_map<std::string, std::string>;

struct Provider {
  std::string name;
  StringMap options;
};

// Throws Ort::Exception with ONNX Runtime's reason.
void AppendProvider(Ort::SessionOptions& options, const Provider& provider);

}  // namespace ort_dora
