#include "session_config.h"

#include "errors.h"
#include "native_tensor.h"
#include "placement.h"

namespace ort_dora {
namespace {

template <typename Fn>
void ForEachItem(Napi::Env env, Napi::Value value, const char* name, Fn fn) {
  if (!value.IsArray()) throw InvalidArgument(env, std::string(name) + " must be an array");
  const Napi::Array array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); ++i) fn(array.Get(i));
}

template <typename Fn>
void ForEachProperty(Napi::Env env, Napi::Value value, const char* name, Fn fn) {
  if (!value.IsObject()) throw InvalidArgument(env, std::string(name) + " must be an object");
  const Napi::Object object = value.As<Napi::Object>();
  const Napi::Array keys = object.GetPropertyNames();
  for (uint32_t i = 0; i < keys.Length(); ++i) {
    const Napi::Value key = keys.Get(i);
    fn(key.As<Napi::String>().Utf8Value(), object.Get(key));
  }
}

GraphOptimizationLevel ReadOptimization(Napi::Env env, Napi::Value value) {
  static const std::pair<const char*, GraphOptimizationLevel> kLevels[] = {
      {"disabled", ORT_DISABLE_ALL}, {"basic", ORT_ENABLE_BASIC}, {"extended", ORT_ENABLE_EXTENDED}, {"layout", ORT_ENABLE_LAYOUT}, {"all", ORT_ENABLE_ALL}};
  const std::string given = ReadString(env, value, "graphOptimizationLevel");
  for (const auto& [name, level] : kLevels) {
    if (given == name) return level;
  }
  throw InvalidArgument(env, "graphOptimizationLevel is unknown: " + given);
}

Provider ReadProvider(Napi::Env env, Napi::Value value) {
  if (!value.IsObject()) throw InvalidArgument(env, "providers[i] must be an object");
  const Napi::Object object = value.As<Napi::Object>();
  Provider provider{ReadString(env, object.Get("name"), "providers[i].name"), {}};
  const Napi::Value options = object.Get("options");
  if (!options.IsUndefined()) provider.options = ReadStringMap(env, options, "providers[i].options");
  return provider;
}

}  // namespace

std::string ReadString(Napi::Env env, Napi::Value value, const char* name) {
  if (!value.IsString()) throw InvalidArgument(env, std::string(name) + " must be a string");
  return value.As<Napi::String>().Utf8Value();
}

int ReadInteger(Napi::Env env, Napi::Value value, const char* name) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(number >= 0 && number <= 2147483647.0) || number != static_cast<int>(number)) {
    throw InvalidArgument(env, std::string(name) + " must be a non-negative integer");
  }
  return static_cast<int>(number);
}

StringMap ReadStringMap(Napi::Env env, Napi::Value value, const char* name) {
  StringMap out;
  ForEachProperty(env, value, name, [&](std::string key, Napi::Value item) { out[std::move(key)] = ReadString(env, item, name); });
  return out;
}

SessionConfig ReadSessionConfig(Napi::Env env, Napi::Object options) {
  SessionConfig config;
  const auto with = [&](const char* name, auto read) {
    const Napi::Value value = options.Get(name);
    if (!value.IsUndefined()) read(value, name);
  };
  const auto integer = [&](int* field) { return [=](Napi::Value value, const char* name) { *field = ReadInteger(env, value, name); }; };
  const auto text = [&](std::string* field) { return [=](Napi::Value value, const char* name) { *field = ReadString(env, value, name); }; };
  const auto flag = [&](bool* field) { return [=](Napi::Value value, const char*) { *field = value.ToBoolean(); }; };

  with("opsLibraries", [&](Napi::Value value, const char* name) {
    ForEachItem(env, value, name, [&](Napi::Value item) { config.ops_libraries.push_back(ReadString(env, item, name)); });
  });
  with("providers", [&](Napi::Value value, const char* name) {
    ForEachItem(env, value, name, [&](Napi::Value item) { config.providers.push_back(ReadProvider(env, item)); });
  });
  for (const auto& provider : config.providers) {
    const auto graphs = provider.options.find("enable_cuda_graph");
    if (provider.name == "cuda" && graphs != provider.options.end() && graphs->second == "1") config.cuda_graphs = true;
  }
  with("initializers", [&](Napi::Value value, const char* name) {
    ForEachProperty(env, value, name, [&](std::string key, Napi::Value item) {
      const SharedValue given = NativeTensor::ValueOf(env, item, key.c_str());
      // ONNX Runtime takes no tensor here that owns its memory; a view of it does not.
      const auto shape = given->GetTensorTypeAndShapeInfo();
      config.initializers.emplace_back(std::move(key), ViewOf(given, 0, shape.GetElementType(), shape.GetShape()));
    });
  });
  with("configEntries", [&](Napi::Value value, const char* name) { config.config_entries = ReadStringMap(env, value, name); });
  with("freeDimensionOverrides", [&](Napi::Value value, const char* name) {
    ForEachProperty(env, value, name, [&](std::string key, Napi::Value item) {
      config.free_dimensions.emplace_back(std::move(key), ReadInteger(env, item, name));
    });
  });
  with("intraOpNumThreads", integer(&config.intra_op_threads));
  with("interOpNumThreads", integer(&config.inter_op_threads));
  with("logSeverityLevel", integer(&config.log_severity));
  with("executionMode", [&](Napi::Value value, const char* name) { config.parallel = ReadString(env, value, name) == "parallel"; });
  with("enableCpuMemArena", flag(&config.cpu_arena));
  with("enableMemPattern", flag(&config.memory_pattern));
  with("graphOptimizationLevel", [&](Napi::Value value, const char*) { config.optimization = ReadOptimization(env, value); });
  with("logId", text(&config.log_id));
  with("optimizedModelFilePath", text(&config.optimized_model_path));
  with("profileFilePrefix", text(&config.profile_prefix));
  return config;
}

}  // namespace ort_dora
