// Writes small ONNX models: just enough of the protobuf wire format for the tests of sessions.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace ort_dora {

class Message {
 public:
  Message& Int(int field, int64_t value) {
    Varint(static_cast<uint64_t>(field) << 3);
    Varint(static_cast<uint64_t>(value));
    return *this;
  }
  Message& Float(int field, float value) {
    Varint(static_cast<uint64_t>(field) << 3 | 5);
    bytes_.append(reinterpret_cast<const char*>(&value), 4);
    return *this;
  }
  Message& Bytes(int field, const std::string& value) {
    Varint(static_cast<uint64_t>(field) << 3 | 2);
    Varint(value.size());
    bytes_ += value;
    return *this;
  }
  Message& Add(int field, const Message& value) { return Bytes(field, value.bytes_); }
  const std::string& bytes() const { return bytes_; }

 private:
  void Varint(uint64_t value) {
    for (; value >= 128; value >>= 7) bytes_ += static_cast<char>(value | 128);
    bytes_ += static_cast<char>(value);
  }
  std::string bytes_;
};

enum ElementType { kFloat = 1, kInt32 = 6, kInt64 = 7, kFloat16 = 10, kDouble = 11, kBFloat16 = 16 };

struct Value {
  std::string name;
  int type;
  std::vector<std::string> dims;  // numbers, or names
  bool ranked = true;
};

struct Node {
  std::string op;
  std::vector<std::string> inputs, outputs;
  std::vector<std::pair<std::string, int64_t>> ints = {};
  std::vector<std::pair<std::string, float>> floats = {};
  std::string domain = "ort.dora";
  std::string name = "node";
  std::string overload = "";
};

struct Initializer {
  std::string name;
  int type;
  std::vector<int64_t> dims;
  std::string bytes;
};

struct Function {
  std::string name;
  std::vector<std::string> inputs, outputs;
  std::vector<Node> nodes;
  std::string overload = "";
};

inline Message ToMessage(const Node& node) {
  Message out;
  for (const auto& input : node.inputs) out.Bytes(1, input);
  for (const auto& output : node.outputs) out.Bytes(2, output);
  out.Bytes(3, node.name).Bytes(4, node.op);
  for (const auto& [name, value] : node.ints) out.Add(5, Message().Bytes(1, name).Int(3, value).Int(20, 2));
  for (const auto& [name, value] : node.floats) out.Add(5, Message().Bytes(1, name).Float(2, value).Int(20, 1));
  if (!node.domain.empty()) out.Bytes(7, node.domain);
  if (!node.overload.empty()) out.Bytes(8, node.overload);
  return out;
}

inline Message ToMessage(const Value& value) {
  Message shape;
  for (const auto& dim : value.dims) {
    const bool number = !dim.empty() && dim.find_first_not_of("0123456789") == std::string::npos;
    shape.Add(1, number ? Message().Int(1, std::stoll(dim)) : Message().Bytes(2, dim));
  }
  Message tensor = Message().Int(1, value.type);
  if (value.ranked) tensor.Add(2, shape);
  return Message().Bytes(1, value.name).Add(2, Message().Add(1, tensor));
}

// A model of opset 18 and ort.dora 1.
inline std::string Model(const std::vector<Node>& nodes, const std::vector<Value>& inputs, const std::vector<Value>& outputs,
                         const std::vector<Function>& functions = {}, const std::vector<Initializer>& initializers = {}) {
  const Message onnx = Message().Bytes(1, "").Int(2, 18);
  Message graph;
  for (const Node& node : nodes) graph.Add(1, ToMessage(node));
  graph.Bytes(2, "graph");
  for (const Initializer& initializer : initializers) {
    Message tensor;
    for (const int64_t dim : initializer.dims) tensor.Int(1, dim);
    graph.Add(5, tensor.Int(2, initializer.type).Bytes(8, initializer.name).Bytes(9, initializer.bytes));
  }
  for (const Value& input : inputs) graph.Add(11, ToMessage(input));
  for (const Value& output : outputs) graph.Add(12, ToMessage(output));
  Message model = Message().Int(1, 10).Add(7, graph).Add(8, onnx).Add(8, Message().Bytes(1, "ort.dora").Int(2, 1));
  for (const Function& function : functions) {
    Message out = Message().Bytes(1, function.name);
    for (const auto& input : function.inputs) out.Bytes(4, input);
    for (const auto& output : function.outputs) out.Bytes(5, output);
    out.Bytes(6, "scaling");
    for (const Node& node : function.nodes) out.Add(7, ToMessage(node));
    out.Add(9, onnx).Bytes(10, "ort.dora");
    if (!function.overload.empty()) out.Bytes(13, function.overload);
    model.Add(25, out);
  }
  return model.bytes();
}

}  // namespace ort_dora
