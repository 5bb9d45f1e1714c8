#include "native_bound_run.h"

#include <string>
#include <utility>

#include "environment.h"
#include "errors.h"
#include "native_tensor.h"
#include "placement.h"

namespace ort_dora {
namespace {

thread_local std::shared_ptr<Bound> handed_over;  // to the constructor, which JavaScript cannot call with one

std::string NameOf(const Ort::ConstMemoryInfo& memory) {
  return memory.GetDeviceType() == OrtMemoryInfoDeviceType_CPU ? "cpu" : "cuda:" + std::to_string(memory.GetDeviceId());
}

// ONNX Runtime would copy an input from elsewhere when it is bound, and never again; and an output after every run, which a graph
// cannot.
void CheckPlace(Napi::Env env, const std::string& what, const Ort::Value& value, const Ort::ConstMemoryInfo& wanted) {
  const std::string there = NameOf(wanted), here = PlacementName(value);
  if (here != there) throw InvalidArgument(env, what + ": expected a tensor on " + there + ", where the model has it, got one on " + here);
}

}  // namespace

Napi::Function NativeBoundRun::Define(Napi::Env env) {
  return DefineClass(env, "NativeBoundRunHandle",
                     {InstanceMethod<&NativeBoundRun::Run>("run"), InstanceMethod<&NativeBoundRun::RunSync>("runSync"),
                      InstanceMethod<&NativeBoundRun::Dispose>("dispose")});
}

Napi::Object NativeBoundRun::Bind(Napi::Env env, const std::shared_ptr<Model>& model, Napi::Array feeds, Napi::Array fetches, bool graph) {
  if (feeds.Length() != model->inputs.size()) throw InvalidArgument(env, "feeds: a tensor an input expected");
  if (fetches.Length() != model->outputs.size()) throw InvalidArgument(env, "fetches: a tensor or null an output expected");
  auto bound = std::make_shared<Bound>(model, graph ? model->next_graph++ : 0);
  const auto input_places = model->session.GetMemoryInfoForInputs();
  for (uint32_t i = 0; i < model->inputs.size(); ++i) {
    const std::string& name = model->inputs[i].name;
    SharedValue value = NativeTensor::ValueOf(env, feeds.Get(i), name.c_str());
    CheckPlace(env, "input '" + name + "'", *value, input_places[i]);
    bound->binding.BindInput(name.c_str(), *value);
    bound->values.push_back(std::move(value));
  }
  const auto output_places = model->session.GetMemoryInfoForOutputs();
  for (uint32_t i = 0; i < model->outputs.size(); ++i) {
    if (!fetches.Get(i).IsObject()) continue;
    const std::string& name = model->outputs[i].name;
    SharedValue value = NativeTensor::ValueOf(env, fetches.Get(i), name.c_str());
    if (graph) CheckPlace(env, "output '" + name + "'", *value, output_places[i]);
    bound->binding.BindOutput(name.c_str(), *value);
    bound->values.push_back(std::move(value));
  }
  handed_over = std::move(bound);
  return Environment::Of(env).bound_run_constructor.New({});
}

NativeBoundRun::NativeBoundRun(const Napi::CallbackInfo& info) : ObjectWrap(info), bound_(std::exchange(handed_over, nullptr)) {
  if (!bound_) throw InvalidArgument(info.Env(), "NativeBoundRunHandle cannot be constructed");
}

const std::shared_ptr<Bound>& NativeBoundRun::Live(Napi::Env env) const {
  if (!bound_) throw Disposed(env, "bound run");
  return bound_;
}

// run(options, idOut) -> promise; idOut[0] receives the id for cancel()
Napi::Value NativeBoundRun::Run(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto job = std::make_unique<BoundJob>(env, Live(env), info[0]);
  const Napi::Promise promise = job->Promise(env);
  const uint32_t id = Environment::Of(env).Submit(std::move(job), bound_->model->lane.get());
  if (info[1].IsArray()) info[1].As<Napi::Array>().Set(0u, Napi::Number::New(env, id));
  return promise;
}

// runSync(options)
void NativeBoundRun::RunSync(const Napi::CallbackInfo& info) {
  BoundJob job(info.Env(), Live(info.Env()), info[0]);
  ExecuteNow(job, *bound_->model);
  job.Take(info.Env());
}

void NativeBoundRun::Dispose(const Napi::CallbackInfo&) { Release(); }

NativeBoundRun::~NativeBoundRun() { Release(); }

// Off this thread: it may be the last share of the model.
void NativeBoundRun::Release() {
  if (!bound_) return;
  worker_pool::Post({[](void* data) { delete static_cast<std::shared_ptr<Bound>*>(data); }, new std::shared_ptr<Bound>(std::move(bound_))});
}

}  // namespace ort_dora
