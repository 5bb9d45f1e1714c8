// What a session is made with, read from the options object that src/session-options.ts has validated.
#pragma once
#include <napi.h>

#include <string>
#include <utility>
#include <vector>

#include "model.h"
#include "ort_library.h"
#include "provider.h"

namespace ort_dora {

struct SessionConfig {
  std::vector<std::string> ops_libraries;
  std::vector<Provider> providers;  // in order of preference; the CPU's is always there, as the last
  bool cuda_graphs = false;
  StringMap config_entries;
  std::vector<std::pair<std::string, int64_t>> free_dimensions;
  int intra_op_threads = 0;  // 0: ONNX Runtime decides
  int inter_op_threads = 0;
  int log_severity = -1;  // -1: as the environment's
  bool parallel = false;
  bool cpu_arena = true;
  bool memory_pattern = true;
  GraphOptimizationLevel optimization = ORT_ENABLE_ALL;
  Initializers initializers;
  std::string log_id;
  std::string optimized_model_path;
  std::string profile_prefix;
};

// Throws where a field has the wrong type.
SessionConfig ReadSessionConfig(Napi::Env env, Napi::Object options);

// Reads an object of strings; throws where it is something else.
StringMap ReadStringMap(Napi::Env env, Napi::Value value, const char* name);
std::string ReadString(Napi::Env env, Napi::Value value, const char* name);
int ReadInteger(Napi::Env env, Napi::Value value, const char* name);

}  // namespace ort_dora
