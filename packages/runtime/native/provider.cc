#include "provider.h"

#include <memory>
#include <vector>

namespace ort_dora {
namespace {

// The generic AppendExecutionProvider refuses CUDA.
void AppendCuda(Ort::SessionOptions& options, const StringMap& given) {
  const OrtApi& api = Ort::GetApi();
  OrtCUDAProviderOptionsV2* raw = nullptr;
  Ort::ThrowOnError(api.CreateCUDAProviderOptions(&raw));
  const std::unique_ptr<OrtCUDAProviderOptionsV2, decltype(api.ReleaseCUDAProviderOptions)> cuda(raw, api.ReleaseCUDAProviderOptions);
  std::vector<const char*> keys, values;
  for (const auto& [key, value] : given) {
    keys.push_back(key.c_str());
    values.push_back(value.c_str());
  }
  Ort::ThrowOnError(api.UpdateCUDAProviderOptions(cuda.get(), keys.data(), values.data(), keys.size()));
  options.AppendExecutionProvider_CUDA_V2(*cuda);
}

}  // namespace

void AppendProvider(Ort::SessionOptions& options, const Provider& provider) {
  OrtEnvironment();  // with it come the loggers, which providers write to while they are loaded
  try {
    if (provider.name == "cuda") {
      AppendCuda(options, provider.options);
    } else if (provider.name != "cpu") {
      options.AppendExecutionProvider(provider.name, provider.options);
    }
  } catch (const Ort::Exception& e) {
    throw Ort::Exception("execution provider '" + provider.name + "' cannot be used: " + e.what(), e.GetOrtErrorCode());
  }
}

}  // namespace ort_dora
