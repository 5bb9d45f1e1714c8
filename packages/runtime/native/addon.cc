// The module's exports, typed in src/binding.ts.
#include <napi.h>

#include <string>

#include "cuda_runtime.h"
#include "environment.h"
#include "errors.h"
#include "file_job.h"
#include "native_bound_run.h"
#include "native_session.h"
#include "native_tensor.h"
#include "ops_library.h"
#include "ort_library.h"
#include "session_config.h"
#include "worker_pool.h"

namespace ort_dora {
namespace {

// load(path, as) -> {path, version, wasMapped}; as: undefined, or a link to the file
Napi::Value Load(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsString()) throw InvalidArgument(env, "path must be a string");
  const OrtLibrary library = LoadOrtLibrary(info[0].As<Napi::String>().Utf8Value(), info[1].IsString() ? info[1].As<Napi::String>().Utf8Value() : std::string());
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

// tryProvider(name): gives the provider to the options of a session that is never made, or throws why it cannot be.
void TryProvider(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!OrtLibraryLoaded()) throw Napi::Error::New(env, "ONNX Runtime is not loaded");
  Ort::SessionOptions options;
  try {
    AppendProvider(options, {ReadString(env, info[0], "name"), {}});
  } catch (const Ort::Exception& e) {
    throw Fail(env, "PROVIDER_UNAVAILABLE", e.what(), OrtCodeName(e.GetOrtErrorCode()));
  }
}

// openLibrary(soname, query, symbol) -> {path, version}, or throws why it cannot be opened; query is a VersionQuery
Napi::Value OpenLibrary(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto query = static_cast<VersionQuery>(ReadInteger(env, info[1], "query"));
  const auto opened = cuda::OpenLibrary(ReadString(env, info[0], "soname"), query, ReadString(env, info[2], "symbol"));
  Napi::Object out = Napi::Object::New(env);
  out.Set("path", opened.path);
  out.Set("version", opened.version);
  return out;
}

// cudaDevices() -> [{name, memory, computeCapability}], or throws why there are none
Napi::Value CudaDevices(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto devices = cuda::Devices();
  Napi::Array out = Napi::Array::New(env, devices.size());
  for (uint32_t i = 0; i < devices.size(); ++i) {
    Napi::Object device = Napi::Object::New(env);
    device.Set("name", devices[i].name);
    device.Set("memory", static_cast<double>(devices[i].memory));
    device.Set("computeCapability", std::to_string(devices[i].compute_capability_major) + "." + std::to_string(devices[i].compute_capability_minor));
    out.Set(i, device);
  }
  return out;
}

// cudaMemory(device) -> {free, total}
Napi::Value CudaMemory(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto memory = cuda::MemoryOf(ReadInteger(env, info[0], "device"));
  Napi::Object out = Napi::Object::New(env);
  out.Set("free", static_cast<double>(memory.free));
  out.Set("total", static_cast<double>(memory.total));
  return out;
}

// readFile(path, [offset, tensor, …]) -> promise
Napi::Value ReadFile(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[1].IsArray()) throw InvalidArgument(env, "parts must be an array");
  auto job = std::make_unique<FileJob>(env, ReadString(env, info[0], "path"), info[1].As<Napi::Array>());
  const Napi::Promise promise = job->Promise(env);
  Environment::Of(env).Submit(std::move(job));
  return promise;
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
  environment->bound_run_constructor = Napi::Persistent(NativeBoundRun::Define(env));
  exports.Set("NativeTensorHandle", tensor);
  exports.Set("NativeSessionHandle", session);
  exports.Set("load", Napi::Function::New<Load>(env, "load"));
  exports.Set("providers", Napi::Function::New<Providers>(env, "providers"));
  exports.Set("tryOpsLibrary", Napi::Function::New<TryOpsLibrary>(env, "tryOpsLibrary"));
  exports.Set("tryProvider", Napi::Function::New<TryProvider>(env, "tryProvider"));
  exports.Set("openLibrary", Napi::Function::New<OpenLibrary>(env, "openLibrary"));
  exports.Set("cudaDevices", Napi::Function::New<CudaDevices>(env, "cudaDevices"));
  exports.Set("cudaMemory", Napi::Function::New<CudaMemory>(env, "cudaMemory"));
  exports.Set("readFile", Napi::Function::New<ReadFile>(env, "readFile"));
  exports.Set("settleBeforeExit", Napi::Function::New<SettleBeforeExit>(env, "settleBeforeExit"));
  exports.Set("cancel", Napi::Function::New<Cancel>(env, "cancel"));
  return exports;
}

}  // namespace
}  // namespace ort_dora

static Napi::Object InitModule(Napi::Env env, Napi::Object exports) { return ort_dora::Init(env, exports); }
NODE_API_MODULE(ort_dora_runtime, InitModule)
