// A unit of native work with a promise.
#pragma once
#include <napi.h>

#include <atomic>
#include <optional>
#include <string>

#include "ort_library.h"

namespace ort_dora {

// Work() runs on a worker thread and must not touch JavaScript; Cancel() may be called on any thread; everything else, the
// destructor included, happens on the thread of the submitting environment.
class Job {
 public:
  virtual ~Job() = default;

  // Call once, right before submitting: a deferred that is never settled is never freed.
  Napi::Promise Promise(Napi::Env env) { return deferred_.emplace(Napi::Promise::Deferred::New(env)).Promise(); }
  void Execute() noexcept;
  void Settle(Napi::Env env);
  // The result; throws what Execute() caught.
  Napi::Value Take(Napi::Env env);
  void Cancel() noexcept;

 protected:
  virtual void Work() = 0;
  virtual Napi::Value Result(Napi::Env env) = 0;
  virtual void OnCancel() noexcept {}
  // The RuntimeErrorCode of a failure given what ONNX Runtime says of it.
  virtual const char* CodeOf(OrtErrorCode ort_code) const noexcept = 0;

 private:
  struct Failure {
    const char* code;
    const char* ort_code;  // null if ONNX Runtime had no part in it
    std::string message;
  };
  std::optional<Napi::Promise::Deferred> deferred_;
  std::atomic<bool> cancelled_{false};
  std::optional<Failure> failure_;
};

}  // namespace ort_dora
