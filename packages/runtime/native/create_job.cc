#include "create_job.h"

#include <cstring>
#include <utility>

#include "errors.h"
#include "native_session.h"
#include "ops_library.h"
#include "provider.h"

namespace ort_dora {
CreateJob::CreateJob(Napi::Env env, Napi::Value model, SessionConfig config) : config_(std::move(config)) {
  if (model.IsString()) {
    path_ = model.As<Napi::String>().Utf8Value();
    if (path_.empty()) throw InvalidArgument(env, "the model's path is empty");
  } else if (model.IsTypedArray() && model.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array) {
    const auto bytes = model.As<Napi::Uint8Array>();
    bytes_ = bytes.Data();
    length_ = bytes.ByteLength();
    if (length_ == 0) throw InvalidArgument(env, "the model is empty");
    pinned_ = Napi::Persistent(model.As<Napi::Object>());
  } else {
    throw InvalidArgument(env, "the model must be a path or a Uint8Array");
  }
}

void CreateJob::Work() {
  OpsLibraryLock lock(config_.ops_libraries);
  Configure();
  stage_ = "MODEL_LOAD_FAILED";
  Ort::Session session = bytes_ != nullptr ? Ort::Session(OrtEnvironment(), bytes_, length_, options_) : Ort::Session(OrtEnvironment(), path_.c_str(), options_);
  model_ = std::make_shared<Model>(std::move(session), config_.initializers, config_.cuda_graphs);
  lock.Succeeded();
}

void CreateJob::Configure() {
  const SessionConfig& config = config_;
  stage_ = "INVALID_ARGUMENT";
  for (const auto& [key, value] : config.config_entries) options_.AddConfigEntry(key.c_str(), value.c_str());
  for (const auto& [name, value] : config.free_dimensions) {
    Ort::ThrowOnError(Ort::GetApi().AddFreeDimensionOverrideByName(options_, name.c_str(), value));
  }
  if (config.intra_op_threads != 0) options_.SetIntraOpNumThreads(config.intra_op_threads);
  if (config.inter_op_threads != 0) options_.SetInterOpNumThreads(config.inter_op_threads);
  if (config.log_severity >= 0) options_.SetLogSeverityLevel(config.log_severity);
  if (!config.log_id.empty()) options_.SetLogId(config.log_id.c_str());
  if (!config.optimized_model_path.empty()) options_.SetOptimizedModelFilePath(config.optimized_model_path.c_str());
  if (!config.profile_prefix.empty()) options_.EnableProfiling(config.profile_prefix.c_str());
  if (!config.cpu_arena) options_.DisableCpuMemArena();
  if (!config.memory_pattern) options_.DisableMemPattern();
  if (config.parallel) options_.SetExecutionMode(ORT_PARALLEL);
  options_.SetGraphOptimizationLevel(config.optimization);
  for (const auto& [name, value] : config.initializers) options_.AddInitializer(name.c_str(), *value);

  stage_ = "PROVIDER_UNAVAILABLE";
  for (const auto& provider : config.providers) AppendProvider(options_, provider);
  // Last: a library may choose what it registers by the config entries.
  stage_ = "OPS_LIBRARY_FAILED";
  for (const auto& path : config.ops_libraries) RegisterOpsLibrary(options_, path);
}

Napi::Value CreateJob::Result(Napi::Env env) { return NativeSession::Wrap(env, std::move(model_)); }

void CreateJob::OnCancel() noexcept {
  const Ort::Status ignored(Ort::GetApi().SessionOptionsSetLoadCancellationFlag(options_, true));
}

const char* CreateJob::CodeOf(OrtErrorCode ort_code) const noexcept {
  return ort_code == ORT_NO_SUCHFILE && std::strcmp(stage_, "MODEL_LOAD_FAILED") == 0 ? "MODEL_NOT_FOUND" : stage_;
}

}  // namespace ort_dora
