#include "run_job.h"

#include <string>
#include <utility>

#include "errors.h"
#include "native_tensor.h"
#include "placement.h"
#include "run_options.h"

namespace ort_dora {
namespace {

SharedValue ReadValue(Napi::Env env, Napi::Value type, Napi::Value data, Napi::Value dims, const char* name, Lending lending) {
  if (!type.IsNumber()) throw InvalidArgument(env, std::string("'") + name + "': the type code must be a number");
  const int code = type.As<Napi::Number>().Int32Value();
  return code == kHandleCell ? NativeTensor::ValueOf(env, data, name) : ReadTensor(env, code, data, dims, name, lending);
}

}  // namespace

RunJob::RunJob(Napi::Env env, std::shared_ptr<Model> model, Napi::Array feeds, Napi::Array fetches, Napi::Value options, bool blocking)
    : model_(std::move(model)), blocking_(blocking) {
  if (!blocking) options_.emplace();  // what Cancel() acts on
  ReadFeeds(env, feeds);
  ReadFetches(env, fetches);
  if (model_->lane) Options().AddConfigEntry(kGraphEntry, kNoGraph);
  if (options.IsObject()) {
    const Napi::Object given = options.As<Napi::Object>();
    ReadRunOptions(env, given, [this]() -> Ort::RunOptions& { return Options(); });
    const Napi::Value device = given.Get("device");
    if (!device.IsUndefined()) device_.emplace(MemoryInfoOf(ReadPlacement(env, device)));
  }
  if (!blocking) feeds_ = Napi::Persistent(feeds.As<Napi::Object>());
  fetches_ = Napi::Persistent(fetches.As<Napi::Object>());
}

Ort::RunOptions& RunJob::Options() { return options_ ? *options_ : options_.emplace(); }

// ONNX Runtime lets a run without a required input through to the kernel, which then reads a null tensor.
void RunJob::ReadFeeds(Napi::Env env, Napi::Array feeds) {
  const auto& inputs = model_->inputs;
  if (feeds.Length() != 3 * inputs.size()) throw InvalidArgument(env, "feeds: three cells an input expected");
  inputs_.reserve(inputs.size());
  input_names_.reserve(inputs.size());
  for (uint32_t i = 0; i < inputs.size(); ++i) {
    const char* name = inputs[i].name.c_str();
    const Napi::Value type = feeds.Get(3 * i);
    if (type.IsUndefined()) throw InvalidArgument(env, std::string("input '") + name + "' is missing");
    inputs_.push_back(ReadValue(env, type, feeds.Get(3 * i + 1), feeds.Get(3 * i + 2), name, blocking_ ? Lending::kBlocking : Lending::kCopySmall));
    input_names_.push_back(name);
  }
}

void RunJob::ReadFetches(Napi::Env env, Napi::Array fetches) {
  const auto& outputs = model_->outputs;
  if (fetches.Length() != 3 * outputs.size()) throw InvalidArgument(env, "fetches: three cells an output expected");
  for (uint32_t i = 0; i < outputs.size(); ++i) {
    const char* name = outputs[i].name.c_str();
    const Napi::Value type = fetches.Get(3 * i);
    const Napi::Value data = fetches.Get(3 * i + 1);
    if (!type.IsNumber()) throw InvalidArgument(env, "fetches: the first cell must be a number");
    const int code = type.As<Napi::Number>().Int32Value();
    if (data.IsObject()) {
      SharedValue value = ReadValue(env, type, data, fetches.Get(3 * i + 2), name, blocking_ ? Lending::kBlocking : Lending::kInPlace);
      outputs_.push_back({i, code == kHandleCell ? Fetch::kNative : Fetch::kData, true, std::move(value)});
    } else if (code == static_cast<int>(Fetch::kData) || code == static_cast<int>(Fetch::kNative)) {
      outputs_.push_back({i, static_cast<Fetch>(code), false, nullptr});
    } else if (code != static_cast<int>(Fetch::kSkip)) {
      throw InvalidArgument(env, "fetches: unknown code " + std::to_string(code));
    } else {
      continue;
    }
    output_names_.push_back(name);
  }
  if (outputs_.empty()) throw InvalidArgument(env, "no output is asked for");
}

void RunJob::Work() {
  if (device_) return RunBound();
  std::vector<const OrtValue*> in;
  std::vector<OrtValue*> out;
  in.reserve(inputs_.size());
  out.reserve(outputs_.size());
  for (const auto& value : inputs_) in.push_back(*value);
  for (const auto& output : outputs_) out.push_back(output.given ? static_cast<OrtValue*>(*output.value) : nullptr);
  OrtStatus* status = Ort::GetApi().Run(model_->session, options_ ? static_cast<OrtRunOptions*>(*options_) : nullptr, input_names_.data(), in.data(), in.size(),
                                        output_names_.data(), output_names_.size(), out.data());
  for (size_t i = 0; i < out.size(); ++i) {  // after a failure too: what was allocated must be freed
    if (!outputs_[i].given && out[i] != nullptr) outputs_[i].value = std::make_shared<Ort::Value>(out[i]);
  }
  Ort::ThrowOnError(status);
}

// The same with native outputs in the memory of device_.
void RunJob::RunBound() {
  Ort::IoBinding binding(model_->session);
  for (size_t i = 0; i < inputs_.size(); ++i) binding.BindInput(input_names_[i], *inputs_[i]);
  for (size_t i = 0; i < outputs_.size(); ++i) {
    if (outputs_[i].given) {
      binding.BindOutput(output_names_[i], *outputs_[i].value);
    } else {
      binding.BindOutput(output_names_[i], outputs_[i].fetch == Fetch::kNative ? static_cast<const OrtMemoryInfo*>(*device_) : static_cast<const OrtMemoryInfo*>(CpuMemory()));
    }
  }
  model_->session.Run(Options(), binding);
  binding.SynchronizeOutputs();
  std::vector<Ort::Value> values = binding.GetOutputValues();
  for (size_t i = 0; i < values.size(); ++i) {
    if (outputs_[i].given) continue;
    // A session without the device's provider silently returns CPU memory.
    if (outputs_[i].fetch == Fetch::kNative && values[i].GetTensorMemoryInfo().GetDeviceType() != device_->GetDeviceType()) {
      throw Ort::Exception(std::string("output '") + output_names_[i] + "' is in CPU memory, not on the device asked for: the session has no provider for it", ORT_NOT_IMPLEMENTED);
    }
    outputs_[i].value = std::make_shared<Ort::Value>(std::move(values[i]));
  }
}

// Three cells an output: as fetches, with what was computed; undefined where skipped.
Napi::Value RunJob::Result(Napi::Env env) {
  Napi::Array out = Napi::Array::New(env, 3 * model_->outputs.size());
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const auto& [index, fetch, given, value] = outputs_[i];
    const uint32_t at = 3 * index;
    if (given) {
      for (uint32_t cell = 0; cell < 3; ++cell) out.Set(at + cell, fetches_.Value().Get(at + cell));
    } else if (fetch == Fetch::kNative) {
      if (!value->IsTensor()) throw Fail(env, "NOT_SUPPORTED", std::string("output '") + output_names_[i] + "' is not a tensor");
      out.Set(at, Napi::Number::New(env, kHandleCell));
      out.Set(at + 1, NativeTensor::Wrap(env, value));
    } else {
      WriteTensor(env, value, output_names_[i], out, at);
    }
  }
  return out;
}

void RunJob::OnCancel() noexcept {
  if (options_) const Ort::Status ignored(Ort::GetApi().RunOptionsSetTerminate(*options_));
}

const char* RunJob::CodeOf(OrtErrorCode ort_code) const noexcept {
  if (ort_code == ORT_INVALID_ARGUMENT) return "INVALID_ARGUMENT";
  return ort_code == ORT_NOT_IMPLEMENTED && device_ ? "PROVIDER_UNAVAILABLE" : "RUN_FAILED";
}

}  // namespace ort_dora
