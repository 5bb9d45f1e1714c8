// The module's exports, typed in src/binding.ts.
#include <napi.h>

#include <string>

#include "environment.h"
#include "errors.h"
#include "native_session.h"
#include "native_tensor.h"
#include "ops_library.h"
#include "ort_library.h"
#include "worker_pool.h"

namespace ort_dora {
namespace {

// load(path) -> {path, version, wasMapped}
Napi::Value Load(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsString()) throw InvalidArgument(env, "path must be a string");
  const OrtLibrary library = LoadOrtLibrary(info[0].As<Napi::String>().Utf8Value());
  Napi::Object out = Napi::Object::New(env);
  out.Set("path", library.path);
  out.Set("version", library.version);
  out.Set("wasMapped", library.was_mapped);
  return out;
}

// providers() -> names of ONNX Runtime's own build, such as "CPUExecutionProvider"
Napi::Value Providers(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!OrtLibraryLoaded()) throw Napi::Error::New(env, "ONNX Runtime is not loaded");
  const auto names = AvailableProviders();
  Napi::Array out = Napi::Array::New(env, names.size());
  for (uint32_t i = 0; i < names.size(); ++i) out.Set(i, names[i]);
  return out;
}

// tryOpsLibrary(path): registers the library with the options of a session that is never made, or throws why not.
void TryOpsLibrary(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!OrtLibraryLoaded()) throw Napi::Error::New(env, "ONNX Runtime is not loaded");
  if (!info[0].IsString()) throw InvalidArgument(env, "path must be a string");
  Ort::SessionOptions options;
  try {
    RegisterOpsLibrary(options, info[0].As<Napi::String>().Utf8Value());
  } catch (const Ort::Exception& e) {
    throw Fail(env, "OPS_LIBRARY_FAILED", e.what(), OrtCodeName(e.GetOrtErrorCode()));
  }
}

// cancel(id) -> whether such a job was in flight
Napi::Value Cancel(const Napi::CallbackInfo& info) {
  if (!info[0].IsNumber()) throw InvalidArgument(info.Env(), "id must be a number");
  return Napi::Boolean::New(info.Env(), Environment::Of(info.Env()).Cancel(info[0].As<Napi::Number>().Uint32Value()));
}

// settleBeforeExit(): for the main thread's exit event; nothing runs afterwards
void SettleBeforeExit(const Napi::CallbackInfo&) { worker_pool::SettleBeforeExit(); }

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  auto* environment = new Environment(env);
  env.SetInstanceData<Environment>(environment);
  const Napi::Function tensor = NativeTensor::Define(env);
  const Napi::Function session = NativeSession::Define(env);
  environment->tensor_constructor = Napi::Persistent(tensor);
  environment->session_constructor = Napi::Persistent(session);
  exports.Set("NativeTensorHandle", tensor);
  exports.Set("NativeSessionHandle", session);
  exports.Set("load", Napi::Function::New<Load>(env, "load"));
  exports.Set("providers", Napi::Function::New<Providers>(env, "providers"));
  exports.Set("tryOpsLibrary", Napi::Function::New<TryOpsLibrary>(env, "tryOpsLibrary"));
  exports.Set("settleBeforeExit", Napi::Function::New<SettleBeforeExit>(env, "settleBeforeExit"));
  exports.Set("cancel", Napi::Function::New<Cancel>(env, "cancel"));
  return exports;
}

}  // namespace
}  // namespace ort_dora

static Napi::Object InitModule(Napi::Env env, Napi::Object exports) { return ort_dora::Init(env, exports); }
NODE_API_MODULE(ort_dora_runtime, InitModule)
