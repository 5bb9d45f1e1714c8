// ONNX Runtime's C++ API, initialized by RegisterCustomOps with the API table of the runtime that loads the library.
#pragma once

#define ORT_API_MANUAL_INIT
#include <onnxruntime_cxx_api.h>
#undef ORT_API_MANUAL_INIT

namespace ort_dora {

// What this library asks the runtime for. The C API is append-only, so newer headers and newer runtimes serve; asking
// for the headers' own version would fail on a runtime older than they are.
constexpr uint32_t kOrtApiVersion = 23;
static_assert(ORT_API_VERSION >= kOrtApiVersion, "ONNX Runtime headers of API 23 or newer are needed");

}  // namespace ort_dora
