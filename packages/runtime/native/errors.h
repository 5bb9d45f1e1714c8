// Errors on their way to JavaScript. `code` is a RuntimeErrorCode of src/errors.ts; `ortCode` is there when ONNX Runtime failed.
#pragma once
#include <napi.h>

#include <string>

namespace ort_dora {

inline Napi::Error Fail(Napi::Env env, const char* code, const std::string& message, const char* ort_code = nullptr) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  if (ort_code != nullptr) error.Set("ortCode", Napi::String::New(env, ort_code));
  return error;
}

inline Napi::Error InvalidArgument(Napi::Env env, const std::string& message) {
  return Fail(env, "INVALID_ARGUMENT", message);
}

inline Napi::Error Disposed(Napi::Env env, const char* what) {
  return Fail(env, "DISPOSED", std::string("the ") + what + " is disposed");
}

// For calls of Node-API itself, which leave their exception pending.
inline void Check(Napi::Env env, napi_status status) {
  if (status != napi_ok) throw Napi::Error::New(env);
}

}  // namespace ort_dora
