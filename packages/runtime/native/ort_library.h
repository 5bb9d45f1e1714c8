// The process-wide ONNX Runtime: one dlopen handle, one API table, one OrtEnv.
#pragma once
#include <string>
#include <vector>

#define ORT_API_MANUAL_INIT
#include <onnxruntime_cxx_api.h>
#undef ORT_API_MANUAL_INIT

namespace ort_dora {

// The API version asked of the library. The C API is append-only, so a fixed version keeps headers and library independent:
// asking for the headers' own version fails when the library is older than they are.
constexpr uint32_t kOrtApiVersion = 23;
static_assert(ORT_API_VERSION >= kOrtApiVersion, "headers of ONNX Runtime 1.23 or newer are needed");

struct OrtLibrary {
  std::string path;     // the mapped file, symlinks resolved
  std::string version;  // what the library says of itself
  bool was_mapped;      // it was in the process before it was asked for
};

// Idempotent for one file. Throws std::runtime_error if the file cannot be used, or if another one is in use already.
// as: a link to the file in the folder where ONNX Runtime is to look for the libraries of its providers; empty: beside the file
OrtLibrary LoadOrtLibrary(const std::string& path, const std::string& as);
bool OrtLibraryLoaded();

// One OrtEnv a process: ONNX Runtime hands the same one to everybody who asks, onnxruntime-node included. Never freed,
// since sessions of any environment may still be going away when the process ends.
Ort::Env& OrtEnvironment();

// Names as ONNX Runtime gives them, e.g. "CPUExecutionProvider".
std::vector<std::string> AvailableProviders();

const char* OrtCodeName(OrtErrorCode code);

}  // namespace ort_dora
