// Copies into and out of native tensors, off the JavaScript thread.
#pragma once
#include <napi.h>

#include "job.h"
#include "tensor_data.h"

namespace ort_dora {

// Into a tensor from another one of the same type and size.
class CopyJob final : public Job {
 public:
  // lent: what keeps the source's memory alive, if JavaScript owns it
  CopyJob(Napi::Env env, SharedValue to, SharedValue from, Napi::Value lent);

 private:
  void Work() override;
  Napi::Value Result(Napi::Env env) override { return env.Undefined(); }
  const char* CodeOf(OrtErrorCode) const noexcept override { return "RUN_FAILED"; }

  const SharedValue to_, from_;
  Napi::ObjectReference lent_;
};

// Out of a tensor, into memory of its own; the result is a typed array.
class ReadJob final : public Job {
 public:
  ReadJob(Napi::Env env, SharedValue from);

 private:
  void Work() override;
  Napi::Value Result(Napi::Env env) override;
  const char* CodeOf(OrtErrorCode) const noexcept override { return "RUN_FAILED"; }

  const SharedValue from_;
  SharedValue copy_;
};

}  // namespace ort_dora
