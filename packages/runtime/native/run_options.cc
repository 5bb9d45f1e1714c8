#include "run_options.h"

#include "session_config.h"

namespace ort_dora {

void ReadRunOptions(Napi::Env env, Napi::Object given, const std::function<Ort::RunOptions&()>& options) {
  const Napi::Value config = given.Get("config"), tag = given.Get("tag"), severity = given.Get("logSeverityLevel");
  if (!config.IsUndefined()) {
    for (const auto& [key, value] : ReadStringMap(env, config, "config")) options().AddConfigEntry(key.c_str(), value.c_str());
  }
  if (!tag.IsUndefined()) options().SetRunTag(ReadString(env, tag, "tag").c_str());
  if (!severity.IsUndefined()) options().SetRunLogSeverityLevel(ReadInteger(env, severity, "logSeverityLevel"));
}

}  // namespace ort_dora
