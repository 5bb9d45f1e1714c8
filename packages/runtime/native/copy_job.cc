#include "copy_job.h"

#include <utility>

#include "errors.h"
#include "placement.h"

namespace ort_dora {

CopyJob::CopyJob(Napi::Env, SharedValue to, SharedValue from, Napi::Value lent) : to_(std::move(to)), from_(std::move(from)) {
  if (lent.IsObject()) lent_ = Napi::Persistent(lent.As<Napi::Object>());
}

void CopyJob::Work() { CopyTensor(*to_, *from_); }

ReadJob::ReadJob(Napi::Env env, SharedValue from) : from_(std::move(from)) {
  const ElementType type = from_->GetTensorTypeAndShapeInfo().GetElementType();
  if (LayoutOf(type).bits == 0) throw Fail(env, "NOT_SUPPORTED", "no typed array carries element type " + std::to_string(type));
}

void ReadJob::Work() {
  const auto info = from_->GetTensorTypeAndShapeInfo();
  copy_ = AllocateTensor({Placement::Kind::kCpu, 0}, info.GetElementType(), info.GetShape());
  CopyTensor(*copy_, *from_);
}

Napi::Value ReadJob::Result(Napi::Env env) {
  const size_t bytes = ByteLength(*copy_);
  return TypedArrayOver(env, LayoutOf(copy_->GetTensorTypeAndShapeInfo().GetElementType()), bytes, BufferOf(env, copy_, bytes, kShareFrom));
}

}  // namespace ort_dora
