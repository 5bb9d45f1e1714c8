// The options that every kind of run takes.
#pragma once
#include <napi.h>

#include <functional>

#include "ort_library.h"

namespace ort_dora {

// The run's CUDA graph: captured by the first run of that number, replayed by the next ones.
constexpr const char* kGraphEntry = "gpu_graph_id";
constexpr const char* kNoGraph = "-1";

// Reads {config, tag, logSeverityLevel}. `options` is called if there is something to set.
void ReadRunOptions(Napi::Env env, Napi::Object given, const std::function<Ort::RunOptions&()>& options);

}  // namespace ort_dora
