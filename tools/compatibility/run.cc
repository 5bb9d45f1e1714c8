// Runs the cases of a list (see cases.mjs) through the C API of a libonnxruntime: a JSON object a line for each.
// usage: run LIBONNXRUNTIME CASES.tsv [OPERATOR_LIBRARY]
#include <dlfcn.h>
#include <onnxruntime_c_api.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

// The oldest runtime that is asked; its functions are at the same places in every newer one.
constexpr uint32_t kApiVersion = 20;
const OrtApi* api = nullptr;

void Check(OrtStatus* status) {
  if (status == nullptr) return;
  const std::string message = api->GetErrorMessage(status);
  api->ReleaseStatus(status);
  throw std::runtime_error(message);
}

struct Input {
  std::string name;
  ONNXTensorElementDataType type;
  std::vector<int64_t> dims;
  std::vector<char> bytes;
};

struct Output {
  std::string name;
  std::vector<double> expected;
};

struct Case {
  std::string name, model;
  double tolerance = 0;
  std::vector<Input> inputs;
  std::vector<Output> outputs;
};

std::vector<char> Bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> Fields(const std::string& text, char separator) {
  std::vector<std::string> fields;
  std::stringstream stream(text);
  for (std::string field; std::getline(stream, field, separator);) fields.push_back(field);
  return fields;
}

ONNXTensorElementDataType TypeOf(const std::string& name) {
  if (name == "float32") return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  if (name == "float16") return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16;
  if (name == "int64") return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
  if (name == "int32") return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;
  if (name == "bool") return ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL;
  throw std::runtime_error("no element type for " + name);
}

std::vector<Case> ReadCases(const char* path) {
  std::vector<Case> cases;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const std::vector<std::string> fields = Fields(line, '\t');
    if (fields[0] == "case") {
      cases.push_back({fields[1], fields[2], std::stod(fields[3]), {}, {}});
    } else if (fields[0] == "input") {
      std::vector<int64_t> dims;
      for (const std::string& dim : Fields(fields[3], ',')) dims.push_back(std::stoll(dim));
      cases.back().inputs.push_back({fields[1], TypeOf(fields[2]), dims, Bytes(fields[4])});
    } else {
      const std::vector<char> bytes = Bytes(fields[2]);
      const auto* values = reinterpret_cast<const double*>(bytes.data());
      cases.back().outputs.push_back({fields[1], {values, values + bytes.size() / sizeof(double)}});
    }
  }
  return cases;
}

double FromFloat16(uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const int fraction = bits & 1023;
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == 31) return fraction == 0 ? sign * INFINITY : NAN;
  return sign * (exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25));
}

double WorstError(const OrtValue* value, const std::vector<double>& expected) {
  OrtTensorTypeAndShapeInfo* info;
  Check(api->GetTensorTypeAndShape(value, &info));
  ONNXTensorElementDataType type;
  Check(api->GetTensorElementType(info, &type));
  api->ReleaseTensorTypeAndShapeInfo(info);
  void* data;
  Check(api->GetTensorMutableData(const_cast<OrtValue*>(value), &data));
  double worst = 0, largest = 0;
  for (const double each : expected) largest = std::max(largest, std::abs(each));
  for (size_t i = 0; i < expected.size(); ++i) {
    const double actual = type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16 ? FromFloat16(static_cast<uint16_t*>(data)[i])
                                                                        : static_cast<float*>(data)[i];
    const double difference = std::abs(actual - expected[i]) / largest;
    // Not a number is no small difference.
    if (!(difference <= worst)) worst = difference;
  }
  return worst;
}

double Run(const OrtEnv* env, Case& run, const char* library) {
  OrtSessionOptions* options;
  Check(api->CreateSessionOptions(&options));
  const std::unique_ptr<OrtSessionOptions, decltype(api->ReleaseSessionOptions)> held(options, api->ReleaseSessionOptions);
  if (library != nullptr) Check(api->RegisterCustomOpsLibrary_V2(options, library));
  OrtSession* session;
  Check(api->CreateSession(env, run.model.c_str(), options, &session));
  const std::unique_ptr<OrtSession, decltype(api->ReleaseSession)> opened(session, api->ReleaseSession);
  OrtMemoryInfo* memory;
  Check(api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
  std::vector<const char*> input_names, output_names;
  std::vector<OrtValue*> inputs, outputs(run.outputs.size());
  for (Input& input : run.inputs) {
    OrtValue* value;
    Check(api->CreateTensorWithDataAsOrtValue(memory, input.bytes.data(), input.bytes.size(), input.dims.data(),
                                              input.dims.size(), input.type, &value));
    input_names.push_back(input.name.c_str());
    inputs.push_back(value);
  }
  for (const Output& output : run.outputs) output_names.push_back(output.name.c_str());
  Check(api->Run(session, nullptr, input_names.data(), inputs.data(), inputs.size(), output_names.data(),
                 output_names.size(), outputs.data()));
  double worst = 0;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const double error = WorstError(outputs[i], run.outputs[i].expected);
    if (!(error <= worst)) worst = error;
    api->ReleaseValue(outputs[i]);
  }
  for (OrtValue* input : inputs) api->ReleaseValue(input);
  api->ReleaseMemoryInfo(memory);
  return worst;
}

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return quoted + '"';
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  void* runtime = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
  if (runtime == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  const auto base = reinterpret_cast<const OrtApiBase* (*)()>(dlsym(runtime, "OrtGetApiBase"));
  api = base()->GetApi(kApiVersion);
  OrtEnv* env;
  Check(api->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "compatibility", &env));
  for (Case& each : ReadCases(argv[2])) {
    try {
      const double error = Run(env, each, argc > 3 ? argv[3] : nullptr);
      std::printf("{\"case\":%s,\"error\":%g,\"passed\":%s}\n", Quoted(each.name).c_str(), std::isfinite(error) ? error : 1e9,
                  error <= each.tolerance ? "true" : "false");
    } catch (const std::exception& failure) {
      std::printf("{\"case\":%s,\"failure\":%s,\"passed\":false}\n", Quoted(each.name).c_str(),
                  Quoted(failure.what()).c_str());
    }
    std::fflush(stdout);
  }
  return 0;
}
