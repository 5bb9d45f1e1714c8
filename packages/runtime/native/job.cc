#include "job.h"

#include <exception>

#include "errors.h"

namespace ort_dora {

void Job::Execute() noexcept {
  try {
    if (!cancelled_) Work();
  } catch (const Ort::Exception& e) {
    failure_ = Failure{CodeOf(e.GetOrtErrorCode()), OrtCodeName(e.GetOrtErrorCode()), e.what()};
  } catch (const std::exception& e) {
    failure_ = Failure{CodeOf(ORT_FAIL), nullptr, e.what()};
  } catch (...) {
    failure_ = Failure{CodeOf(ORT_FAIL), nullptr, "unknown native exception"};
  }
  if (cancelled_) failure_ = Failure{"ABORTED", nullptr, "aborted"};
}

Napi::Value Job::Take(Napi::Env env) {
  if (failure_) throw Fail(env, failure_->code, failure_->message, failure_->ort_code);
  return Result(env);
}

void Job::Settle(Napi::Env env) {
  try {
    deferred_->Resolve(Take(env));
  } catch (const Napi::Error& e) {
    deferred_->Reject(e.Value());
  } catch (const std::exception& e) {
    deferred_->Reject(Fail(env, CodeOf(ORT_FAIL), e.what()).Value());
  }
}

void Job::Cancel() noexcept {
  cancelled_ = true;
  OnCancel();
}

}  // namespace ort_dora
